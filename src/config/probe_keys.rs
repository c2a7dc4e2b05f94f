//! The keys of hub.yaml about asking upstreams how they do.

use super::keys::{mapping, put, time, unknown, word};
use super::problem::Reporter;
use super::settings::Settings;
use super::value::DurationRule;
use super::yaml::{Node, Value};
use crate::route::ProbeKind;
use std::time::Duration;

/// Keys of `probe`.
pub(super) const PROBE: [&str; 3] = ["kind", "interval", "timeout"];

/// Of hub.yaml and of an entry in sni.yaml.
pub(super) const KINDS: [(&str, ProbeKind); 3] = [
    ("off", ProbeKind::Off),
    ("tcp", ProbeKind::Tcp),
    ("tls", ProbeKind::Tls),
];

const INTERVAL: DurationRule = DurationRule::on(Duration::from_secs(1), Duration::from_secs(3_600));
const TIMEOUT: DurationRule =
    DurationRule::on(Duration::from_millis(100), Duration::from_secs(300));

/// A kind alone, or with how often and how long.
pub(super) fn probe(settings: &mut Settings, node: Node<'_>, reporter: &mut Reporter<'_>) {
    let probe = &mut settings.probe;
    if !matches!(node.value(), Value::Mapping(_)) {
        put(&mut probe.kind, word("probe", node, &KINDS, reporter));
        return;
    }
    for (key, at, node) in mapping("probe", node, &PROBE, reporter) {
        match key {
            "kind" => put(&mut probe.kind, word(key, node, &KINDS, reporter)),
            "interval" => put(&mut probe.interval, time(key, node, &INTERVAL, reporter)),
            "timeout" => put(&mut probe.timeout, time(key, node, &TIMEOUT, reporter)),
            key => unknown(key, at, &PROBE, reporter),
        }
    }
}
