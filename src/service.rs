//! What a service manager hears of the hub: ready, how it does, that its workers answer, the end.
//!
//! Nothing of it waits for the manager, and nothing fails with it: a hub that cannot tell goes on,
//! and its log says so. A reload is told in the status alone, not as `RELOADING=1`: the old
//! configuration serves until the new one is in force, and `ExecReload=snihub reload` has the
//! verdict as its exit code, which neither a signal nor systemd's `notify-reload` can have.

use crate::net::sd_notify::{self, MAX_DESCRIPTORS};
use crate::net::{Barrier, NotifySocket};
use crate::server::{Control, STORED};
use crate::telemetry::ReloadResult;
use crate::terminal::tricks;
use std::fmt::Write;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often the status is looked at, and told if it is another.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// While a drain goes on the hub asks for so much more time, as often as it looks at the status: the
/// manager's TimeoutStopSec need not know `drain`. It does not once `drain` is over: then a hub that
/// has not ended hangs, and is ended.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Between two attempts to tell a manager that is behind.
const RETRY: Duration = Duration::from_millis(100);
/// How long a successor waits for a manager that is behind to be told of it.
const RESIGN_WITHIN: Duration = Duration::from_secs(1);
/// How long the end waits for the manager to let go of the sockets that it has stored.
const LET_GO_WITHIN: Duration = Duration::from_secs(1);
/// Characters of the reason why a reload was refused.
const REASON: usize = 200;

/// The service manager.
#[derive(Debug)]
pub struct Manager {
    socket: NotifySocket,
    /// How often it wants a sign of life, at least.
    watchdog: Option<Duration>,
    stored: AtomicBool,
    told_trouble: AtomicBool,
    /// It has taken this process for the service's main one: what another one says it does not hear.
    known: CancellationToken,
    /// Another process is the service's main one: it has the say.
    resigned: CancellationToken,
}

impl Manager {
    /// The one of `NOTIFY_SOCKET`, if there is one that can be told.
    pub fn from_env() -> Option<Arc<Manager>> {
        match NotifySocket::from_env() {
            Ok(socket) => Some(Manager::new(socket?, sd_notify::watchdog())),
            Err(error) => {
                warn!("NOTIFY_SOCKET: {error}: the service manager is told nothing");
                None
            }
        }
    }

    /// One that is told through `socket`.
    pub fn new(socket: NotifySocket, watchdog: Option<Duration>) -> Arc<Manager> {
        Arc::new(Manager {
            socket,
            watchdog,
            stored: AtomicBool::new(false),
            told_trouble: AtomicBool::new(false),
            known: CancellationToken::new(),
            resigned: CancellationToken::new(),
        })
    }

    /// Tells it that the hub is ready, and how it does until it has ended; gives it `sockets` to
    /// keep for the next process, should this one fail. `known`: passed when it knows this process, which
    /// another one tells it; until then it is told of signs of life alone, which it may come to read after
    /// that. To be called in the runtime of the control thread, so that it is told nothing by a hub whose
    /// control thread hangs.
    pub fn serve(
        self: &Arc<Self>,
        control: Control,
        sockets: Vec<OwnedFd>,
        known: Option<Barrier>,
    ) -> JoinHandle<()> {
        let manager = Arc::clone(self);
        tokio::spawn(async move {
            let coming_to_be_known = async {
                if let Some(barrier) = known {
                    barrier.passed().await;
                }
                manager.known.cancel();
            };
            let informing = async {
                manager.known.cancelled().await;
                let status = status(&control);
                manager.tell(&format!("READY=1\nSTATUS={status}\n")).await;
                manager.store(sockets).await;
                manager.keep_informed(&control, status).await;
            };
            let telling = async {
                tokio::select! {
                    // It may be known after it has been the hub.
                    biased;
                    () = manager.resigned.cancelled() => {}
                    () = informing => {}
                    () = manager.keep_calm(&control) => {}
                }
            };
            tokio::join!(coming_to_be_known, telling);
        })
    }

    /// Whether it wants signs of life.
    pub fn wants_signs_of_life(&self) -> bool {
        self.watchdog.is_some()
    }

    /// The service's main process is another one from now on; what that tells is heard after this.
    /// This one tells nothing else any more: it would not be heard (NotifyAccess=main). A manager that
    /// does not read is waited for a second, since the successor waits, too, and told all the same: what
    /// comes back ends when it has acted on it, and has passed `barrier`.
    ///
    /// A process that it does not know yet itself waits until it does: as long as that is not so, only
    /// the one before can name another, and would name this one after its successor.
    pub async fn resign(
        self: Arc<Self>,
        successor: u32,
        barrier: (Barrier, OwnedFd),
    ) -> JoinHandle<()> {
        self.resigned.cancel();
        let (told, hears) = oneshot::channel();
        let noticing = tokio::spawn(async move {
            self.known.cancelled().await;
            self.tell(&format!("MAINPID={successor}\n")).await;
            // Nobody waits for it after the second.
            let _ = told.send(());
            self.wait_for_it(barrier).await;
        });
        if timeout(RESIGN_WITHIN, hears).await.is_err() {
            warn!(
                "the service manager does not read what it is told (NOTIFY_SOCKET): it does not know \
                 yet that process {successor} is the hub now; it is told as soon as it reads"
            );
        }
        noticing
    }

    /// `stop`, after the manager has been told that the hub ends, and has let go of the stored
    /// sockets: as long as it holds one, clients that come would wait for nobody.
    pub fn before_stopping(self: &Arc<Self>, mut stop: mpsc::Receiver<()>) -> mpsc::Receiver<()> {
        let (forward, forwarded) = mpsc::channel(2);
        let manager = Arc::clone(self);
        tokio::spawn(async move {
            let mut told = false;
            while let Some(()) = stop.recv().await {
                if !told && !manager.resigned.is_cancelled() {
                    told = true;
                    let more = more_time();
                    manager
                        .tell(&format!("STOPPING=1\nSTATUS=draining\n{more}"))
                        .await;
                    manager.let_go().await;
                }
                // A full queue is asked already.
                let _ = forward.try_send(());
            }
        });
        forwarded
    }

    async fn keep_informed(&self, control: &Control, mut told: String) {
        let mut clock = interval(STATUS_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloads = control.reloads().watch();
        let mut draining_since = None;
        loop {
            // What the processes before this one drain is its end, too.
            let all_ended = async {
                tokio::join!(control.ended(), control.predecessors().all_gone());
            };
            tokio::select! {
                () = all_ended => return,
                _ = clock.tick() => {}
                Ok(()) = reloads.changed() => {}
            }
            let mut news = String::new();
            let now = status(control);
            if now != told {
                // Writing to a String does not fail.
                let _ = writeln!(news, "STATUS={now}");
                told = now;
            }
            if control.is_draining() {
                let since = *draining_since.get_or_insert_with(Instant::now);
                if since.elapsed() < control.snapshot().settings.drain {
                    news.push_str(&more_time());
                }
            }
            if !news.is_empty() {
                self.tell(&news).await;
            }
        }
    }

    /// A sign of life at half the time that the manager allows, each after every worker has
    /// answered: one that hangs keeps it away.
    async fn keep_calm(&self, control: &Control) {
        let Some(watchdog) = self.watchdog else {
            return std::future::pending().await;
        };
        let half = (watchdog / 2).max(Duration::from_micros(1));
        let mut clock = interval(half);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            control.all_answer(half).await;
            self.tell("WATCHDOG=1\n").await;
        }
    }

    /// Has `sockets` kept, and none of an earlier process: a manager that stores nothing
    /// (FileDescriptorStoreMax=0) ignores it.
    async fn store(&self, sockets: Vec<OwnedFd>) {
        if sockets.is_empty() {
            return;
        }
        self.stored.store(true, Relaxed);
        self.tell(&removal()).await;
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let state = format!("FDSTORE=1\nFDNAME={STORED}\n");
        for some in descriptors.chunks(MAX_DESCRIPTORS) {
            self.send(&state, some).await;
        }
    }

    async fn let_go(&self) {
        if !self.stored.load(Relaxed) {
            return;
        }
        self.tell(&removal()).await;
        if let Ok(barrier) = Barrier::new() {
            // A manager that does not answer is not waited for.
            drop(timeout(LET_GO_WITHIN, self.wait_for_it(barrier)).await);
        }
    }

    /// Waits until the manager has done all that was said before.
    async fn wait_for_it(&self, (barrier, theirs): (Barrier, OwnedFd)) {
        self.send("BARRIER=1", &[theirs.as_fd()]).await;
        drop(theirs);
        barrier.passed().await;
    }

    async fn tell(&self, state: &str) {
        self.send(state, &[]).await;
    }

    async fn send(&self, state: &str, descriptors: &[std::os::fd::BorrowedFd<'_>]) {
        loop {
            match self.socket.send(state, descriptors) {
                Ok(()) => return,
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(RETRY).await,
                Err(error) => {
                    if !self.told_trouble.swap(true, Relaxed) {
                        warn!("the service manager cannot be told (NOTIFY_SOCKET): {error}");
                    }
                    return;
                }
            }
        }
    }
}

fn more_time() -> String {
    format!("EXTEND_TIMEOUT_USEC={}\n", STOP_WITHIN.as_micros())
}

fn removal() -> String {
    format!("FDSTOREREMOVE=1\nFDNAME={STORED}\n")
}

/// One line for `systemctl status`.
fn status(control: &Control) -> String {
    let snapshot = control.snapshot();
    let mut line = String::new();
    if control.is_draining() {
        line.push_str("draining: ");
    }
    let tunnels = counted(control.totals().open(), "tunnel");
    let routes = counted(snapshot.routes.len() as u64, "route");
    let generation = snapshot.generation;
    // Writing to a String does not fail.
    let _ = write!(line, "{tunnels}, {routes}, generation {generation}");
    if let Some(last) = control.reloads().get().last
        && last.result == ReloadResult::Refused
    {
        let _ = write!(line, "; last reload refused");
        let reason = last.problems.first().map_or("", String::as_str);
        for (n, c) in reason.chars().take(REASON).enumerate() {
            if n == 0 {
                line.push_str(": ");
            }
            line.push(if tricks(c) { ' ' } else { c });
        }
    }
    line
}

fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}
