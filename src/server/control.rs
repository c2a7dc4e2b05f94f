//! What the admin door can see of a running hub, and do to it.

use super::predecessors::{Predecessor, Predecessors, still_routed};
use super::removal::Removal;
use super::silent::{Heard, Silent};
use crate::health::{Board, Known};
use crate::reload::{Asked, Told};
use crate::snapshot::Snapshot;
use crate::takeover;
use crate::telemetry::{Counters, Reloads, SessionId, Tunnel};
use crate::tunnel::Ended;
use crate::worker::{Command, Door, Group, Question, RETIRE_OVER, Shared, Standing};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{error, warn};

/// A worker that takes longer to answer than this is left out, and the log says so.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same of a process before this one: a little more than it gives its own workers.
const PATIENCE_ABROAD: Duration = Duration::from_secs(7);
/// For counts: what it has said last is good enough then.
const COUNTED_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks through the processes before this one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a reload's verdict is waited for: twice what a writer that has forgotten to close its
/// file is given ([`crate::reload`]), and some.
pub const VERDICT_WITHIN: Duration = Duration::from_secs(25);

/// Why a reload has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoVerdict {
    /// The hub is about to end, or a successor is it, and reloads no more.
    Ending,
    /// The files kept changing for [`VERDICT_WITHIN`].
    Unsettled,
}

/// Another process is the hub, and is to be asked: this one does not reach those before it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succeeded;

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
    pub(super) succeeded: Arc<AtomicBool>,
    pub(super) reloads: Arc<Reloads>,
    pub(super) reload: mpsc::Sender<Asked>,
    pub(super) upgrades: mpsc::Sender<takeover::Asked>,
    pub(super) predecessors: Arc<Predecessors>,
    pub(super) health: Arc<Board>,
    pub(super) started: SystemTime,
    /// What a successor has begun with.
    pub(super) bequeathed: Arc<RwLock<Option<Vec<Arc<Counters>>>>>,
    /// Held while tunnels are listed.
    pub(super) listing: Arc<Mutex<()>>,
}

impl Control {
    /// The generation in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Has the counts of the processes before this one up to date, if they answer at once; comes back
    /// with whose are as it said last.
    pub async fn refresh(&self) -> Vec<Silent> {
        let heard = self.ask_abroad(Question::Count, COUNTED_WITHIN).await;
        heard.silent
    }

    /// The processes before this one.
    pub fn predecessors(&self) -> &Arc<Predecessors> {
        &self.predecessors
    }

    /// What is known of the upstreams that are asked.
    pub fn health(&self) -> Known {
        self.health.known()
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

    /// Whether another process is the hub now: clients are taken, and who asks this one yet, over a
    /// connection from before, has to hear so.
    pub fn is_succeeded(&self) -> bool {
        self.succeeded.load(Relaxed)
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

    /// Asks for an upgrade; `false`: nobody is there to do it any more, or it is being done.
    pub async fn upgrade(&self, asked: takeover::Asked) -> bool {
        self.upgrades.send(asked).await.is_ok()
    }

    /// All tunnels that stand, in no order, those of the processes before this one among them. One list
    /// at a time: each costs the workers two system calls a tunnel, however many ask.
    ///
    /// # Errors
    /// [`Succeeded`].
    pub async fn tunnels(&self) -> Result<Heard<Vec<Tunnel>>, Succeeded> {
        let _alone = self.listing.lock().await;
        self.unless_succeeded()?;
        let heard = self.ask_all(Question::Tunnels).await;
        self.unless_succeeded()?;
        Ok(heard.map(|all| all.into_iter().flatten().collect()))
    }

    /// Ends a session; whether there was one.
    ///
    /// # Errors
    /// [`Succeeded`]: there was none here.
    pub async fn end(&self, id: SessionId) -> Result<Heard<bool>, Succeeded> {
        let heard = self.ask_all(|reply| Question::End(id, reply)).await;
        let heard = heard.map(|all| all.contains(&true));
        if !heard.what {
            self.unless_succeeded()?;
        }
        Ok(heard)
    }

    /// Ends tunnels evenly over a time; how many there were. New ones come as the routes say.
    ///
    /// # Errors
    /// [`Succeeded`]: perhaps some are being ended, and who asks again has them counted with the others.
    pub async fn drain(&self, group: &Group, over: Duration) -> Result<Heard<usize>, Succeeded> {
        self.unless_succeeded()?;
        let drain = |reply| Question::Drain(group.clone(), over, Ended::Drained, reply);
        let heard = self.ask_all(drain).await;
        self.unless_succeeded()?;
        Ok(heard.map(|all| all.into_iter().sum()))
    }

    /// To be looked at after the answers have come: orders that were under way when the successor came
    /// are dropped.
    fn unless_succeeded(&self) -> Result<(), Succeeded> {
        match self.is_succeeded() {
            true => Err(Succeeded),
            false => Ok(()),
        }
    }

    /// Ends, over some seconds, the tunnels of the processes before this one that the generation in
    /// force, which has just come, would not open: with `close` all, else those that are opened from now
    /// on. What the tunnels of this process come to, its workers know.
    ///
    /// Those processes decide by the files that they have read, and ask this one before they let anybody
    /// in ([`Control::lets_in`]); but a client may have had that word a moment before, or none in time.
    /// So they are looked through until none is left that was in the middle of its hello; it has
    /// hello_timeout and dial_timeout_total at most. One that does not answer is looked through when it
    /// does.
    pub fn retire_abroad(&self, close: bool) {
        if self.predecessors.family().living.is_empty() {
            return;
        }
        let removal = self.predecessors.removals.begin(&self.snapshot(), close);
        if let Some(removal) = removal {
            let control = self.clone();
            tokio::spawn(async move { control.retire(removal).await });
        }
    }

    async fn retire(&self, mut removal: Removal) {
        let removals = &self.predecessors.removals;
        let mut look = false;
        let mut told = Vec::new();
        // The successor looks through them itself.
        while !self.is_succeeded() {
            removal = removals.latest(&removal).unwrap_or(removal);
            let undecided_within = {
                let settings = &self.snapshot().settings;
                settings.hello_timeout + settings.dial_timeout_total + PATIENCE_ABROAD
            };
            let undecided = !self.refresh().await.is_empty() || self.predecessors.undecided();
            look |= undecided || removal.closes();
            let silent = match look {
                true if !self.is_succeeded() => self.retire_once(&removal).await,
                _ => Vec::new(),
            };
            // What was under way then is not answered, and that says nothing of those processes.
            if self.is_succeeded() {
                break;
            }
            let decided = !undecided || removal.began.elapsed() > undecided_within;
            if silent.is_empty() && decided && removals.end(&removal) {
                break;
            }
            for one in silent.iter().filter(|one| !told.contains(&one.pid)) {
                warn!(
                    "{one}; tunnels there that the routes no longer allow are closed when it does"
                );
            }
            told = silent.iter().map(|one| one.pid).collect();
            sleep(LOOK_EVERY).await;
            // However long it is stopped: it is asked for more than counts when it tells those. The
            // others are looked through for the next generation meanwhile.
            while !silent.is_empty()
                && !self.is_succeeded()
                && removals.latest(&removal).is_none()
                && !self.refresh().await.is_empty()
            {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Whether the generation in force has this client of a process before this one go where that would
    /// send it.
    pub fn lets_in(&self, client: &Standing) -> bool {
        still_routed(client, &self.snapshot())
    }

    /// Comes back with who has not answered.
    async fn retire_once(&self, removal: &Removal) -> Vec<Silent> {
        // How long one has stood is told after this: none seems to be younger than it is.
        let younger_than = removal.younger_than();
        let Heard { what, mut silent } = self.ask_abroad(Question::Standing, PATIENCE_ABROAD).await;
        let in_force = self.snapshot();
        let all = what.into_iter().flatten();
        let gone = all.filter(|one| removal.ends(one, younger_than, &in_force));
        let gone: Arc<HashSet<_>> = Arc::new(gone.map(|one| one.id).collect());
        if !gone.is_empty() {
            let these = Group::These(gone);
            let why = Ended::RouteRemoved;
            let drain = |reply| Question::Drain(these.clone(), RETIRE_OVER, why, reply);
            silent.extend(self.ask_abroad(drain, PATIENCE_ABROAD).await.silent);
        }
        silent
    }

    /// Waits until every worker has answered; told in the log each time another `patience` is over.
    /// Does not come back if one hangs, or has ended although the hub goes on.
    pub async fn all_answer(&self, patience: Duration) {
        let asked = self.put(Question::Alive);
        for (worker, mut answer) in asked.into_iter().enumerate() {
            loop {
                match timeout(patience, &mut answer).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) if self.is_draining() || self.is_succeeded() => break,
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

    /// The answers of all workers of this process that are in time; those that have ended say nothing.
    pub async fn ask<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Question) -> Vec<T> {
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

    /// The same of the processes before this one. One that has ended meanwhile is no silent one.
    async fn ask_abroad<T>(
        &self,
        question: impl Fn(oneshot::Sender<T>) -> Question,
        within: Duration,
    ) -> Heard<Vec<T>> {
        let ask = |one: &Arc<Predecessor>| {
            let (reply, answer) = oneshot::channel();
            one.order(Command::Ask(Box::new(question(reply))));
            (Arc::clone(one), answer)
        };
        let family = self.predecessors.family();
        let asked: Vec<_> = family.living.iter().map(ask).collect();
        let deadline = Instant::now() + within;
        let (mut what, mut without) = (Vec::with_capacity(asked.len()), Vec::new());
        for (one, answer) in asked {
            match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => what.push(answer),
                _ => without.push(one),
            }
        }
        without.retain(|one| self.predecessors.lives(one));
        let silent = without.iter().map(|one| Silent {
            pid: one.pid,
            tunnels: one.open(),
        });
        let silent = silent.collect();
        Heard { what, silent }
    }

    /// The same of both.
    async fn ask_all<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Question) -> Heard<Vec<T>> {
        let (own, mut heard) = tokio::join!(
            self.ask(&question),
            self.ask_abroad(&question, PATIENCE_ABROAD)
        );
        heard.what.extend(own);
        heard
    }
}
