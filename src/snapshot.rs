//! What a session decides and dials by: taken at accept, let go before its tunnel stands.

use crate::config::Settings;
use crate::route::RouteTable;
use std::path::PathBuf;

/// One generation of the configuration, immutable. A reload publishes a new one whole.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the reloads since the start; the first is 1.
    pub generation: u64,
    /// hub.yaml, flags and defaults.
    pub settings: Settings,
    /// sni.yaml.
    pub routes: RouteTable,
    /// Where that was read.
    pub routes_file: PathBuf,
}
