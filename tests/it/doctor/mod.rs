//! The doctor says what is wrong: each promise is a real server that is misconfigured on purpose,
//! behind a real hub.

mod certificates;
mod hub;
mod not_tls;
mod partys_side;
pub(crate) mod rig;
mod well;
