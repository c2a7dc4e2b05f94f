//! What is to be closed in the processes before this one, since the routes no longer allow it.

use super::predecessors::still_routed;
use crate::snapshot::Snapshot;
use crate::worker::Standing;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Which tunnels are: never one that the generation in force would open today.
#[derive(Debug, Clone)]
pub(super) struct Removal {
    /// The latest generation that closes what it does not allow: all that it would not open. Those after
    /// it, that keep what stands, close nothing that it allows.
    closes: Option<Arc<Snapshot>>,
    /// All that were opened later: by files that were old by then.
    since: Option<Instant>,
    /// When the latest generation came into force.
    pub(super) began: Instant,
}

impl Removal {
    fn after(before: Option<Removal>, snapshot: &Arc<Snapshot>, close: bool) -> Removal {
        let began = Instant::now();
        let (closes, since) = match (close, before) {
            (true, _) => (Some(Arc::clone(snapshot)), None),
            (false, Some(before)) => (before.closes, before.since.or(Some(began))),
            (false, None) => (None, Some(began)),
        };
        Removal {
            closes,
            since,
            began,
        }
    }

    /// Whether it is about tunnels of any age.
    pub(super) fn closes(&self) -> bool {
        self.closes.is_some()
    }

    /// Milliseconds: whatever has stood for less was opened since.
    pub(super) fn younger_than(&self) -> Option<u64> {
        self.since.map(|since| since.elapsed().as_millis() as u64)
    }

    /// Whether this tunnel is closed. `younger_than`: as of before it was told how long it has stood.
    pub(super) fn ends(
        &self,
        one: &Standing,
        younger_than: Option<u64>,
        in_force: &Snapshot,
    ) -> bool {
        let young =
            matches!((one.stood_ms, younger_than), (Some(stood), Some(most)) if stood < most);
        let closed = |snapshot: &Arc<Snapshot>| !still_routed(one, snapshot);
        !still_routed(one, in_force) && (young || self.closes.as_ref().is_some_and(closed))
    }
}

/// The one that is under way, if one is. There is one at a time, however many generations come while a
/// process does not answer.
#[derive(Debug, Default)]
pub(super) struct Removals(Mutex<Option<Removal>>);

impl Removals {
    fn lock(&self) -> MutexGuard<'_, Option<Removal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This generation has come into force. The removal that has to be seen to now; `None`: the one
    /// under way becomes it ([`Removals::latest`]).
    pub(super) fn begin(&self, snapshot: &Arc<Snapshot>, close: bool) -> Option<Removal> {
        let mut all = self.lock();
        let idle = all.is_none();
        let removal = Removal::after(all.take(), snapshot, close);
        *all = Some(removal.clone());
        idle.then_some(removal)
    }

    /// What this one has become meanwhile, if it has.
    pub(super) fn latest(&self, removal: &Removal) -> Option<Removal> {
        let latest = self.lock().clone();
        latest.filter(|latest| latest.began != removal.began)
    }

    /// This one is over, unless it has become another meanwhile; whether it is.
    pub(super) fn end(&self, removal: &Removal) -> bool {
        let ended = |one: &mut Removal| one.began == removal.began;
        self.lock().take_if(ended).is_some()
    }
}
