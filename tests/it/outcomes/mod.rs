//! What becomes of a connection: each test shows what both peers see on the wire and what the
//! record says, through the real binary.

mod dial_failures;
mod half_close;
mod not_tls;
mod parties;
mod proxy_headers;
mod refusals;
mod resets;
mod rig;
mod stalls;
mod timeouts;
mod urgent;
mod waiting;
