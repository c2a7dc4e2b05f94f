//! What the tunnels of one worker share: memory, pipes, the idle wheel, counters.

use super::idle_wheel::{Place, Wheel};
use super::load::Load;
use super::meters::{Fallback, Meters};
use super::pipe_pool::{KernelPipe, PipePool, SpliceMode};
use super::scratch::Memory;
use super::socket::Pipe;
use super::{Handle, Limits};
use crate::net::sockopt::{self, Keepalive};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpStream;

/// What a direction works with.
pub(super) struct Kit<P> {
    pub(super) memory: Memory,
    pub(super) pipes: PipePool<P>,
}

impl<P: Pipe> Kit<P> {
    pub(super) fn new(mode: SpliceMode, most_pipes: usize) -> Kit<P> {
        Kit {
            memory: Memory::new(),
            pipes: PipePool::new(mode, most_pipes),
        }
    }
}

/// Shared by all tunnels of one worker thread; never leaves it.
pub struct Pools {
    pub(super) kit: Kit<KernelPipe>,
    pub(super) load: Load,
    wheel: RefCell<Wheel>,
    started: Instant,
    /// When the last tick came, in ms since the start.
    ticked: Cell<u64>,
    /// Coarse time in ms. A tick moves it by no more than the last one was long: what was stamped
    /// in between may not come to lie in the past when a busy machine lets a tick come late.
    now: Cell<u64>,
    /// Length of the last tick in ms: how far `now` may be behind.
    behind: Cell<u64>,
    keepalive: Cell<Option<Keepalive>>,
    pub(super) meters: Arc<Meters>,
}

/// Counters and gauges of one worker's tunnels, as they are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Times a relay was woken; by the wheel to look, only if something came of it.
    pub wake_ups: u64,
    /// Of these, those that moved no byte and ended nothing.
    pub empty_wake_ups: u64,
    /// Pipes lent to tunnels now.
    pub pipes_lent: u64,
    /// Slabs lent to tunnels now: directions whose receiver took only part of a write.
    pub slabs_lent: u64,
    /// Times bulk was copied although it should have been spliced: no pipe to be had, `splice`
    /// refused, or urgent data in the way.
    pub splice_fallbacks: u64,
}

impl Pools {
    /// Pools for one worker; `splice`: what [`super::self_test`] said at start; `most_pipes`: how
    /// many pipes, of two descriptors each, may be open at once. A direction that finds them all
    /// lent copies, and is counted in [`Counters::splice_fallbacks`].
    pub fn new(splice: SpliceMode, most_pipes: usize) -> Rc<Pools> {
        Pools::metered(splice, most_pipes, Arc::default())
    }

    /// The same, counted by `meters`, which others may read.
    pub fn metered(splice: SpliceMode, most_pipes: usize, meters: Arc<Meters>) -> Rc<Pools> {
        meters.set_splice_mode(splice);
        Rc::new(Pools {
            kit: Kit::new(splice, most_pipes),
            load: Load::default(),
            wheel: RefCell::new(Wheel::new()),
            started: Instant::now(),
            ticked: Cell::new(0),
            now: Cell::new(0),
            behind: Cell::new(1_000),
            keepalive: Cell::new(None),
            meters,
        })
    }

    /// Another bound of the pipes open at once. What is lent beyond it is closed as it comes back.
    pub fn set_most_pipes(&self, most: usize) {
        self.kit.pipes.set_most(most);
    }

    /// Of the upstreams' sockets from now on; `None`, as at first: off. A tunnel's gets it when the
    /// tunnel first looks around, within some five seconds: most of those that are gone by then would
    /// have paid more for it than for anything else but the connection itself.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) {
        self.keepalive.set(keepalive);
    }

    /// To be called by the worker every 250 ms to 1 s: ends the tunnels that have been idle,
    /// half open or stalled for too long, and wakes those that have to look for what no event told.
    pub fn tick(&self) {
        let elapsed = self.started.elapsed().as_millis();
        let elapsed = elapsed.try_into().unwrap_or(u64::MAX);
        let length = elapsed.saturating_sub(self.ticked.replace(elapsed));
        let now = self.now.get() + length.min(self.behind.get());
        self.behind.set(length.max(1));
        self.now.set(now);
        self.kit.pipes.tick();
        self.load.tick();
        self.wheel.borrow_mut().turn(now);
        self.publish();
    }

    /// The worker's coarse time: ms since its start, as of the last tick, without the time by which
    /// ticks came late.
    pub fn now_ms(&self) -> u64 {
        self.now.get()
    }

    /// How many tunnels moved 4 MiB or more (fat ones) between the last two calls of [`Pools::tick`].
    pub fn fat(&self) -> usize {
        self.load.fat()
    }

    /// Another worker has clearly fewer fat tunnels: until the next tick one of ours may leave its
    /// relay as a [`super::Parcel`].
    pub fn want_elsewhere(&self) {
        self.load.want_elsewhere();
    }

    /// Whether bulk is spliced here, and why not. May turn from Splice to Copy at run time, when
    /// the kernel refuses.
    pub fn splice_mode(&self) -> SpliceMode {
        self.kit.pipes.mode()
    }

    /// Counters and gauges, as they are now.
    pub fn counters(&self) -> Counters {
        Counters {
            wake_ups: self.meters.wake_ups.get(),
            empty_wake_ups: self.meters.empty_wake_ups.get(),
            pipes_lent: self.kit.pipes.lent(),
            slabs_lent: self.kit.memory.lent() as u64,
            splice_fallbacks: Fallback::ALL
                .iter()
                .map(|why| self.kit.pipes.fallbacks(*why))
                .sum(),
        }
    }

    /// What is not counted as it happens.
    fn publish(&self) {
        let (meters, pipes) = (&self.meters, &self.kit.pipes);
        meters.pipes_lent.set(pipes.lent());
        meters.pipe_bytes.set(pipes.most_held());
        meters.pipes_spare.set(pipes.spare());
        meters.slab_bytes.set(self.kit.memory.bytes() as u64);
        for why in Fallback::ALL {
            meters.fallbacks[why as usize].set(pipes.fallbacks(why));
        }
        meters.set_splice_mode(pipes.mode());
    }

    /// A time stamp that is not before this moment, at most a tick after it: so that no limit is
    /// over too early.
    pub(super) fn stamp(&self) -> u64 {
        self.now.get() + self.behind.get()
    }

    pub(super) fn keep_alive(&self, upstream: &TcpStream) {
        if let Some(keepalive) = self.keepalive.get() {
            // Fails only for a descriptor that is no socket, or numbers that hub.yaml cannot have.
            let _ = sockopt::keep_alive(upstream, Some(keepalive));
        }
    }

    pub(super) fn count_wake_up(&self, moved: bool) {
        self.meters.wake_ups.add(1);
        if !moved {
            self.meters.empty_wake_ups.add(1);
        }
    }

    pub(super) fn watch(&self, handle: &Rc<Handle>, limits: &Limits) -> Place {
        self.wheel.borrow_mut().add(handle, limits, self.now.get())
    }

    pub(super) fn unwatch(&self, place: Place) {
        self.wheel.borrow_mut().remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn a_late_tick_leaves_no_stamp_behind() {
        let pools = Pools::new(SpliceMode::Copy("nothing is moved"), 1);
        for _ in 0..3 {
            sleep(Duration::from_millis(5));
            pools.tick();
        }
        let stamp = pools.stamp();
        sleep(Duration::from_millis(200));
        pools.tick();
        assert!(pools.now_ms() <= stamp, "{} of {stamp}", pools.now_ms());
        assert!(pools.now_ms() >= 5, "time goes on");
    }
}
