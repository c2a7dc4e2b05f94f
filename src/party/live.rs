//! What the hub that runs here says of a route.

use crate::admin::client::{self, ClientError, ask, ask_within};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file that is still being written is settled by then.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(300);
/// What is shown beside the file's own words is not worth a longer wait.
const COUNTS_WITHIN: Duration = Duration::from_secs(3);

/// What came of a reload for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Live {
    /// The hub does what the file says.
    InForce {
        /// Of its configuration.
        generation: u64,
    },
    /// It took its files, and they do not say that: it runs with others.
    Elsewhere {
        /// Of its configuration.
        generation: u64,
        /// Its routes file, if it says so.
        file: Option<PathBuf>,
    },
    /// It keeps its old configuration.
    Refused {
        /// Why, as `check` tells it.
        lines: Vec<String>,
        /// Its routes file, if that is another one than was changed.
        file: Option<PathBuf>,
    },
}

/// What is looked for after a change.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    /// Who.
    pub name: &'e str,
    /// Where that leads; `None`: nowhere.
    pub target: Option<&'e str>,
    /// The file that was changed.
    pub file: &'e Path,
    /// What the hub had before the change, [`counts`]; `None`: not known.
    pub before: Option<&'e Value>,
}

/// Has the hub read its files, and looks whether it does what is expected then. That a removal leaves
/// it without a route is no mistake where it had this party alone, of this very file; whatever else
/// makes its table shrink it judges itself.
///
/// # Errors
/// [`ClientError`].
pub fn reload(socket: &Path, expected: &Expected<'_>) -> Result<Live, ClientError> {
    let Expected { name, target, .. } = *expected;
    let last = target.is_none() && expected.before.is_some_and(|body| has_only(body, name));
    let allow_shrink = last && runs_with(socket).is_some_and(|file| is_same(&file, expected.file));
    let parameters: &[_] = match allow_shrink {
        true => &[("allow_shrink", "true")],
        false => &[],
    };
    let deadline = Instant::now() + PATIENCE;
    let reply = loop {
        match ask(socket, "POST", "/api/reload", parameters) {
            Err(ClientError::Unable(_)) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            other => break other?,
        }
    };
    let file = || runs_with(socket).filter(|file| !is_same(file, expected.file));
    if reply.body["result"] == "refused" {
        let lines = reply.body["text"].as_array().into_iter().flatten();
        let lines = lines.filter_map(|line| line.as_str().map(str::to_owned));
        return Ok(Live::Refused {
            lines: lines.collect(),
            file: file(),
        });
    }
    let body = ask(socket, "GET", "/api/routes", &[])?.body;
    let generation = body["generation"].as_u64().unwrap_or(0);
    let agrees = match target {
        Some(target) => rows_of(&body, name).any(|row| row["target"] == target),
        None => rows_of(&body, name).next().is_none(),
    };
    let had = |body| rows_of(body, name).next().is_some();
    if agrees && (target.is_some() || expected.before.is_some_and(had)) {
        return Ok(Live::InForce { generation });
    }
    // One that runs with other files and never had it has not done what was asked.
    Ok(match (agrees, file()) {
        (true, None) => Live::InForce { generation },
        (_, file) => Live::Elsewhere { generation, file },
    })
}

/// Tunnels that are being ended.
#[derive(Debug, Default)]
pub struct Drained {
    /// So many.
    pub tunnels: u64,
    /// Over so many milliseconds.
    pub over_ms: u64,
    /// Who was not reached: in words.
    pub silent: Vec<String>,
}

/// Ends the tunnels to and from a party, evenly over the hub's `drain`.
///
/// # Errors
/// [`ClientError`].
pub fn drain(socket: &Path, name: &str) -> Result<Drained, ClientError> {
    match ask(socket, "POST", "/api/drain", &[("party", name)]) {
        Ok(reply) => Ok(Drained {
            tunnels: reply.body["tunnels"].as_u64().unwrap_or(0),
            over_ms: reply.body["over_ms"].as_u64().unwrap_or(0),
            silent: client::silent(&reply.body)
                .iter()
                .map(ToString::to_string)
                .collect(),
        }),
        // What a hub says that has neither the route nor a tunnel of it.
        Err(ClientError::Refused(_)) => Ok(Drained::default()),
        Err(error) => Err(error),
    }
}

/// `/api/routes`, whole, of a hub that answers within 3 s.
///
/// # Errors
/// [`ClientError`].
pub fn counts(socket: &Path) -> Result<Value, ClientError> {
    ask_within(socket, COUNTS_WITHIN, "GET", "/api/routes", &[]).map(|reply| reply.body)
}

/// The routes file of the hub; `None`: an older one does not say.
fn runs_with(socket: &Path) -> Option<PathBuf> {
    let reply = ask_within(socket, COUNTS_WITHIN, "GET", "/api/config", &[]);
    let body = reply.ok()?.body;
    body["settings"]["routes"].as_str().map(PathBuf::from)
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// What of a hub's routes stands in its file.
fn written(body: &Value) -> impl Iterator<Item = &Value> {
    let rows = body["routes"].as_array().into_iter().flatten();
    rows.filter(|row| !row["line"].is_null())
}

fn rows_of<'b>(body: &'b Value, name: &'b str) -> impl Iterator<Item = &'b Value> {
    written(body).filter(move |row| is_for(row, name))
}

fn has_only(body: &Value, name: &str) -> bool {
    written(body).all(|row| is_for(row, name))
}

/// An id is the name as the file has it, and what tells several entries of it apart: `a.org:443#2`.
fn is_for(row: &Value, name: &str) -> bool {
    let id = row["id"].as_str().unwrap_or_default();
    let own = id.split([':', '#']).next().unwrap_or_default();
    own.trim_end_matches('.').eq_ignore_ascii_case(name)
}
