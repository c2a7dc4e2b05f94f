//! How the upstreams do: asked now and then, told, and never a reason to refuse a client. A hub that
//! refuses because of what it believes would make an outage of its own mistake.
//!
//! ```text
//! Snapshot --plan--> Whom, when --ask--> Found --watch--> Board --> /metrics, API, page, log
//!                                                 names: whose certificate is good for whom else
//! ```
//! All of it is on the control thread, in turns that leave it free for names and reloads: never more
//! than 32 probes at a time, nor one begun sooner than 10 ms after another. A process that drains, or
//! has a successor, asks nobody.

mod ask;
mod names;
mod plan;
mod watch;
mod words;

pub use names::Also;
pub use watch::watch;
pub use words::Trouble;

use crate::pki::Moment;
use crate::route::ProbeKind;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What the latest probe of a route found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// How it was asked.
    pub kind: ProbeKind,
    /// Why a client that came now would not get through, or would refuse whom it meets; one line, no
    /// character of which moves a cursor. `None`: all is well.
    pub failing: Option<String>,
    /// Since when it does, or does not.
    pub since: SystemTime,
    /// When it was asked.
    pub asked: SystemTime,
    /// From the first question for its name to the end of the handshake; where it fails, to that.
    pub took: Duration,
    /// The one it showed last, of those that can be read.
    pub certificate: Option<Presented>,
}

/// A certificate that an upstream showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// When it ends.
    pub not_after: Moment,
    /// Those of its names that are names of hosts, in lower case, at most 32.
    pub names: Vec<String>,
    /// Whom else it is good for.
    pub also: Option<Also>,
}

/// What is known of all upstreams that are asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// How many are, or soon will be.
    pub asked: usize,
    /// By the route's id.
    pub routes: HashMap<Arc<str>, Arc<Health>>,
}

impl Known {
    /// How many fail.
    pub fn failing(&self) -> usize {
        let failing = |health: &&Arc<Health>| health.failing.is_some();
        self.routes.values().filter(failing).count()
    }
}

/// Written by the control thread, read by the admin door.
#[derive(Debug, Default)]
pub struct Board(Mutex<Known>);

impl Board {
    /// As it is now.
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Nobody is asked any more.
    pub fn clear(&self) {
        *self.lock() = Known::default();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
