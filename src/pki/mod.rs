//! Certificates made here: an authority, and leaves for the parties it vouches for.
//!
//! The profile is RFC 5280's, held to what strict verifiers (webpki, Java, OpenSSL) insist on: X.509
//! v3, ECDSA P-256 or RSA with SHA-256, names only in the subject alternative name, key identifiers on
//! both sides, and `CA:TRUE` nowhere but on the authority, which signs leaves and nothing else.
//!
//! [`Authority`], [`Layout`], [`Order`] and [`Request`] are values: from an order and an authority
//! come files in memory. [`Folder`] alone touches a disk: it keeps an authority, what it issued and
//! what it took back.

mod authority;
mod bundle;
mod error;
mod folder;
mod layout;
mod moment;
mod name;
mod output;
mod pem;
mod read;
mod request;
mod sealed;
mod serial;
mod show;

pub use authority::{Authority, Issued, KeyKind, LONGEST, USUAL_NAME};
pub use bundle::{Bundle, BundleFile, Certified, Order, Wish};
pub use error::{Fault, Holder, PkiError};
pub use folder::{
    AUTHORITY_DUE_DAYS, DUE_DAYS, Delivery, Entry, Fits, Folder, Founding, Issue, LIST_VALID,
    Listing, Locked, MANIFEST, Manifest, Outcome, Placed, Reason, Receipt, RevocationList,
    SUCCESSION, Standing, To, ambiguous,
};
pub use layout::{Content, FileSpec, Layout, LeafSpec, Spec, Subject, Uses};
pub use moment::{DAY, Moment, days_of};
pub use name::{Name, NameFault};
pub use output::{Form, secret};
pub use read::{Certificate, first_der};
pub use request::{MOST_BYTES as MOST_REQUEST_BYTES, Request, normal};
pub use serial::Serial;
pub use show::{MOST_BYTES as MOST_SHOWN_BYTES, describe};
