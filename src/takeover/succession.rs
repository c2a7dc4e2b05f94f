//! The old process: starts a successor or meets one, hands over, and steps back.

use super::launch::{self, Process, Words};
use super::wire::{self, Door, Estate, Forefather, Go, Message, PROTOCOL, Wire};
use super::{Asked, Household, NEEDS_RESTART, NotUpgraded, READY_WITHIN, Upgraded};
use crate::net::{PacketListener, PacketSocket};
use crate::server::Hub;
use crate::telemetry::{Image, unix_ms};
use rustix::process::geteuid;
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

/// Why there is none.
const AS_INIT: &str = "this hub is process 1 of a container, which ends with it: put the new image \
                       into the deployment, and let a rolling update replace the container";
const DRAINING: &str = "this hub is about to end: it takes no new clients";
const UNDER_WAY: &str = "an upgrade is under way";
const MANAGED: &str = "this hub is run by a service manager (NOTIFY_SOCKET), which would not know a \
                       process that was started elsewhere: use `snihub upgrade`";

/// For telling a candidate that it is none.
const SAID_WITHIN: Duration = Duration::from_secs(1);

/// The process that is the hub now.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(super) pid: u32,
    pub(super) wire: Wire,
}

/// Where the verdict goes.
type Verdict = oneshot::Sender<Result<Upgraded, NotUpgraded>>;

/// Comes back when a process accepts that was asked for; what is asked for in vain is answered.
pub(crate) async fn candidate(
    hub: &Hub,
    household: &Household,
    asked: &mut mpsc::Receiver<Asked>,
) -> Candidate {
    loop {
        let Some(one) = asked.recv().await else {
            return std::future::pending().await;
        };
        if let Some(why) = refusal(hub, household, &one) {
            warn!("no upgrade: {why}");
            one.refuse(why);
            continue;
        }
        let mut coming = pin!(come(hub, household, one));
        let came = loop {
            tokio::select! {
                came = &mut coming => break came,
                Some(other) = asked.recv() => other.refuse(UNDER_WAY),
            }
        };
        if let Some(candidate) = came {
            return candidate;
        }
    }
}

fn refusal(hub: &Hub, household: &Household, asked: &Asked) -> Option<&'static str> {
    if std::process::id() == 1 {
        Some(AS_INIT)
    } else if hub.control().is_draining() {
        Some(DRAINING)
    } else if household.managed && matches!(asked, Asked::Takeover { .. }) {
        Some(MANAGED)
    } else {
        None
    }
}

/// A candidate that accepts; `None`: there is none, and whoever has asked knows why.
async fn come(hub: &Hub, household: &Household, asked: Asked) -> Option<Candidate> {
    match asked {
        Asked::Upgrade {
            binary,
            allow_shrink,
            within,
            verdict,
        } => {
            let deadline = Instant::now() + within;
            match start(hub, household, binary, allow_shrink, deadline).await {
                Ok(candidate) => Some(Candidate {
                    verdict: Some(verdict),
                    ..candidate
                }),
                Err(why) => {
                    tell_failure(&why);
                    drop(verdict.send(Err(why)));
                    None
                }
            }
        }
        Asked::Takeover { verdict } => {
            let deadline = Instant::now() + READY_WITHIN;
            match meet(hub, household, verdict, deadline).await {
                Ok(candidate) => Some(candidate),
                Err(why) => {
                    tell_failure(&why);
                    None
                }
            }
        }
    }
}

fn tell_failure(failed: &NotUpgraded) {
    let mut said = String::new();
    for line in &failed.said {
        // Writing to a String does not fail.
        let _ = write!(said, "; it said: {}", line.escape_debug());
    }
    error!("upgrade failed, nothing has changed: {}{said}", failed.why);
}

/// Starts one.
async fn start(
    hub: &Hub,
    household: &Household,
    binary: Option<PathBuf>,
    allow_shrink: bool,
    deadline: Instant,
) -> Result<Candidate, NotUpgraded> {
    let binary = binary.unwrap_or_else(launch::own_binary);
    let what = binary.display().to_string();
    info!("upgrade: starts {what}");
    let watchdog = household.watchdog;
    let launching = tokio::task::spawn_blocking(move || launch::launch(&binary, watchdog));
    let cannot = |error: io::Error| NotUpgraded::of(format!("cannot start {what}: {error}"));
    let launched = launching.await.map_err(|error| cannot(error.into()))?;
    let (connection, words) = launched.map_err(cannot)?;
    let wire = Wire::new(connection).map_err(cannot)?;
    let mut candidate = Candidate::new(what, wire, Some(words));
    candidate.allow_shrink = allow_shrink;
    candidate.come_up(hub, household, deadline).await
}

/// Waits for one that was started already.
async fn meet(
    hub: &Hub,
    household: &Household,
    verdict: oneshot::Sender<Result<String, NotUpgraded>>,
    deadline: Instant,
) -> Result<Candidate, NotUpgraded> {
    let cannot = |error: io::Error| NotUpgraded::of(format!("cannot be met: {error}"));
    // Not to be guessed, and whoever comes is looked at.
    let random = RandomState::new().hash_one(std::process::id());
    let name = format!("snihub-takeover-{}-{random:016x}", std::process::id());
    let listener = match PacketListener::bind(&name) {
        Ok(listener) => listener,
        Err(error) => {
            let why = cannot(error);
            drop(verdict.send(Err(why.clone())));
            return Err(why);
        }
    };
    drop(verdict.send(Ok(name)));
    let Ok(accepted) = timeout_at(deadline, accept(listener)).await else {
        return Err(NotUpgraded::of(
            "the process that asked to take over has not come",
        ));
    };
    let (connection, pid) = accepted.map_err(cannot)?;
    let wire = Wire::new(connection).map_err(cannot)?;
    let mut candidate = Candidate::new("run --takeover".into(), wire, None);
    candidate.process = Some(Process::find(pid));
    candidate.come_up(hub, household, deadline).await
}

/// The first that is root or our own user.
async fn accept(listener: PacketListener) -> io::Result<(PacketSocket, u32)> {
    loop {
        let connection = listener.accept().await?;
        let (uid, pid) = connection.peer()?;
        if uid == 0 || uid == geteuid().as_raw() {
            return Ok((connection, pid));
        }
        warn!(
            uid,
            pid, "another user asked to take over, and is not heard"
        );
    }
}

/// A process that may become the successor. Dropped, it is ended.
pub(crate) struct Candidate {
    what: String,
    wire: Wire,
    process: Option<Process>,
    words: Option<Words>,
    version: String,
    adopted: bool,
    exit: Option<u8>,
    allow_shrink: bool,
    verdict: Option<Verdict>,
}

impl Candidate {
    fn new(what: String, wire: Wire, words: Option<Words>) -> Candidate {
        Candidate {
            what,
            wire,
            process: None,
            words,
            version: String::new(),
            adopted: false,
            exit: None,
            allow_shrink: false,
            verdict: None,
        }
    }

    /// Hands over to it, until it accepts.
    async fn come_up(
        mut self,
        hub: &Hub,
        household: &Household,
        deadline: Instant,
    ) -> Result<Candidate, NotUpgraded> {
        let began = Instant::now();
        let why = match timeout_at(deadline, self.converse(hub, household)).await {
            Ok(Ok(())) => return Ok(self),
            Ok(Err(why)) => why,
            Err(_) => {
                let within = (deadline - began).as_secs_f64();
                format!(
                    "{} does not accept within {within:.0} s, and was ended",
                    self.name()
                )
            }
        };
        let refused = Message::Refused { why: why.clone() };
        // One that does not hear is ended all the same.
        drop(timeout(SAID_WITHIN, self.wire.say(&refused, &[])).await);
        drop(self.process.take());
        let said = match self.words.take() {
            Some(words) => words.last().await,
            None => Vec::new(),
        };
        Err(NotUpgraded {
            why,
            said,
            exit: self.exit,
        })
    }

    fn name(&self) -> String {
        match &self.process {
            Some(process) => format!("the successor ({}, process {})", self.what, process.pid),
            None => format!("the successor ({})", self.what),
        }
    }

    async fn converse(&mut self, hub: &Hub, household: &Household) -> Result<(), String> {
        loop {
            let heard = self.wire.hear().await;
            match heard.map_err(|error| format!("talking to {}: {error}", self.name()))? {
                Some((Message::Started { pid }, mut with)) => {
                    self.process = Some(Process::new(pid, with.pop()));
                }
                Some((Message::NotStarted { why }, _)) => return Err(why),
                Some((Message::Failing { exit }, _)) => self.exit = Some(exit),
                Some((Message::Hello { protocol, version }, _)) => {
                    if protocol != PROTOCOL {
                        self.exit = Some(NEEDS_RESTART);
                        return Err(format!(
                            "{} is snihub {version}, which hands over in another way (protocol \
                             {protocol}, not {PROTOCOL}): it needs a restart",
                            self.name()
                        ));
                    }
                    self.version = version;
                    let handed = self.hand_over(hub, household).await;
                    handed.map_err(|error| format!("handing over to {}: {error}", self.name()))?;
                }
                Some((Message::Ready { version, adopted }, _)) => {
                    (self.version, self.adopted) = (version, adopted);
                    return Ok(());
                }
                Some(_) => return Err(format!("{} makes no sense", self.name())),
                None => {
                    let code = match self.exit {
                        Some(code) => format!(" (exit code {code})"),
                        None => String::new(),
                    };
                    return Err(format!("{} ended before it accepted{code}", self.name()));
                }
            }
        }
    }

    async fn hand_over(&self, hub: &Hub, household: &Household) -> io::Result<()> {
        let stderr = self.words.is_some().then(io::stderr);
        let mut estate = Estate {
            pid: std::process::id(),
            first_session: hub.next_first_session(),
            stderr: stderr.is_some(),
            routes: hub.control().snapshot().routes.ids().cloned().collect(),
            allow_shrink: self.allow_shrink,
            ..Estate::default()
        };
        let mut copies = Vec::new();
        for one in hub.sockets().iter() {
            copies.push(one.socket.try_clone()?);
            estate.sockets.push(wire::Socket {
                name: one.name.clone(),
                listed: one.listed,
            });
        }
        let mut with: Vec<BorrowedFd<'_>> = copies.iter().map(AsFd::as_fd).collect();
        for door in &household.doors {
            with.push(door.socket.as_fd());
            estate.doors.push(Door {
                key: door.key.clone(),
                at: door.at.clone(),
            });
        }
        with.extend(stderr.as_ref().map(AsFd::as_fd));
        self.wire.say(&Message::Estate(estate), &with).await
    }

    /// It accepts, and is the hub from now on.
    pub(crate) async fn takes_over(mut self, hub: &Hub, household: Household) -> Successor {
        let (old, new) = (
            std::process::id(),
            self.process.take().map_or(0, Process::spare),
        );
        let over = hub.control().snapshot().settings.upgrade_drain;
        let until = SystemTime::now() + over;
        hub.step_back(over);
        let links = household.links.release(hub.predecessors()).await;
        if let Some(step_down) = household.step_down {
            step_down(new, self.adopted).await;
        }
        let tunnels = hub.totals().open();
        let go = Go {
            pid: old,
            image: hub.control().image(),
            reloads: hub.reloads().get().results.to_vec(),
            declined: hub.control().declined(),
            until_unix_ms: unix_ms(until),
            predecessors: links
                .iter()
                .map(|(one, _)| Forefather {
                    pid: one.pid,
                    until_unix_ms: unix_ms(one.until),
                    image: Image::of(std::slice::from_ref(&one.counters)),
                })
                .collect(),
        };
        let with: Vec<_> = links.iter().map(|(_, socket)| socket.as_fd()).collect();
        if let Err(error) = self.wire.say(&Message::Go(Box::new(go)), &with).await {
            error!(
                pid = new,
                "the successor has ended as soon as it accepted: {error}"
            );
        }
        let over_s = over.as_secs();
        info!(
            pid = new,
            version = self.version,
            tunnels,
            over_s,
            "a successor is the hub: no new connections; tunnels are closed evenly over upgrade_drain"
        );
        if let Some(verdict) = self.verdict.take() {
            drop(verdict.send(Ok(Upgraded {
                old,
                new,
                version: self.version.clone(),
                tunnels,
                over,
                until,
            })));
        }
        let wire = self.wire;
        Successor { pid: new, wire }
    }
}
