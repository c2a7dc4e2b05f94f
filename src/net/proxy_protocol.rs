//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): read from trusted
//! balancers, written to upstreams that ask for it. Sans-I/O.

use crate::net::addr::{Endpoints, ProxyVersion};
use crate::net::listener::canonical;
use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxiedAddress};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Section 2.1: the longest line of version 1, its CRLF included.
pub const MAX_V1: usize = 107;

/// What is accepted of a version 2 header: 16 bytes of fixed part and 520 of addresses and TLVs
/// (an IPv6 pair is 36; section 2.2 asks receivers for 232 at least; what balancers add, a VPC
/// endpoint id or a TLS summary, is below 300).
pub const MAX_V2: usize = 536;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What the first bytes of a connection amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Incomplete: call again when this many bytes in total are in. Never more than [`MAX_V2`].
    More(usize),
    /// A whole header of `len` bytes; what follows is the client's.
    Header {
        /// Both addresses, canonical; `None` for LOCAL, UNKNOWN and UNSPEC: the socket's own
        /// addresses stand (section 2).
        addresses: Option<Proxied>,
        /// Its bytes.
        len: usize,
    },
    /// No header, or a broken one; the text says how.
    Bad(&'static str),
}

/// The connection that a balancer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// Reads a header from the beginning of `bytes` (all that were received so far).
pub fn parse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Parsed::More(V1_SHORTEST);
    }
    if begins(bytes, V2_START) {
        parse_v2(bytes)
    } else if begins(bytes, V1_START) {
        parse_v1(bytes)
    } else {
        Parsed::Bad("missing: the connection begins with something else")
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        // A line has no length field: only the next byte can be asked for.
        return match line.len() {
            MAX_V1 => Parsed::Bad("version 1 line longer than 107 bytes"),
            so_far => Parsed::More(so_far.max(V1_SHORTEST - 1) + 1),
        };
    };
    let line = &line[..end + 2];
    // Section 2.1: after UNKNOWN everything up to the CRLF is ignored.
    if line.starts_with(b"PROXY UNKNOWN\r") || line.starts_with(b"PROXY UNKNOWN ") {
        return header(None, line.len());
    }
    match proxy_header::ProxyHeader::parse(line, ParseConfig::default()) {
        Ok((read, len)) if len == line.len() => header(read.proxied_address(), len),
        _ => Parsed::Bad("malformed version 1 line"),
    }
}

/// `PROXY UNKNOWN\r\n`
const V1_SHORTEST: usize = 15;

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED>() else {
        return Parsed::More(V2_FIXED);
    };
    let len = V2_FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let (version, command) = (fixed[12] >> 4, fixed[12] & 15);
    if version != 2 || command > 1 {
        return Parsed::Bad("version 2 header with an unknown version or command");
    }
    if len > MAX_V2 {
        return Parsed::Bad("version 2 header longer than 536 bytes");
    }
    let Some(whole) = bytes.get(..len) else {
        return Parsed::More(len);
    };
    // LOCAL: the balancer's own check. Section 2.2: whatever the family, addresses are ignored.
    if command == 0 {
        return header(None, len);
    }
    match fixed[13] {
        // UNSPEC, and AF_UNIX, which tells of no network address.
        0x00 | 0x31 | 0x32 => header(None, len),
        // STREAM over IPv4 or IPv6. A hub of TCP was reached by no datagram.
        0x11 | 0x21 => {
            let config = ParseConfig {
                include_tlvs: false,
                ..ParseConfig::default()
            };
            match proxy_header::ProxyHeader::parse(whole, config) {
                Ok((read, _)) => header(read.proxied_address(), len),
                Err(_) => Parsed::Bad("version 2 header too short for its addresses"),
            }
        }
        _ => Parsed::Bad("version 2 header with an unknown family or transport"),
    }
}

fn header(addresses: Option<&ProxiedAddress>, len: usize) -> Parsed {
    Parsed::Header {
        addresses: addresses.map(|a| Proxied {
            source: canonical(a.source),
            destination: canonical(a.destination),
        }),
        len,
    }
}

/// The header to write before a client's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Which form.
    pub version: ProxyVersion,
    /// Of the client's connection to the hub; `None`: it speaks for the hub itself.
    pub endpoints: Option<Endpoints>,
}

impl ProxyHeader {
    /// Its bytes: at most 107 (version 1) or 52 (version 2). One family for both addresses
    /// (section 2.1): where they differ (a client behind a PROXY header), the IPv4 one is written
    /// IPv4-mapped. The hub itself is UNKNOWN there (section 2.1) or LOCAL (section 2.2).
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = match self.endpoints {
            Some(endpoints) => proxy_header::ProxyHeader::with_address(proxied(endpoints)),
            None => proxy_header::ProxyHeader::with_local(),
        };
        let mut bytes = Vec::with_capacity(MAX_V1);
        // Neither can fail: one family, a stream, no TLVs, and a Vec that grows.
        let written = match self.version {
            ProxyVersion::V1 => header.encode_v1(&mut bytes),
            ProxyVersion::V2 => header.encode_v2(&mut bytes),
        };
        debug_assert!(written.is_ok(), "{written:?}");
        bytes
    }
}

fn proxied(endpoints: Endpoints) -> ProxiedAddress {
    let (client, local) = (canonical(endpoints.client), canonical(endpoints.local));
    match client.is_ipv4() == local.is_ipv4() {
        true => ProxiedAddress::stream(client, local),
        false => ProxiedAddress::stream(as_v6(client), as_v6(local)),
    }
}

fn as_v6(address: SocketAddr) -> SocketAddr {
    let ip: Ipv6Addr = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    SocketAddr::new(ip.into(), address.port())
}

/// Sources whose PROXY header is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted(Vec<IpNet>);

impl Trusted {
    /// `networks` of any family; one inside ::ffff:0:0/96 means its IPv4 counterpart.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Trusted {
        let canonical = |net: IpNet| match (net.addr().to_canonical(), net.prefix_len()) {
            (IpAddr::V4(v4), len @ 96..) if net.addr().is_ipv6() => {
                ipnet::Ipv4Net::new(v4, len - 96).map_or(net, IpNet::V4)
            }
            _ => net,
        };
        Trusted(networks.into_iter().map(canonical).collect())
    }

    /// Whether a header from `source` is believed. No network listed: nobody is.
    pub fn contains(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.0.iter().any(|net| net.contains(&source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn header_of(source: &str, destination: &str, len: usize) -> Parsed {
        Parsed::Header {
            addresses: Some(Proxied {
                source: address(source),
                destination: address(destination),
            }),
            len,
        }
    }

    fn v2(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2_START, &[version_command, family, len[0], len[1]], rest].concat()
    }

    const V4_PAIR: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0x01, 0xbb];

    #[test]
    fn version_1_is_read() {
        let line = b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n\x16\x03\x01";
        assert_eq!(parse(line), header_of("10.0.0.1:12345", "10.0.0.2:443", 40));
        let line = b"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.2 1 443\r\n";
        let read = header_of("[2001:db8::1]:1", "10.0.0.2:443", line.len());
        assert_eq!(parse(line), read);
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ::1 any thing 1 2 3\r\n"] {
            let len = line.len();
            let addresses = None;
            assert_eq!(parse(line.as_bytes()), Parsed::Header { addresses, len });
        }
    }

    #[test]
    fn version_2_is_read() {
        let whole = v2(0x21, 0x11, &V4_PAIR);
        assert_eq!(
            parse(&whole),
            header_of("10.0.0.1:12345", "10.0.0.2:443", 28)
        );
        let with_tlvs = v2(0x21, 0x11, &[&V4_PAIR[..], &[0xea, 0, 3, 1, 2, 3]].concat());
        assert_eq!(
            parse(&with_tlvs),
            header_of("10.0.0.1:12345", "10.0.0.2:443", 34)
        );
        // LOCAL with whatever family; UNSPEC; AF_UNIX: the socket's addresses stand.
        let unix = [0; 216];
        for (command, family, rest) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, &V4_PAIR[..]),
            (0x20, 0x99, &V4_PAIR[..]),
            (0x21, 0x00, &[1, 2, 3][..]),
            (0x21, 0x31, &unix[..]),
        ] {
            let whole = v2(command, family, rest);
            let (addresses, len) = (None, whole.len());
            assert_eq!(parse(&whole), Parsed::Header { addresses, len });
        }
    }

    #[test]
    fn broken_headers_are_refused_at_the_first_byte_that_tells() {
        let too_long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 96]].concat();
        assert_eq!(too_long.len(), MAX_V1);
        assert_eq!(parse(&too_long[..MAX_V1 - 1]), Parsed::More(MAX_V1));
        let bad_v2 = v2(0x21, 0x11, &V4_PAIR[..11]);
        let big_v2 = v2(0x21, 0x11, &[0; MAX_V2 - 15]);
        let cases: [(&[u8], &str); 15] = [
            (b"\x16", "missing"),
            (b"GET", "missing"),
            (b"PROXz", "missing"),
            (b"\r\n\r\n\0\r\nQUIT\r", "missing"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "malformed"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n", "malformed"),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", "malformed"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "malformed"),
            (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "malformed"),
            (b"PROXY \r\n", "malformed"),
            (&too_long, "longer than 107"),
            (&v2(0x11, 0x11, &V4_PAIR), "unknown version"),
            (&v2(0x22, 0x11, &V4_PAIR), "unknown version"),
            (&bad_v2, "too short for its addresses"),
            (&big_v2[..16], "longer than 536"),
        ];
        for (bytes, how) in cases {
            match parse(bytes) {
                Parsed::Bad(text) => assert!(text.contains(how), "{text} {bytes:?}"),
                other => panic!("{other:?} for {bytes:?}"),
            }
        }
        // A datagram, and a family of no RFC.
        for family in [0x12, 0x22, 0x13, 0x41] {
            assert!(matches!(parse(&v2(0x21, family, &[0; 36])), Parsed::Bad(_)));
        }
    }

    #[test]
    fn mixed_families_are_written_as_ipv6() {
        let written = |version, client, local| {
            let endpoints = Some(Endpoints {
                client: address(client),
                local: address(local),
            });
            ProxyHeader { version, endpoints }.to_bytes()
        };
        assert_eq!(
            written(ProxyVersion::V1, "[2001:db8::1]:1", "10.0.0.1:443"),
            b"PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 443\r\n"
        );
        assert_eq!(
            written(ProxyVersion::V1, "[::ffff:10.0.0.9]:1", "10.0.0.1:443"),
            b"PROXY TCP4 10.0.0.9 10.0.0.1 1 443\r\n"
        );
        let bytes = written(ProxyVersion::V2, "[2001:db8::1]:1", "10.0.0.1:443");
        assert_eq!((bytes[12], bytes[13], bytes.len()), (0x21, 0x21, 52));
    }

    #[test]
    fn trust_is_judged_on_the_canonical_address() {
        let trusted = Trusted::new(
            ["10.0.0.0/8", "::ffff:192.168.0.0/112", "2001:db8::/32"]
                .map(|net| net.parse().unwrap()),
        );
        for source in ["10.1.2.3", "::ffff:10.1.2.3", "192.168.3.4", "2001:db8::7"] {
            assert!(trusted.contains(source.parse().unwrap()), "{source}");
        }
        for source in ["11.0.0.1", "192.169.0.1", "2001:db9::1", "::1"] {
            assert!(!trusted.contains(source.parse().unwrap()), "{source}");
        }
        assert!(!Trusted::default().contains("127.0.0.1".parse().unwrap()));
    }

    fn any_address() -> impl Strategy<Value = SocketAddr> {
        any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
    }

    /// Feeds `bytes` as they are asked for; every answer on the way is a bounded `More`.
    fn feed(bytes: &[u8]) -> Result<Parsed, TestCaseError> {
        let mut have = 0;
        loop {
            match parse(&bytes[..have]) {
                Parsed::More(need) => {
                    prop_assert!(have < need && need <= MAX_V2, "{have} {need}");
                    // Less than was asked for decides nothing.
                    for fewer in have..need.min(bytes.len()) {
                        prop_assert!(matches!(parse(&bytes[..fewer]), Parsed::More(_)));
                    }
                    prop_assert!(need <= bytes.len(), "waits for what never comes");
                    have = need;
                }
                done => return Ok(done),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(
            client in any_address(), local in any_address(), text: bool, tail: Vec<u8>,
        ) {
            let version = if text { ProxyVersion::V1 } else { ProxyVersion::V2 };
            let endpoints = Some(Endpoints { client, local });
            let mut bytes = ProxyHeader { version, endpoints }.to_bytes();
            let len = bytes.len();
            prop_assert!(len <= MAX_V1);
            bytes.extend(&tail);
            let addresses = Some(Proxied {
                source: canonical(client),
                destination: canonical(local),
            });
            prop_assert_eq!(parse(&bytes), Parsed::Header { addresses, len });
            prop_assert_eq!(feed(&bytes[..len])?, Parsed::Header { addresses, len });
        }

        #[test]
        fn no_bytes_panic_or_ask_for_too_much(
            start in prop_oneof![Just(V1_START), Just(V2_START), Just(b"PROXY TCP4 ".as_slice()),
                Just(b"PROXY TCP6 ".as_slice()), Just(b"".as_slice())],
            tail in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(b" .:0159af\r\n\x21\x11".to_vec())],
                0..600,
            ),
        ) {
            let bytes = [start, &tail].concat();
            match parse(&bytes) {
                Parsed::More(need) => prop_assert!(need > bytes.len() && need <= MAX_V2),
                Parsed::Header { len, .. } => prop_assert!(len <= bytes.len() && len <= MAX_V2),
                Parsed::Bad(_) => {}
            }
        }
    }
}
