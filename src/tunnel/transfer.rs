//! What is left of a tunnel when it is over: counts and a reason, never an error.

use std::time::Duration;

/// How long a tunnel may stand in each condition; `None`: for ever. Times are kept to one coarse
/// tick of the worker ([`super::Pools::tick`]): never early, at most three ticks late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Without one byte moved in either direction.
    pub idle: Option<Duration>,
    /// With one direction ended (FIN passed on) and the other still open.
    pub half_open: Option<Duration>,
    /// With bytes waiting for a receiver that takes none.
    pub write_stall: Option<Duration>,
}

/// A finished tunnel. Bytes count when the receiving socket's kernel buffer has taken them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes passed on from the client to the upstream.
    pub client_to_upstream: u64,
    /// Bytes passed on from the upstream to the client.
    pub upstream_to_client: u64,
    /// What ended it.
    pub ended: Ended,
    /// What carried the bytes.
    pub relay: Relay,
}

/// What carried a tunnel's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// `recv` and `send` through the worker's scratch, every byte.
    Copy,
    /// `splice(2)` through a pipe, at least in part.
    Splice {
        /// Bytes, both directions together, that never entered user space.
        bytes: u64,
    },
}

impl Relay {
    /// From the number of bytes that `splice` carried.
    pub(super) fn from_spliced(bytes: u64) -> Relay {
        match bytes {
            0 => Relay::Copy,
            bytes => Relay::Splice { bytes },
        }
    }

    /// Bytes, both directions together, that never entered user space.
    pub fn spliced(self) -> u64 {
        match self {
            Relay::Copy => 0,
            Relay::Splice { bytes } => bytes,
        }
    }

    /// The metric label: a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Relay::Copy => "copy",
            Relay::Splice { .. } => "splice",
        }
    }
}

/// How a tunnel finished. No variant is an error: even a tunnel that broke has counts to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// FIN passed on both ways, every byte before it.
    BothClosed,
    /// The client sent RST (ECONNRESET, EPIPE).
    ClientReset,
    /// The upstream sent RST (ECONNRESET, EPIPE).
    UpstreamReset,
    /// The client's host fell silent or out of reach (ETIMEDOUT, EHOSTUNREACH, ENETUNREACH).
    ClientLost,
    /// The upstream's host fell silent or out of reach.
    UpstreamLost,
    /// No byte for [`Limits::idle`].
    Idle,
    /// One direction closed, the other still open after [`Limits::half_open`].
    HalfOpen,
    /// Bytes waited on a closed window for [`Limits::write_stall`], or until the kernel gave up
    /// (ETIMEDOUT).
    WriteStalled,
    /// Closed by a shutdown within its grace period, or by an operator's drain.
    Drained,
    /// Its route was removed, and `on_route_removed` says `close`.
    RouteRemoved,
    /// Closed by an operator.
    Killed,
    /// Both sockets were given to a successor process; nothing was reset.
    HandedOver,
    /// The hub's own fault (an errno that speaks of neither peer, such as ENOBUFS).
    LocalError,
    /// The session panicked; told by the session, since a panicking relay reports nothing.
    Panicked,
}

impl Ended {
    /// All of them; each stands at its own number.
    pub const ALL: [Ended; 14] = [
        Ended::BothClosed,
        Ended::ClientReset,
        Ended::UpstreamReset,
        Ended::ClientLost,
        Ended::UpstreamLost,
        Ended::Idle,
        Ended::HalfOpen,
        Ended::WriteStalled,
        Ended::Drained,
        Ended::RouteRemoved,
        Ended::Killed,
        Ended::HandedOver,
        Ended::LocalError,
        Ended::Panicked,
    ];

    /// The metric label: a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Ended::BothClosed => "both_closed",
            Ended::ClientReset => "client_reset",
            Ended::UpstreamReset => "upstream_reset",
            Ended::ClientLost => "client_lost",
            Ended::UpstreamLost => "upstream_lost",
            Ended::Idle => "idle",
            Ended::HalfOpen => "half_open",
            Ended::WriteStalled => "write_stalled",
            Ended::Drained => "drained",
            Ended::RouteRemoved => "route_removed",
            Ended::Killed => "killed",
            Ended::HandedOver => "handed_over",
            Ended::LocalError => "local_error",
            Ended::Panicked => "panicked",
        }
    }

    /// Whether the peers are told by FIN (or not at all); every other end is an RST to both, so
    /// that nobody takes a cut stream for a whole one.
    pub(super) fn is_clean(self) -> bool {
        matches!(self, Ended::BothClosed | Ended::HandedOver)
    }
}
