//! The hosts file (hosts(5)).

use super::Addresses;
use super::name::HostName;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Name to addresses. A name that is here is never asked for elsewhere, not even for its other
/// address family, as glibc's `files` does: a party that is only in the hosts file must not wait
/// for a name server.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Addresses>);

impl Hosts {
    /// Lines of `ADDRESS NAME...`, `#` begins a comment. Lines that are not so are skipped, as
    /// glibc does.
    pub(super) fn parse(file: &[u8]) -> Hosts {
        let mut all: HashMap<String, Vec<IpAddr>> = HashMap::new();
        let text = String::from_utf8_lossy(file);
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            // A scope (`fe80::1%eth0`) names an interface; the hub dials no link-local names.
            let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
                continue;
            };
            let ip = ip.to_canonical();
            for name in words {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                let ips = all.entry(name).or_default();
                if !ips.contains(&ip) {
                    ips.push(ip);
                }
            }
        }
        Hosts(
            all.into_iter()
                .map(|(name, ips)| (name, ips.into()))
                .collect(),
        )
    }

    /// RFC 6761 6.3: `localhost` and what ends in `.localhost` is loopback, in the file or not,
    /// and no name server is asked.
    pub(super) fn lookup(&self, host: &HostName) -> Option<Addresses> {
        let name = host.text.as_str();
        let loopback = || {
            let both = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
            (name == "localhost" || name.ends_with(".localhost")).then(|| both.into())
        };
        self.0.get(name).cloned().or_else(loopback)
    }
}

#[cfg(test)]
mod tests {
    use super::super::name;
    use super::*;

    #[test]
    fn a_hosts_file_is_read_as_glibc_reads_it() {
        let hosts = Hosts::parse(
            b"\xef\xbb\xbf127.0.0.1 localhost\n# 10.0.0.9 commented\n10.0.0.1\tA.Example b # c\n\
              ::1 b\n10.0.0.2 b\n10.0.0.1 b\nnonsense d\n10.0.0.3\nfe80::1%eth0 e\n\xff\xfe f\n\
              ::ffff:10.0.0.4 g.\r\n10.0.0.5 last",
        );
        let lookup = |name: &str| {
            hosts.lookup(&name::parse(name).unwrap()).map(|ips| {
                ips.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
        };
        assert_eq!(lookup("a.example").as_deref(), Some("10.0.0.1"));
        assert_eq!(lookup("A.EXAMPLE.").as_deref(), Some("10.0.0.1"));
        assert_eq!(lookup("b").as_deref(), Some("10.0.0.1 ::1 10.0.0.2"));
        assert_eq!(lookup("g").as_deref(), Some("10.0.0.4"));
        assert_eq!(lookup("last").as_deref(), Some("10.0.0.5"));
        assert_eq!(lookup("localhost").as_deref(), Some("127.0.0.1"));
        assert_eq!(lookup("x.localhost").as_deref(), Some("::1 127.0.0.1"));
        for absent in ["c", "commented", "d", "e", "f", "notlocalhost"] {
            assert_eq!(lookup(absent), None, "{absent}");
        }
    }
}
