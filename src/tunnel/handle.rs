//! A standing tunnel as others on its worker see it, and the one thing they can do to it.

use super::meters::Flow;
use super::transfer::{Ended, Relay};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use tokio::net::TcpStream;

/// Shared by the relay (which writes), the idle wheel and whoever lists or ends tunnels (which
/// read). Never leaves its worker thread; nothing in it is allocated after [`Handle::new`].
///
/// Index 0 is client to upstream, index 1 upstream to client.
#[derive(Debug, Default)]
pub struct Handle {
    /// Bytes passed on so far, each way.
    pub(super) bytes: [Cell<u64>; 2],
    /// Bytes of these that `splice` carried, both ways together.
    pub(super) spliced: Cell<u64>,
    /// Coarse time (ms) of the last byte moved.
    pub(super) active: Cell<u64>,
    /// Coarse time (ms) since which each direction has had bytes that its receiver does not take.
    pub(super) stalled: [Cell<Option<u64>>; 2],
    /// Coarse time (ms) since which one direction has been over.
    pub(super) half_open: Cell<Option<u64>>,
    /// The relay is to look for what no wake-up told.
    look: Cell<bool>,
    /// No byte has moved since it last was to look.
    looked: Cell<bool>,
    ended: Cell<Option<Ended>>,
    waker: RefCell<Option<Waker>>,
    /// Counts the bytes together with those of other tunnels of the same kind.
    flow: Option<Arc<Flow>>,
    /// Client, upstream, for as long as the relay has them.
    pub(super) sockets: RefCell<Weak<[TcpStream; 2]>>,
    rate: Rate,
}

/// Bytes a second of the last whole window of about a second in which bytes moved.
#[derive(Debug, Default)]
struct Rate {
    /// Coarse time (ms) at which the window began, and the bytes until then.
    since: Cell<u64>,
    before: [Cell<u64>; 2],
    per_second: [Cell<u64>; 2],
}

/// The length of a window, in ms of coarse time; after two without a byte the rate is 0.
const WINDOW: u64 = 1_000;

impl Handle {
    /// A handle for one tunnel, to be given to [`super::relay()`] or [`super::Parcel::open`].
    pub fn new() -> Rc<Handle> {
        Rc::default()
    }

    /// A handle whose tunnel's bytes are also counted in `flow`.
    pub fn counted_by(flow: Arc<Flow>) -> Rc<Handle> {
        Rc::new(Handle {
            flow: Some(flow),
            ..Handle::default()
        })
    }

    /// Bytes passed on so far from the client to the upstream.
    pub fn client_to_upstream(&self) -> u64 {
        self.bytes[0].get()
    }

    /// Bytes passed on so far from the upstream to the client.
    pub fn upstream_to_client(&self) -> u64 {
        self.bytes[1].get()
    }

    /// What has carried the bytes so far.
    pub fn relay(&self) -> Relay {
        Relay::from_spliced(self.spliced.get())
    }

    /// Bytes a second of late from client to upstream and back; `now`: [`super::Pools::now_ms`].
    pub fn rates(&self, now: u64) -> [u64; 2] {
        let silent = now.saturating_sub(self.active.get()) > 2 * WINDOW;
        let rate = |index: usize| self.rate.per_second[index].get();
        if silent { [0; 2] } else { [rate(0), rate(1)] }
    }

    /// Has a look at both sockets, client and upstream, while the tunnel stands. They may not be
    /// read from or written to.
    pub fn with_sockets<R>(&self, look: impl FnOnce(&[TcpStream; 2]) -> R) -> Option<R> {
        let sockets = self.sockets.borrow().upgrade()?;
        Some(look(&sockets))
    }

    /// When the last byte moved, in ms of [`super::Pools::now_ms`] (to one coarse tick).
    pub fn last_active_ms(&self) -> u64 {
        self.active.get()
    }

    /// Whether there may be a socket that neither direction reads or writes at the moment.
    pub(super) fn may_miss_an_error(&self) -> bool {
        self.is_half_open() || self.is_stalled()
    }

    /// Whether one direction is over and the other still runs.
    pub fn is_half_open(&self) -> bool {
        self.half_open.get().is_some()
    }

    /// Whether bytes wait for a receiver that takes none.
    pub fn is_stalled(&self) -> bool {
        self.stalled.iter().any(|since| since.get().is_some())
    }

    /// Why the tunnel was asked to end, or ended; `None` while it stands.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.get()
    }

    /// Asks the tunnel to end: both peers get RST (nobody after [`Ended::HandedOver`]), and the
    /// relay returns with `why`. The first reason stays; asked before [`super::relay()`] runs, it
    /// ends at once. Nothing happens to a tunnel that is already over.
    pub fn end(&self, why: Ended) {
        if self.ended.get().is_none() {
            self.ended.set(Some(why));
            self.wake();
        }
    }

    /// Has the relay look for what no wake-up told: a socket error, bytes behind an urgent mark.
    pub(super) fn look_again(&self) {
        self.look.set(true);
        self.looked.set(true);
        self.wake();
    }

    /// Whether bytes have moved (or the hello was read) since the relay last was to look.
    pub(super) fn is_unlooked(&self) -> bool {
        !self.looked.get()
    }

    /// Bytes have moved at this coarse time.
    pub(super) fn moved(&self, stamp: u64) {
        self.active.set(stamp);
        self.looked.set(false);
        self.rate(stamp);
    }

    /// Whether it is to look; asked once.
    pub(super) fn takes_look(&self) -> bool {
        self.look.replace(false)
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Begins with what was moved, and counted, elsewhere.
    pub(super) fn begin(&self, moved: [u64; 2], spliced: u64, stamp: u64) {
        self.rate.since.set(stamp);
        for (index, bytes) in moved.into_iter().enumerate() {
            self.bytes[index].set(bytes);
            self.rate.before[index].set(bytes);
        }
        self.spliced.set(spliced);
    }

    /// Bytes have moved.
    pub(super) fn count(&self, index: usize, bytes: u64) {
        if let Some(flow) = &self.flow {
            flow.count(index, bytes);
        }
    }

    /// Closes the window of the rate, if it is over.
    fn rate(&self, stamp: u64) {
        let Rate {
            since,
            before,
            per_second,
        } = &self.rate;
        let elapsed = stamp.saturating_sub(since.get());
        if elapsed < WINDOW {
            return;
        }
        since.set(stamp);
        for ((bytes, before), rate) in self.bytes.iter().zip(before).zip(per_second) {
            let moved = bytes.get() - before.replace(bytes.get());
            rate.set(moved.saturating_mul(1_000) / elapsed);
        }
    }

    /// The task to wake; kept as long as it is the same one.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        match &mut *known {
            Some(known) => known.clone_from(waker),
            None => *known = Some(waker.clone()),
        }
    }

    /// The tunnel is over: the first reason given stays.
    pub(super) fn close(&self, why: Ended) -> Ended {
        let why = self.ended.get().unwrap_or(why);
        self.ended.set(Some(why));
        self.waker.borrow_mut().take();
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_what_moved_here_in_the_last_window() {
        let handle = Handle::new();
        let uptime = 3_600_000;
        handle.begin([1 << 30, 5], 0, uptime);
        let moved = |bytes: u64, at: u64| {
            handle.bytes[0].set((1 << 30) + bytes);
            handle.active.set(at);
            handle.rate(at);
            handle.rates(at)
        };
        // What another worker moved is none of it.
        assert_eq!(moved(0, uptime), [0, 0]);
        assert_eq!(moved(3_000, uptime + 500), [0, 0], "the window is open");
        assert_eq!(moved(6_000, uptime + 1_500), [4_000, 0]);
        assert_eq!(handle.rates(uptime + 1_500 + 2 * WINDOW), [4_000, 0]);
        assert_eq!(handle.rates(uptime + 1_501 + 2 * WINDOW), [0, 0]);
    }
}
