//! Counters of one worker: written by its thread alone, read by anyone.

use super::links::{Link, Pair};
use super::log::{LOGS, lost_lines};
use super::metrics::LinkSum;
use super::recent::Recent;
use crate::meter::{Counter, Histogram};
use crate::net::DialError;
use crate::refusal::Refusal;
use crate::tunnel::{Ended, Meters, Relay};
use std::collections::HashMap;
use std::sync::atomic::{Ordering::Acquire, Ordering::Release, fence};
use std::sync::{Arc, Mutex, PoisonError};

/// What one worker counted since it started.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Connections accepted.
    pub accepted: Counter,
    /// Tunnels that stood.
    pub opened: Counter,
    /// Tunnels that ended, by reason ([`Ended::ALL`]).
    pub ended: [Counter; Ended::ALL.len()],
    /// The same tunnels by what carried their bytes: copy alone, or splice at least in part.
    pub ended_by_relay: [Counter; RELAYS.len()],
    /// Tunnels that came from another worker.
    pub moved: Counter,
    /// Clients declined, by label ([`Refusal::LABELS`]); those that left are among them.
    pub refused: [Counter; Refusal::LABELS.len()],
    /// Targets that could not be reached, by label ([`DialError::LABELS`]).
    pub dial_failed: [Counter; DialError::LABELS.len()],
    /// Sessions that a shutdown or a panic ended before they were a tunnel or anything else.
    pub aborted: Counter,
    /// Times that accepting paused, or dropped a connection, for want of descriptors or memory.
    pub accept_pauses: Counter,
    /// Lines that were not written, by [`LOGS`]; of no worker, see [`Counters::of_lost_lines`].
    pub lost_lines: [Counter; LOGS.len()],
    /// From accept to the whole hello.
    pub hello: Histogram,
    /// Resolving and connecting, of dials that succeeded.
    pub dial: Histogram,
    /// Of the tunnels as they run; bytes from clients have the hello among them.
    pub tunnels: Arc<Meters>,
    /// The latest clients that got no tunnel.
    pub recent: Recent,
    /// By party and route; locked when a session meets its party and route for the first time.
    links: Mutex<Vec<Arc<Link>>>,
}

/// Labels of what carried a tunnel's bytes.
pub const RELAYS: [&str; 2] = ["copy", "splice"];

impl Counters {
    /// Of the lines that this process has not written so far, which their queues count.
    pub fn of_lost_lines() -> Arc<Counters> {
        let counters = Counters::default();
        for (counter, lines) in counters.lost_lines.iter().zip(lost_lines()) {
            counter.set(lines);
        }
        Arc::new(counters)
    }

    /// Counts by party and route so far.
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn add_link(&self, link: Arc<Link>) {
        self.links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(link);
    }

    /// Replaces the counts by party and route.
    pub(super) fn set_links(&self, sums: &HashMap<Pair, LinkSum>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let known: HashMap<Pair, Arc<Link>> = links
            .iter()
            .map(|link| (link.pair.clone(), Arc::clone(link)))
            .collect();
        for (pair, sum) in sums {
            let link = known.get(pair).cloned().unwrap_or_else(|| {
                let link = Link::new(pair.clone());
                links.push(Arc::clone(&link));
                link
            });
            link.set(sum);
        }
    }

    /// The last to be counted of a tunnel: who reads it finds the tunnel's bytes, and its end by
    /// party and route.
    pub(super) fn count_ended(&self, ended: Ended, relay: Relay) {
        fence(Release);
        self.ended[ended as usize].add(1);
        let spliced = matches!(relay, Relay::Splice { .. });
        self.ended_by_relay[usize::from(spliced)].add(1);
    }

    pub(super) fn count_refused(&self, refusal: &Refusal) {
        count(&self.refused, &Refusal::LABELS, refusal.label());
    }

    pub(super) fn count_dial_failed(&self, error: &DialError) {
        count(&self.dial_failed, &DialError::LABELS, error.label());
    }
}

/// Few labels, and never while bytes flow: looked for one by one.
fn count(counters: &[Counter], labels: &[&str], label: &str) {
    let place = labels.iter().position(|known| *known == label);
    debug_assert!(place.is_some(), "{label} is in no list of labels");
    if let Some(counter) = place.and_then(|place| counters.get(place)) {
        counter.add(1);
    }
}

/// A sum over workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// See [`Counters`].
    pub accepted: u64,
    /// See [`Counters`].
    pub opened: u64,
    /// Tunnels that ended, by reason ([`Ended::ALL`]).
    pub ended: [u64; Ended::ALL.len()],
    /// Clients declined, without those that left.
    pub refused: u64,
    /// Clients that left before their hello was whole, or while their upstream was dialled.
    pub left: u64,
    /// See [`Counters`].
    pub dial_failed: u64,
    /// See [`Counters`].
    pub aborted: u64,
    /// Bytes of all tunnels, those that stand among them, hellos included.
    pub client_to_upstream: u64,
    /// Bytes of all tunnels, those that stand among them.
    pub upstream_to_client: u64,
}

impl Totals {
    /// Adds up.
    pub fn of<'a>(workers: impl IntoIterator<Item = &'a Counters>) -> Totals {
        let workers: Vec<&Counters> = workers.into_iter().collect();
        let mut sum = Totals::default();
        // Of all workers before `opened` of any: a tunnel may end at another one than it began.
        for one in &workers {
            for (sum, ended) in sum.ended.iter_mut().zip(&one.ended) {
                *sum += ended.get();
            }
        }
        // Pairs with `count_ended`: what is read from here on has all that belongs to those ends.
        fence(Acquire);
        for one in workers {
            sum.accepted += one.accepted.get();
            sum.opened += one.opened.get();
            let left = one.refused[LEFT].get();
            sum.refused += total(&one.refused) - left;
            sum.left += left;
            sum.dial_failed += total(&one.dial_failed);
            sum.aborted += one.aborted.get();
            sum.client_to_upstream += one.tunnels.flow.client_to_upstream.get();
            sum.upstream_to_client += one.tunnels.flow.upstream_to_client.get();
        }
        sum
    }

    /// Tunnels that stand. A tunnel that moves between workers may be missing for an instant.
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.ended.iter().sum())
    }
}

/// The place of [`Refusal::ClientLeft`].
const LEFT: usize = Refusal::LABELS.len() - 1;

fn total(counters: &[Counter]) -> u64 {
    counters.iter().map(Counter::get).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::LooksLike;

    #[test]
    fn every_end_stands_at_its_number() {
        for (place, ended) in Ended::ALL.into_iter().enumerate() {
            assert_eq!(ended as usize, place, "{ended:?}");
        }
        assert_eq!(Ended::ALL.len(), Ended::Panicked as usize + 1);
    }

    #[test]
    fn every_refusal_counts_in_one_place() {
        let all = [
            Refusal::NotTls(LooksLike::Http),
            Refusal::Malformed(""),
            Refusal::TooLarge(""),
            Refusal::TooSlow,
            Refusal::NoServerName,
            Refusal::UnknownServerName,
            Refusal::NotAllowed,
            Refusal::PortNotPermitted(1),
            Refusal::OverLimit(""),
            Refusal::BadProxyHeader(""),
            Refusal::ClientLeft,
        ];
        let counters = Counters::default();
        all.iter()
            .for_each(|refusal| counters.count_refused(refusal));
        assert!(counters.refused.iter().all(|counter| counter.get() == 1));
        let totals = Totals::of([&counters]);
        assert_eq!((totals.refused, totals.left), (10, 1));
        assert_eq!(Refusal::LABELS[LEFT], Refusal::ClientLeft.label());
    }
}
