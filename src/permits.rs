//! Process-wide caps: counts that sessions hold and give back, whatever way they end.
//!
//! Counts are checked before `accept` and taken right after it, so a cap may be passed by one
//! connection per accepting loop; what waits beyond it waits in the kernel's backlog.

use crate::net::SourceKey;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The upper bounds in force; see `limits` in hub.yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Sessions of any state: each may come to hold two descriptors, and pipes of those that
    /// [`pipes_for`] leaves.
    pub tunnels: usize,
    /// Sessions whose hello is not whole.
    pub pending_hellos: usize,
    /// Sessions whose upstream is being dialled.
    pub pending_dials: usize,
}

/// Raises the soft limit of open descriptors to the hard one; the number that is then in force.
pub fn raise_nofile() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        limit = raised;
    }
    limit
        .current
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(usize::MAX)
}

/// How many tunnels `nofile` descriptors carry: a reserve for listeners, logs, resolver and files,
/// then three each: two sockets and a share of the pipes.
pub fn tunnels_for(nofile: usize) -> usize {
    ((nofile - reserve(nofile)) / 3).max(1)
}

/// How many pipes of two descriptors each of `workers` may have open beside `tunnels` tunnels and
/// the reserve of [`tunnels_for`]. At least one, also where `tunnels` are more than fit: a bound
/// that the operator has passed is no reason never to splice.
pub fn pipes_for(nofile: usize, tunnels: usize, workers: usize) -> usize {
    let sockets = tunnels.saturating_mul(2);
    let left = (nofile - reserve(nofile)).saturating_sub(sockets);
    (left / 2 / workers.max(1)).max(1)
}

/// For everything that is neither a tunnel's socket nor a pipe.
fn reserve(nofile: usize) -> usize {
    (nofile / 4).min(256)
}

/// All counts of the process.
#[derive(Debug, Default)]
pub struct Permits {
    /// Sessions of any state.
    pub sessions: Gauge,
    /// Sessions whose hello is not whole.
    pub hellos: Gauge,
    /// Sessions whose upstream is being dialled.
    pub dials: Gauge,
    /// Sessions that were declined and wait for their client to take the last words.
    pub farewells: Gauge,
    /// The same as `hellos` and `dials` together, by source.
    pub hellos_by_source: Tally<SourceKey>,
    /// Tunnels and dials by source; counted only while a cap is set.
    pub tunnels_by_source: Tally<SourceKey>,
    /// Tunnels and dials by route id; counted only while a cap is set.
    pub tunnels_by_route: Tally<Arc<str>>,
}

/// What a connection holds from accept on, also while it is on its way to another worker.
#[derive(Debug)]
pub struct Admission {
    /// Until the session is over.
    pub session: Held,
    /// Until its hello is whole.
    pub hello: Held,
}

impl Permits {
    /// Counts a connection that was just accepted.
    pub fn admit(&self) -> Admission {
        Admission {
            session: self.sessions.take(),
            hello: self.hellos.take(),
        }
    }

    /// One more farewell, unless a quarter of all sessions are at it: a flood of clients that are
    /// declined and do not hang up leaves room for those that are not.
    pub fn farewell(&self, caps: &Caps) -> Option<Held> {
        (self.farewells.get() < (caps.tunnels / 4).max(1)).then(|| self.farewells.take())
    }

    /// Whether another connection may be accepted.
    pub fn room(&self, caps: &Caps) -> bool {
        self.sessions.get() < caps.tunnels
            && self.hellos.get() < caps.pending_hellos
            && self.dials.get() < caps.pending_dials
    }
}

/// A count of what is held at this moment: the owners of its Arc. All workers take and give back all
/// the time, and so each is one atomic write, not two.
#[derive(Debug, Default)]
pub struct Gauge(Arc<()>);

/// One of a [`Gauge`]; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
#[expect(dead_code, reason = "held, not looked at")]
pub struct Held(Arc<()>);

impl Gauge {
    /// Takes one more.
    pub fn take(&self) -> Held {
        Held(Arc::clone(&self.0))
    }

    /// How many are held.
    pub fn get(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Counts by key; keys with nothing held take no memory.
#[derive(Debug)]
pub struct Tally<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One of a [`Tally`]; given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct Share<K: Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Tally(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Tally<K> {
    /// One more of `key`, unless `cap` are held already.
    pub fn take(&self, key: K, cap: usize) -> Option<Share<K>> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= cap {
            if *count == 0 {
                counts.remove(&key);
            }
            return None;
        }
        *count += 1;
        Some(Share {
            counts: Arc::clone(&self.0),
            key,
        })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_refused_at_the_cap_and_given_back_on_drop() {
        let tally = Tally::default();
        let first = tally.take("a", 2);
        let second = tally.take("a", 2);
        assert!(first.is_some() && second.is_some());
        assert!(tally.take("a", 2).is_none());
        assert!(tally.take("b", 2).is_some());
        drop(first);
        assert!(tally.take("a", 2).is_some());
        drop(second);
        assert!(
            tally.0.lock().unwrap().is_empty(),
            "nothing held, nothing kept"
        );
        assert!(tally.take("a", 0).is_none());
        assert!(tally.0.lock().unwrap().is_empty());
    }

    #[test]
    fn sockets_pipes_and_the_reserve_are_never_more_than_all_descriptors() {
        assert_eq!(pipes_for(400, 100, 1), 50);
        assert_eq!(pipes_for(400, 80, 4), 17, "rounded down for each worker");
        assert_eq!(pipes_for(1 << 20, 1_000, 2), 261_580);
        for nofile in 8..2_000 {
            let fitting = tunnels_for(nofile);
            for (tunnels, workers) in [(fitting, 1), (fitting, 2), (fitting / 2, 3)] {
                let pipes = workers * pipes_for(nofile, tunnels, workers);
                let sum = reserve(nofile) + 2 * tunnels + 2 * pipes;
                assert!(
                    sum <= nofile || pipes == workers,
                    "{sum} of {nofile}: {tunnels} tunnels, {pipes} pipes"
                );
            }
        }
    }

    #[test]
    fn a_worker_may_have_a_pipe_whatever_the_sum_leaves() {
        assert_eq!(pipes_for(64, 1_000, 2), 1);
        assert_eq!(pipes_for(64, 16, 100), 1);
        assert_eq!(pipes_for(0, usize::MAX, 0), 1);
        let all = usize::MAX;
        assert!(pipes_for(all, tunnels_for(all), 1) > all / 7, "no limit");
    }

    #[test]
    fn a_full_cap_of_any_kind_leaves_no_room() {
        let permits = Permits::default();
        let caps = Caps {
            tunnels: 2,
            pending_hellos: 1,
            pending_dials: 1,
        };
        assert!(permits.room(&caps));
        let hello = permits.hellos.take();
        assert!(!permits.room(&caps));
        drop(hello);
        let dial = permits.dials.take();
        assert!(!permits.room(&caps));
        drop(dial);
        let _sessions = [permits.sessions.take(), permits.sessions.take()];
        assert!(!permits.room(&caps));
    }

    #[test]
    fn farewells_take_a_quarter_of_the_sessions_at_most() {
        let permits = Permits::default();
        let caps = Caps {
            tunnels: 8,
            pending_hellos: 1,
            pending_dials: 1,
        };
        let first = permits.farewell(&caps);
        let second = permits.farewell(&caps);
        assert!(first.is_some() && second.is_some());
        assert!(permits.farewell(&caps).is_none());
        drop(first);
        assert!(permits.farewell(&caps).is_some());
    }
}
