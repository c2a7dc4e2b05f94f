//! What the probes of the upstreams have found.

use super::families::{Families, pair};
use std::sync::Arc;
use std::time::Duration;

/// How the upstreams do that are asked.
#[derive(Debug, Clone, Default)]
pub struct Upstreams {
    /// With which nothing is wrong.
    pub up: usize,
    /// The others.
    pub failing: usize,
    /// That have not been asked yet.
    pub unknown: usize,
    /// Those that have series of their own.
    pub routes: Vec<Upstream>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The route's id.
    pub route: Arc<str>,
    /// Whether all is well.
    pub up: bool,
    /// How long the latest probe took.
    pub took: Duration,
    /// When its certificate ends, in seconds since 1970, and for how many other routes it is good.
    pub certificate: Option<(i64, usize)>,
}

/// `links`: by route, too.
pub(super) fn upstreams(known: &Upstreams, links: bool, f: &mut Families) {
    let states = [
        ("up", known.up),
        ("failing", known.failing),
        ("unknown", known.unknown),
    ];
    if states.iter().all(|(_, n)| *n == 0) {
        return;
    }
    f.gauge(
        "snihub_upstreams",
        "Upstreams that are probed, by what the latest probe found; unknown: none yet",
        states.map(|(state, n)| (vec![("state", state)], n as f64)),
    );
    if !links {
        return;
    }
    let labelled = |one: &Upstream| {
        let mut labels = String::new();
        pair(&mut labels, "route", &one.route);
        labels
    };
    let labels: Vec<String> = known.routes.iter().map(labelled).collect();
    let rows = || labels.iter().zip(&known.routes);
    let certificates = || rows().filter_map(|(labels, one)| Some((labels, one.certificate?)));
    f.prepared(
        "snihub_upstream_up",
        "1: the latest probe found nothing wrong, by route",
        "gauge",
        rows().map(|(labels, one)| (labels, u8::from(one.up))),
    );
    f.prepared(
        "snihub_upstream_probe_seconds",
        "How long the latest probe took, by route",
        "gauge",
        rows().map(|(labels, one)| (labels, one.took.as_secs_f64())),
    );
    f.prepared(
        "snihub_upstream_certificate_not_after_timestamp_seconds",
        "When the certificate ends that the upstream showed last, by route",
        "gauge",
        certificates().map(|(labels, (end, _))| (labels, end)),
    );
    f.prepared(
        "snihub_upstream_certificate_shared",
        "Other routes for whose names that certificate is good, up to 100, by route",
        "gauge",
        certificates().map(|(labels, (_, shared))| (labels, shared)),
    );
}
