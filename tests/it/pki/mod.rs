//! `snihub pki`: what it makes is read by those it is made for, and its folder survives everything.

mod concurrent;
mod crash;
mod input;
mod layouts;
mod life;
mod passphrase;
mod readers;
mod readme;
mod requests;
mod revocation;
pub(crate) mod rig;
