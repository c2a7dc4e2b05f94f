//! From a source address to the one party that dials out from there: by its `sources` or, where it
//! has none, by the address in its `tunnel_route`. A name there says nothing: the table asks no DNS.

use super::{IpSet, Route, TargetTemplate, judged};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Stretches of addresses that are in the `sources` of exactly one route.
#[derive(Debug)]
pub(super) struct PartyIndex {
    v4: Stretches,
    v6: Stretches,
}

/// First address, last address, place of the route; ascending, disjoint.
type Stretches = Box<[(u128, u128, u32)]>;

impl PartyIndex {
    /// Of all routes in file order.
    pub(super) fn of<'r>(routes: impl Iterator<Item = &'r Route>) -> PartyIndex {
        let (mut v4, mut v6) = (Changes::default(), Changes::default());
        for (place, route) in (0..).zip(routes) {
            let listed = route.sources().into_iter().flat_map(IpSet::ranges);
            // A FATE broker dials out from where it listens.
            let target = || route.target().and_then(TargetTemplate::address).map(judged);
            let own = route.sources().is_none().then(target).flatten();
            for (first, last) in listed.chain(own.map(|ip| (ip, ip))) {
                let changes = if first.is_ipv4() { &mut v4 } else { &mut v6 };
                changes.range(number(first), number(last), place);
            }
        }
        PartyIndex {
            v4: v4.stretches(),
            v6: v6.stretches(),
        }
    }

    /// The place of the one route that lists the source.
    pub(super) fn of_source(&self, source: IpAddr) -> Option<u32> {
        let ip = judged(source);
        let stretches = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        let ip = number(ip);
        let after = stretches.partition_point(|&(first, _, _)| first <= ip);
        let (_, last, place) = *stretches.get(after.checked_sub(1)?)?;
        (ip <= last).then_some(place)
    }
}

/// At each address where a range begins or has ended: how many routes come and go, and the sum of
/// their places, which is the place itself wherever one route is left. The ranges of one route are
/// disjoint.
#[derive(Default)]
struct Changes(BTreeMap<u128, (i64, i128)>);

impl Changes {
    fn range(&mut self, first: u128, last: u128, place: i128) {
        let begin = self.0.entry(first).or_default();
        *begin = (begin.0 + 1, begin.1 + place);
        if let Some(behind) = last.checked_add(1) {
            let end = self.0.entry(behind).or_default();
            *end = (end.0 - 1, end.1 - place);
        }
    }

    fn stretches(self) -> Stretches {
        let mut stretches = Vec::new();
        let (mut routes, mut sum) = (0, 0);
        let mut changes = self.0.into_iter().peekable();
        while let Some((first, (more, places))) = changes.next() {
            (routes, sum) = (routes + more, sum + places);
            if routes == 1 {
                let last = changes.peek().map_or(u128::MAX, |&(next, _)| next - 1);
                stretches.push((first, last, sum as u32));
            }
        }
        stretches.into()
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use crate::route::tests::{entry, ip, ips, table};

    #[test]
    fn without_sources_the_address_of_the_target_is_the_partys_own() {
        let mut listed = entry("listed", "10.0.0.2:1");
        listed.sources = Some(ips(&["10.0.0.9"]));
        let table = table([
            entry("alone", "10.0.0.1:6651"),
            listed,
            entry("one-of-two", "10.0.0.3:1"),
            entry("two-of-two", "10.0.0.3:2"),
            entry("named", "broker.example:1"),
            entry("six", "[2001:db8::1]:1"),
        ]);
        for (source, party) in [
            ("10.0.0.1", Some("alone")),
            ("::ffff:10.0.0.1", Some("alone")),
            ("10.0.0.2", None),
            ("10.0.0.9", Some("listed")),
            ("10.0.0.3", None),
            ("2001:db8::1", Some("six")),
        ] {
            let route = table.party_of(ip(source));
            assert_eq!(route.map(|route| &*route.id), party, "{source}");
        }
    }

    #[test]
    fn a_source_belongs_to_the_one_route_that_lists_it() {
        let lists: [&[&str]; 5] = [
            &["10.0.0.0/8", "10.1.0.0/16"],
            &["10.2.0.0/16", "2001:db8::/32"],
            &[],
            &["::/0"],
            &["255.255.255.255"],
        ];
        let entries = lists.iter().enumerate().map(|(i, items)| {
            let mut entry = entry(&format!("p{i}"), "h:1");
            entry.sources = Some(ips(items));
            entry
        });
        let table = table(entries.chain([entry("nobody", "h:1")]));
        for (source, party) in [
            ("10.1.2.3", Some("p0")),
            ("10.255.255.255", Some("p0")),
            ("10.2.2.3", None),
            ("11.0.0.0", None),
            ("255.255.255.255", Some("p4")),
            ("2001:db8::1", None),
            ("2001:db9::1", Some("p3")),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("p3")),
            ("::ffff:10.1.2.3", Some("p0")),
            ("64:ff9b::10.1.2.3", Some("p0")),
            ("192.0.2.1", None),
        ] {
            let route = table.party_of(ip(source));
            assert_eq!(route.map(|route| &*route.id), party, "{source}");
        }
    }
}
