//! What the tunnels of one worker are counted by, as they run.

use super::pipe_pool::SpliceMode;
use crate::meter::{Counter, Histogram};
use std::sync::{Mutex, PoisonError};

/// Bytes that receivers have taken, each way. Written at every wake-up: on cache lines (and the pair
/// that is fetched with one) of its own, whoever allocated what lies beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Flow {
    /// From clients to upstreams.
    pub client_to_upstream: Counter,
    /// From upstreams to clients.
    pub upstream_to_client: Counter,
}

impl Flow {
    /// Index 0 is client to upstream, index 1 upstream to client.
    pub(super) fn count(&self, index: usize, bytes: u64) {
        match index {
            0 => self.client_to_upstream.add(bytes),
            _ => self.upstream_to_client.add(bytes),
        }
    }
}

/// Why bulk was copied although it should have been spliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// All pipes are lent, or none can be opened.
    NoPipe,
    /// `splice` refused these sockets, or all.
    Refused,
    /// Urgent data is in the way.
    Urgent,
}

impl Fallback {
    /// All of them; each stands at its own number.
    pub const ALL: [Fallback; 3] = [Fallback::NoPipe, Fallback::Refused, Fallback::Urgent];

    /// The metric label: a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Fallback::NoPipe => "no_pipe",
            Fallback::Refused => "refused",
            Fallback::Urgent => "urgent",
        }
    }
}

/// Written by one worker's thread, read by anyone. What is said to be "of the last tick" is up to
/// [`super::Pools::tick`]'s interval old.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Meters {
    /// Times a relay was woken.
    pub wake_ups: Counter,
    /// Of these, those that moved no byte and ended nothing.
    pub empty_wake_ups: Counter,
    /// Bytes of all tunnels, counted as they go.
    pub flow: Flow,
    /// Of these, bytes that `splice` carried, both ways together.
    pub spliced: Counter,
    /// The others. A counter of its own: a difference of two that grow meanwhile may fall.
    pub copied: Counter,
    /// From a tunnel that stands to the first byte from its upstream.
    pub first_byte: Histogram,
    /// Pipes lent to tunnels, of the last tick.
    pub pipes_lent: Counter,
    /// Bytes that those hold at most, of the last tick.
    pub pipe_bytes: Counter,
    /// Pipes kept open for the next tunnel, of the last tick.
    pub pipes_spare: Counter,
    /// Bytes of the copying memory (scratch, slabs lent and spare), of the last tick.
    pub slab_bytes: Counter,
    /// Times of each [`Fallback`], of the last tick.
    pub fallbacks: [Counter; Fallback::ALL.len()],
    /// Locked once a tick, and by readers.
    mode: Mutex<Option<SpliceMode>>,
}

impl Meters {
    /// Whether this worker splices; `None`: it has not begun.
    pub fn splice_mode(&self) -> Option<SpliceMode> {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_splice_mode(&self, mode: SpliceMode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = Some(mode);
    }
}
