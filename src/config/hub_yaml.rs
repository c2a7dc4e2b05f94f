//! hub.yaml: settings of the hub itself. The file is ours, so an unknown key is an error.

use super::admin_keys;
use super::fixed::Written;
use super::keys::{Seen, count, mapping, put, size, time, time_or_off, unknown, word};
use super::listen_keys::listen;
use super::log_keys;
use super::probe_keys;
use super::problem::{At, Reporter};
use super::settings::{Keepalive, OnRouteRemoved, Settings};
use super::value::{DurationRule, Scalar, YEAR, scalar, show_duration};
use super::yaml::{Node, Tree, Value};
use crate::route::{ConnectPorts, PortError, PortSetBuilder};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Keys that have a meaning.
pub(super) const KEYS: [&str; 24] = [
    "listen",
    "routes",
    "workers",
    "connect_ports",
    "max_client_hello",
    "hello_timeout",
    "dial_timeout",
    "dial_timeout_total",
    "keepalive",
    "idle_timeout",
    "half_open_timeout",
    "write_stall_timeout",
    "drain",
    "upgrade_drain",
    "limits",
    "on_route_removed",
    "reload",
    "probe",
    "access_log",
    "admin",
    "admin_listen",
    "admin_token_file",
    "ops_listen",
    "metrics",
];

/// Keys of `limits`.
pub(super) const LIMITS: [&str; 7] = [
    "tunnels",
    "pending_hellos",
    "pending_hellos_per_source",
    "hello_memory",
    "pending_dials",
    "per_source",
    "per_route",
];

/// Keys of a `listen` item.
pub(super) const LISTEN: [&str; 4] = ["address", "name", "proxy_protocol", "trusted"];

/// Keys of `keepalive`.
pub(super) const KEEPALIVE: [&str; 2] = ["interval", "probes"];

/// Keys of `metrics`.
pub(super) const METRICS: [&str; 2] = ["max_routes", "routes_on_ops"];

/// Keys of `reload`.
pub(super) const RELOAD: [&str; 1] = ["allow_shrink"];

const MILLIS_100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const CAP: RangeInclusive<usize> = 1..=10_000_000;

const HELLO: DurationRule = DurationRule::on(MILLIS_100, Duration::from_secs(300));

/// Timeouts that hub.yaml and an entry of sni.yaml share.
pub(super) const DIAL: DurationRule = DurationRule::on(MILLIS_100, Duration::from_secs(300));
pub(super) const IDLE: DurationRule = DurationRule::or_off(SECOND, YEAR);
pub(super) const HALF_OPEN: DurationRule = DurationRule::or_off(SECOND, YEAR);
pub(super) const WRITE_STALL: DurationRule = DurationRule::or_off(SECOND, YEAR);

/// Pulsar pings every 30 s and gives up after the second one: a shorter idle limit cuts links that
/// are well.
pub(super) const SHORT_IDLE: Duration = Duration::from_secs(120);

/// A Pulsar broker gives up a handshake after 30 s.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What hub.yaml says.
#[derive(Debug, Default)]
pub(super) struct HubYaml {
    pub(super) settings: Settings,
    /// `routes`, as written: relative to the file's directory.
    pub(super) routes: Option<PathBuf>,
    /// Where `settings` stand.
    pub(super) written: Written,
    /// The file was not read to its end: `routes` may stand in what is missing.
    pub(super) unread: bool,
}

impl HubYaml {
    /// Of a file that cannot be read.
    pub(super) fn unread() -> HubYaml {
        HubYaml {
            unread: true,
            ..HubYaml::default()
        }
    }
}

/// Reads hub.yaml; what is wrong goes to `reporter`, and the default stands in its place. `taken`:
/// keys that another file has its say about, and what they are called there.
pub(super) fn read(source: &str, taken: &[(&str, &str)], reporter: &mut Reporter<'_>) -> HubYaml {
    let tree = Tree::parse(source, reporter);
    let mut hub = HubYaml {
        unread: !tree.complete(),
        ..HubYaml::default()
    };
    match tree.root().map(|root| (root, root.value())) {
        None | Some((_, Value::Null)) => {}
        Some((_, Value::Mapping(mapping))) => {
            for (key, at, node) in mapping.entries() {
                hub.written.places.note(key, node.at());
                if let Some((_, there)) = taken.iter().find(|(here, _)| *here == key) {
                    let text = format!("with --ats, {there} of records.config says it; remove it");
                    reporter.error(at, key, text);
                    continue;
                }
                setting(&mut hub, key, at, node, reporter);
            }
            relations(&mut hub.settings, &hub.written.places, reporter);
            let place = hub.written.places.place("admin_token_file");
            admin_keys::relations(&hub.settings, place, reporter);
        }
        Some((root, _)) => {
            let text = format!("{} where keys like `listen:` are expected", root.seen());
            reporter.error(root.at(), "", text);
        }
    }
    hub
}

fn setting(hub: &mut HubYaml, key: &str, at: At, node: Node<'_>, reporter: &mut Reporter<'_>) {
    let settings = &mut hub.settings;
    match key {
        "listen" => put(&mut settings.listen, listen(node, reporter)),
        "routes" => {
            hub.routes = scalar(reporter, key, node).and_then(routes);
        }
        "workers" => put(
            &mut settings.workers,
            count(key, node, 1..=1024, Some("auto"), reporter),
        ),
        "connect_ports" => put(
            &mut settings.connect_ports,
            connect_ports(key, node, reporter),
        ),
        "max_client_hello" => {
            put(
                &mut settings.max_client_hello,
                size(key, node, 4 << 10..=1 << 20, reporter),
            );
        }
        "hello_timeout" => put(
            &mut settings.hello_timeout,
            time(key, node, &HELLO, reporter),
        ),
        "dial_timeout" => put(&mut settings.dial_timeout, time(key, node, &DIAL, reporter)),
        "dial_timeout_total" => {
            let rule = DurationRule::on(MILLIS_100, MINUTE * 10);
            put(
                &mut settings.dial_timeout_total,
                time(key, node, &rule, reporter),
            );
        }
        "keepalive" => put(&mut settings.keepalive, keepalive(key, node, reporter)),
        "idle_timeout" => put(
            &mut settings.idle_timeout,
            time_or_off(key, node, &IDLE, reporter),
        ),
        "half_open_timeout" => {
            put(
                &mut settings.half_open_timeout,
                time_or_off(key, node, &HALF_OPEN, reporter),
            );
        }
        "write_stall_timeout" => {
            put(
                &mut settings.write_stall_timeout,
                time_or_off(key, node, &WRITE_STALL, reporter),
            );
        }
        "drain" => {
            let rule = DurationRule::or_off(SECOND, MINUTE * 60);
            let drain = time_or_off(key, node, &rule, reporter);
            put(&mut settings.drain, drain.map(Option::unwrap_or_default));
        }
        "upgrade_drain" => {
            let rule = DurationRule::or_off(SECOND, MINUTE * 60 * 24);
            let drain = time_or_off(key, node, &rule, reporter);
            put(
                &mut settings.upgrade_drain,
                drain.map(Option::unwrap_or_default),
            );
        }
        "limits" => limits(settings, node, reporter),
        "on_route_removed" => {
            let words = [
                ("keep", OnRouteRemoved::Keep),
                ("close", OnRouteRemoved::Close),
            ];
            put(
                &mut settings.on_route_removed,
                word(key, node, &words, reporter),
            );
        }
        "reload" => reload(settings, node, reporter),
        "probe" => probe_keys::probe(settings, node, reporter),
        "access_log" => log_keys::access_log(settings, node, reporter),
        "admin" => put(&mut settings.admin, admin_keys::socket(key, node, reporter)),
        "admin_listen" => put(
            &mut settings.admin_listen,
            admin_keys::loopback(key, node, reporter),
        ),
        "admin_token_file" => put(
            &mut settings.admin_token_file,
            admin_keys::file(key, node, reporter).map(Some),
        ),
        "ops_listen" => put(
            &mut settings.ops_listen,
            admin_keys::anywhere(key, node, reporter),
        ),
        "metrics" => admin_keys::metrics(settings, node, reporter),
        key => unknown(key, at, &KEYS, reporter),
    }
}

/// A path; empty, it would be the file's own directory.
fn routes(mut value: Scalar<'_, '_, '_>) -> Option<PathBuf> {
    if value.text.is_empty() {
        return value.refuse("is no path: give sni.yaml or its directory, or remove the key");
    }
    Some(PathBuf::from(value.text))
}

fn connect_ports(key: &str, node: Node<'_>, reporter: &mut Reporter<'_>) -> Option<ConnectPorts> {
    port_set(key, node, reporter).map(ConnectPorts::Written)
}

/// A text with ports and ranges, or a list of such texts.
pub(super) fn port_set(
    key: &str,
    node: Node<'_>,
    reporter: &mut Reporter<'_>,
) -> Option<crate::route::PortSet> {
    let items: Vec<Node<'_>> = match node.value() {
        Value::Sequence(list) => list.items().collect(),
        _ => vec![node],
    };
    let mut builder = PortSetBuilder::default();
    let errors = reporter.errors();
    for item in items {
        let Some(value) = scalar(reporter, key, item) else {
            continue;
        };
        if let Err(error) = builder.add(value.text) {
            let offset = match error {
                PortError::NotAPort { at, .. } | PortError::Reversed { at, .. } => at,
                PortError::Empty => 0,
            };
            reporter.error(item.inside(offset), key, error.to_string());
        }
    }
    if reporter.errors() > errors {
        return None;
    }
    match builder.build() {
        Ok(set) => Some(set),
        Err(error) => {
            reporter.error(node.at(), key, error.to_string());
            None
        }
    }
}

fn keepalive(key: &str, node: Node<'_>, reporter: &mut Reporter<'_>) -> Option<Option<Keepalive>> {
    if let Value::Text("off" | "0") = node.value() {
        return Some(None);
    }
    let mut keepalive = Keepalive::default();
    for (key, at, node) in mapping(key, node, &KEEPALIVE, reporter) {
        match key {
            "interval" => {
                // The kernel counts whole seconds (tcp(7)).
                let rule = DurationRule::on(SECOND, Duration::from_secs(32_767));
                let interval = time(key, node, &rule, reporter);
                if interval.is_some_and(|value| value.subsec_millis() != 0) {
                    reporter.error(
                        node.at(),
                        key,
                        format!("{} is not whole seconds", node.seen()),
                    );
                }
                put(&mut keepalive.interval, interval);
            }
            "probes" => {
                let probes = count(key, node, 1..=127, None, reporter).flatten();
                put(&mut keepalive.probes, probes.map(|value| value as u32));
            }
            key => unknown(key, at, &KEEPALIVE, reporter),
        }
    }
    Some(Some(keepalive))
}

fn limits(settings: &mut Settings, node: Node<'_>, reporter: &mut Reporter<'_>) {
    let mut seen = Seen::default();
    let limits = &mut settings.limits;
    for (key, at, node) in mapping("limits", node, &LIMITS, reporter) {
        seen.note(key, node.at());
        match key {
            "tunnels" => put(
                &mut limits.tunnels,
                count(key, node, CAP, Some("auto"), reporter),
            ),
            "pending_hellos" => {
                put(
                    &mut limits.pending_hellos,
                    count(key, node, CAP, None, reporter).flatten(),
                );
            }
            "pending_hellos_per_source" => {
                let value = count(key, node, CAP, None, reporter).flatten();
                put(&mut limits.pending_hellos_per_source, value);
            }
            "hello_memory" => {
                put(
                    &mut limits.hello_memory,
                    size(key, node, 1 << 20..=64 << 30, reporter),
                );
            }
            "pending_dials" => {
                put(
                    &mut limits.pending_dials,
                    count(key, node, CAP, None, reporter).flatten(),
                );
            }
            "per_source" => put(
                &mut limits.per_source,
                count(key, node, CAP, Some("off"), reporter),
            ),
            "per_route" => put(
                &mut limits.per_route,
                count(key, node, CAP, Some("off"), reporter),
            ),
            key => unknown(key, at, &LIMITS, reporter),
        }
    }
    let (all, per_source) = (limits.pending_hellos, limits.pending_hellos_per_source);
    if per_source > all {
        if let Some(at) = seen.place("pending_hellos_per_source") {
            let text = format!("{per_source} is more than pending_hellos, {all}");
            reporter.error(at, "pending_hellos_per_source", text);
        }
        limits.pending_hellos_per_source = all;
    }
}

fn reload(settings: &mut Settings, node: Node<'_>, reporter: &mut Reporter<'_>) {
    for (key, at, node) in mapping("reload", node, &RELOAD, reporter) {
        match key {
            "allow_shrink" => {
                let value = scalar(reporter, key, node).and_then(Scalar::truth);
                if value == Some(true) {
                    let text = "true lets a half-written file take all routes away; set it for one \
                                reload, then remove it";
                    reporter.warning(node.at(), key, text);
                }
                put(&mut settings.reload_allow_shrink, value);
            }
            key => unknown(key, at, &RELOAD, reporter),
        }
    }
}

/// What no key can know alone.
fn relations(settings: &mut Settings, seen: &Seen, reporter: &mut Reporter<'_>) {
    let (dial, total) = (settings.dial_timeout, settings.dial_timeout_total);
    if dial > total {
        let (dial, total) = (show_duration(dial), show_duration(total));
        if let Some(at) = seen.place("dial_timeout_total") {
            let text = format!("{total} is less than dial_timeout, {dial}");
            reporter.error(at, "dial_timeout_total", text);
        } else if let Some(at) = seen.place("dial_timeout") {
            let text = format!("{dial} is more than dial_timeout_total, {total}; set that, too");
            reporter.error(at, "dial_timeout", text);
        }
    }
    let handshake = settings.hello_timeout + total;
    let at = seen
        .place("dial_timeout_total")
        .or_else(|| seen.place("hello_timeout"));
    if let (true, Some(at)) = (handshake >= HANDSHAKE, at) {
        let text = format!(
            "hello_timeout and dial_timeout_total come to {}; a Pulsar broker gives up after 30s",
            show_duration(handshake)
        );
        reporter.warning(at, "", text);
    }
    if let (Some(idle), Some(at)) = (settings.idle_timeout, seen.place("idle_timeout")) {
        short_idle(idle, at, reporter);
    }
    if let (true, Some(at)) = (
        settings.limits.hello_memory < 2 * settings.max_client_hello,
        seen.place("limits"),
    ) {
        reporter.error(
            at,
            "hello_memory",
            "is less than one hello: twice max_client_hello",
        );
    }
}

/// The warning for an idle limit under which Pulsar's links do not live.
pub(super) fn short_idle(idle: Duration, at: At, reporter: &mut Reporter<'_>) {
    if idle < SHORT_IDLE {
        let text = format!(
            "{} cuts Pulsar links, which may be silent for longer; use 120s or more, or off",
            show_duration(idle)
        );
        reporter.warning(at, "idle_timeout", text);
    }
}
