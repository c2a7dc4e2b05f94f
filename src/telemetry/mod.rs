//! What the hub tells of itself: one record per session, and counters.

mod counters;
mod image;
mod links;
mod log;
pub mod metrics;
mod process;
mod recent;
mod record;
mod reloads;
mod tunnel;

pub use counters::{Counters, RELAYS, Totals};
pub use image::Image;
pub use links::{Ledger, Link, OTHER, Pair, Pairs};
pub use log::{
    LOGS, LogFormat, LogGuard, choose_log_level, chosen_log_level, init_log, log_level,
    reopen_at_sigusr1, set_log_format, to_stderr,
};
pub use process::stat_fields;
pub use recent::{Declined, KEPT, Recent};
pub use record::{Facts, Outcome, Record, SessionId, session_id};
pub use reloads::{LastReload, ReloadResult, Reloaded, Reloads};
pub use tunnel::{Tcp, Tunnel};

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
