//! What the API tells, as JSON.

use super::health;
use super::probes::{ProbeRow, summary};
use crate::config::{OnRouteRemoved, ProxyProtocol, Settings};
use crate::reload::Told;
use crate::route::ConnectPorts;
use crate::server::{Control, Predecessor, Silent};
use crate::telemetry::metrics::{LinkSum, sums};
use crate::telemetry::{Declined, ReloadResult, Reloaded, log_level, unix_ms};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

/// `/api/status`. `silent`: whose counts are as it said last.
pub(super) fn status(control: &Control, silent: &[Silent]) -> Value {
    let (snapshot, totals) = (control.snapshot(), control.totals());
    let reloaded = control.reloads().get();
    let copying = control.copying();
    let uptime = control.started().elapsed().unwrap_or_default();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started_unix_ms": unix_ms(control.started()),
        "uptime_s": uptime.as_secs(),
        "ready": health::not_ready(control).is_none(),
        "not_ready": health::not_ready(control),
        "draining": control.is_draining(),
        "listen": control.addresses(),
        "workers": control.workers_running(),
        "relay": if copying.is_some() { "copy" } else { "splice" },
        "relay_why": copying,
        "log_level": log_level().map(|level| level.to_string()),
        "routes": snapshot.routes.len(),
        "generation": snapshot.generation,
        "config_hash": hash(&reloaded),
        "last_reload": last_reload(&reloaded),
        "waits_for_upgrade": reloaded.waits,
        "predecessors": predecessors(control, silent),
        "upstreams": summary(&control.health(), &snapshot.routes),
        "sessions": sessions(control),
        "tunnels_open": totals.open(),
        "tunnels_opened": totals.opened,
        "accepted": totals.accepted,
        "refused": totals.refused,
        "left": totals.left,
        "dial_errors": totals.dial_failed,
        "aborted": totals.aborted,
        "client_to_upstream": totals.client_to_upstream,
        "upstream_to_client": totals.upstream_to_client,
    })
}

/// Connections of any state, those of the processes before this one among them.
pub(super) fn sessions(control: &Control) -> usize {
    let family = control.predecessors().family();
    let abroad = family.living.iter().map(|one| one.sessions.load(Relaxed));
    control.shared().permits.sessions.get() + abroad.sum::<usize>()
}

/// The processes before this one that still hold tunnels.
fn predecessors(control: &Control, silent: &[Silent]) -> Vec<Value> {
    let describe = |one: &Arc<Predecessor>| {
        json!({
            "pid": one.pid,
            "tunnels_open": one.open(),
            "until_unix_ms": unix_ms(one.until),
            "answers": silent.iter().all(|other| other.pid != one.pid),
        })
    };
    let family = control.predecessors().family();
    family.living.iter().map(describe).collect()
}

fn hash(reloaded: &Reloaded) -> String {
    format!("{:016x}", reloaded.hash)
}

fn last_reload(reloaded: &Reloaded) -> Value {
    let Some(last) = &reloaded.last else {
        return Value::Null;
    };
    json!({
        "at_unix_ms": unix_ms(last.at),
        "result": last.result.label(),
        "took_ms": last.took.as_millis() as u64,
        "problems": last.problems,
    })
}

/// `/api/routes`. Not a [`Value`], which takes some ten times the memory: a table may be long.
#[derive(Debug, Serialize)]
pub(super) struct Routes {
    generation: u64,
    /// In file order, then what is counted and stands in the file no more.
    routes: Vec<RouteRow>,
    links: Vec<LinkRow>,
}

#[derive(Debug, Serialize)]
struct RouteRow {
    id: Arc<str>,
    line: Option<u32>,
    target: Option<String>,
    inbound_ports: Option<String>,
    probe: Option<ProbeRow>,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize)]
struct LinkRow {
    party: Option<Arc<str>>,
    route: Arc<str>,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize)]
struct Counts {
    state: &'static str,
    tunnels_open: u64,
    tunnels_opened: u64,
    refused: u64,
    dial_errors: u64,
    client_to_upstream: u64,
    upstream_to_client: u64,
    last_opened_unix_ms: Option<u64>,
    last_refused_unix_ms: Option<u64>,
    last_dial_error_unix_ms: Option<u64>,
}

impl Counts {
    fn of(sum: &LinkSum, now_ms: u64) -> Counts {
        let ever = |at: u64| (at > 0).then_some(at);
        Counts {
            state: sum.state(now_ms).label(),
            tunnels_open: sum.open(),
            tunnels_opened: sum.opened,
            refused: sum.refused,
            dial_errors: sum.dial_failed,
            client_to_upstream: sum.client_to_upstream,
            upstream_to_client: sum.upstream_to_client,
            last_opened_unix_ms: ever(sum.opened_at),
            last_refused_unix_ms: ever(sum.refused_at),
            last_dial_error_unix_ms: ever(sum.dial_failed_at),
        }
    }
}

impl Routes {
    /// As they are now.
    pub(super) fn of(control: &Control) -> Routes {
        let mut by_route: HashMap<Arc<str>, LinkSum> = HashMap::new();
        let pairs = control.counted(sums);
        for (pair, sum) in &pairs {
            by_route
                .entry(Arc::clone(&pair.route))
                .or_default()
                .add(sum);
        }
        let (snapshot, now_ms) = (control.snapshot(), unix_ms(SystemTime::now()));
        let known = control.health();
        let mut routes: Vec<RouteRow> = snapshot
            .routes
            .entries()
            .map(|(line, route)| RouteRow {
                id: Arc::clone(&route.id),
                line: Some(line),
                target: route.target().map(ToString::to_string),
                inbound_ports: route.inbound_ports().map(ToString::to_string),
                probe: known
                    .routes
                    .get(&route.id)
                    .map(|health| ProbeRow::of(&route.id, health)),
                counts: Counts::of(&by_route.remove(&route.id).unwrap_or_default(), now_ms),
            })
            .collect();
        let mut gone: Vec<_> = by_route.into_iter().collect();
        gone.sort_by(|a, b| a.0.cmp(&b.0));
        routes.extend(gone.into_iter().map(|(id, sum)| RouteRow {
            id,
            line: None,
            target: None,
            inbound_ports: None,
            probe: None,
            counts: Counts::of(&sum, now_ms),
        }));
        let links = pairs.into_iter().map(|(pair, sum)| LinkRow {
            party: pair.party,
            route: pair.route,
            counts: Counts::of(&sum, now_ms),
        });
        Routes {
            generation: snapshot.generation,
            routes,
            links: links.collect(),
        }
    }
}

/// `/api/refusals`: the latest first.
pub(super) fn refusals(control: &Control, limit: usize) -> Value {
    let all = control.declined();
    let rows: Vec<Value> = all.iter().rev().take(limit).map(declined).collect();
    json!({ "refusals": rows })
}

fn declined(one: &Declined) -> Value {
    json!({
        "at_unix_ms": unix_ms(one.at),
        "session": one.session,
        "source": one.source,
        "party": one.party,
        "name": one.name,
        "route": one.route,
        "target": one.target,
        "reason": one.reason,
        "by": one.by,
        "why": one.why,
    })
}

/// The verdict of `/api/reload`.
pub(super) fn reload(told: &Told) -> Value {
    let waits = told.waits.iter().map(|wait| wait.headline().to_string());
    json!({
        "result": told.result.label(),
        "in_force": told.result != ReloadResult::Refused && told.waits.is_empty(),
        "waits_for_upgrade": waits.collect::<Vec<_>>(),
        "generation": told.current.generation,
        "routes": told.current.routes.len(),
        "problems": told.problems,
        "text": told.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// `/api/config`: hub.yaml as it is in force, under its own keys. Of the token only where it is; of
/// `routes` the file that was read.
pub(super) fn config(control: &Control) -> Value {
    let snapshot = control.snapshot();
    let settings = &snapshot.settings;
    let mut all = network(settings);
    all.extend(times(settings));
    all.extend(rest(settings));
    let file = &snapshot.routes_file;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
    // A path may be no text, and has no other spelling here.
    all.insert("routes".to_owned(), file.to_string_lossy().into());
    json!({
        "generation": snapshot.generation,
        "hash": hash(&control.reloads().get()),
        "settings": all,
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn network(settings: &Settings) -> Map<String, Value> {
    let listen: Vec<Value> = settings
        .listen
        .iter()
        .map(|spec| {
            json!({
                "address": spec.address,
                "name": spec.name,
                "proxy_protocol": match spec.proxy_protocol {
                    ProxyProtocol::Off => "off",
                    ProxyProtocol::Required => "required",
                },
                "trusted": spec.trusted.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    object(json!({
        "listen": listen,
        "workers": settings.workers,
        "connect_ports": match &settings.connect_ports {
            ConnectPorts::Default => Value::Null,
            ports => ports.to_string().into(),
        },
        "max_client_hello": settings.max_client_hello,
        "admin": settings.admin,
        "admin_listen": settings.admin_listen,
        "admin_token_file": settings.admin_token_file,
        "ops_listen": settings.ops_listen,
    }))
}

fn times(settings: &Settings) -> Map<String, Value> {
    let ms = |time: Duration| time.as_millis() as u64;
    object(json!({
        "hello_timeout_ms": ms(settings.hello_timeout),
        "dial_timeout_ms": ms(settings.dial_timeout),
        "dial_timeout_total_ms": ms(settings.dial_timeout_total),
        "keepalive": settings.keepalive.map(|keepalive| json!({
            "interval_ms": ms(keepalive.interval),
            "probes": keepalive.probes,
        })),
        "idle_timeout_ms": settings.idle_timeout.map(ms),
        "half_open_timeout_ms": settings.half_open_timeout.map(ms),
        "write_stall_timeout_ms": settings.write_stall_timeout.map(ms),
        "drain_ms": ms(settings.drain),
        "upgrade_drain_ms": ms(settings.upgrade_drain),
    }))
}

fn rest(settings: &Settings) -> Map<String, Value> {
    let limits = &settings.limits;
    object(json!({
        "limits": {
            "tunnels": limits.tunnels,
            "pending_hellos": limits.pending_hellos,
            "pending_hellos_per_source": limits.pending_hellos_per_source,
            "hello_memory": limits.hello_memory,
            "pending_dials": limits.pending_dials,
            "per_source": limits.per_source,
            "per_route": limits.per_route,
        },
        "on_route_removed": match settings.on_route_removed {
            OnRouteRemoved::Keep => "keep",
            OnRouteRemoved::Close => "close",
        },
        "reload": { "allow_shrink": settings.reload_allow_shrink },
        "probe": {
            "kind": settings.probe.kind.label(),
            "interval_ms": settings.probe.interval.as_millis() as u64,
            "timeout_ms": settings.probe.timeout.as_millis() as u64,
        },
        "access_log": {
            "format": format!("{:?}", settings.access_log.format).to_lowercase(),
            "to": settings.access_log.to.as_deref().unwrap_or(Path::new("stdout")),
        },
        "metrics": {
            "max_routes": settings.metrics.max_routes,
            "routes_on_ops": settings.metrics.routes_on_ops,
        },
    }))
}
