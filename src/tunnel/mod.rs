//! The tunnel: bytes from one socket to another and back, blindly, until it is over.
//!
//! # How it works
//!
//! A [`relay()`] is one task with two [directions](direction). Each is *small* (`recv`, `send`
//! through the worker's one scratch) until reads get big, then *bulk* (`splice` through a borrowed
//! pipe). Nothing belongs to a tunnel at rest but its two sockets and its task: the scratch, slabs,
//! pipes and the wheel of deadlines are the worker's [`Pools`].
//!
//! Bytes are held in one place at a time and leave before more are read, so order needs no proof;
//! FIN is passed on only when nothing is held; every end that is not two FINs is an RST to both
//! peers, so that a cut stream never looks like a whole one. "Fact N" in the comments is a
//! behaviour of the kernel, each one measured; the ones that shaped the code:
//!
//! * `splice` from a socket says EAGAIN for an empty socket, a full pipe and an urgent mark, and 0
//!   for the end and for a mark before the end. So only an empty pipe is filled, and an EAGAIN or 0
//!   counts only when `recv` says so too.
//! * ECONNRESET is told once: a direction that saw an error stays broken.
//! * Closing a socket sends a clean FIN whatever a pipe still holds.

mod direction;
mod handle;
mod idle_wheel;
mod load;
mod meters;
#[cfg(test)]
mod model;
mod parcel;
mod pipe_pool;
mod pools;
mod relay;
mod scratch;
mod socket;
mod transfer;

pub use handle::Handle;
pub use meters::{Fallback, Flow, Meters};
pub use parcel::Parcel;
pub use pipe_pool::{SpliceMode, self_test};
pub use pools::{Counters, Pools};
pub use relay::{Relayed, Relaying, relay};
pub use socket::presume_empty;
pub use transfer::{Ended, Limits, Relay, Transfer};
