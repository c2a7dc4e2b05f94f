//! Which path does what.

use super::guard::{Denied, Entrance};
use super::health;
use super::page;
use super::query::Query;
use super::reports;
use super::respond::{Answer, json, not_now, problem, text};
use super::upgrade;
use crate::server::{Control, Heard, NoVerdict, Silent, Succeeded};
use crate::telemetry::{self, ReloadResult, Tunnel};
use crate::worker::Group;
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use tracing::info;
use tracing::level_filters::LevelFilter;

/// The description of this interface, OpenAPI 3.1, which `tests/it/admin` holds to [`ENDPOINTS`].
pub const OPENAPI: &str = include_str!("openapi.json");

/// Something that can be asked.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// GET reads (and HEAD with it), POST changes.
    pub method: &'static str,
    /// `{id}` stands for one segment.
    pub path: &'static str,
    /// Whether `ops_listen` has it, too.
    pub ops: bool,
    act: Act,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Page,
    PagePart,
    Live,
    Ready,
    Metrics,
    Status,
    Routes,
    Tunnels,
    Refusals,
    Config,
    OpenApi,
    LogLevel,
    SetLogLevel,
    Reload,
    Drain,
    End,
    Upgrade,
    Takeover,
}

const fn read(path: &'static str, act: Act) -> Endpoint {
    Endpoint {
        method: "GET",
        path,
        ops: matches!(act, Act::Live | Act::Ready | Act::Metrics),
        act,
    }
}

const fn change(path: &'static str, act: Act) -> Endpoint {
    Endpoint {
        method: "POST",
        path,
        ops: false,
        act,
    }
}

/// All there is.
pub const ENDPOINTS: [Endpoint; 18] = [
    read("/", Act::Page),
    read("/page/{id}", Act::PagePart),
    read("/livez", Act::Live),
    read("/readyz", Act::Ready),
    read("/metrics", Act::Metrics),
    read("/api/status", Act::Status),
    read("/api/routes", Act::Routes),
    read("/api/tunnels", Act::Tunnels),
    read("/api/refusals", Act::Refusals),
    read("/api/config", Act::Config),
    read("/api/openapi.json", Act::OpenApi),
    read("/api/log-level", Act::LogLevel),
    change("/api/log-level", Act::SetLogLevel),
    change("/api/reload", Act::Reload),
    change("/api/drain", Act::Drain),
    change("/api/tunnels/{id}/end", Act::End),
    change("/api/upgrade", Act::Upgrade),
    change("/api/takeover", Act::Takeover),
];

/// The longest time that a drain may be spread over.
const DRAIN_MOST: Duration = Duration::from_secs(3600);

/// Answers one request.
pub(super) async fn answer(
    request: &Request<Incoming>,
    entrance: &Entrance,
    control: &Control,
) -> Answer {
    let (method, uri) = (request.method(), request.uri());
    if let Err(Denied(status, what)) = entrance.admit(method, uri, request.headers()) {
        let mut answer = problem(status, &what);
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1: MUST be there.
            let how = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, how);
        }
        return answer;
    }
    let ops = matches!(entrance, Entrance::Ops);
    let (act, id) = match find(method, uri.path(), ops) {
        Ok(found) => found,
        Err(allowed) => return no_such(&allowed, ops),
    };
    if !request.body().is_end_stream() {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "no endpoint takes a body");
    }
    let outcome = match Query::parse(uri.query().unwrap_or_default()) {
        Ok(query) => perform(act, id, query, entrance, control).await,
        Err(why) => Err(why),
    };
    outcome.unwrap_or_else(|why| problem(StatusCode::BAD_REQUEST, &why))
}

/// What to do, and the `{id}` of its path. `Err`: the methods that the path has.
fn find<'p>(
    method: &Method,
    path: &'p str,
    ops: bool,
) -> Result<(Act, &'p str), Vec<&'static str>> {
    let method = match *method {
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    let mut allowed = Vec::new();
    for endpoint in behind(ops) {
        let Some(id) = fits(endpoint.path, path) else {
            continue;
        };
        if endpoint.method == method {
            return Ok((endpoint.act, id));
        }
        allowed.push(endpoint.method);
        if endpoint.method == "GET" {
            allowed.push("HEAD");
        }
    }
    Err(allowed)
}

/// What the door has.
fn behind(ops: bool) -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS
        .iter()
        .filter(move |endpoint| endpoint.ops || !ops)
}

/// [`super::client`] knows a hub that is older than itself by the first words.
fn no_such(allowed: &[&str], ops: bool) -> Answer {
    let allowed = allowed.join(", ");
    if !allowed.is_empty() {
        let what = format!("no such endpoint by this method, only by {allowed}");
        let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, &what);
        // RFC 9110 section 15.5.6: MUST be there. The methods are ours, and so fit into a header.
        if let Ok(allowed) = HeaderValue::from_str(&allowed) {
            answer.headers_mut().insert(ALLOW, allowed);
        }
        return answer;
    }
    let what = match ops {
        true => {
            let paths: Vec<_> = behind(ops).map(|endpoint| endpoint.path).collect();
            format!("no such endpoint; ops_listen has {}", paths.join(", "))
        }
        false => "no such endpoint; /api/openapi.json lists them".to_owned(),
    };
    problem(StatusCode::NOT_FOUND, &what)
}

fn fits<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, after)) = pattern.split_once("{id}") else {
        return (pattern == path).then_some("");
    };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// `Err`: the request is wrong, and how.
async fn perform(
    act: Act,
    id: &str,
    query: Query,
    entrance: &Entrance,
    control: &Control,
) -> Result<Answer, String> {
    let report = |query: Query, report: fn(&Control) -> Value| {
        query.end()?;
        Ok(json(StatusCode::OK, &report(control)))
    };
    let silent = match act {
        Act::Metrics | Act::Status | Act::Routes => control.refresh().await,
        _ => Vec::new(),
    };
    match act {
        Act::Page => query.end().map(|()| page::index()),
        Act::PagePart => query.end().map(|()| page::part(id)),
        Act::Live => query.end().map(|()| health::live(control)),
        Act::Ready => query.end().map(|()| health::ready(control)),
        Act::Metrics => {
            let on_ops = control.snapshot().settings.metrics.routes_on_ops;
            let links = on_ops || !matches!(entrance, Entrance::Ops);
            query.end().map(|()| health::metrics(control, links))
        }
        Act::Status => query
            .end()
            .map(|()| json(StatusCode::OK, &reports::status(control, &silent))),
        Act::Routes => query
            .end()
            .map(|()| json(StatusCode::OK, &reports::Routes::of(control))),
        Act::Config => report(query, reports::config),
        Act::Tunnels => tunnels(query, control).await,
        Act::Refusals => refusals(query, control),
        Act::OpenApi => query
            .end()
            .map(|()| text(StatusCode::OK, "application/json", OPENAPI)),
        Act::LogLevel => query.end().map(|()| log_level()),
        Act::SetLogLevel => set_log_level(query),
        Act::Reload => reload(query, control).await,
        Act::Drain => drain(query, control).await,
        Act::End => {
            query.end()?;
            end(id, control).await
        }
        Act::Upgrade => upgrade::upgrade(query, entrance, control).await,
        Act::Takeover => upgrade::takeover(query, entrance, control).await,
    }
}

fn refusals(mut query: Query, control: &Control) -> Result<Answer, String> {
    let limit = query.number("limit")?.unwrap_or(usize::MAX);
    query.end()?;
    Ok(json(StatusCode::OK, &reports::refusals(control, limit)))
}

async fn tunnels(mut query: Query, control: &Control) -> Result<Answer, String> {
    let route = query.take("route");
    let party = query.take("party");
    let limit = query.number("limit")?.unwrap_or(usize::MAX);
    query.end()?;
    let Ok(heard) = control.tunnels().await else {
        return Ok(succeeded());
    };
    let (mut tunnels, silent) = (heard.what, heard.silent);
    tunnels.retain(|tunnel| {
        let of_route = |id: &String| tunnel.route.as_deref() == Some(id);
        let of_party = |id: &String| tunnel.party.as_deref() == Some(id) || of_route(id);
        route.as_ref().is_none_or(of_route) && party.as_ref().is_none_or(of_party)
    });
    let all = tunnels.len();
    let asked = [route.as_deref(), party.as_deref()];
    if let Some(none) = nobody(control, &asked, all, &silent) {
        return Ok(none);
    }
    tunnels.sort_by(|a, b| a.id.len().cmp(&b.id.len()).then_with(|| a.id.cmp(&b.id)));
    tunnels.truncate(limit);
    let listing = Listing {
        all,
        tunnels,
        silent,
    };
    Ok(json(StatusCode::OK, &listing))
}

/// Not a [`Value`], which takes some ten times the memory.
#[derive(Serialize)]
struct Listing {
    all: usize,
    tunnels: Vec<Tunnel>,
    silent: Vec<Silent>,
}

async fn end(id: &str, control: &Control) -> Result<Answer, String> {
    let session = telemetry::session_id(id)
        .ok_or("this is no id of a tunnel: /api/tunnels and the log print them")?;
    Ok(match control.end(session).await {
        Ok(Heard { what: true, .. }) => {
            info!(session = id, "ended by an operator");
            json(StatusCode::OK, &json!({ "ended": id }))
        }
        Ok(Heard { silent, .. }) if !silent.is_empty() => perhaps_there(&silent),
        Ok(_) => problem(StatusCode::NOT_FOUND, "no tunnel has this id (any more)"),
        Err(Succeeded) => succeeded(),
    })
}

/// One that may be with a process that says nothing.
fn perhaps_there(silent: &[Silent]) -> Answer {
    let them: Vec<_> = silent.iter().map(Silent::to_string).collect();
    let error = format!(
        "no tunnel that is known has this id, and {}; nothing is ended there later",
        them.join(", and ")
    );
    let body = json!({ "error": error, "silent": silent });
    json(StatusCode::GATEWAY_TIMEOUT, &body)
}

/// One of these ids is nobody's: no route has it, and no tunnel was found that one had which is removed,
/// nor can be with a process that says nothing.
fn nobody(
    control: &Control,
    ids: &[Option<&str>],
    found: usize,
    silent: &[Silent],
) -> Option<Answer> {
    if found > 0 || !silent.is_empty() {
        return None;
    }
    let snapshot = control.snapshot();
    let known = |id: &str| snapshot.routes.entries().any(|(_, route)| *route.id == *id);
    let unknown = ids.iter().flatten().find(|id| !known(id))?;
    let what = format!("no route and no party has the id {unknown:?}");
    Some(problem(StatusCode::NOT_FOUND, &what))
}

async fn drain(mut query: Query, control: &Control) -> Result<Answer, String> {
    let (route, party) = (query.take("route"), query.take("party"));
    let over = match query.number("over_ms")? {
        Some(ms) => Duration::from_millis(ms as u64),
        None => control.snapshot().settings.drain,
    };
    query.end()?;
    if over > DRAIN_MOST {
        return Err("over_ms is more than an hour, 3600000".into());
    }
    let (what, id, group) = match (route, party) {
        (Some(id), None) => ("route", id.clone(), Group::Route(id.into())),
        (None, Some(id)) => ("party", id.clone(), Group::Party(id.into())),
        _ => return Err("give either route or party, by its id of /api/routes".into()),
    };
    let Ok(heard) = control.drain(&group, over).await else {
        return Ok(succeeded());
    };
    let (tunnels, silent) = (heard.what, heard.silent);
    if let Some(none) = nobody(control, &[Some(&id)], tunnels, &silent) {
        return Ok(none);
    }
    let over_ms = over.as_millis() as u64;
    info!(what, id, tunnels, over_ms, "drained by an operator");
    let body = json!({ "tunnels": tunnels, "over_ms": over_ms, "silent": silent });
    Ok(json(StatusCode::OK, &body))
}

async fn reload(mut query: Query, control: &Control) -> Result<Answer, String> {
    let allow_shrink = query.truth("allow_shrink")?;
    query.end()?;
    Ok(match control.reload(allow_shrink).await {
        Ok(told) => {
            let status = match told.result {
                ReloadResult::Live | ReloadResult::Unchanged => StatusCode::OK,
                ReloadResult::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            };
            json(status, &reports::reload(&told))
        }
        Err(NoVerdict::Ending) => not_now(
            "this process reloads no more: it is about to end, or a successor is the hub, which \
             watches the files: ask again",
            true,
        ),
        Err(NoVerdict::Unsettled) => not_now(
            "no verdict yet: a file is still being written, the log says which; it is read again when \
             its writer is done",
            false,
        ),
    })
}

fn succeeded() -> Answer {
    not_now(
        "a successor is the hub, and reaches the tunnels of all processes: ask again",
        true,
    )
}

fn log_level() -> Answer {
    match telemetry::log_level() {
        Some(level) => json(StatusCode::OK, &json!({ "level": level.to_string() })),
        None => problem(
            StatusCode::CONFLICT,
            "the log of this process is not the hub's",
        ),
    }
}

fn set_log_level(mut query: Query) -> Result<Answer, String> {
    let level = query.take("level").unwrap_or_default();
    query.end()?;
    let known = ["error", "warn", "info", "debug"].contains(&&*level);
    match level.parse::<LevelFilter>() {
        Ok(filter) if known => {
            info!(level, "the log's level is changed by an operator");
            telemetry::choose_log_level(filter);
            Ok(log_level())
        }
        _ => Err("level is not one of error, warn, info, debug".into()),
    }
}
