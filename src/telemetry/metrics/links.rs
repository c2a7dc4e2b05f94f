//! Who talks to whom, summed over workers.

use super::directions;
use super::families::{Families, Labels};
use crate::telemetry::{Counters, Pair};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The series by route, and by party and route.
pub(super) fn who_talks_to_whom(counters: &[Arc<Counters>], f: &mut Families) {
    let pairs = sums(counters);
    let mut routes: BTreeMap<&str, LinkSum> = BTreeMap::new();
    for (pair, sum) in &pairs {
        routes.entry(&pair.route).or_default().add(sum);
    }
    let of_route = routes
        .iter()
        .map(|(route, sum)| (vec![("route", *route)], sum));
    links(f, "snihub_route", "by route", of_route.collect());
    let of_pair = pairs.iter().map(|(pair, sum)| {
        let party = pair.party.as_deref().unwrap_or_default();
        (vec![("party", party), ("route", &*pair.route)], sum)
    });
    links(
        f,
        "snihub_link",
        "by the party that calls (empty: not known) and route",
        of_pair.collect(),
    );
}

/// The counts of one pair, over all workers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkSum {
    /// Tunnels that stood.
    pub opened: u64,
    /// Tunnels that ended.
    pub ended: u64,
    /// Clients that the route refused.
    pub refused: u64,
    /// Upstreams that could not be had.
    pub dial_failed: u64,
    /// Bytes so far.
    pub client_to_upstream: u64,
    /// Bytes so far.
    pub upstream_to_client: u64,
}

impl LinkSum {
    /// Tunnels that stand.
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.ended)
    }

    /// Adds another one.
    pub fn add(&mut self, other: &LinkSum) {
        self.opened += other.opened;
        self.ended += other.ended;
        self.refused += other.refused;
        self.dial_failed += other.dial_failed;
        self.client_to_upstream += other.client_to_upstream;
        self.upstream_to_client += other.upstream_to_client;
    }
}

/// The counts of all pairs over all workers, sorted by route and party.
pub fn sums(counters: &[Arc<Counters>]) -> Vec<(Pair, LinkSum)> {
    let mut sums: BTreeMap<(Arc<str>, Option<Arc<str>>), LinkSum> = BTreeMap::new();
    for link in counters.iter().flat_map(|one| one.links()) {
        let Pair { party, route } = link.pair.clone();
        sums.entry((route, party)).or_default().add(&LinkSum {
            ended: link.ended.get(),
            opened: link.opened.get(),
            refused: link.refused.get(),
            dial_failed: link.dial_failed.get(),
            client_to_upstream: link.flow.client_to_upstream.get(),
            upstream_to_client: link.flow.upstream_to_client.get(),
        });
    }
    sums.into_iter()
        .map(|((route, party), sum)| (Pair { party, route }, sum))
        .collect()
}

/// One family per count; a series exists once it is not 0.
fn links(f: &mut Families, prefix: &str, by: &str, sums: Vec<(Labels<'_>, &LinkSum)>) {
    let mut count = |name: &str, what: &str, of: fn(&LinkSum) -> u64| {
        let values = sums.iter().map(|(labels, sum)| (labels.clone(), of(sum)));
        let values = values.filter(|(_, n)| *n > 0);
        f.counter(
            &format!("{prefix}_{name}"),
            &format!("{what}, {by}"),
            values,
        );
    };
    count("tunnels_opened_total", "Tunnels that stood", |sum| {
        sum.opened
    });
    count("tunnels_ended_total", "Tunnels that ended", |sum| sum.ended);
    count("refused_total", "Clients that the route refused", |sum| {
        sum.refused
    });
    count(
        "dial_errors_total",
        "Upstreams that could not be had",
        |sum| sum.dial_failed,
    );
    let bytes = sums.iter().flat_map(|(labels, sum)| {
        directions(sum.client_to_upstream, sum.upstream_to_client).map(|(direction, n)| {
            let mut labels = labels.clone();
            labels.extend(direction);
            (labels, n)
        })
    });
    f.counter(
        &format!("{prefix}_bytes_total"),
        &format!("Bytes passed on, {by}"),
        bytes.filter(|(_, n)| *n > 0),
    );
    let open = sums
        .iter()
        .map(|(labels, sum)| (labels.clone(), sum.open() as f64));
    f.gauge(
        &format!("{prefix}_tunnels_open"),
        &format!("Tunnels that stand, {by}"),
        open,
    );
}
