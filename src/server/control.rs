//! What the admin door can see of a running hub, and do to it.

use crate::reload::{Asked, Told};
use crate::snapshot::Snapshot;
use crate::telemetry::{Counters, Reloads, SessionId, Totals, Tunnel};
use crate::worker::{Command, Door, Group, Question, Shared};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, warn};

/// A worker that takes longer to answer than this is left out, and the log says so.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a reload's verdict is waited for: twice what a writer that has forgotten to close its
/// file is given ([`crate::reload`]), and some.
pub const VERDICT_WITHIN: Duration = Duration::from_secs(25);

/// Why a reload has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoVerdict {
    /// The hub is about to end, and reloads no more.
    Ending,
    /// The files kept changing for [`VERDICT_WITHIN`].
    Unsettled,
}

/// A handle on a running hub, for any thread. It does not keep the hub running.
#[derive(Debug, Clone)]
pub struct Control {
    pub(super) doors: Vec<Door>,
    pub(super) counters: Vec<Arc<Counters>>,
    pub(super) shared: Arc<Shared>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) running: watch::Receiver<usize>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) reloads: Arc<Reloads>,
    pub(super) reload: mpsc::Sender<Asked>,
    pub(super) started: SystemTime,
    /// Held while tunnels are listed.
    pub(super) listing: Arc<Mutex<()>>,
}

impl Control {
    /// The generation in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Each worker's counters.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The sum of them.
    pub fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(AsRef::as_ref))
    }

    /// Process-wide counts and caps.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where clients are accepted.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Workers that have not ended.
    pub fn workers_running(&self) -> usize {
        *self.running.borrow()
    }

    /// Whether no new connections are taken, since the hub is to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// When the hub began to accept.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// What became of the reloads so far.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// Reloads now.
    ///
    /// # Errors
    /// [`NoVerdict`].
    pub async fn reload(&self, allow_shrink: bool) -> Result<Told, NoVerdict> {
        let (verdict, told) = oneshot::channel();
        let asked = Asked {
            allow_shrink,
            verdict,
        };
        let answer = async {
            self.reload.send(asked).await.ok()?;
            told.await.ok()
        };
        match timeout(VERDICT_WITHIN, answer).await {
            Ok(told) => told.ok_or(NoVerdict::Ending),
            Err(_) => Err(NoVerdict::Unsettled),
        }
    }

    /// All tunnels that stand, in no order. One list at a time: each costs the workers two system
    /// calls a tunnel, however many ask.
    pub async fn tunnels(&self) -> Vec<Tunnel> {
        let _alone = self.listing.lock().await;
        let answers = self.ask(Question::Tunnels).await;
        answers.into_iter().flatten().collect()
    }

    /// Ends a session; whether there was one.
    pub async fn end(&self, id: SessionId) -> bool {
        let answers = self.ask(|reply| Question::End(id, reply)).await;
        answers.contains(&true)
    }

    /// Ends tunnels evenly over a time; how many there were. New ones come as the routes say.
    pub async fn drain(&self, group: &Group, over: Duration) -> usize {
        let drain = |reply| Question::Drain(group.clone(), over, reply);
        self.ask(drain).await.into_iter().sum()
    }

    /// Waits until every worker has answered; told in the log each time another `patience` is over.
    /// Does not come back if one hangs, or has ended although the hub goes on.
    pub async fn all_answer(&self, patience: Duration) {
        let asked = self.put(Question::Alive);
        for (worker, mut answer) in asked.into_iter().enumerate() {
            loop {
                match timeout(patience, &mut answer).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) if self.is_draining() => break,
                    Ok(Err(_)) => {
                        error!(
                            worker,
                            "has ended by itself, and the hub goes on without it"
                        );
                        return std::future::pending().await;
                    }
                    Err(_) => warn!(
                        worker,
                        "does not answer: the service manager's watchdog will end the hub unless it does"
                    ),
                }
            }
        }
    }

    /// Waits until every worker has ended, told to or not.
    pub async fn ended(&self) {
        // An error is a hub that is gone.
        let _ = self.running.clone().wait_for(|running| *running == 0).await;
    }

    /// Asks all workers at once. An answer that fails is of one that has ended.
    fn put<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Question,
    ) -> Vec<oneshot::Receiver<T>> {
        let ask = |door: &Door| {
            let (reply, answer) = oneshot::channel();
            let command = Command::Ask(Box::new(question(reply)));
            drop(door.commands.send(command));
            answer
        };
        self.doors.iter().map(ask).collect()
    }

    /// The answers of all workers that are in time; those that have ended say nothing.
    async fn ask<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Question) -> Vec<T> {
        let asked = self.put(question);
        let deadline = Instant::now() + PATIENCE;
        let mut answers = Vec::with_capacity(asked.len());
        for (worker, answer) in asked.into_iter().enumerate() {
            match timeout_at(deadline, answer).await {
                Ok(answer) => answers.extend(answer),
                Err(_) => warn!(
                    worker,
                    "does not answer: what was asked on the admin door is told, or done, without it"
                ),
            }
        }
        answers
    }
}
