//! In the place of Apache Traffic Server: its files, its container, its commands.

mod compare;
mod folder;
mod import;
mod kubefate;
mod rig;
