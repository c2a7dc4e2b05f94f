//! Who talks to whom, summed over workers.

use super::DIRECTIONS;
use super::families::{Families, pair};
use crate::telemetry::{Counters, Pair};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Acquire, fence};
use std::time::Duration;

/// The series by route, and by party and route.
pub(super) fn who_talks_to_whom(counters: &[Arc<Counters>], f: &mut Families) {
    let pairs = sums(counters);
    let mut routes: BTreeMap<&str, LinkSum> = BTreeMap::new();
    for (pair, sum) in &pairs {
        routes.entry(&pair.route).or_default().add(sum);
    }
    let of_route = routes.iter().map(|(route, sum)| {
        let mut labels = String::new();
        pair(&mut labels, "route", route);
        (labels, *sum)
    });
    links(f, "snihub_route", "by route", &of_route.collect::<Vec<_>>());
    let of_pair = pairs.iter().map(|(who, sum)| {
        let mut labels = String::new();
        pair(
            &mut labels,
            "party",
            who.party.as_deref().unwrap_or_default(),
        );
        pair(&mut labels, "route", &who.route);
        (labels, *sum)
    });
    let by = "by the party that calls (empty: not known) and route";
    links(f, "snihub_link", by, &of_pair.collect::<Vec<_>>());
}

/// The counts of one pair, over all workers.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
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
    /// See [`crate::telemetry::Link`].
    pub opened_at: u64,
    /// See [`crate::telemetry::Link`].
    pub refused_at: u64,
    /// See [`crate::telemetry::Link`].
    pub dial_failed_at: u64,
}

/// How a route, or a pair of party and route, does: as its latest client did, or else whether
/// tunnels stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Tunnels stand.
    Up,
    /// The latest client was refused, within [`FRESH`].
    Refused,
    /// The upstream could not be had for the latest client.
    Failing,
    /// Nothing stands.
    Idle,
}

/// How long a refusal tells of the present: a stranger's one attempt is soon over, while an
/// upstream that could not be had is missing until a dial of it succeeds.
pub const FRESH: Duration = Duration::from_secs(300);

impl State {
    /// Its word in the API.
    pub fn label(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Refused => "refused",
            State::Failing => "failing",
            State::Idle => "idle",
        }
    }
}

impl LinkSum {
    /// At this moment, in milliseconds since 1970.
    pub fn state(&self, now_ms: u64) -> State {
        let fresh = now_ms.saturating_sub(self.refused_at) < FRESH.as_millis() as u64;
        if fresh && self.refused_at > self.opened_at.max(self.dial_failed_at) {
            State::Refused
        } else if self.dial_failed_at > self.opened_at {
            State::Failing
        } else if self.open() > 0 {
            State::Up
        } else {
            State::Idle
        }
    }

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
        self.opened_at = self.opened_at.max(other.opened_at);
        self.refused_at = self.refused_at.max(other.refused_at);
        self.dial_failed_at = self.dial_failed_at.max(other.dial_failed_at);
    }
}

/// The counts of all pairs over all workers, sorted by route and party.
pub fn sums(counters: &[Arc<Counters>]) -> Vec<(Pair, LinkSum)> {
    let mut sums: BTreeMap<(Arc<str>, Option<Arc<str>>), LinkSum> = BTreeMap::new();
    let links: Vec<_> = counters.iter().flat_map(|one| one.links()).collect();
    // All of them before any of `opened`: a tunnel may end at another worker than it began.
    let ended: Vec<u64> = links.iter().map(|link| link.ended.get()).collect();
    fence(Acquire);
    for (link, ended) in links.into_iter().zip(ended) {
        let Pair { party, route } = link.pair.clone();
        sums.entry((route, party)).or_default().add(&LinkSum {
            ended,
            opened: link.opened.get(),
            refused: link.refused.get(),
            dial_failed: link.dial_failed.get(),
            client_to_upstream: link.flow.client_to_upstream.get(),
            upstream_to_client: link.flow.upstream_to_client.get(),
            opened_at: link.opened_at.get(),
            refused_at: link.refused_at.get(),
            dial_failed_at: link.dial_failed_at.get(),
        });
    }
    sums.into_iter()
        .map(|((route, party), sum)| (Pair { party, route }, sum))
        .collect()
}

/// One family per count; a series exists once it is not 0.
fn links(f: &mut Families, prefix: &str, by: &str, sums: &[(String, LinkSum)]) {
    let mut count = |name: &str, what: &str, of: fn(&LinkSum) -> u64| {
        let values = sums.iter().map(|(labels, sum)| (labels, of(sum)));
        let values = values.filter(|(_, n)| *n > 0);
        let (name, help) = (format!("{prefix}_{name}"), format!("{what}, {by}"));
        f.prepared(&name, &help, "counter", values);
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
        DIRECTIONS
            .into_iter()
            .zip([sum.client_to_upstream, sum.upstream_to_client])
            .filter(|(_, n)| *n > 0)
            .map(move |(direction, n)| {
                let mut labels = labels.clone();
                pair(&mut labels, "direction", direction);
                (labels, n)
            })
    });
    let (name, help) = (
        format!("{prefix}_bytes_total"),
        format!("Bytes passed on, {by}"),
    );
    f.prepared(&name, &help, "counter", bytes);
    let open = sums.iter().map(|(labels, sum)| (labels, sum.open()));
    let (name, help) = (
        format!("{prefix}_tunnels_open"),
        format!("Tunnels that stand, {by}"),
    );
    f.prepared(&name, &help, "gauge", open);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_client_says_how_a_link_does() {
        let now = 1_000_000_000;
        let state = |opened: u64, [opened_at, refused_at, dial_failed_at]: [u64; 3]| {
            let sum = LinkSum {
                opened,
                opened_at,
                refused_at,
                dial_failed_at,
                ..LinkSum::default()
            };
            sum.state(now)
        };
        let fresh = FRESH.as_millis() as u64;
        let (soon, stale) = (now - 1, now - fresh);
        assert_eq!(state(0, [0, 0, 0]), State::Idle);
        assert_eq!(state(1, [soon, 0, 0]), State::Up);
        assert_eq!(state(0, [0, 0, 1]), State::Failing, "until one succeeds");
        assert_eq!(state(1, [2, 0, 1]), State::Up);
        assert_eq!(state(1, [1, soon, 0]), State::Refused);
        assert_eq!(state(1, [1, stale, 0]), State::Up, "long ago");
        assert_eq!(state(1, [soon, soon - 1, 0]), State::Up);
        assert_eq!(state(0, [0, soon, 1]), State::Refused);
        assert_eq!(state(0, [0, stale, 1]), State::Failing);
    }
}
