//! What the hub itself says: its own records, taken from its log.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Lines kept; `--hold` may last.
const KEPT: usize = 10_000;

/// One line of the hub's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: BTreeMap<&'static str, String>,
}

/// The `closed` line of a session, as far as the demo compares it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Closed {
    pub(super) name: Option<String>,
    pub(super) client_to_upstream: u64,
    pub(super) upstream_to_client: u64,
    pub(super) relay: Option<String>,
    pub(super) ended: String,
    pub(super) why: String,
    /// `opened` and `closed` lines of this source: one of each for a tunnel.
    pub(super) opened_lines: usize,
    pub(super) closed_lines: usize,
}

/// Keeps what the hub logs; `Clone` shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    lines: VecDeque<Line>,
    /// Print lines as they come.
    aloud: bool,
}

impl Witness {
    /// What the hub's thread has to make its default for the witness to hear it.
    pub(super) fn dispatch(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(self.clone()))
    }

    /// Whether the hub's lines are printed too, from now on.
    pub(super) fn aloud(&self, aloud: bool) {
        self.seen().aloud = aloud;
    }

    /// The record of the session that came from `source`, when it is closed; waits for it.
    pub(super) async fn closed(&self, source: SocketAddr, patience: Duration) -> Option<Closed> {
        let until = Instant::now() + patience;
        loop {
            let closed = closed(&self.seen().lines, source);
            if closed.is_some() || Instant::now() > until {
                return closed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether a line with this message has come.
    pub(super) fn said(&self, message: &str) -> bool {
        self.seen()
            .lines
            .iter()
            .any(|line| line.message.contains(message))
    }

    /// The last warnings and errors, oldest first.
    pub(super) fn complaints(&self, most: usize) -> Vec<String> {
        let seen = self.seen();
        // `Level` orders by verbosity: ERROR < WARN < INFO.
        let complaints = seen
            .lines
            .iter()
            .rev()
            .filter(|line| line.level <= Level::WARN);
        let mut last: Vec<_> = complaints.take(most).map(ToString::to_string).collect();
        last.reverse();
        last
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing in there can be half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn closed(lines: &VecDeque<Line>, source: SocketAddr) -> Option<Closed> {
    let source = source.to_string();
    let of = |message: &'static str| {
        let source = &source;
        lines.iter().filter(move |line| {
            line.message == message && line.fields.get("source") == Some(source)
        })
    };
    let last = of("closed").next_back()?;
    let text = |key| last.fields.get(key).cloned();
    let number = |key| {
        text(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    Some(Closed {
        name: text("name"),
        client_to_upstream: number("client_to_upstream"),
        upstream_to_client: number("upstream_to_client"),
        relay: text("relay"),
        ended: text("ended").unwrap_or_default(),
        why: text("why").unwrap_or_default(),
        opened_lines: of("opened").count(),
        closed_lines: of("closed").count(),
    })
}

impl<S: Subscriber> Layer<S> for Witness {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        // Libraries below the hub may trace every packet.
        if level > Level::DEBUG || !event.metadata().target().starts_with("snihub") {
            return;
        }
        let mut line = Line {
            level,
            message: String::new(),
            fields: BTreeMap::new(),
        };
        event.record(&mut line);
        let mut seen = self.seen();
        if seen.aloud {
            let lines = format!("hub: {line}\n");
            // Whoever reads may be gone.
            drop(std::io::Write::write_all(
                &mut std::io::stdout(),
                lines.as_bytes(),
            ));
        }
        if seen.lines.len() == KEPT {
            seen.lines.pop_front();
        }
        seen.lines.push_back(line);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => drop(self.fields.insert(name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a reader at the terminal wants to know of a session; everything of other lines.
        const OF_A_SESSION: [&str; 8] = [
            "source",
            "name",
            "upstream",
            "client_to_upstream",
            "upstream_to_client",
            "relay",
            "ended",
            "why",
        ];
        write!(f, "{} {}", self.level, self.message)?;
        let session = self.fields.contains_key("session");
        let mut text = String::new();
        match session {
            true => {
                for key in OF_A_SESSION
                    .iter()
                    .filter(|key| self.fields.contains_key(*key))
                {
                    write!(text, " {key}={}", self.fields[key])?;
                }
            }
            false => {
                for (key, value) in &self.fields {
                    write!(text, " {key}={value}")?;
                }
            }
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{info, warn};

    const SOURCE: &str = "127.0.0.1:4000";

    fn session_lines() -> Witness {
        let witness = Witness::default();
        tracing::dispatcher::with_default(&witness.dispatch(), || {
            let relay: Option<&str> = Some("splice");
            let none: Option<&str> = None;
            let source: SocketAddr = SOURCE.parse().unwrap();
            info!(session = %"01", source = %source, name = Some("a.test"), "opened");
            warn!("something else");
            info!(
                session = %"01", source = %source, name = Some("a.test"), upstream = none,
                client_to_upstream = 10u64, upstream_to_client = 20u64, hello_ms = Some(0.5),
                relay, ended = "both_closed", by = "both", why = "because", "closed"
            );
        });
        witness
    }

    #[tokio::test]
    async fn a_session_is_found_by_its_source() {
        let witness = session_lines();
        let closed = witness
            .closed(SOURCE.parse().unwrap(), Duration::ZERO)
            .await
            .unwrap();
        let wanted = Closed {
            name: Some("a.test".into()),
            client_to_upstream: 10,
            upstream_to_client: 20,
            relay: Some("splice".into()),
            ended: "both_closed".into(),
            why: "because".into(),
            opened_lines: 1,
            closed_lines: 1,
        };
        assert_eq!(closed, wanted);
        let other = "127.0.0.1:4001".parse().unwrap();
        assert_eq!(witness.closed(other, Duration::ZERO).await, None);
        assert_eq!(witness.complaints(5), ["WARN something else"]);
        assert!(witness.said("something") && !witness.said("reloaded"));
    }
}
