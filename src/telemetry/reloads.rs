//! What became of the reloads so far.

use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// What a reload came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// A new generation is in force.
    Live,
    /// The files say what is in force already.
    Unchanged,
    /// The files are wrong: the old generation stays.
    Refused,
}

impl ReloadResult {
    /// All of them; each stands at its own number.
    pub const ALL: [ReloadResult; 3] = [
        ReloadResult::Live,
        ReloadResult::Unchanged,
        ReloadResult::Refused,
    ];

    /// The metric label: a closed set.
    pub fn label(self) -> &'static str {
        match self {
            ReloadResult::Live => "live",
            ReloadResult::Unchanged => "unchanged",
            ReloadResult::Refused => "refused",
        }
    }
}

/// Written by the control thread, read by the admin door and by what tells the service manager.
#[derive(Debug, Default)]
pub struct Reloads(watch::Sender<Reloaded>);

/// A copy of [`Reloads`].
#[derive(Debug, Clone, Default)]
pub struct Reloaded {
    /// How many came to what, by [`ReloadResult::ALL`].
    pub results: [u64; ReloadResult::ALL.len()],
    /// The last one; `None`: only the start has loaded files.
    pub last: Option<LastReload>,
    /// Of the contents of the files in force; the same number for the same contents.
    pub hash: u64,
    /// What the files say that were accepted last, and only an upgrade puts into force, one line each.
    pub waits: Vec<String>,
}

/// The last reload.
#[derive(Debug, Clone)]
pub struct LastReload {
    /// When it was over.
    pub at: SystemTime,
    /// What it came to.
    pub result: ReloadResult,
    /// How long it took.
    pub took: Duration,
    /// What is wrong with the files, one line each: errors, then warnings and notes.
    pub problems: Vec<String>,
}

impl Reloads {
    /// The files that the start has put into force.
    pub fn begin(&self, hash: u64) {
        self.0.send_modify(|reloaded| reloaded.hash = hash);
    }

    /// Those of a process before this one, by [`ReloadResult::ALL`].
    pub fn inherit(&self, results: &[u64]) {
        self.0.send_modify(|reloaded| {
            for (own, before) in reloaded.results.iter_mut().zip(results) {
                *own += before;
            }
        });
    }

    /// One more, and what waits for an upgrade after it.
    pub fn note(&self, last: LastReload, hash: u64, waits: Vec<String>) {
        self.0.send_modify(|reloaded| {
            reloaded.waits = waits;
            reloaded.results[last.result as usize] += 1;
            if last.result != ReloadResult::Refused {
                reloaded.hash = hash;
            }
            reloaded.last = Some(last);
        });
    }

    /// How they stand.
    pub fn get(&self) -> Reloaded {
        self.0.borrow().clone()
    }

    /// Each of them from now on.
    pub fn watch(&self) -> watch::Receiver<Reloaded> {
        self.0.subscribe()
    }
}
