//! The other end of the unix socket: for the commands that talk to a running hub.

use super::query::encode;
use crate::net::unix;
use crate::server::Silent;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use thiserror::Error;

/// A little more than the hub gives a connection.
const PATIENCE: Duration = Duration::from_secs(45);
/// How often a hub that was succeeded while it was asked is asked again at most, and after what time.
const MOST_AGAIN: u32 = 3;
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Bytes of an answer: 100,000 tunnels are some 50 MB.
const MOST: u64 = 256 << 20;

/// Why there is no answer. The texts say what to do.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "no hub runs behind {}: start it by `snihub run` with the arguments that it had, or name its \
         socket (`admin` of its hub.yaml) with --admin", .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket is not ours to use.
    #[error("{} is for root and the hub's own user: try sudo", .0.display())]
    NotPermitted(PathBuf),
    /// The hub answered what this program does not understand.
    #[error(
        "the hub behind {} does not know this command: it is older than this program, restart it", .0.display()
    )]
    Old(PathBuf),
    /// The hub said no; its words.
    #[error("{0}")]
    Refused(String),
    /// The hub could not; its words.
    #[error("{0}")]
    Unable(String),
    /// No answer in time.
    #[error(
        "the hub behind {} has not answered within {} s: it is stopped or overloaded, see its log{}",
        .0.socket.display(), .0.within.as_secs_f64(), .0.and_then()
    )]
    Silent(Unanswered),
    /// No whole answer came.
    #[error("talking to the hub behind {}: {error}", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
}

/// Who did not answer, and how long it had.
#[derive(Debug)]
pub struct Unanswered {
    /// The socket.
    pub socket: PathBuf,
    /// For each step of an exchange.
    pub within: Duration,
    /// Whether it was to change something.
    pub change: bool,
}

impl Unanswered {
    fn and_then(&self) -> &'static str {
        match self.change {
            true => {
                "; it may still finish what it has begun of this, and begins nothing more of it"
            }
            false => "",
        }
    }
}

/// What came back: also for a request that was understood and declined.
#[derive(Debug)]
pub struct Reply {
    /// 200, or 422 for a reload that was refused.
    pub status: u16,
    /// The body.
    pub body: Value,
}

/// Asks the hub behind `socket`; `parameters` go into the query.
///
/// # Errors
/// [`ClientError`].
pub fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<Reply, ClientError> {
    ask_within(socket, PATIENCE, method, path, parameters)
}

/// As [`ask`], for who cannot wait as long: each write and each read has `within`, more than zero.
///
/// # Errors
/// [`ClientError`].
pub fn ask_within(
    socket: &Path,
    within: Duration,
    method: &str,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<Reply, ClientError> {
    let mut target = path.to_owned();
    for (n, (key, value)) in parameters.iter().enumerate() {
        let sign = if n == 0 { '?' } else { '&' };
        // Writing to a String does not fail.
        let _ = write!(target, "{sign}{key}={}", encode(value));
    }
    let (mut status, mut body) = answered(socket, within, method, &target)?;
    for _ in 0..MOST_AGAIN {
        if body["again"] != true {
            break;
        }
        // The hub is another process since: it comes in by the same door, and may be succeeded as well.
        sleep(AGAIN_AFTER);
        (status, body) = answered(socket, within, method, &target)?;
    }
    let words = body["error"].as_str().unwrap_or_default();
    match status {
        200 | 422 => Ok(Reply { status, body }),
        404 | 405 if words.starts_with("no such endpoint") => {
            Err(ClientError::Old(socket.to_owned()))
        }
        403 => Err(ClientError::NotPermitted(socket.to_owned())),
        500.. => Err(ClientError::Unable(words.to_owned())),
        _ => Err(ClientError::Refused(words.to_owned())),
    }
}

/// Whose part an answer lacks.
pub fn silent(body: &Value) -> Vec<Silent> {
    let rows = body["silent"].as_array().into_iter().flatten();
    rows.filter_map(|row| Silent::deserialize(row).ok())
        .collect()
}

fn answered(
    socket: &Path,
    within: Duration,
    method: &str,
    target: &str,
) -> Result<(u16, Value), ClientError> {
    let unanswered = || Unanswered {
        socket: socket.to_owned(),
        within,
        change: method != "GET",
    };
    let answer =
        exchange(socket, within, method, target).map_err(|error| explain(unanswered(), error))?;
    let broken = |what: &str| ClientError::Broken {
        path: socket.to_owned(),
        error: io::Error::new(ErrorKind::InvalidData, what),
    };
    let (status, body) = split(&answer).ok_or_else(|| broken("the answer is no HTTP"))?;
    let body = serde_json::from_slice(body).map_err(|_| broken("the answer is cut, or no JSON"))?;
    Ok((status, body))
}

fn exchange(socket: &Path, within: Duration, method: &str, target: &str) -> io::Result<Vec<u8>> {
    let mut stream = unix::connect(socket, within)?;
    stream.set_read_timeout(Some(within))?;
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // A hub that turns us away may have closed before it has read this: its answer still counts.
    let written = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let read = stream.take(MOST).read_to_end(&mut answer);
    if answer.is_empty() {
        written?;
        read?;
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// The status and the body of an answer that was read to its end, whose length is then known.
fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let body = &answer[end + 4..];
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())?
            .ok()
    })?;
    (body.len() == length).then_some((status, body))
}

fn explain(unanswered: Unanswered, error: io::Error) -> ClientError {
    let path = unanswered.socket.clone();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::NotRunning(path),
        ErrorKind::PermissionDenied => ClientError::NotPermitted(path),
        // A time limit of the socket (socket(7), SO_RCVTIMEO).
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Silent(unanswered),
        _ => ClientError::Broken { path, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_is_stopped_is_told_from_one_that_is_gone() {
        let silent = |change| Unanswered {
            socket: "/run/x".into(),
            within: PATIENCE,
            change,
        };
        let said = |kind: ErrorKind| explain(silent(false), kind.into()).to_string();
        let waits = said(ErrorKind::WouldBlock);
        assert!(waits.contains("has not answered within 45 s"), "{waits}");
        assert!(waits.ends_with("see its log"), "{waits}");
        // It may be in the middle of it.
        let waits = explain(silent(true), ErrorKind::WouldBlock.into()).to_string();
        assert!(waits.contains("may still finish"), "{waits}");
        assert!(said(ErrorKind::ConnectionRefused).contains("no hub runs behind /run/x"));
        assert!(said(ErrorKind::UnexpectedEof).contains("talking to the hub behind /run/x"));
    }

    #[test]
    fn a_process_that_is_the_hub_no_more_is_asked_again_and_not_for_ever() {
        let folder = std::env::temp_dir().join(format!("snihub-again-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("sock");
        let door = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let again = (
            "503 Service Unavailable",
            r#"{"error":"no more","again":true}"#,
        );
        let answers = [again, again, ("200 OK", "{}"), again, again, again, again];
        let serving = std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = door.accept().unwrap();
                // All of it: an end with bytes unread would be a reset.
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    let mut some = [0; 512];
                    let n = stream.read(&mut some).unwrap();
                    asked.extend_from_slice(&some[..n]);
                }
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        assert_eq!(ask(&path, "POST", "/api/reload", &[]).unwrap().status, 200);
        let said = ask(&path, "POST", "/api/reload", &[]);
        assert!(matches!(said, Err(ClientError::Unable(_))), "{said:?}");
        serving.join().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_answer_that_is_cut_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(split(whole), Some((200, &b"{}"[..])));
        for cut in 0..whole.len() {
            assert_eq!(split(&whole[..cut]), None, "{cut}");
        }
    }
}
