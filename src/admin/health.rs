//! `/livez`, `/readyz`, `/metrics`: what an orchestrator and a scraper ask.

use super::reports;
use super::respond::{Answer, text};
use crate::permits::tunnels_for;
use crate::route::Route;
use crate::server::Control;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::{self, Upstream, Upstreams, Vitals};
use hyper::StatusCode;
use std::sync::Arc;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Alive as long as a worker runs, here or in a successor: one that is draining is not to be killed.
pub(super) fn live(control: &Control) -> Answer {
    match control.workers_running() {
        0 if !control.is_succeeded() => text(
            StatusCode::SERVICE_UNAVAILABLE,
            PLAIN,
            "no worker runs any more\n",
        ),
        _ => text(StatusCode::OK, PLAIN, "alive\n"),
    }
}

/// Ready to be sent new clients.
pub(super) fn ready(control: &Control) -> Answer {
    match not_ready(control) {
        None => text(StatusCode::OK, PLAIN, "ready\n"),
        Some(why) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            PLAIN,
            format!("not ready: {why}\n"),
        ),
    }
}

/// Why it is not ready. What a successor is not, that tells itself.
pub(super) fn not_ready(control: &Control) -> Option<&'static str> {
    if control.is_draining() {
        Some("draining: the hub is about to end")
    } else if control.workers_running() == 0 && !control.is_succeeded() {
        Some("no worker runs any more")
    } else if control.snapshot().routes.is_empty() {
        Some("no routes are loaded: sni.yaml has none")
    } else {
        None
    }
}

/// The counters; `links`: who talks to whom, too.
pub(super) fn metrics(control: &Control, links: bool) -> Answer {
    let vitals = vitals(control);
    let page = control.counted(|counters| metrics::exposition(counters, vitals, links));
    text(StatusCode::OK, metrics::CONTENT_TYPE, page)
}

fn vitals(control: &Control) -> Vitals {
    let (snapshot, shared) = (control.snapshot(), control.shared());
    let limits = &snapshot.settings.limits;
    let family = control.predecessors().family();
    Vitals {
        sessions: reports::sessions(control),
        most_tunnels: limits.tunnels.unwrap_or_else(|| tunnels_for(shared.nofile)),
        draining: family.living.iter().map(|one| one.open()).sum(),
        predecessors: family.living.len(),
        pending_hellos: shared.permits.hellos.get(),
        pending_dials: shared.permits.dials.get(),
        hello_bytes: shared.hello_memory.used(),
        workers: control.workers_running(),
        routes: snapshot.routes.len(),
        generation: snapshot.generation,
        ready: not_ready(control).is_none(),
        reloaded: control.reloads().get(),
        upstreams: upstreams(control, &snapshot),
    }
}

/// Those of the first routes have series of their own.
fn upstreams(control: &Control, snapshot: &Snapshot) -> Upstreams {
    let known = control.health();
    if known.asked == 0 {
        return Upstreams::default();
    }
    let series = |(_, route): (u32, &Arc<Route>)| {
        let health = known.routes.get(&route.id)?;
        let shown = health.certificate.as_ref();
        Some(Upstream {
            route: Arc::clone(&route.id),
            up: health.failing.is_none(),
            took: health.took,
            certificate: shown.map(|own| {
                let others = own.also.as_ref().map_or(0, |also| also.many);
                (own.not_after.0, others)
            }),
        })
    };
    let most = snapshot.settings.metrics.max_routes;
    let failing = known.failing();
    Upstreams {
        up: known.routes.len() - failing,
        failing,
        unknown: known.asked.saturating_sub(known.routes.len()),
        routes: snapshot
            .routes
            .entries()
            .filter_map(series)
            .take(most)
            .collect(),
    }
}
