//! What the hub's settings leave of an entry's keys: a key without effect is a warning.

use super::problem::{At, Reporter};
use super::settings::{ListenSpec, ProxyProtocol, Settings};
use super::value::show_duration;
use crate::route::{ConnectPorts, FqdnPattern, PortSet, TargetTemplate};
use std::time::Duration;

/// Ports of listeners that a message repeats.
const PORTS_SHOWN: usize = 4;

/// An entry's `dial_timeout` that never runs out.
pub(super) fn dial_timeout(dial: Duration, settings: &Settings, at: At, r: &mut Reporter<'_>) {
    let total = settings.dial_timeout_total;
    if dial > total {
        let (dial, total) = (show_duration(dial), show_duration(total));
        let text =
            format!("{dial} has no effect: dial_timeout_total of hub.yaml, {total}, is less");
        r.warning(at, "dial_timeout", text);
    }
}

/// `inbound_port_ranges` to which nobody can connect.
pub(super) fn inbound_ports(ports: &PortSet, settings: &Settings, at: At, r: &mut Reporter<'_>) {
    // What the kernel picks for port 0 may be any.
    let comes = |port: u16| port == 0 || ports.contains(port);
    if settings.listen.iter().map(port).any(comes) {
        return;
    }
    let mut listen: Vec<u16> = settings.listen.iter().map(port).collect();
    listen.sort_unstable();
    listen.dedup();
    let shown: Vec<String> = listen
        .iter()
        .take(PORTS_SHOWN)
        .map(u16::to_string)
        .collect();
    let more = if listen.len() > PORTS_SHOWN {
        ", ..."
    } else {
        ""
    };
    let text = format!(
        "never taken: the hub listens on port {}{more} (`listen` of hub.yaml)",
        shown.join(", ")
    );
    r.warning(at, "inbound_port_ranges", text);
}

/// A destination port that no connection gives, or that is bounded although nobody wrote a bound.
pub(super) fn target_port(
    target: &TargetTemplate,
    settings: &Settings,
    at: At,
    r: &mut Reporter<'_>,
) {
    let required = |spec: &ListenSpec| spec.proxy_protocol == ProxyProtocol::Required;
    if target.port_is_proxys() && !settings.listen.iter().any(required) {
        let text = "always refused: no listener has proxy_protocol: required, so there is no \
                    {proxy_protocol_port}";
        r.warning(at, "tunnel_route", text);
    }
    if target.port_is_clients_choice() && settings.connect_ports == ConnectPorts::Default {
        let text = "the client chooses this port: limited to 443 and 6650-6700 while connect_ports \
                    of hub.yaml is not set (ATS permits 443 only)";
        r.warning(at, "tunnel_route", text);
    }
}

/// An entry's `probe` of an upstream that cannot be asked. `target`: none where it has none, or none
/// that is right.
pub(super) fn probe(
    pattern: &FqdnPattern,
    target: Option<&TargetTemplate>,
    at: At,
    r: &mut Reporter<'_>,
) {
    let text = if pattern.one_name().is_none() {
        "no effect: the hub asks only where fqdn is one name, which it asks by"
    } else if target.is_some_and(TargetTemplate::port_is_proxys) {
        "no effect: without a client there is no {proxy_protocol_port} to ask at"
    } else {
        return;
    };
    r.warning(at, "probe", text);
}

fn port(spec: &ListenSpec) -> u16 {
    spec.address.port()
}
