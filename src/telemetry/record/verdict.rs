//! How a session ended, in the words of its last line.

use super::Outcome;
use crate::net::dial::DialError;
use crate::refusal::Refusal;
use crate::tunnel::Ended;
use std::borrow::Cow;
use tracing::Level;

/// An outcome in the words of the line.
pub(super) struct Verdict {
    pub(super) ended: &'static str,
    pub(super) by: &'static str,
    pub(super) why: Cow<'static, str>,
    pub(super) level: Level,
}

pub(super) fn verdict(outcome: &Outcome, received: u64) -> Verdict {
    match outcome {
        Outcome::Ended(ended) => Verdict {
            ended: ended.label(),
            by: by(*ended),
            why: why(*ended).into(),
            level: match ended {
                Ended::LocalError | Ended::Panicked => Level::WARN,
                _ => Level::INFO,
            },
        },
        Outcome::Refused(refusal) => Verdict {
            ended: refusal.label(),
            by: if *refusal == Refusal::ClientLeft {
                "client"
            } else {
                "hub"
            },
            why: refusal.to_string().into(),
            level: match refusal {
                Refusal::ClientLeft if received == 0 => Level::DEBUG,
                Refusal::NotAllowed
                | Refusal::PortNotPermitted(_)
                | Refusal::OverLimit(_)
                | Refusal::BadProxyHeader(_) => Level::WARN,
                _ => Level::INFO,
            },
        },
        Outcome::DialFailed(error) => Verdict {
            ended: error.label(),
            by: match error {
                // No upstream was asked.
                DialError::NotPermitted(_) | DialError::Loop(_) | DialError::LocalLimit(_) => "hub",
                _ => "upstream",
            },
            why: error.to_string().into(),
            level: Level::WARN,
        },
    }
}

/// Who ended a tunnel.
fn by(ended: Ended) -> &'static str {
    match ended {
        Ended::BothClosed => "both",
        Ended::ClientReset | Ended::ClientLost => "client",
        Ended::UpstreamReset | Ended::UpstreamLost => "upstream",
        Ended::Idle
        | Ended::HalfOpen
        | Ended::WriteStalled
        | Ended::Drained
        | Ended::RouteRemoved
        | Ended::Killed
        | Ended::HandedOver
        | Ended::LocalError
        | Ended::Panicked => "hub",
    }
}

/// What a reader of the log needs to know of an end.
fn why(ended: Ended) -> &'static str {
    match ended {
        Ended::BothClosed => "both sides closed",
        Ended::ClientReset => "the client reset the connection",
        Ended::UpstreamReset => "the upstream reset the connection",
        Ended::ClientLost => "the client no longer answers",
        Ended::UpstreamLost => "the upstream no longer answers",
        Ended::Idle => "no byte for idle_timeout",
        Ended::HalfOpen => "one side closed, the other stayed open for half_open_timeout",
        Ended::WriteStalled => "a receiver took no byte for write_stall_timeout",
        Ended::Drained => "the hub is shutting down, or an operator drained its route or party",
        Ended::RouteRemoved => "its route was removed or no longer allows it",
        Ended::Killed => "ended by an operator, or by the hub before it was over",
        Ended::HandedOver => "handed over to the successor process",
        Ended::LocalError => "the hub ran out of a resource (descriptors, memory)",
        Ended::Panicked => "a bug in the hub ended this session; please report it",
    }
}
