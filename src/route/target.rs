//! `tunnel_route`: where an entry sends its connections.

use crate::net::addr::{Fence, Host, Target};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use thiserror::Error;

/// A destination, with places for what the pattern's `*` took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTemplate {
    text: Box<str>,
    host: HostPart,
    port: PortPart,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPart {
    Fixed(Host),
    /// Has at least one [`Piece::Capture`].
    Dynamic(Box<Dynamic>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Dynamic {
    pieces: Vec<Piece>,
    /// Also has a `$` that stays: no host of that name exists, so none is checked.
    literal_dollar: bool,
    /// Ends in a domain that the operator wrote.
    under_domain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// In lower case.
    Literal(Box<str>),
    /// From 1, at most the pattern's captures.
    Capture(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PortPart {
    /// 1 to 65535.
    Written(u16),
    /// None, 0, or `{inbound_local_port}`.
    Inbound,
    /// `{proxy_protocol_port}`.
    Proxy,
    /// Digits, then what the client sent.
    Capture(Box<str>, usize),
}

/// The part of a destination that a connection does not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unformed {
    Host,
    Port,
}

/// RFC 1035 section 2.3.4, in text.
const MAX_NAME: usize = 253;

/// Why a text is no destination.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Nothing before the port.
    #[error("no host; expected host:port")]
    NoHost,
    /// `scheme://...`.
    #[error("a URL where host:port is expected (no scheme)")]
    Url,
    /// White space or a control character.
    #[error("white space or a control character at byte {at}")]
    Space {
        /// In bytes from the beginning of the text.
        at: usize,
    },
    /// IPv6 needs brackets, or several colons.
    #[error("more than one ':'; an IPv6 address needs brackets, as in [::1]:6651")]
    Colons,
    /// `[` without `]`, or no IPv6 address between them, or something else than a port behind.
    #[error("{0:?} is not an IPv6 address in brackets with an optional :port")]
    Bracket(String),
    /// The host is neither an address nor a host name.
    #[error("host {seen:?} is not a host name or address: {why}")]
    Host {
        /// Cut to 60 characters.
        seen: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The port.
    #[error(
        "port {seen:?} is not in 0..=65535, nor $N of the pattern, {{inbound_local_port}} or \
         {{proxy_protocol_port}}"
    )]
    Port {
        /// Cut to 40 characters.
        seen: String,
        /// In bytes from the beginning of the text.
        at: usize,
    },
    /// Longer than a host name and a port can be.
    #[error("{0} bytes long; a destination has at most 512")]
    TooLong(usize),
}

/// What is worth saying about a destination that loads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetWarning {
    /// A `$` that ATS leaves as it is. No such host exists: each connection ends in a resolve
    /// error, without a query.
    #[error(
        "${text} stays as it is (as in ATS): $N counts only up to '.', ':' or the end, and the \
         pattern has {captures} '*'; no such host can be resolved"
    )]
    LiteralDollar {
        /// What follows the `$`, cut to 20 characters.
        text: String,
        /// In bytes from the beginning of the text, at the `$`.
        at: usize,
        /// How many `*` the pattern has.
        captures: usize,
    },
}

impl TargetTemplate {
    /// Longest destination, in bytes.
    pub const MAX_LEN: usize = 512;

    /// `host:port`; no port or 0 is the inbound port. `captures`: how many `*` the pattern has.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(
        text: &str,
        captures: usize,
    ) -> Result<(TargetTemplate, Vec<TargetWarning>), TargetError> {
        if text.len() > TargetTemplate::MAX_LEN {
            return Err(TargetError::TooLong(text.len()));
        }
        if let Some(at) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(TargetError::Space { at });
        }
        if text.contains("://") {
            return Err(TargetError::Url);
        }
        let mut warnings = Vec::new();
        let (host, port) = split(text)?;
        let host = match host.strip_prefix('[') {
            Some(_) => HostPart::Fixed(bracketed(host)?),
            None => host_part(host, captures, &mut warnings)?,
        };
        let port = port.map_or(Ok(PortPart::Inbound), |port| {
            let at = text.len() - port.len();
            port_part(port, captures).ok_or(TargetError::Port {
                seen: cut(port, 40),
                at,
            })
        })?;
        Ok((
            TargetTemplate {
                text: text.into(),
                host,
                port,
            },
            warnings,
        ))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The port, where it is written (not 0).
    pub fn written_port(&self) -> Option<u16> {
        match self.port {
            PortPart::Written(port) => Some(port),
            _ => None,
        }
    }

    /// Whether the host contains `$N`: a name that the client sends has a part in choosing it.
    pub fn is_dynamic(&self) -> bool {
        matches!(self.host, HostPart::Dynamic(_))
    }

    /// The host, where it is written as an address.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            HostPart::Fixed(Host::Ip(ip)) => Some(ip),
            HostPart::Fixed(Host::Name(_)) | HostPart::Dynamic(_) => None,
        }
    }

    /// Whether the port contains `$N`.
    pub fn port_is_clients_choice(&self) -> bool {
        matches!(self.port, PortPart::Capture(..))
    }

    /// Whether the port is `{proxy_protocol_port}`.
    pub fn port_is_proxys(&self) -> bool {
        self.port == PortPart::Proxy
    }

    /// The target for one connection. `captures` is asked for only where there is a `$N`, so a
    /// fixed target costs no allocation.
    pub(super) fn expand<'n>(
        &self,
        captures: impl FnOnce() -> Vec<&'n str>,
        inbound_port: u16,
        proxy_port: Option<u16>,
        allow_private: bool,
    ) -> Result<Target, Unformed> {
        let taken = match (self.is_dynamic(), self.port_is_clients_choice()) {
            (false, false) => Vec::new(),
            _ => captures(),
        };
        let (host, fence) = match &self.host {
            HostPart::Fixed(host) => (host.clone(), Fence::Open),
            HostPart::Dynamic(dynamic) => (
                dynamic.expand(&taken).ok_or(Unformed::Host)?,
                dynamic.fence(allow_private),
            ),
        };
        let port = match &self.port {
            PortPart::Written(port) => Some(*port),
            PortPart::Inbound => Some(inbound_port),
            PortPart::Proxy => proxy_port,
            PortPart::Capture(digits, n) => {
                let taken = taken.get(n - 1).copied().unwrap_or_default();
                port_number(&format!("{digits}{taken}"))
            }
        };
        let port = port.filter(|&port| port != 0).ok_or(Unformed::Port)?;
        Ok(Target { host, port, fence })
    }
}

impl fmt::Display for TargetTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Dynamic {
    /// What was taken is part of a valid name; what comes of it need not be one (too long, an empty
    /// label, `999` in an address).
    fn expand(&self, taken: &[&str]) -> Option<Host> {
        let mut name = String::new();
        for piece in &self.pieces {
            name.push_str(match piece {
                Piece::Literal(text) => text,
                Piece::Capture(n) => taken.get(n - 1).copied().unwrap_or_default(),
            });
        }
        if self.literal_dollar {
            // Not resolved, but told in the log: bounded like a name.
            return (name.len() <= MAX_NAME).then(|| Host::Name(name.into()));
        }
        host_of(&name).ok()
    }

    /// reliability.md: a client never chooses its way to what is local, and without a domain of the
    /// operator's around it not into private ranges either, unless the entry allows it.
    fn fence(&self, allow_private: bool) -> Fence {
        if self.under_domain || allow_private {
            Fence::NoLocal
        } else {
            Fence::NoPrivate
        }
    }
}

/// Host (with its brackets, if it has some) and port.
fn split(text: &str) -> Result<(&str, Option<&str>), TargetError> {
    if text.starts_with('[') {
        let end = text
            .find(']')
            .ok_or_else(|| TargetError::Bracket(cut(text, 60)))?
            + 1;
        let (host, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(TargetError::Bracket(cut(text, 60))),
        };
    }
    if text.bytes().filter(|&b| b == b':').count() > 1 {
        return Err(TargetError::Colons);
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() {
        Err(TargetError::NoHost)
    } else {
        Ok((host, port))
    }
}

/// RFC 3986 section 3.2.2.
fn bracketed(host: &str) -> Result<Host, TargetError> {
    let inside = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or_default();
    match inside.parse::<Ipv6Addr>() {
        Ok(ip) => Ok(Host::Ip(ip.to_canonical())),
        Err(_) => Err(TargetError::Bracket(cut(host, 60))),
    }
}

fn host_part(
    host: &str,
    captures: usize,
    warnings: &mut Vec<TargetWarning>,
) -> Result<HostPart, TargetError> {
    let pieces = pieces(host, captures, warnings);
    let literal_dollar = !warnings.is_empty();
    // Any one letter will do for what is not known yet.
    let sample: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text,
            Piece::Capture(_) => "a",
        })
        .collect();
    let bad = |why| TargetError::Host {
        seen: cut(host, 60),
        why,
    };
    let fixed = if literal_dollar {
        check_name(&sample, "$_-{}").map_err(bad)?;
        Host::Name(sample.into())
    } else {
        host_of(&sample).map_err(bad)?
    };
    if !pieces
        .iter()
        .any(|piece| matches!(piece, Piece::Capture(_)))
    {
        return Ok(HostPart::Fixed(fixed));
    }
    let under_domain = match pieces.last() {
        // A last label of digits is no domain but the end of an address.
        Some(Piece::Literal(end)) => end
            .rsplit('.')
            .find(|label| !label.is_empty())
            .is_some_and(|label| !label.bytes().all(|b| b.is_ascii_digit())),
        _ => false,
    };
    Ok(HostPart::Dynamic(Box::new(Dynamic {
        pieces,
        literal_dollar,
        under_domain,
    })))
}

/// ATS's rule: `$N` counts only where the number runs to `.`, `:` or the end, and the pattern has
/// that many `*`; any other `$` stays as it is.
fn pieces(host: &str, captures: usize, warnings: &mut Vec<TargetWarning>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = host;
    while let Some(dollar) = rest.find('$') {
        literal.push_str(&rest[..dollar].to_ascii_lowercase());
        let behind = &rest[dollar + 1..];
        let number = &behind[..behind.find('.').unwrap_or(behind.len())];
        if let Some(n) = group(number, captures) {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Capture(n));
            rest = &behind[number.len()..];
        } else {
            let at = host.len() - behind.len() - 1;
            warnings.push(TargetWarning::LiteralDollar {
                text: cut(behind, 20),
                at,
                captures,
            });
            literal.push('$');
            rest = behind;
        }
    }
    literal.push_str(&rest.to_ascii_lowercase());
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    pieces
}

/// The number of a group that the pattern has.
fn group(number: &str, captures: usize) -> Option<usize> {
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    number
        .parse()
        .ok()
        .filter(|n| digits && (1..=captures).contains(n))
}

/// An unknown `$N` is an error here: no port can come of it (ATS aborts when it is used).
fn port_part(port: &str, captures: usize) -> Option<PortPart> {
    match port {
        "{inbound_local_port}" => return Some(PortPart::Inbound),
        "{proxy_protocol_port}" => return Some(PortPart::Proxy),
        _ => {}
    }
    if let Some((digits, number)) = port.split_once('$') {
        let written = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
        return group(number, captures)
            .filter(|_| written)
            .map(|n| PortPart::Capture(digits.into(), n));
    }
    port_number(port).map(|port| {
        if port == 0 {
            PortPart::Inbound
        } else {
            PortPart::Written(port)
        }
    })
}

/// Digits only (`parse` alone would take a `+`), 0 to 65535.
fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn host_of(name: &str) -> Result<Host, &'static str> {
    if let Ok(v4) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(v4)));
    }
    check_name(name, "_-")?;
    Ok(Host::Name(Arc::from(name)))
}

/// RFC 1035 section 2.3.4 for the lengths; a final dot (no search domains) is taken, and so is a
/// host of digits alone, the name of a party of FATE.
fn check_name(name: &str, besides: &str) -> Result<(), &'static str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > MAX_NAME {
        return Err("longer than 253 bytes");
    }
    if name.split('.').any(str::is_empty) {
        return Err("has an empty label");
    }
    if name.split('.').any(|label| label.len() > 63) {
        return Err("has a label of more than 63 bytes");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || besides.contains(c);
    if !name.chars().all(fits) {
        return Err("has a character other than letters, digits, '-', '_' and '.'");
    }
    if name.contains('.') && name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err("looks like an IPv4 address, but is none");
    }
    Ok(())
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, captures: usize) -> TargetTemplate {
        TargetTemplate::parse(text, captures)
            .unwrap_or_else(|e| panic!("{text}: {e}"))
            .0
    }

    fn expand(text: &str, taken: &[&str]) -> Result<String, Unformed> {
        let template = parse(text, taken.len());
        template
            .expand(|| taken.to_vec(), 14443, Some(7000), false)
            .map(|t| t.to_string())
    }

    #[test]
    fn hosts_and_ports() {
        for (text, wanted) in [
            ("Broker.example:6651", "broker.example:6651"),
            ("broker.example.:6651", "broker.example.:6651"),
            ("broker", "broker:14443"),
            ("broker:0", "broker:14443"),
            ("broker:{inbound_local_port}", "broker:14443"),
            ("broker:{proxy_protocol_port}", "broker:7000"),
            ("10.0.0.1:6651", "10.0.0.1:6651"),
            ("[::1]:6651", "[::1]:6651"),
            ("[::1]", "[::1]:14443"),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1:1"),
            ("9999:6651", "9999:6651"),
            ("a_b-c:65535", "a_b-c:65535"),
        ] {
            assert_eq!(expand(text, &[]).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn every_bad_destination_is_an_error() {
        let host = |seen: &str, why| TargetError::Host {
            seen: seen.into(),
            why,
        };
        let port = |seen: &str, at| TargetError::Port {
            seen: seen.into(),
            at,
        };
        let bracket = |seen: &str| TargetError::Bracket(seen.into());
        let character = "has a character other than letters, digits, '-', '_' and '.'";
        for (text, wanted) in [
            ("", TargetError::NoHost),
            (":6651", TargetError::NoHost),
            ("http://h:1", TargetError::Url),
            ("h :1", TargetError::Space { at: 1 }),
            ("h:1\n", TargetError::Space { at: 3 }),
            ("::1", TargetError::Colons),
            ("h:1:2", TargetError::Colons),
            ("[::1:6651", bracket("[::1:6651")),
            ("[::1]6651", bracket("[::1]6651")),
            ("[10.0.0.1]:1", bracket("[10.0.0.1]")),
            ("[]:1", bracket("[]")),
            ("h:", port("", 2)),
            ("h:https", port("https", 2)),
            ("h:65536", port("65536", 2)),
            ("h:+1", port("+1", 2)),
            ("[::1]:", port("", 6)),
            ("h:$1", port("$1", 2)),
            ("h:{port}", port("{port}", 2)),
            ("h/x:1", host("h/x", character)),
            (
                "{inbound_local_port}:1",
                host("{inbound_local_port}", character),
            ),
            ("b\u{fc}cher:1", host("b\u{fc}cher", character)),
            (".h:1", host(".h", "has an empty label")),
            ("h..g:1", host("h..g", "has an empty label")),
            (
                "256.0.0.1:1",
                host("256.0.0.1", "looks like an IPv4 address, but is none"),
            ),
            (
                "010.0.0.1:1",
                host("010.0.0.1", "looks like an IPv4 address, but is none"),
            ),
        ] {
            assert_eq!(TargetTemplate::parse(text, 0), Err(wanted), "{text:?}");
        }
        assert_eq!(
            TargetTemplate::parse(&"a".repeat(513), 0),
            Err(TargetError::TooLong(513))
        );
    }

    #[test]
    fn a_capture_counts_up_to_a_dot_a_colon_or_the_end() {
        for (text, wanted) in [
            ("pulsar-$1.svc:6651", "pulsar-u.svc:6651"),
            ("$2.$1:6651", "v.u:6651"),
            ("g1-$1.g2-$2", "g1-u.g2-v:14443"),
            ("$01.svc:1", "u.svc:1"),
        ] {
            assert_eq!(expand(text, &["u", "v"]).as_deref(), Ok(wanted), "{text}");
            assert_eq!(TargetTemplate::parse(text, 2).unwrap().1, [], "{text}");
        }
    }

    #[test]
    fn any_other_dollar_stays_and_is_told() {
        for (text, wanted, at) in [
            ("$1-pulsar.svc:1", "$1-pulsar.svc:1", 0),
            ("${1}.svc:1", "${1}.svc:1", 0),
            ("$0.svc:1", "$0.svc:1", 0),
            ("$2.svc:1", "$2.svc:1", 0),
            (
                "$99999999999999999999.svc:1",
                "$99999999999999999999.svc:1",
                0,
            ),
            ("$1.x-$:1", "u.x-$:1", 5),
        ] {
            let (template, warnings) = TargetTemplate::parse(text, 1).unwrap();
            let TargetWarning::LiteralDollar {
                at: told,
                captures: 1,
                ..
            } = warnings[0]
            else {
                panic!("{warnings:?}")
            };
            assert_eq!((told, warnings.len()), (at, 1), "{text}");
            let target = template.expand(|| vec!["u"], 1, None, false).unwrap();
            assert_eq!(target.to_string(), wanted);
        }
    }

    #[test]
    fn a_port_may_come_from_the_name() {
        assert_eq!(expand("h:$1", &["6651"]).as_deref(), Ok("h:6651"));
        assert_eq!(expand("h:66$1", &["51"]).as_deref(), Ok("h:6651"));
        for taken in ["x", "", "0", "65536", "6651.x", "-1"] {
            assert_eq!(expand("h:$1", &[taken]), Err(Unformed::Port), "{taken}");
        }
        assert!(parse("h:$1", 1).port_is_clients_choice());
        assert!(!parse("$1:1", 1).port_is_clients_choice());
    }

    #[test]
    fn without_a_proxy_header_its_port_gives_no_target() {
        let target = parse("h:{proxy_protocol_port}", 0).expand(Vec::new, 1, None, false);
        assert_eq!(target, Err(Unformed::Port));
    }

    #[test]
    fn what_a_name_makes_of_a_host_is_checked_again() {
        let long = "a.".repeat(120) + "a";
        for (text, taken) in [
            ("$1.svc:1", ""),
            ("127.0.0.$1:1", "256"),
            ("$1.svc:1", "a."),
            ("$1.padding.domain:1", &long),
        ] {
            assert_eq!(
                expand(text, &[taken]),
                Err(Unformed::Host),
                "{text} {taken}"
            );
        }
        let label = "a".repeat(60);
        assert_eq!(expand("pulsar-$1.svc:1", &[&label]), Err(Unformed::Host));
    }

    #[test]
    fn the_fence_follows_who_chose_the_host() {
        let fence = |text: &str, taken: &str, allow_private| {
            let target = parse(text, 1)
                .expand(|| vec![taken], 1, None, allow_private)
                .unwrap();
            (target.fence, target.host)
        };
        for (text, taken, wanted, allowed) in [
            ("127.0.0.1:1", "n", Fence::Open, Fence::Open),
            ("h:$1", "7", Fence::Open, Fence::Open),
            (
                "$1.svc.cluster.local:1",
                "n",
                Fence::NoLocal,
                Fence::NoLocal,
            ),
            ("$1.svc:1", "n", Fence::NoLocal, Fence::NoLocal),
            ("$1:1", "n", Fence::NoPrivate, Fence::NoLocal),
            ("pulsar-$1:1", "n", Fence::NoPrivate, Fence::NoLocal),
            ("svc.$1:1", "n", Fence::NoPrivate, Fence::NoLocal),
            ("$1.:1", "n", Fence::NoPrivate, Fence::NoLocal),
            ("127.0.0.$1:1", "1", Fence::NoPrivate, Fence::NoLocal),
            // The client writes all of an address but its end.
            ("$1.1:1", "10.0.0", Fence::NoPrivate, Fence::NoLocal),
        ] {
            assert_eq!(fence(text, taken, false).0, wanted, "{text}");
            assert_eq!(fence(text, taken, true).0, allowed, "{text}");
        }
        assert_eq!(
            fence("$1.1:1", "10.0.0", false).1,
            Host::Ip([10, 0, 0, 1].into())
        );
    }
}
