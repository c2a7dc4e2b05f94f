//! What the hub that runs here says of a route.

use crate::admin::client::{ClientError, ask, ask_within};
use serde_json::Value;
use std::path::Path;
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
    },
    /// It keeps its old configuration; why, as `check` tells it.
    Refused(Vec<String>),
}

/// Has the hub read its files, and looks whether `name` goes to `target` then, or nowhere.
/// `allow_shrink`: take a table that lost most of its routes, this once.
///
/// # Errors
/// [`ClientError`].
pub fn reload(
    socket: &Path,
    name: &str,
    target: Option<&str>,
    allow_shrink: bool,
) -> Result<Live, ClientError> {
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
    if reply.body["in_force"] == false {
        let lines = reply.body["text"].as_array().into_iter().flatten();
        let lines = lines.filter_map(|line| line.as_str().map(str::to_owned));
        return Ok(Live::Refused(lines.collect()));
    }
    let body = ask(socket, "GET", "/api/routes", &[])?.body;
    let generation = body["generation"].as_u64().unwrap_or(0);
    let row = row(&body, name).filter(|row| !row["line"].is_null());
    let agrees = match target {
        Some(target) => row.is_some_and(|row| row["target"] == target),
        None => row.is_none(),
    };
    Ok(match agrees {
        true => Live::InForce { generation },
        false => Live::Elsewhere { generation },
    })
}

/// Ends the tunnels to and from a party, evenly over the hub's `drain`. Gives their number and the
/// milliseconds.
///
/// # Errors
/// [`ClientError`].
pub fn drain(socket: &Path, name: &str) -> Result<(u64, u64), ClientError> {
    match ask(socket, "POST", "/api/drain", &[("party", name)]) {
        Ok(reply) => Ok((
            reply.body["tunnels"].as_u64().unwrap_or(0),
            reply.body["over_ms"].as_u64().unwrap_or(0),
        )),
        // What a hub says that has neither the route nor a tunnel of it.
        Err(ClientError::Refused(_)) => Ok((0, 0)),
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

fn row<'b>(body: &'b Value, name: &str) -> Option<&'b Value> {
    let mut rows = body["routes"].as_array()?.iter();
    rows.find(|row| row["id"] == name)
}
