//! Answers that lack those of a process.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A process before this one that has not answered in time. What it was to do it does not do later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// Its number.
    pub pid: u32,
    /// Tunnels that it holds, as it said last.
    pub tunnels: u64,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Silent { pid, tunnels } = self;
        let s = if *tunnels == 1 { "" } else { "s" };
        write!(
            f,
            "process {pid}, with {tunnels} tunnel{s}, does not answer: it is stopped or overloaded"
        )
    }
}

/// What was answered, and by whom not.
#[derive(Debug)]
pub struct Heard<T> {
    /// By all others.
    pub what: T,
    /// Who lives and holds tunnels, and has said nothing.
    pub silent: Vec<Silent>,
}

impl<T> Heard<T> {
    pub(super) fn map<U>(self, what: impl FnOnce(T) -> U) -> Heard<U> {
        Heard {
            what: what(self.what),
            silent: self.silent,
        }
    }
}
