//! One entry of sni.yaml: as `config` hands it in (`Entry`), and as a session holds it (`Route`).

use super::{FqdnPattern, IpSet, PortSet, ProbeKind, TargetTemplate, Timeouts};
use crate::net::addr::ProxyVersion;
use std::sync::Arc;

/// What an entry does with the connections it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `tunnel_route`: dial, and pass bytes both ways untouched.
    Tunnel(TargetTemplate),
    /// The entry has no route. It still ends the search, as in ATS: its names are refused.
    None,
}

/// One entry of sni.yaml, parsed, before it has a place in a table.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its line in the file, from 1.
    pub line: u32,
    /// `fqdn`.
    pub pattern: FqdnPattern,
    /// `inbound_port_ranges`: takes only connections to these ports of the hub; `None`: to all.
    pub inbound_ports: Option<PortSet>,
    /// `tunnel_route`.
    pub action: Action,
    /// `ip_allow`: only these sources; `None`: everyone. Shared, so that many entries may name one
    /// big `"@file"`.
    pub ip_allow: Option<Arc<IpSet>>,
    /// `sources`: connections from there come from this party.
    pub sources: Option<Arc<IpSet>>,
    /// `allow_private`: a bare `$N` may lead into private ranges.
    pub allow_private: bool,
    /// Overrides of the hub's timeouts.
    pub timeouts: Timeouts,
    /// `send_proxy`: header to write before the hello.
    pub send_proxy: Option<ProxyVersion>,
    /// `probe`: how the upstream is asked; `None`: as the hub's settings say.
    pub probe: Option<ProbeKind>,
}

impl Entry {
    /// An entry with nothing but a pattern and an action: every port, everyone, the hub's timeouts.
    pub fn new(line: u32, pattern: FqdnPattern, action: Action) -> Entry {
        Entry {
            line,
            pattern,
            inbound_ports: None,
            action,
            ip_allow: None,
            sources: None,
            allow_private: false,
            timeouts: Timeouts::default(),
            send_proxy: None,
            probe: None,
        }
    }
}

/// One entry of sni.yaml, as a session holds it. Never points back to its table, and does not know
/// its line: a route that only moved in the file stays the same value (and keeps its counters).
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// Ours, unique in the table: the label in records and metrics. The fqdn; `(no name)` for `''`;
    /// `fqdn:8080-8086` with inbound ports; `#2`, `#3`... appended to later duplicates.
    pub id: Arc<str>,
    /// Overrides.
    pub timeouts: Timeouts,
    /// Header to write before the hello.
    pub send_proxy: Option<ProxyVersion>,
    /// How the upstream is asked; `None`: as the hub's settings say.
    pub probe: Option<ProbeKind>,
    pub(super) pattern: FqdnPattern,
    pub(super) inbound_ports: Option<PortSet>,
    pub(super) action: Action,
    pub(super) ip_allow: Option<Arc<IpSet>>,
    pub(super) sources: Option<Arc<IpSet>>,
    pub(super) allow_private: bool,
}

impl Route {
    pub(super) fn new(id: Arc<str>, entry: Entry) -> Route {
        Route {
            id,
            timeouts: entry.timeouts,
            send_proxy: entry.send_proxy,
            probe: entry.probe,
            pattern: entry.pattern,
            inbound_ports: entry.inbound_ports,
            action: entry.action,
            ip_allow: entry.ip_allow,
            sources: entry.sources,
            allow_private: entry.allow_private,
        }
    }

    /// Whether it is for connections to this port of the hub.
    pub fn listens_on(&self, inbound_port: u16) -> bool {
        self.inbound_ports
            .as_ref()
            .is_none_or(|ports| ports.contains(inbound_port))
    }

    /// The fqdn; [`FqdnPattern::capture`] of it tells what each `*` took.
    pub fn pattern(&self) -> &FqdnPattern {
        &self.pattern
    }

    /// The ports of the hub it is for; `None`: all.
    pub fn inbound_ports(&self) -> Option<&PortSet> {
        self.inbound_ports.as_ref()
    }

    /// What it does.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The destination, if it has one.
    pub fn target(&self) -> Option<&TargetTemplate> {
        match &self.action {
            Action::Tunnel(target) => Some(target),
            Action::None => None,
        }
    }

    /// Who may come; `None`: everyone.
    pub fn ip_allow(&self) -> Option<&IpSet> {
        self.ip_allow.as_deref()
    }

    /// The addresses of its party, if the entry lists them.
    pub fn sources(&self) -> Option<&IpSet> {
        self.sources.as_deref()
    }

    /// Whether a bare `$N` may lead into private ranges.
    pub fn allow_private(&self) -> bool {
        self.allow_private
    }
}
