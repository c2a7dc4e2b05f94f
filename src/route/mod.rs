//! Routing policy as pure values: no sockets, no files, no clock.
//!
//! ```text
//! Query --RouteTable::decide--> Decision{route, target} | Denied{refusal, route}
//! ```
//!
//! `config` builds every value here through a constructor that cannot produce a wrong one; what a
//! constructor takes with a grain of salt (a pattern that no name can match) it says beside it.

mod action;
mod diff;
mod ip_set;
mod lint;
mod name_index;
mod party_index;
mod pattern;
mod port_set;
mod probed;
mod table;
mod target;

pub use action::{Action, Entry, Route};
pub use diff::Diff;
pub use ip_set::{IpError, IpSet, IpSetBuilder, judged};
pub use lint::Lint;
pub use pattern::{CannotMatch, FqdnPattern, PatternError};
pub use port_set::{ConnectPorts, PortError, PortSet, PortSetBuilder};
pub use probed::ProbeKind;
pub use table::{MAX_GENERAL_PATTERNS, RouteTable, TableError};
pub use target::{TargetError, TargetTemplate, TargetWarning};

use crate::net::addr::Target;
use crate::refusal::Refusal;
use crate::tls::ServerName;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a connection shows of itself before anything is dialled.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The server name; `None` is looked up as the empty name (taken by `''` or `*`).
    pub name: Option<&'a ServerName>,
    /// Canonical source address, of the PROXY header if there was one.
    pub source: IpAddr,
    /// The port of the hub that was connected to.
    pub inbound_port: u16,
    /// The destination port of the PROXY header, if there was one.
    pub proxy_port: Option<u16>,
}

/// Per-route overrides of the hub's timeouts; `None`: the hub's value. Zero switches off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Per address.
    pub dial: Option<Duration>,
    /// No byte either way.
    pub idle: Option<Duration>,
    /// One direction has ended, no byte in the other.
    pub half_open: Option<Duration>,
    /// Bytes wait on a closed window.
    pub write_stall: Option<Duration>,
}

/// A connection may go there.
#[derive(Debug)]
pub struct Decision<'t> {
    /// The entry that took it.
    pub route: &'t Arc<Route>,
    /// Where to.
    pub target: Target,
}

/// A connection may not.
#[derive(Debug)]
pub struct Denied<'t> {
    /// Why.
    pub refusal: Refusal,
    /// The entry that matched, if one did.
    pub route: Option<&'t Arc<Route>>,
}

#[cfg(test)]
mod tests {
    //! What the tests of the files here build their tables with.

    use super::*;

    pub(super) fn entry(fqdn: &str, target: &str) -> Entry {
        let pattern = FqdnPattern::parse(fqdn).unwrap();
        let (target, _) = TargetTemplate::parse(target, pattern.captures()).unwrap();
        Entry::new(1, pattern, Action::Tunnel(target))
    }

    pub(super) fn on_ports(ports: &str, mut entry: Entry) -> Entry {
        entry.inbound_ports = Some(PortSet::parse(ports).unwrap());
        entry
    }

    pub(super) fn table(entries: impl IntoIterator<Item = Entry>) -> RouteTable {
        RouteTable::new(entries.into_iter().collect(), ConnectPorts::Default).unwrap()
    }

    pub(super) fn ips(items: &[&str]) -> Arc<IpSet> {
        let mut set = IpSetBuilder::default();
        for item in items {
            set.add(item).unwrap();
        }
        Arc::new(set.build())
    }

    pub(super) fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
