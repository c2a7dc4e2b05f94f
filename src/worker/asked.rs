//! What the admin door and the watchdog ask of a worker: answered beside the tunnels, in slices.

use super::Worker;
use super::closing;
use super::registry::{Decided, Entry, Place};
use crate::net::sockopt::tcp_figures;
use crate::telemetry::{SessionId, Tcp, Tunnel};
use crate::tunnel::Ended;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

/// Tunnels listed without a pause: some 0.2 ms, two calls of getsockopt each.
const SLICE: usize = 64;

/// A question or an order from outside, with where the answer goes. Dropped unanswered by a worker
/// that ends.
#[derive(Debug)]
pub enum Question {
    /// Whether its runtime turns.
    Alive(oneshot::Sender<()>),
    /// Which tunnels stand.
    Tunnels(oneshot::Sender<Vec<Tunnel>>),
    /// End this session; whether it was here.
    End(SessionId, oneshot::Sender<bool>),
    /// End these tunnels evenly over a time, for this reason; how many there are. Later ones are let
    /// be.
    Drain(Group, Duration, Ended, oneshot::Sender<usize>),
    /// What the tunnels that stand were decided by.
    Standing(oneshot::Sender<Vec<Standing>>),
    /// Have the counters up to date; a worker's always are.
    Count(oneshot::Sender<()>),
}

/// What a tunnel was decided by, or is to be, for somebody who has another table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Standing {
    /// The session's.
    pub id: SessionId,
    /// What was asked.
    pub place: Place,
    /// The id of the entry that took it.
    pub route: Arc<str>,
    /// Where it led, as sni.yaml says.
    pub target: String,
    /// For so many milliseconds it has stood.
    #[serde(default)]
    pub stood_ms: Option<u64>,
}

impl Standing {
    /// Of this session.
    pub(super) fn of(id: SessionId, why: &Decided) -> Standing {
        Standing {
            id,
            place: why.place.clone(),
            route: Arc::clone(&why.route.id),
            target: why.target.to_string(),
            stood_ms: Some(why.at.elapsed().as_millis() as u64),
        }
    }
}

/// Some tunnels.
#[derive(Debug, Clone)]
pub enum Group {
    /// Those of this route, by its id.
    Route(Arc<str>),
    /// Those to and from this party, by its route's id.
    Party(Arc<str>),
    /// Those of these sessions.
    These(Arc<HashSet<SessionId>>),
}

impl Group {
    fn has(&self, entry: &Entry) -> bool {
        let Some(route) = entry.route() else {
            return false;
        };
        match self {
            Group::Route(id) => route.id == *id,
            Group::Party(id) => route.id == *id || entry.record.borrow().is_from(id),
            Group::These(ids) => ids.contains(&entry.record.borrow().id()),
        }
    }
}

impl Worker {
    /// Answers; nobody may be there to hear it any more.
    pub(super) fn answer(self: &Rc<Self>, question: Question) {
        match question {
            Question::Alive(reply) => drop(reply.send(())),
            Question::Tunnels(reply) => {
                let worker = Rc::clone(self);
                spawn_local(async move { worker.list(reply).await });
            }
            Question::End(id, reply) => {
                let entry = self.sessions.borrow().get(&id).cloned();
                let known = entry.map(|entry| entry.end(Ended::Killed)).is_some();
                let _ = reply.send(known);
            }
            Question::Count(reply) => drop(reply.send(())),
            Question::Standing(reply) => drop(reply.send(self.standing())),
            Question::Drain(group, over, why, reply) => {
                let now = Instant::now();
                let count = |worker: &Worker| {
                    let sessions = worker.sessions.borrow();
                    sessions.values().filter(|entry| group.has(entry)).count()
                };
                let _ = reply.send(count(self));
                let worker = Rc::clone(self);
                spawn_local(async move {
                    let stood_then = |entry: &Rc<Entry>| entry.began <= now && group.has(entry);
                    closing::end_evenly(&worker, over, why, stood_then).await;
                });
            }
        }
    }

    fn standing(&self) -> Vec<Standing> {
        let sessions = self.sessions.borrow();
        let described = sessions.iter().filter_map(|(id, entry)| {
            let standing = entry.standing.borrow();
            Some(Standing::of(*id, &standing.as_ref()?.why))
        });
        described.collect()
    }

    /// Lists the tunnels, as long as somebody waits for the list.
    async fn list(&self, reply: oneshot::Sender<Vec<Tunnel>>) {
        let ids: Vec<SessionId> = self.sessions.borrow().keys().copied().collect();
        let mut tunnels = Vec::with_capacity(ids.len());
        for slice in ids.chunks(SLICE) {
            if reply.is_closed() {
                return;
            }
            for id in slice {
                let entry = self.sessions.borrow().get(id).cloned();
                tunnels.extend(entry.and_then(|entry| self.describe(&entry)));
            }
            tokio::task::yield_now().await;
        }
        let _ = reply.send(tunnels);
    }

    fn describe(&self, entry: &Entry) -> Option<Tunnel> {
        let mut tunnel = entry.record.borrow().standing(&self.pools)?;
        tunnel.draining = self.draining.is_cancelled();
        tunnel.tcp = entry.look(|[client, upstream]| {
            let figures = [tcp_figures(client).ok()?, tcp_figures(upstream).ok()?];
            Some(Tcp::of(figures))
        });
        Some(tunnel)
    }
}
