//! The latest clients that got no tunnel, and why: for who looks at it now, without a log at hand.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// How many each worker keeps.
pub const KEPT: usize = 256;

/// A client that got no tunnel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Declined {
    /// When.
    pub at: SystemTime,
    /// Its session, as the log prints it.
    pub session: String,
    /// Who called.
    pub source: SocketAddr,
    /// The party that dials out from there.
    pub party: Option<Arc<str>>,
    /// The name that was asked for: validated, so `[a-z0-9_.-]`.
    pub name: Option<Arc<str>>,
    /// The entry that took the name.
    pub route: Option<Arc<str>>,
    /// Where it led.
    pub target: Option<Box<str>>,
    /// The label of [`crate::refusal::Refusal`] or [`crate::net::DialError`].
    pub reason: Cow<'static, str>,
    /// Who said no: `client`, `hub` or `upstream`.
    pub by: Cow<'static, str>,
    /// In words.
    pub why: String,
}

/// The last [`KEPT`] of one worker. Locked once for each client that is declined, and by readers.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Declined>>);

impl Recent {
    /// One more.
    pub fn note(&self, declined: Declined) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(declined);
    }

    /// All that are kept, oldest first.
    pub fn all(&self) -> Vec<Declined> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }
}
