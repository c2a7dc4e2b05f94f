//! What the hub tells of itself: one record per session, and counters.

mod counters;
mod log;
mod record;

pub use counters::{Counters, Totals};
pub use log::{LogGuard, init_log, set_log_json};
pub use record::{Facts, Outcome, Record, SessionId};
