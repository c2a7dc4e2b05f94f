//! A party of the star: its route in sni.yaml, its certificate, and the bundle that it is given.
//!
//! [`Routes`] is sni.yaml under its lock: every change is judged as `snihub check` judges it before
//! a byte is written, and then takes the place of the old file in one step. The bundle is made of
//! values and of what the CA folder delivered, so that making it again gives the same bytes.
//!
//! The order is what survives a crash: certificate, bundle, route, hub. Whatever is there already is
//! left as it is, so that the same command completes what was cut short.

mod bundle;
mod certificate;
mod diff;
pub mod doctor;
mod error;
mod live;
mod name;
mod plan;
pub(crate) mod replace;
mod routes;

pub use bundle::{BundleFile, Facts, close, files, made_for, write};
pub use certificate::{Files, again, bundle_of, check_place, collect, differs, standing};
pub use error::PartyError;
pub use live::{Drained, Expected, Live, counts, drain, reload};
pub use name::{Hub, Party};
pub use plan::{Plan, Wish, add, remove, reroute};
pub use routes::{Change, Prepared, Routes, Row};

use crate::pki::Layout;

/// The layouts that a party of a star has.
pub const LAYOUTS: [Layout; 3] = [Layout::Pulsar, Layout::Eggroll, Layout::Osx];

/// Where a party's certificate is in its bundle.
pub const CERTIFICATES: &str = "certs";
