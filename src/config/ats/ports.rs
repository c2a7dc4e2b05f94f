//! `proxy.config.http.server_ports`: where ATS listens, and how (HttpProxyPort::processOptions of
//! its HttpTransact library, HttpConfig's manual for the words). Pure.

use std::net::IpAddr;

/// One entry, such as `443:ssl:ipv6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port<'t> {
    /// As written.
    pub(super) text: &'t str,
    /// Where it begins, in bytes from the beginning of the value.
    pub(super) offset: usize,
    /// `None`: it has none, or a wrong one.
    pub(super) port: Option<u16>,
    /// `ssl`: TLS comes in. All others are not for the hub.
    pub(super) tls: bool,
    /// `ipv6`: ATS then takes no IPv4.
    pub(super) ipv6: bool,
    /// `pp`: a PROXY header may come first.
    pub(super) proxy: bool,
    /// `ip-in`.
    pub(super) address: Option<IpAddr>,
    /// Options that mean nothing here.
    pub(super) ignored: Vec<&'t str>,
    /// Options that ATS does not know, or with a wrong value.
    pub(super) wrong: Vec<&'t str>,
}

/// Kinds of entries besides `ssl`.
const OTHER_KINDS: [&str; 4] = ["blind", "quic", "plugin", "compressed"];

/// Options of a socket or of HTTP that the hub has no use for; those with a value end in `=`.
const IGNORED: [&str; 10] = [
    "tr-in",
    "tr-out",
    "tr-full",
    "tr-pass",
    "mptcp",
    "fd=",
    "ip-out=",
    "ip-resolve=",
    "proto=",
    "ipv4",
];

/// The entries, apart by spaces and commas.
pub(super) fn entries(value: &str) -> impl Iterator<Item = Port<'_>> {
    value
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|text| !text.is_empty())
        .map(move |text| {
            // Both are slices of one text.
            let offset = text.as_ptr().addr() - value.as_ptr().addr();
            read(text, offset)
        })
}

fn read(text: &str, offset: usize) -> Port<'_> {
    let mut entry = Port {
        text,
        offset,
        port: None,
        tls: false,
        ipv6: false,
        proxy: false,
        address: None,
        ignored: Vec::new(),
        wrong: Vec::new(),
    };
    for option in options(text) {
        let word = option.to_ascii_lowercase();
        if option.starts_with(|c: char| c.is_ascii_digit()) {
            match option.parse().ok().filter(|port| *port != 0) {
                Some(port) => entry.port = Some(port),
                None => entry.wrong.push(option),
            }
        } else if let Some(address) = word.strip_prefix("ip-in=") {
            match address.trim_matches(['[', ']']).parse() {
                Ok(address) => entry.address = Some(address),
                Err(_) => entry.wrong.push(option),
            }
        } else if OTHER_KINDS.contains(&word.as_str()) {
            entry.tls = false;
        } else if IGNORED.iter().any(|known| is(known, &word)) {
            entry.ignored.push(option);
        } else {
            match word.as_str() {
                "ssl" => entry.tls = true,
                "ipv6" => entry.ipv6 = true,
                "pp" => entry.proxy = true,
                _ => entry.wrong.push(option),
            }
        }
    }
    entry
}

fn is(known: &str, word: &str) -> bool {
    match known.ends_with('=') {
        true => word.starts_with(known),
        false => word == known,
    }
}

/// What stands between colons, but for those in brackets.
fn options(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |c| {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        c == ':' && !inside
    })
    .filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_chart_has_one_that_is_ours() {
        let seen: Vec<_> = entries("8080 8080:ipv6 443:ssl").collect();
        let brief: Vec<_> = seen
            .iter()
            .map(|entry| (entry.text, entry.offset, entry.port, entry.tls, entry.ipv6))
            .collect();
        assert_eq!(
            brief,
            [
                ("8080", 0, Some(8080), false, false),
                ("8080:ipv6", 5, Some(8080), false, true),
                ("443:ssl", 15, Some(443), true, false),
            ]
        );
    }

    #[test]
    fn every_option_of_the_manual() {
        let text =
            "ip-in=[fc07:192::24]:443:SSL:pp:tr-in:ip-resolve=ipv4;none:proto=http,ssl:4443:bogus";
        let seen: Vec<_> = entries(text).collect();
        assert_eq!(seen.len(), 2);
        let first = &seen[0];
        assert_eq!(first.address, Some("fc07:192::24".parse().unwrap()));
        assert_eq!(
            (first.port, first.tls, first.proxy),
            (Some(443), true, true)
        );
        assert_eq!(
            first.ignored,
            ["tr-in", "ip-resolve=ipv4;none", "proto=http"]
        );
        assert_eq!(first.wrong, [""; 0]);
        // A comma parts entries, also there.
        assert_eq!(
            (seen[1].port, seen[1].tls, &seen[1].wrong[..]),
            (Some(4443), true, &["bogus"][..])
        );
    }

    #[test]
    fn ports_out_of_range_and_broken_addresses_are_wrong() {
        for (text, wrong) in [
            ("0:ssl", "0"),
            ("65536:ssl", "65536"),
            ("44x:ssl", "44x"),
            ("443:ssl:ip-in=localhost", "ip-in=localhost"),
        ] {
            let seen: Vec<_> = entries(text).collect();
            assert_eq!(seen[0].wrong, [wrong], "{text}");
        }
        assert!(!entries("443:ssl:blind").next().unwrap().tls);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9:\\[\\], ]|ssl|pp|ip-in=|\\PC){0,40}") {
            for entry in entries(&text) {
                prop_assert_eq!(&text[entry.offset..entry.offset + entry.text.len()], entry.text);
            }
        }
    }
}
