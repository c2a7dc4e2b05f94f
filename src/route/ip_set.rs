//! `ip_allow` and `sources`: sets of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// A set of addresses. Empty means nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IpSet {
    /// Sorted, disjoint, not adjacent, inclusive; so is `v6`.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// Collects items, then [`IpSetBuilder::build`].
#[derive(Debug, Clone, Default)]
pub struct IpSetBuilder {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Why a text is no set of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IpError {
    /// Neither address, nor CIDR, nor range.
    #[error("{0:?} is not an address, a CIDR like 10.0.0.0/8, or a range like 10.0.0.1-10.0.0.9")]
    NotAnAddress(String),
    /// The prefix length is not 0..=32 or 0..=128.
    #[error("{seen:?}: the prefix length is not a number in 0..={max}")]
    Prefix {
        /// The item, cut to 60 characters.
        seen: String,
        /// 32 or 128.
        max: u8,
    },
    /// Bits set after the prefix: a slip of the pen, or a network that is larger than was meant.
    /// (ATS takes the whole network.)
    #[error("{seen:?} has bits set after its prefix; did you mean {meant}?")]
    HostBits {
        /// The item, cut to 60 characters.
        seen: String,
        /// The network that holds it.
        meant: String,
    },
    /// A range that ends before it begins, or goes from IPv4 to IPv6.
    #[error("{0:?}: the range ends before it begins, or mixes IPv4 and IPv6")]
    Range(String),
    /// An item inside 6to4, or all of NAT64: read as IPv4 it would let in more than it says.
    #[error("{0:?}: 6to4 and NAT64 addresses are judged as the IPv4 they carry; write that IPv4")]
    CarriesIpv4(String),
}

/// The address by which a source is judged: IPv4 where it is carried in IPv6, that is in
/// IPv4-mapped (RFC 4291 2.5.5.2), NAT64 `64:ff9b::/96` (RFC 6052) and 6to4 `2002::/16` (RFC 3056)
/// addresses.
pub fn judged(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else {
        return ip.to_canonical();
    };
    let bits = v6.to_bits();
    let carried = if bits >> 32 == NAT64 {
        bits
    } else if bits >> 112 == SIX_TO_FOUR {
        bits >> 80
    } else {
        return IpAddr::V6(v6);
    };
    IpAddr::V4(Ipv4Addr::from_bits(carried as u32))
}

impl IpSet {
    /// Whether the address, as [`judged`], is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match judged(ip) {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many ranges it came down to.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// First and last address of each range, IPv4 first, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self.v4.iter().map(|&(first, last)| {
            (
                Ipv4Addr::from_bits(first).into(),
                Ipv4Addr::from_bits(last).into(),
            )
        });
        let v6 = self.v6.iter().map(|&(first, last)| {
            (
                Ipv6Addr::from_bits(first).into(),
                Ipv6Addr::from_bits(last).into(),
            )
        });
        v4.chain(v6)
    }
}

impl IpSetBuilder {
    /// Adds one item: address, CIDR, or range `a-b`. White space around is ignored. Commas are the
    /// caller's to split at.
    ///
    /// # Errors
    /// [`IpError`]; nothing was added.
    pub fn add(&mut self, item: &str) -> Result<(), IpError> {
        match read(item.trim()).and_then(as_judged) {
            Ok(Range::V4(first, last)) => self.v4.push((first, last)),
            Ok(Range::V6(first, last)) => self.v6.push((first, last)),
            Err(unread) => return Err(unread.error(item.chars().take(60).collect())),
        }
        Ok(())
    }

    /// The set; without items: nobody.
    pub fn build(self) -> IpSet {
        IpSet {
            v4: merged(self.v4, |last| last.checked_add(1)),
            v6: merged(self.v6, |last| last.checked_add(1)),
        }
    }
}

impl fmt::Display for IpSet {
    /// The first ranges, and how many more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        if self.is_empty() {
            return f.write_str("nobody");
        }
        for (i, (first, last)) in self.ranges().take(SHOWN).enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write_range(f, first, last)?;
        }
        match self.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// IPv4-mapped, `::ffff:0:0/96` (RFC 4291 section 2.5.5.2), without its lower 32 bits.
const MAPPED: u128 = 0xffff;
/// `64:ff9b::/96` (RFC 6052), without its lower 32 bits.
const NAT64: u128 = 0x0064_ff9b_u128 << 64;
/// `2002::/16` (RFC 3056), without its lower 112 bits.
const SIX_TO_FOUR: u128 = 0x2002;

enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

enum Unread {
    NotAnAddress,
    Prefix(u8),
    HostBits(String),
    Range,
    CarriesIpv4,
}

impl Unread {
    fn error(self, seen: String) -> IpError {
        match self {
            Unread::NotAnAddress => IpError::NotAnAddress(seen),
            Unread::Prefix(max) => IpError::Prefix { seen, max },
            Unread::HostBits(meant) => IpError::HostBits { seen, meant },
            Unread::Range => IpError::Range(seen),
            Unread::CarriesIpv4 => IpError::CarriesIpv4(seen),
        }
    }
}

fn read(item: &str) -> Result<Range, Unread> {
    let address = |text: &str| {
        text.trim()
            .parse::<IpAddr>()
            .map_err(|_| Unread::NotAnAddress)
    };
    if let Some((network, prefix)) = item.split_once('/') {
        return network_of(address(network)?, prefix);
    }
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    match (address(first)?, address(last)?) {
        (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => Ok(Range::V4(a.to_bits(), b.to_bits())),
        (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => Ok(Range::V6(a.to_bits(), b.to_bits())),
        _ => Err(Unread::Range),
    }
}

/// A range of addresses that carry IPv4 as the IPv4 by which its sources are judged. A 6to4 address
/// stands for a whole site and all of NAT64 for all of IPv4: neither is what the operator wrote.
fn as_judged(range: Range) -> Result<Range, Unread> {
    let Range::V6(first, last) = range else {
        return Ok(range);
    };
    let both = |shift: u32, prefix: u128| first >> shift == prefix && last >> shift == prefix;
    let all = last - first >= u128::from(u32::MAX);
    if both(112, SIX_TO_FOUR) || (both(32, NAT64) && all) {
        return Err(Unread::CarriesIpv4);
    }
    if both(32, MAPPED) || both(32, NAT64) {
        return Ok(Range::V4(first as u32, last as u32));
    }
    Ok(range)
}

/// `10.0.0.1/8` is refused: whoever wrote it may have meant one address, and would open a network.
fn network_of(address: IpAddr, prefix: &str) -> Result<Range, Unread> {
    let max = if address.is_ipv4() { 32 } else { 128 };
    let digits = prefix.bytes().all(|b| b.is_ascii_digit());
    let length = prefix
        .parse::<u32>()
        .ok()
        .filter(|&n| digits && n <= u32::from(max));
    let length = length.ok_or(Unread::Prefix(max))?;
    let (range, network): (Range, Option<IpAddr>) = match address {
        IpAddr::V4(v4) => {
            let (bits, hosts) = (v4.to_bits(), u32::MAX.checked_shr(length).unwrap_or(0));
            let first = bits & !hosts;
            let network = (first != bits).then(|| Ipv4Addr::from_bits(first).into());
            (Range::V4(first, bits | hosts), network)
        }
        IpAddr::V6(v6) => {
            let (bits, hosts) = (v6.to_bits(), u128::MAX.checked_shr(length).unwrap_or(0));
            let first = bits & !hosts;
            let network = (first != bits).then(|| Ipv6Addr::from_bits(first).into());
            (Range::V6(first, bits | hosts), network)
        }
    };
    match network {
        None => Ok(range),
        Some(network) => Err(Unread::HostBits(format!("{network}/{length}"))),
    }
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], ip: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= ip);
    after > 0 && ip <= ranges[after - 1].1
}

/// Sorts, and joins what overlaps or touches. `next`: the address after, if there is one.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if next(before.1).is_none_or(|next| first <= next) => {
                before.1 = before.1.max(last);
            }
            _ => out.push((first, last)),
        }
    }
    out.into()
}

fn write_range(f: &mut fmt::Formatter<'_>, first: IpAddr, last: IpAddr) -> fmt::Result {
    let (bits, width) = match (first, last) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return write!(f, "{first}-{last}"),
    };
    let hosts = 128 - bits.leading_zeros();
    // A network: all bits below the prefix are 0 in the first and 1 in the last address.
    let first_bits = match first {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    if bits == 0 {
        write!(f, "{first}")
    } else if bits.count_ones() == hosts && first_bits & bits == 0 {
        write!(f, "{first}/{}", width - hosts)
    } else {
        write!(f, "{first}-{last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> IpSet {
        let mut set = IpSetBuilder::default();
        for item in items {
            set.add(item).unwrap_or_else(|e| panic!("{e}"));
        }
        set.build()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_networks_and_ranges() {
        let set = set(&[
            "192.0.2.7",
            "10.0.0.0/8",
            " 198.51.100.5 - 198.51.100.9 ",
            "2001:db8::/32",
        ]);
        for inside in [
            "192.0.2.7",
            "10.0.0.0",
            "10.255.255.255",
            "198.51.100.5",
            "198.51.100.9",
            "2001:db8::1",
        ] {
            assert!(set.contains(ip(inside)), "{inside}");
        }
        for outside in [
            "192.0.2.6",
            "192.0.2.8",
            "9.255.255.255",
            "11.0.0.0",
            "198.51.100.4",
            "198.51.100.10",
            "2001:db9::",
            "::",
        ] {
            assert!(!set.contains(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn an_empty_set_is_nobody() {
        let nobody = set(&[]);
        assert!(
            nobody.is_empty() && !nobody.contains(ip("127.0.0.1")) && !nobody.contains(ip("::"))
        );
        assert_eq!(nobody.to_string(), "nobody");
    }

    #[test]
    fn carried_ipv4_is_judged_as_ipv4() {
        let ten = set(&["10.0.0.0/8"]);
        for inside in ["::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:0a01:0203::5"] {
            assert!(ten.contains(ip(inside)), "{inside}");
        }
        // Everyone of IPv6 is nobody of IPv4, however it is dressed.
        let six = set(&["::/0"]);
        assert!(six.contains(ip("2001:db8::1")));
        for outside in [
            "10.1.2.3",
            "::ffff:10.1.2.3",
            "64:ff9b::10.1.2.3",
            "2002:0a01:0203::5",
        ] {
            assert!(!six.contains(ip(outside)), "{outside}");
        }
        assert!(set(&["::ffff:10.0.0.0/104"]).contains(ip("10.9.9.9")));
        assert!(set(&["64:ff9b::10.0.0.1"]).contains(ip("10.0.0.1")));
        // Neighbours of these prefixes are plain IPv6.
        for plain in ["64:ff9b:1::10.1.2.3", "2003:a01:203::5", "::10.1.2.3"] {
            assert_eq!(judged(ip(plain)), ip(plain));
        }
    }

    #[test]
    fn what_would_let_in_more_than_it_says_is_refused() {
        for item in ["2002::/16", "2002:a00:1::/48", "64:ff9b::/96"] {
            let refused = IpSetBuilder::default().add(item);
            assert_eq!(refused, Err(IpError::CarriesIpv4(item.into())));
        }
    }

    #[test]
    fn errors_say_what_was_seen() {
        let add = |item: &str| IpSetBuilder::default().add(item).unwrap_err();
        for item in [
            "",
            "x",
            "10.0.0",
            "10.0.0.1-",
            "010.0.0.1",
            "10.0.0.1,10.0.0.2",
            "-",
            "/8",
        ] {
            assert_eq!(add(item), IpError::NotAnAddress(item.into()));
        }
        for (item, max) in [
            ("10.0.0.0/33", 32),
            ("10.0.0.0/", 32),
            ("::/129", 128),
            ("::/+1", 128),
        ] {
            assert_eq!(
                add(item),
                IpError::Prefix {
                    seen: item.into(),
                    max
                }
            );
        }
        for (item, network) in [
            ("10.0.0.5/8", "10.0.0.0/8"),
            ("10.0.0.5/31", "10.0.0.4/31"),
            ("10.0.0.5/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1/0", "::/0"),
            ("::ffff:10.0.0.5/104", "::ffff:10.0.0.0/104"),
        ] {
            let (seen, meant) = (item.to_owned(), network.to_owned());
            assert_eq!(add(item), IpError::HostBits { seen, meant });
        }
        for item in ["10.0.0.5/32", "::1/128"] {
            assert_eq!(IpSetBuilder::default().add(item), Ok(()), "{item}");
        }
        for item in ["10.0.0.2-10.0.0.1", "10.0.0.1-::1", "::2-::1"] {
            assert_eq!(add(item), IpError::Range(item.into()));
        }
    }

    #[test]
    fn the_ends_of_the_address_space_are_in_everyone() {
        let all = set(&["0.0.0.0/0", "::/0"]);
        for inside in ["0.0.0.0", "255.255.255.255", "::2", "ffff:ffff::"] {
            assert!(all.contains(ip(inside)), "{inside}");
        }
        assert_eq!(all.to_string(), "0.0.0.0/0, ::/0");
    }

    #[test]
    fn neighbours_are_joined_and_long_sets_shown_short() {
        assert_eq!(set(&["10.0.0.1", "10.0.0.0"]).to_string(), "10.0.0.0/31");
        assert_eq!(
            set(&["10.0.0.1", "10.0.0.2"]).to_string(),
            "10.0.0.1-10.0.0.2"
        );
        let mut many = IpSetBuilder::default();
        for i in (0..6000).step_by(2) {
            many.add(&Ipv4Addr::from_bits(0x0a00_0000 + i).to_string())
                .unwrap();
        }
        let many = many.build();
        assert_eq!(
            many.to_string(),
            "10.0.0.0, 10.0.0.2, 10.0.0.4, 10.0.0.6 and 2996 more"
        );
        assert!(many.contains(ip("10.0.23.110")) && !many.contains(ip("10.0.23.111")));
    }
}
