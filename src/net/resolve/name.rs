//! What counts as a host name.

use std::net::IpAddr;

/// A host name that may be asked for: lower case, without the root's dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostName {
    /// At most 253 bytes, labels of 1 to 63 of `[a-z0-9_-]`.
    pub(super) text: String,
    /// It was written with a dot at the end: the search list does not apply (RFC 1034 3.1).
    pub(super) absolute: bool,
}

/// RFC 952 and RFC 1123 2.1, and `_`, which lives in many a cluster's names.
pub(super) fn parse(name: &str) -> Result<HostName, &'static str> {
    let (text, absolute) = match name.strip_suffix('.') {
        Some(text) => (text, true),
        None => (name, false),
    };
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 253 {
        return Err("it is longer than 253 bytes");
    }
    for label in text.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err("a label is empty or longer than 63 bytes");
        }
        if !label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err("only letters, digits, '-', '_' and '.' may be in it");
        }
    }
    Ok(HostName {
        text: text.to_ascii_lowercase(),
        absolute,
    })
}

/// An address written where a name may stand.
pub(super) fn literal(name: &str) -> Option<IpAddr> {
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_before_anybody_is_asked() {
        for good in [
            "a",
            "broker-0.Pulsar.svc",
            "_a.b_c",
            "9999.fate.org",
            "xn--bcher-kva.de",
        ] {
            let name = parse(good).unwrap();
            assert_eq!(name.text, good.to_ascii_lowercase());
            assert!(!name.absolute);
        }
        assert!(parse("a.b.").unwrap().absolute);
        let long = format!("{}.a", "b".repeat(64));
        let longer = ["a"; 128].join(".");
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a\tb",
            "$1.svc",
            "a$",
            "a/b",
            "a:b",
            "bücher.de",
            "a\0b",
            "*.a",
            "{inbound_local_port}",
            &long,
            &longer,
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
