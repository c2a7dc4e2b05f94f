//! A standing tunnel as others on its worker see it, and the one thing they can do to it.

use super::transfer::{Ended, Relay};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

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
    /// The relay is to look for an error that no wake-up told.
    look: Cell<bool>,
    ended: Cell<Option<Ended>>,
    waker: RefCell<Option<Waker>>,
}

impl Handle {
    /// A handle for one tunnel, to be given to [`super::relay()`] or [`super::Parcel::open`].
    pub fn new() -> Rc<Handle> {
        Rc::default()
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

    /// When the last byte moved, in ms of [`super::Pools::now_ms`] (to one coarse tick).
    pub fn last_active_ms(&self) -> u64 {
        self.active.get()
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

    /// Has the relay look for a socket error that no wake-up told.
    pub(super) fn look_again(&self) {
        self.look.set(true);
        self.wake();
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
