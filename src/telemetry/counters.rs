//! Counters of one worker: written by its thread alone, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One number with one writer: an addition is a load and a store, no locked instruction, and no
/// cache line is shared between workers.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only ever called by the owning thread.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counted since it started.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Connections accepted.
    pub accepted: Counter,
    /// Tunnels that stood.
    pub opened: Counter,
    /// Tunnels that ended, whatever the reason.
    pub closed: Counter,
    /// Clients declined ([`crate::refusal::Refusal`]).
    pub refused: Counter,
    /// Clients that left before their hello was whole.
    pub left: Counter,
    /// Targets that could not be reached.
    pub dial_failed: Counter,
    /// Sessions that a shutdown or a panic ended before they were a tunnel or anything else.
    pub aborted: Counter,
    /// Bytes forwarded from clients to upstreams, hello included.
    pub client_to_upstream: Counter,
    /// Bytes forwarded from upstreams to clients.
    pub upstream_to_client: Counter,
    /// Times that accepting paused, or dropped a connection, for want of descriptors or memory.
    pub accept_pauses: Counter,
}

/// A sum over workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// See [`Counters`].
    pub accepted: u64,
    /// See [`Counters`].
    pub opened: u64,
    /// See [`Counters`].
    pub refused: u64,
    /// See [`Counters`].
    pub left: u64,
    /// See [`Counters`].
    pub dial_failed: u64,
    /// See [`Counters`].
    pub aborted: u64,
    /// See [`Counters`].
    pub client_to_upstream: u64,
    /// See [`Counters`].
    pub upstream_to_client: u64,
}

impl Totals {
    /// Adds up.
    pub fn of<'a>(workers: impl IntoIterator<Item = &'a Counters>) -> Totals {
        workers
            .into_iter()
            .fold(Totals::default(), |sum, one| Totals {
                accepted: sum.accepted + one.accepted.get(),
                opened: sum.opened + one.opened.get(),
                refused: sum.refused + one.refused.get(),
                left: sum.left + one.left.get(),
                dial_failed: sum.dial_failed + one.dial_failed.get(),
                aborted: sum.aborted + one.aborted.get(),
                client_to_upstream: sum.client_to_upstream + one.client_to_upstream.get(),
                upstream_to_client: sum.upstream_to_client + one.upstream_to_client.get(),
            })
    }
}
