//! `/api/upgrade` and `/api/takeover`: another process becomes the hub.

use super::guard::Entrance;
use super::query::Query;
use super::respond::{Answer, json, problem};
use crate::server::Control;
use crate::takeover::{Asked, NotUpgraded, READY_WITHIN};
use crate::telemetry::unix_ms;
use hyper::StatusCode;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::info;

/// Has the hub start its successor; the answer is the verdict.
pub(super) async fn upgrade(
    mut query: Query,
    entrance: &Entrance,
    control: &Control,
) -> Result<Answer, String> {
    let binary = query.take("binary").map(PathBuf::from);
    let allow_shrink = query.truth("allow_shrink")?;
    let within = match query.number("within_ms")? {
        Some(ms) => Duration::from_millis(ms as u64),
        None => READY_WITHIN,
    };
    query.end()?;
    if within > READY_WITHIN || within.is_zero() {
        return Err("within_ms is not in 1..=30000".into());
    }
    if binary.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err("binary is not an absolute path".into());
    }
    if binary.is_some() && !by_unix(entrance) {
        return Ok(only_by_unix("which program is started"));
    }
    info!("an operator asks for an upgrade");
    let (verdict, told) = oneshot::channel();
    let asked = Asked::Upgrade {
        binary,
        allow_shrink,
        within,
        verdict,
    };
    if !control.upgrade(asked).await {
        return Ok(ending());
    }
    Ok(match told.await {
        Ok(Ok(done)) => {
            let body = json!({
                "old_pid": done.old,
                "new_pid": done.new,
                "version": done.version,
                "tunnels": done.tunnels,
                "over_ms": done.over.as_millis() as u64,
                "until_unix_ms": unix_ms(done.until),
            });
            json(StatusCode::OK, &body)
        }
        Ok(Err(why)) => refused(&why),
        Err(_) => ending(),
    })
}

/// Has the hub wait for a process that was started already: where it is to connect.
pub(super) async fn takeover(
    query: Query,
    entrance: &Entrance,
    control: &Control,
) -> Result<Answer, String> {
    query.end()?;
    if !by_unix(entrance) {
        return Ok(only_by_unix("who takes over"));
    }
    let (verdict, told) = oneshot::channel();
    if !control.upgrade(Asked::Takeover { verdict }).await {
        return Ok(ending());
    }
    Ok(match told.await {
        Ok(Ok(name)) => json(StatusCode::OK, &json!({ "socket": name })),
        Ok(Err(why)) => refused(&why),
        Err(_) => ending(),
    })
}

fn by_unix(entrance: &Entrance) -> bool {
    matches!(entrance, Entrance::Unix { .. })
}

fn only_by_unix(what: &str) -> Answer {
    let text = format!("{what} is only taken from the unix socket");
    problem(StatusCode::FORBIDDEN, &text)
}

fn ending() -> Answer {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the hub is about to end")
}

/// Nothing has changed, or nobody accepts.
fn refused(why: &NotUpgraded) -> Answer {
    let body = json!({
        "error": why.why,
        "said": why.said,
        "exit": why.exit,
        "outage": why.outage,
    });
    json(StatusCode::UNPROCESSABLE_ENTITY, &body)
}
