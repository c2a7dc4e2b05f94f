//! Files into meaning: what leaves this module cannot be wrong, and what is wrong in the files
//! leaves it as [`Problem`]s, all at once.
//!
//! ```text
//! load: files --text--> yaml --hub_yaml--> Settings
//!                            --sni_yaml--> route's constructors --> RouteTable
//!                    --ats--> the same two, from records.config and its neighbours
//! ```

mod admin_keys;
mod ats;
mod directives;
pub mod edit;
mod effects;
mod fate_table;
mod files;
mod fixed;
mod hub_yaml;
mod import;
mod ip_list;
mod keys;
mod lints;
mod listen_keys;
mod load;
mod log_keys;
mod probe_keys;
mod problem;
mod scan_error;
mod settings;
mod sni_yaml;
mod text;
mod value;
mod yaml;

pub use fate_table::{FateEntry, fate_table};
pub use files::{FileSet, MAX_HUB_FILE, MAX_ROUTES_FILE};
pub use fixed::{Written, keep_fixed};
pub use import::{Imported, import};
pub use listen_keys::overlap;
pub use load::{
    HOME, Load, Loaded, Sources, admin_socket, load, load_from, load_instead, routes_place, shrink,
    shrink_since,
};
pub use problem::{Excerpt, MAX_SHOWN, Problem, Severity};
pub use settings::{
    ADMIN_SOCKET, AccessLog, Keepalive, Limits, ListenSpec, Metrics, OnRouteRemoved, Probe,
    ProxyProtocol, Settings,
};

/// Every key of hub.yaml, nested ones as `limits.tunnels`: what the manual must speak of.
pub fn hub_keys() -> Vec<String> {
    let nested = [
        ("listen", &hub_yaml::LISTEN[..]),
        ("keepalive", &hub_yaml::KEEPALIVE),
        ("limits", &hub_yaml::LIMITS),
        ("metrics", &hub_yaml::METRICS),
        ("access_log", &log_keys::ACCESS_LOG),
        ("reload", &hub_yaml::RELOAD),
        ("probe", &probe_keys::PROBE),
    ];
    let inner = nested
        .into_iter()
        .flat_map(|(outer, keys)| keys.iter().map(move |key| format!("{outer}.{key}")));
    let plain = hub_yaml::KEYS.iter().map(|key| (*key).to_owned());
    plain.chain(inner).collect()
}

/// Every key of an entry in sni.yaml.
pub fn sni_keys() -> impl Iterator<Item = &'static str> {
    directives::DIRECTIVES.iter().map(|(key, _)| *key)
}
