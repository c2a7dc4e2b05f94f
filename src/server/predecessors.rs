//! The processes before this one: what they have counted, and those that still hold tunnels.
//!
//! Such a process takes orders as a worker does: it is one that is far away. What carries the orders
//! there is not known here ([`crate::takeover`]).

use super::removal::Removals;
use crate::snapshot::Snapshot;
use crate::telemetry::{Counters, Declined, Image, Pairs, Totals};
use crate::worker::{Command, Standing};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// One process that is closing what it holds.
#[derive(Debug)]
pub struct Predecessor {
    /// Its number.
    pub pid: u32,
    /// When the last of its tunnels is closed.
    pub until: SystemTime,
    /// What it has counted, as it said last.
    pub counters: Arc<Counters>,
    /// Connections of any state, as it said last.
    pub sessions: AtomicUsize,
    commands: mpsc::UnboundedSender<Given>,
}

/// An order, and since when whoever gave it waits.
#[derive(Debug)]
pub struct Given {
    /// What is to be done.
    pub command: Command,
    /// As of then.
    pub at: Instant,
}

impl Predecessor {
    /// Tunnels that it holds, as it said last.
    pub fn open(&self) -> u64 {
        Totals::of([&*self.counters]).open()
    }

    /// An order; nobody may be there to hear it any more.
    pub(super) fn order(&self, command: Command) {
        let at = Instant::now();
        drop(self.commands.send(Given { command, at }));
    }
}

/// All of them at one moment. Never changed: who reads it sees each count once.
#[derive(Debug, Clone, Default)]
pub struct Family {
    /// What those have counted that are gone.
    pub past: Arc<Counters>,
    /// The others.
    pub living: Vec<Arc<Predecessor>>,
}

impl Family {
    /// What all of them have counted.
    pub fn counters(&self) -> impl Iterator<Item = &Arc<Counters>> {
        let living = self.living.iter().map(|one| &one.counters);
        std::iter::once(&self.past).chain(living)
    }
}

/// All of them, as they come and go.
#[derive(Debug)]
pub struct Predecessors {
    family: watch::Sender<Family>,
    /// Held while the family changes.
    changing: Mutex<()>,
    pairs: Arc<Pairs>,
    pub(super) removals: Removals,
}

impl Predecessors {
    /// None so far.
    pub(super) fn none(pairs: Arc<Pairs>) -> Arc<Predecessors> {
        Arc::new(Predecessors {
            family: watch::Sender::default(),
            changing: Mutex::default(),
            pairs,
            removals: Removals::default(),
        })
    }

    /// As they are now.
    pub fn family(&self) -> Family {
        self.family.borrow().clone()
    }

    /// One more; its orders come out of the other end.
    pub fn add(
        &self,
        pid: u32,
        until: SystemTime,
        image: &Image,
    ) -> (Arc<Predecessor>, mpsc::UnboundedReceiver<Given>) {
        let (commands, orders) = mpsc::unbounded_channel();
        let one = Arc::new(Predecessor {
            pid,
            until,
            counters: Arc::default(),
            sessions: AtomicUsize::new(0),
            commands,
        });
        self.note(&one, image);
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.family
            .send_modify(|family| family.living.push(Arc::clone(&one)));
        (one, orders)
    }

    /// The latest clients that got no tunnel there, oldest first.
    pub fn remember(&self, declined: Vec<Declined>) {
        let past = self.family().past;
        declined.into_iter().for_each(|one| past.recent.note(one));
    }

    /// What one says of itself. One that is gone is not listened to.
    pub fn note(&self, one: &Predecessor, image: &Image) {
        image.write_to(&one.counters, &self.pairs);
    }

    /// One is gone, and what it held is closed: its counts stay.
    pub fn gone(&self, one: &Arc<Predecessor>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family = self.family();
        let before = family.living.len();
        family.living.retain(|other| !Arc::ptr_eq(one, other));
        if family.living.len() == before {
            return;
        }
        let last = Image::of(std::slice::from_ref(&one.counters)).cut();
        last.write_to(&one.counters, &self.pairs);
        let past = Arc::<Counters>::default();
        let both = [family.past, Arc::clone(&one.counters)];
        Image::of(&both).write_to(&past, &self.pairs);
        for declined in both[0].recent.all() {
            past.recent.note(declined);
        }
        family.past = past;
        self.family.send_replace(family);
    }

    /// Whether it is not gone.
    pub fn lives(&self, one: &Arc<Predecessor>) -> bool {
        let living = &self.family.borrow().living;
        living.iter().any(|other| Arc::ptr_eq(one, other))
    }

    /// Waits until all are gone.
    pub async fn all_gone(&self) {
        // Cannot fail: `self` holds the sender.
        let _ = self
            .family
            .subscribe()
            .wait_for(|family| family.living.is_empty())
            .await;
    }

    /// Whether one of them has a client that may get a tunnel yet, as it said last.
    pub(super) fn undecided(&self) -> bool {
        let living = &self.family.borrow().living;
        living
            .iter()
            .any(|one| one.sessions.load(Relaxed) as u64 > one.open())
    }

    /// An order to each.
    pub(super) fn order(&self, command: impl Fn() -> Command) {
        for one in &self.family.borrow().living {
            one.order(command());
        }
    }
}

/// Whether `snapshot` would open it today, and to the same place.
pub(super) fn still_routed(one: &Standing, snapshot: &Snapshot) -> bool {
    match one.place.decide(&snapshot.routes) {
        Ok(now) => now.route.id == one.route && now.target.to_string() == one.target,
        Err(_) => false,
    }
}
