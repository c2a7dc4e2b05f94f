//! Which addresses a target may be dialled at. Pure, but for one question to the kernel: is this
//! address ours?

use super::addr::Fence;
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

impl Fence {
    /// Whether `ip` lies within the fence, judged in its canonical form and, where it carries an
    /// IPv4 address that a gateway would dial (NAT64, 6to4), also as that.
    pub fn permits(self, ip: IpAddr) -> bool {
        forms(ip).all(|ip| match self {
            Fence::Open => true,
            Fence::NoLocal => !is_local_scope(ip),
            Fence::NoPrivate => !is_local_scope(ip) && !is_private(ip),
        })
    }
}

/// Whether dialling `target` would reach one of the hub's own listeners (`own`, as bound).
pub(super) fn is_own_listener(target: SocketAddr, own: &[SocketAddr]) -> bool {
    forms(target.ip()).any(|ip| {
        // `connect` to the unspecified address goes to loopback (Linux, RFC 1122 3.2.1.3).
        let ip = match ip {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            other => other,
        };
        own.iter()
            .filter(|own| own.port() == target.port())
            .any(|own| {
                match own.ip().to_canonical() {
                    // Ours are dual-stack (IPV6_V6ONLY off), so `::` takes IPv4, too.
                    IpAddr::V6(Ipv6Addr::UNSPECIFIED) => is_this_host(ip),
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED) => ip.is_ipv4() && is_this_host(ip),
                    exact => exact == ip,
                }
            })
    })
}

/// The forms in which an address is judged: its canonical one, then an embedded IPv4 address.
fn forms(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let ip = ip.to_canonical();
    let embedded = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
    };
    std::iter::once(ip).chain(embedded)
}

fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let v4 =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match s {
        // RFC 6052 2.1: the well-known NAT64 prefix; RFC 8215: the local-use one, as /96.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, _, _, _, high, low] => v4(high, low),
        // RFC 3056 2: 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        // RFC 4291 2.5.5.1: IPv4-compatible; `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if v6.to_bits() > 1 => v4(high, low),
        _ => None,
    }
}

/// This host, this link, many hosts, or a cloud's metadata service.
fn is_local_scope(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                // RFC 1122 3.2.1.3: 0.0.0.0/8 is "this network".
                || v4.octets()[0] == 0
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6 == METADATA_V6
        }
    }
}

/// Metadata services outside 169.254.0.0/16: Azure's wire server, Alibaba, Oracle.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Amazon's IMDS over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Not reachable on the Internet at large (IANA special-purpose registries).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_private()
                // RFC 6598 (carrier NAT), RFC 6890 (protocol assignments), RFC 2544 (benchmarks),
                // RFC 1112 (reserved).
                || (a == 100 && b & 0xc0 == 64)
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && b & 0xfe == 18)
                || a >= 240
        }
        // RFC 4193, and the site-local addresses that RFC 3879 deprecated.
        IpAddr::V6(v6) => v6.is_unique_local() || v6.segments()[0] & 0xffc0 == 0xfec0,
    }
}

/// Whether `ip` is an address of this host (in this network namespace).
///
/// `bind` succeeds for addresses of the routing table's type "local" alone, unless the sysctl
/// ip_nonlocal_bind is on (boxes with a floating address): then it succeeds for one that is
/// nobody's, too, and the question is put to the route instead: the kernel sends to an address of
/// its own *from* that very address (but for a secondary address of a subnet).
fn is_this_host(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    let nobodys: IpAddr = match ip {
        // RFC 1112 (reserved) and RFC 6666 (discard-only).
        IpAddr::V4(_) => Ipv4Addr::new(240, 0, 0, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1).into(),
    };
    can_bind(ip) && (!can_bind(nobodys) || route_source(ip) == Some(ip))
}

fn can_bind(ip: IpAddr) -> bool {
    let address = SockAddr::from(SocketAddr::new(ip, 0));
    datagram(ip).is_some_and(|socket| socket.bind(&address).is_ok())
}

/// The address that this host would send from; `None`: there is no route, or no address.
pub(super) fn route_source(ip: IpAddr) -> Option<IpAddr> {
    let socket = datagram(ip)?;
    // Connecting a datagram socket sends nothing; any port will do.
    socket.connect(&SocketAddr::new(ip, 9).into()).ok()?;
    Some(socket.local_addr().ok()?.as_socket()?.ip().to_canonical())
}

fn datagram(ip: IpAddr) -> Option<Socket> {
    let address = SocketAddr::new(ip, 0);
    Socket::new(Domain::for_address(address), Type::DGRAM, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_fences_stand_where_the_rules_say() {
        let local = [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "::127.0.0.1",
        ];
        let private = [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "198.18.0.1",
            "198.19.255.255",
            "240.0.0.1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "::10.0.0.1",
        ];
        let public = [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "203.0.113.7",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::",
            "::ffff:1.1.1.1",
        ];
        for text in local {
            assert!(Fence::Open.permits(ip(text)), "{text}");
            assert!(!Fence::NoLocal.permits(ip(text)), "{text}");
            assert!(!Fence::NoPrivate.permits(ip(text)), "{text}");
        }
        for text in private {
            assert!(Fence::NoLocal.permits(ip(text)), "{text}");
            assert!(!Fence::NoPrivate.permits(ip(text)), "{text}");
        }
        for text in public {
            assert!(Fence::NoPrivate.permits(ip(text)), "{text}");
        }
    }

    #[test]
    fn own_listeners_are_found_in_every_disguise() {
        let own = |bound: &str, target: &str| {
            is_own_listener(target.parse().unwrap(), &[bound.parse().unwrap()])
        };
        for target in [
            "127.0.0.1:443",
            "127.9.9.9:443",
            "[::1]:443",
            "[::ffff:127.0.0.1]:443",
            "0.0.0.0:443",
            "[::]:443",
            "[64:ff9b::7f00:1]:443",
        ] {
            assert!(own("[::]:443", target), "{target}");
            assert!(!own("[::]:444", target), "{target}");
        }
        assert!(own("0.0.0.0:443", "127.0.0.1:443"));
        assert!(own("0.0.0.0:443", "[::ffff:127.0.0.1]:443"));
        assert!(!own("0.0.0.0:443", "[::1]:443"));
        assert!(own("127.0.0.1:443", "127.0.0.1:443"));
        assert!(own("127.0.0.1:443", "0.0.0.0:443"));
        assert!(own("[::ffff:127.0.0.1]:443", "127.0.0.1:443"));
        assert!(!own("127.0.0.1:443", "127.0.0.2:443"));
        assert!(!own("[::]:443", "203.0.113.77:443"));
        assert!(!own("[::]:443", "[2001:db8::77]:443"));
    }

    /// Whatever address the kernel would send from is this host's.
    #[test]
    fn the_hosts_own_addresses_are_known() {
        for nobodys in ["203.0.113.77", "2001:db8::77"] {
            assert!(!is_this_host(ip(nobodys)));
            if let Some(source) = route_source(ip(nobodys)) {
                assert!(is_this_host(source), "{source}");
            }
        }
    }
}
