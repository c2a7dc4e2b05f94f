//! A validated server name.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// RFC 1035 section 2.3.4: 255 bytes on DNS's wire, which is 253 in text.
const MAX_NAME: usize = 253;

/// RFC 1035 section 2.3.4.
const MAX_LABEL: usize = 63;

/// A server name that passed conformance rule 15: 1 to 253 bytes of `[a-z0-9_.-]`, labels of 1 to
/// 63, lower case, without trailing dot, not an IP literal. Stored inline: no allocation.
#[derive(Clone, Copy)]
pub struct ServerName {
    len: u8,
    bytes: [u8; MAX_NAME],
}

/// Why a name is no server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// An IPv4 or IPv6 literal: counts as no name (rule 16, RFC 6066 section 3).
    #[error("an IP address, which is no server name")]
    IpLiteral,
    /// Breaks rule 15; the text says how.
    #[error("{0}")]
    Invalid(&'static str),
}

/// For each byte its lower case if rule 15 allows it in a name, else 0.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.' {
            table[byte] = b.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

impl ServerName {
    /// Validates and lower-cases the bytes of a host_name (rules 15 and 16). One trailing dot is
    /// dropped: `exact.com.` is `exact.com`.
    ///
    /// # Errors
    /// `IpLiteral` for what is an IPv4 or IPv6 address in text, also an IPv4 address with a
    /// trailing dot (dropping it would make the literal a name); `Invalid` for every other break.
    pub fn parse(wire: &[u8]) -> Result<ServerName, NameError> {
        let text = wire.strip_suffix(b".").unwrap_or(wire);
        // RFC 6066 section 3: literal IPv4 and IPv6 addresses are not permitted in "HostName". No
        // IPv4 literal ends in anything but a digit; IPv6 ones fail below, for their colons.
        if text.last().is_some_and(u8::is_ascii_digit) && is_literal::<Ipv4Addr>(text) {
            return Err(NameError::IpLiteral);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::Invalid("server_name is longer than 253 bytes"));
        }
        let mut bytes = [0; MAX_NAME];
        let mut label = 0;
        for (out, &byte) in bytes.iter_mut().zip(text) {
            *out = LOWER[usize::from(byte)];
            match *out {
                0 => return Err(bad_character(wire)),
                b'.' => {
                    check_label(label)?;
                    label = 0;
                }
                _ => label += 1,
            }
        }
        check_label(label)?;
        // MAX_NAME fits a u8, and the length was checked against it.
        Ok(ServerName {
            len: text.len() as u8,
            bytes,
        })
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        // Never the empty string: `parse` let nothing but ASCII in.
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// RFC 1035 section 2.3.4: a label is 1 to 63 bytes.
#[inline]
fn check_label(len: usize) -> Result<(), NameError> {
    match len {
        0 => Err(NameError::Invalid("server_name has an empty label")),
        1..=MAX_LABEL => Ok(()),
        _ => Err(NameError::Invalid(
            "server_name has a label longer than 63 bytes",
        )),
    }
}

/// A byte that no name has: an IPv6 literal, or just wrong.
#[cold]
fn bad_character(wire: &[u8]) -> NameError {
    if is_literal::<Ipv6Addr>(wire) {
        NameError::IpLiteral
    } else {
        NameError::Invalid("server_name has a character other than [A-Za-z0-9_.-]")
    }
}

#[cold]
fn is_literal<A: std::str::FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<A>().is_ok())
}

impl PartialEq for ServerName {
    fn eq(&self, other: &ServerName) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ServerName {}

impl Hash for ServerName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_equal_whatever_their_case_and_trailing_dot() {
        let hash = |name: &ServerName| {
            let mut hasher = std::hash::DefaultHasher::new();
            name.hash(&mut hasher);
            hasher.finish()
        };
        let a = ServerName::parse(b"A.Example.COM.").unwrap();
        let b = ServerName::parse(b"a.example.com").unwrap();
        assert_eq!((a, hash(&a)), (b, hash(&b)));
        assert_ne!(a, ServerName::parse(b"a.example.co").unwrap());
        assert_eq!(
            format!("{a} {a:?} [{a:>15}]"),
            "a.example.com \"a.example.com\" [  a.example.com]"
        );
    }

    #[test]
    fn exactly_the_bytes_of_rule_15_are_let_in() {
        for byte in 0..=255u8 {
            let text = [b'a', byte, b'b'];
            let allowed = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            match ServerName::parse(&text) {
                Ok(name) => {
                    assert!(allowed, "{byte}");
                    assert_eq!(name.as_str().as_bytes(), text.to_ascii_lowercase());
                }
                Err(error) => assert!(!allowed && error != NameError::IpLiteral, "{byte}"),
            }
        }
    }
}
