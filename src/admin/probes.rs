//! What the API tells of the probes.

use crate::health::{Also, Health, Known};
use crate::route::RouteTable;
use crate::telemetry::unix_ms;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// Things that somebody has to look at which `/api/status` repeats.
const MOST_TROUBLES: usize = 20;

/// `probe` of a route.
#[derive(Debug, Serialize)]
pub(super) struct ProbeRow {
    kind: &'static str,
    state: &'static str,
    why: Option<String>,
    since_unix_ms: u64,
    asked_unix_ms: u64,
    took_ms: f64,
    certificate: Option<CertificateRow>,
    /// What somebody has to look at, in words.
    troubles: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CertificateRow {
    not_after_unix_ms: i64,
    names: Vec<String>,
    good_for: Vec<Arc<str>>,
    good_for_in_all: usize,
}

impl ProbeRow {
    pub(super) fn of(id: &str, health: &Health) -> ProbeRow {
        let certificate = health.certificate.as_ref().map(|own| {
            let also = own.also.as_ref();
            CertificateRow {
                not_after_unix_ms: own.not_after.0.saturating_mul(1_000),
                names: own.names.clone(),
                good_for: also.map_or_else(Vec::new, |also| also.routes.clone()),
                good_for_in_all: also.map_or(0, |also: &Also| also.many),
            }
        });
        let troubles = health.troubles(id, SystemTime::now()).into_iter();
        ProbeRow {
            kind: health.kind.label(),
            state: match health.failing {
                None => "up",
                Some(_) => "failing",
            },
            why: health.failing.clone(),
            since_unix_ms: unix_ms(health.since),
            asked_unix_ms: unix_ms(health.asked),
            took_ms: health.took.as_secs_f64() * 1e3,
            certificate,
            troubles: troubles.map(|trouble| trouble.text).collect(),
        }
    }
}

/// `upstreams` of `/api/status`; null: none is asked. Troubles are in the order of the file.
pub(super) fn summary(known: &Known, table: &RouteTable) -> Value {
    if known.asked == 0 {
        return Value::Null;
    }
    let now = SystemTime::now();
    let (mut troubles, mut more) = (Vec::new(), 0);
    for (_, route) in table.entries() {
        let Some(health) = known.routes.get(&route.id) else {
            continue;
        };
        for trouble in health.troubles(&route.id, now) {
            match troubles.len() < MOST_TROUBLES {
                true => troubles.push(json!({
                    "route": route.id,
                    "what": trouble.what,
                    "text": trouble.text,
                })),
                false => more += 1,
            }
        }
    }
    let failing = known.failing();
    json!({
        "asked": known.asked,
        "up": known.routes.len() - failing,
        "failing": failing,
        "troubles": troubles,
        "more_troubles": more,
    })
}
