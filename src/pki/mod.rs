//! Certificates made here: an authority, and leaves for the parties it vouches for.
//!
//! The profile is RFC 5280's, held to what strict verifiers (webpki, Java, OpenSSL) insist on: X.509
//! v3, ECDSA P-256 with SHA-256, names only in the subject alternative name, key identifiers on both
//! sides, and `CA:TRUE` nowhere but on the authority, which signs leaves and nothing else.

mod authority;

pub use authority::{Authority, Issued, LONGEST, PkiError};
