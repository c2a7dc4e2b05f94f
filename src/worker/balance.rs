//! When a fat tunnel changes its worker.
//!
//! What a connection will weigh nobody knows when it is accepted: links get fat long after they were
//! opened. So two fat tunnels that meet on one worker while another has none part, see
//! [`crate::tunnel::Pools::fat`].

use super::Worker;
use super::orders::{Command, Door};
use super::registry::{Decided, Entry, Live};
use crate::config::OnRouteRemoved;
use crate::permits::Held;
use crate::session::{self, Shares};
use crate::telemetry::{Facts, Outcome, Record};
use crate::tunnel::{Ended, Limits, Parcel};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::task::spawn_local;

/// A fat tunnel goes only where it leaves no worker with more than it found: from two to none.
const CLEARLY_FEWER_FAT: usize = 2;
/// Ticks between two departures: until then the other worker has counted the first.
const SETTLING: u32 = 2;

/// What a tunnel holds, whoever relays it.
#[derive(Debug)]
pub struct Belongings {
    /// How long it may stand still.
    pub limits: Limits,
    /// Of the caps by source and by route.
    pub shares: Shares,
    /// Its place among the sessions.
    pub session: Held,
}

/// A tunnel on its way to another worker, with all that belongs to it. Dropped, it is reset, and
/// nothing is told: only a process that is ending drops one.
#[derive(Debug)]
pub struct Mover {
    parcel: Parcel,
    belongings: Belongings,
    facts: Facts,
    why: Decided,
    began: Instant,
    alive_told: u64,
    /// Of the snapshot that last had a say about it.
    generation: u64,
}

impl Worker {
    /// Once per tick: tells the others how many fat tunnels there are, and whether one may go.
    pub(super) fn balance(&self) {
        self.doors[self.index].fat.store(self.pools.fat(), Relaxed);
        let pause = self.settling.get().saturating_sub(1);
        self.settling.set(pause);
        if pause == 0 && self.less_fat().is_some() {
            self.pools.want_elsewhere();
        }
    }

    /// The worker that a fat tunnel goes to, and how many it has.
    fn less_fat(&self) -> Option<(&Door, usize)> {
        let fat = |door: &Door| door.fat.load(Relaxed);
        let (door, fewest) = self
            .doors
            .iter()
            .map(|door| (door, fat(door)))
            .min_by_key(|(_, n)| *n)?;
        let clearly = fewest + CLEARLY_FEWER_FAT <= self.pools.fat();
        (clearly && !self.draining.is_cancelled()).then_some((door, fewest))
    }

    /// Sends a tunnel to the worker with the fewest fat ones; it stays where that has changed.
    fn send_on(self: &Rc<Self>, mover: Mover) {
        self.settling.set(SETTLING);
        let claimed = self.less_fat().filter(|(door, fewest)| {
            // Another worker may send one there at the same moment.
            door.fat
                .compare_exchange(*fewest, fewest + 1, Relaxed, Relaxed)
                .is_ok()
        });
        let refused = match claimed {
            Some((door, _)) => match door.commands.send(Command::Settle(Box::new(mover))) {
                Ok(()) => return,
                // It has ended.
                Err(refused) => refused.0,
            },
            None => Command::Settle(Box::new(mover)),
        };
        if let Command::Settle(mover) = refused {
            self.settle(*mover);
        }
    }

    /// Goes on with a tunnel that comes from another worker.
    pub(super) fn settle(self: &Rc<Self>, mover: Mover) {
        let Mover {
            parcel,
            belongings,
            facts,
            why,
            began,
            alive_told,
            generation,
        } = mover;
        let id = facts.id();
        let mut record = Record::of(facts, Rc::clone(&self.ledger));
        let handle = record.handle();
        record.moved(Rc::clone(&handle));
        let entry = Entry::new(record, began, alive_told);
        let live = Live::enter(self, id, &entry);
        let opened = parcel.open(
            belongings.limits,
            Rc::clone(&self.pools),
            Rc::clone(&handle),
        );
        let relaying = match opened {
            Ok(relaying) => relaying,
            Err(cause) => {
                self.tell_trouble(&format_args!(
                    "a tunnel is reset, epoll does not take it: {cause} (memory, or the sysctl \
                     fs.epoll.max_user_watches)"
                ));
                return live.close(Outcome::Ended(Ended::LocalError));
            }
        };
        if self.was_retired(generation, &why) {
            handle.end(Ended::RouteRemoved);
        }
        entry.stands(why, handle);
        let task = spawn_local(session::carry(relaying, live, belongings));
        // Set once, right here.
        drop(entry.task.set(task.abort_handle()));
    }

    /// Whether a reload that came while the tunnel was on its way takes it.
    fn was_retired(&self, generation: u64, why: &Decided) -> bool {
        let snapshot = self.snapshot();
        snapshot.generation != generation
            && snapshot.settings.on_route_removed == OnRouteRemoved::Close
            && !self.still_routed(why)
    }
}

impl Live {
    /// The tunnel goes to another worker, and so does the rest of its record.
    pub fn leave(self, parcel: Parcel, belongings: Belongings) {
        let worker = Rc::clone(&self.worker);
        let Some(why) = self.entry.no_longer_stands() else {
            return;
        };
        let mover = Mover {
            parcel,
            belongings,
            facts: self.record().leave(),
            why,
            began: self.entry.began,
            alive_told: self.entry.alive_told.get(),
            generation: worker.snapshot.borrow().generation,
        };
        drop(self);
        worker.send_on(mover);
    }
}
