//! What a certificate is issued to: host names and, where a layout has them, addresses.

use super::PkiError;
use crate::tls::{NameError, ServerName};
use rcgen::SanType;
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;

/// Why a text is no name of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameFault {
    /// It could never be a server name, or it is an address where only names are.
    #[error("{0}")]
    Server(NameError),
    /// No certificate here covers names that nobody has written down: one for `*.fate.org` would let
    /// an HTTP/2 client put two parties' requests into one connection (RFC 9113 section 9.1.1), and
    /// each party pose as every other.
    #[error("a wildcard covers names of other parties: list the names one by one")]
    Wildcard,
    /// TLS libraries take no such name (RFC 952, RFC 1123 section 2.1), and programs take it for an
    /// option.
    #[error("a label of it begins or ends with a hyphen, and TLS clients take no such name")]
    Hyphen,
}

/// A name or an address in a subject alternative name (RFC 5280 section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// dNSName, in lower case.
    Dns(Box<ServerName>),
    /// iPAddress.
    Address(IpAddr),
}

impl Name {
    /// A host name.
    ///
    /// # Errors
    /// [`PkiError::BadName`] for wildcards, addresses, and what [`ServerName::parse`] does not take.
    pub fn dns(text: &str) -> Result<Name, PkiError> {
        let fault = |reason| PkiError::BadName {
            name: text.to_owned(),
            reason,
        };
        if text.contains('*') {
            return Err(fault(NameFault::Wildcard));
        }
        // An IPv6 literal fails as a name for its colons; say what it is.
        if text.parse::<IpAddr>().is_ok() {
            return Err(fault(NameFault::Server(NameError::IpLiteral)));
        }
        let name = ServerName::parse(text.as_bytes());
        let name = name.map_err(|error| fault(NameFault::Server(error)))?;
        let mut labels = name.as_str().split('.');
        if labels.any(|label| label.starts_with('-') || label.ends_with('-')) {
            return Err(fault(NameFault::Hyphen));
        }
        Ok(Name::Dns(Box::new(name)))
    }

    /// A host name or an address.
    ///
    /// # Errors
    /// As [`Name::dns`], but for addresses.
    pub fn parse(text: &str) -> Result<Name, PkiError> {
        match text.parse() {
            Ok(address) => Ok(Name::Address(address)),
            Err(_) => Name::dns(text),
        }
    }

    /// Whether `self` is `other` or a name below it: `b1.9999.fate.org` is within `9999.fate.org`.
    pub(super) fn is_within(&self, other: &Name) -> bool {
        match (self, other) {
            (Name::Dns(own), Name::Dns(other)) => own
                .as_str()
                .strip_suffix(other.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            _ => self == other,
        }
    }

    pub(super) fn san(&self) -> Result<SanType, PkiError> {
        Ok(match self {
            Name::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            Name::Address(address) => SanType::IpAddress(*address),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name.as_str()),
            Name::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_addresses_are_told_apart_from_what_is_merely_wrong() {
        let reason = |text| match Name::dns(text).unwrap_err() {
            PkiError::BadName { reason, .. } => reason,
            other => panic!("{other}"),
        };
        assert_eq!(reason("*.fate.org"), NameFault::Wildcard);
        assert_eq!(reason("a*.fate.org"), NameFault::Wildcard);
        for address in ["10.0.0.1", "::1", "fe80::1"] {
            assert_eq!(reason(address), NameFault::Server(NameError::IpLiteral));
            assert!(matches!(Name::parse(address), Ok(Name::Address(_))));
        }
        for hyphen in ["-x.org", "x-.org", "a.-x.org", "x.org-"] {
            assert_eq!(reason(hyphen), NameFault::Hyphen, "{hyphen}");
        }
        assert!(Name::dns("a-b.x--y.org").is_ok());
        assert!(matches!(
            reason("a..b"),
            NameFault::Server(NameError::Invalid(_))
        ));
    }

    #[test]
    fn within_ends_at_a_dot() {
        let within = |a, b| Name::dns(a).unwrap().is_within(&Name::dns(b).unwrap());
        assert!(within("9999.fate.org", "9999.FATE.org."));
        assert!(within("b1.9999.fate.org", "9999.fate.org"));
        assert!(!within("19999.fate.org", "9999.fate.org"));
        assert!(!within("fate.org", "9999.fate.org"));
    }
}
