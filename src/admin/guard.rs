//! Who may do what, by which door.

use crate::config::FileSet;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode, Uri};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a token: fewer can be guessed, more is a wrong file.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;
/// Bytes of its file, white space and all.
const TOKEN_FILE_BYTES: u64 = 8192;

/// How a request came in.
#[derive(Debug, Clone)]
pub(super) enum Entrance {
    /// By the unix socket; whether its peer is the hub's own user or root.
    Unix {
        /// By SO_PEERCRED.
        trusted: bool,
    },
    /// By `admin_listen`.
    Loopback {
        /// What changes need.
        token_file: Option<PathBuf>,
    },
    /// By `ops_listen`.
    Ops,
}

/// A request that is turned away: the status, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied(pub(super) StatusCode, pub(super) String);

fn forbidden(text: impl Into<String>) -> Denied {
    Denied(StatusCode::FORBIDDEN, text.into())
}

impl Entrance {
    /// Whether the request may come in at all, and do what it wants.
    pub(super) fn admit(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Denied> {
        match self {
            Entrance::Ops => Ok(()),
            Entrance::Unix { trusted: true } => {
                named_by_loopback(uri, headers)?;
                if changes(method) && headers.contains_key(ORIGIN) {
                    return Err(forbidden(
                        "a browser changes nothing by this socket: use the command, or \
                         admin_listen with a token",
                    ));
                }
                Ok(())
            }
            Entrance::Unix { trusted: false } => {
                Err(forbidden("this socket is for the hub's own user and root"))
            }
            Entrance::Loopback { token_file } => {
                named_by_loopback(uri, headers)?;
                if !changes(method) {
                    return Ok(());
                }
                let file = token_file.as_deref().ok_or_else(|| {
                    forbidden("read-only: set admin_token_file in hub.yaml, or use the unix socket")
                })?;
                has_token(headers, file)
            }
        }
    }
}

/// Whether it may change something.
pub(super) fn changes(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

/// A page from elsewhere may have a name of its own point at 127.0.0.1 (DNS rebinding), and then
/// reads what is served there; it cannot choose the `Host` that its browser sends. Any port: it may
/// be the near end of `ssh -L`, which leads to the unix socket as well: there its peer is sshd, with the
/// rights of who has logged in, and a page from elsewhere would have them. In
/// `GET http://name/ HTTP/1.1` that name is the host (RFC 9112 section 3.2.2): both have to be right.
fn named_by_loopback(uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let target = uri.authority().map(Authority::as_str);
    if is_loopback(host) && target.is_none_or(is_loopback) {
        return Ok(());
    }
    Err(Denied(
        StatusCode::MISDIRECTED_REQUEST,
        "the Host header must be localhost or a loopback address".into(),
    ))
}

fn is_loopback(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let ip = bare
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(bare)
        .parse::<IpAddr>();
    ip.is_ok_and(|ip| ip.to_canonical().is_loopback()) || bare.eq_ignore_ascii_case("localhost")
}

fn has_token(headers: &HeaderMap, file: &Path) -> Result<(), Denied> {
    // Read each time: a new token counts at once.
    let token = read_token(file).map_err(|why| {
        Denied(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("admin_token_file {why}"),
        )
    })?;
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()))
        .unwrap_or_default();
    if same(given, token.as_bytes()) {
        return Ok(());
    }
    Err(Denied(
        StatusCode::UNAUTHORIZED,
        "changes need `Authorization: Bearer TOKEN` with the token of admin_token_file".into(),
    ))
}

/// RFC 9110 sections 11.1 and 11.4: the scheme in letters of any case, spaces, and the token.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked("Bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    is_bearer.then(|| token.trim_ascii_start())
}

/// In a time that does not tell where they differ.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differ = given.iter().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differ == 0
}

/// The token of a file, without the white space around it.
pub(super) fn read_token(file: &Path) -> Result<String, String> {
    let bytes = FileSet::new()
        .read(file, TOKEN_FILE_BYTES)
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let token = text.trim();
    if !TOKEN_BYTES.contains(&token.len()) {
        let (min, max) = (TOKEN_BYTES.start(), TOKEN_BYTES.end());
        return Err(format!(
            "holds {} bytes where a token of {min}..={max} is expected",
            token.len()
        ));
    }
    Ok(token.to_owned())
}

/// The mode of a file of a token that is no secret on this machine.
pub(super) fn read_by_all(file: &Path) -> Option<u32> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o7777;
    (mode & 0o004 != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host: &str) -> Result<(), Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        asked("/", &headers)
    }

    fn asked(target: &str, headers: &HeaderMap) -> Result<(), Denied> {
        let entrance = Entrance::Loopback { token_file: None };
        entrance.admit(&Method::GET, &target.parse().unwrap(), headers)
    }

    #[test]
    fn only_loopback_hosts_are_answered() {
        for good in [
            "localhost",
            "LocalHost:9901",
            "127.0.0.1:9901",
            "127.1.2.3",
            "[::1]:80",
            "[::1]",
        ] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.0.1",
            "[::2]:80",
            "",
            "localhost:80:80",
            "localhost.",
            "localhost@evil.example",
            "user@localhost",
            "localhost evil.example",
            "localhost,evil.example",
            "127.0.0.1:80x",
            "[127.0.0.1",
            "0.0.0.0",
            "2130706433",
        ] {
            let denied = host(bad).expect_err(bad);
            assert_eq!(denied.0, StatusCode::MISDIRECTED_REQUEST, "{bad}");
        }
        let mut headers = HeaderMap::new();
        assert!(asked("/", &headers).is_err(), "no Host");
        headers.append(HOST, "localhost".parse().unwrap());
        assert_eq!(asked("http://127.0.0.1:9901/", &headers), Ok(()));
        for target in ["http://evil.example/", "http://localhost@evil.example/"] {
            assert!(asked(target, &headers).is_err(), "{target}");
        }
        headers.append(HOST, "evil.example".parse().unwrap());
        assert!(asked("/", &headers).is_err(), "two Hosts");
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        for wrong in [&b""[..], b"ab", b"abd", b"abcd"] {
            assert!(!same(wrong, b"abc"), "{wrong:?}");
        }
    }
}
