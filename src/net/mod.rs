//! Sockets: addresses, listeners, dialling, options, the PROXY header.
//!
//! Mechanism without rules: everything here takes numbers and addresses and returns values; the
//! session decides and counts.

pub mod addr;

pub use addr::{Endpoints, Fence, Host, ProxyVersion, SourceKey, Target};
