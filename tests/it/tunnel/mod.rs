//! Promises of a standing tunnel, each kept both ways, copying and splicing.

mod bytes;
mod ending;
mod half_close;
mod keepalive;
mod limits;
mod moving;
mod pipe_quota;
mod reset;
pub(crate) mod rig;
mod splice_denied;
mod stalled_reader;
mod urgent;
