//! `snihub party`: one command adds a party, the same again changes nothing, and whatever ends it in
//! between is completed by the next.

mod add;
mod advice;
mod bundle;
mod concurrent;
mod crash;
mod editing;
mod folders;
mod live;
mod many;
mod readme;
mod refused;
mod rig;
mod succession;
