//! The old process: starts a successor or meets one, hands over, and steps back.

use super::launch::{self, Process, Words};
use super::wire::{self, Door, Estate, Forefather, Legacy, Message, PROTOCOL, Wire};
use super::{
    Asked, Household, LEGACY_WITHIN, NEEDS_RESTART, NotUpgraded, Notice, Noticing, READY_WITHIN,
    SAID_WITHIN, TAKEN_WITHIN, Upgraded,
};
use crate::net::{Barrier, PacketListener, PacketSocket};
use crate::server::{Hub, Predecessor};
use crate::telemetry::{self, Image, unix_ms};
use crate::worker::Undecided;
use rustix::process::geteuid;
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

/// Why there is none.
const AS_INIT: &str = "this hub is process 1 of a container, which ends with it: put the new image \
                       into the deployment, and let a rolling update replace the container";
const UNDER_INIT: &str = "this hub runs in a container that may end with it: of its parents, up to process 1, \
                          none is known to go on (systemd, runit, s6, supervisord): put the new image \
                          into the deployment, and let a rolling update replace the container; or start \
                          it, below what restarts it in the container, always by `snihub run --takeover` with \
                          the arguments that it has";
const DRAINING: &str = "this hub is about to end: it takes no new clients";
const UNDER_WAY: &str = "an upgrade is under way";
const MANAGED: &str = "this hub is run by a service manager (NOTIFY_SOCKET), which would not know a \
                       process that was started elsewhere: use `snihub upgrade`";

const APART: &str = "the process that asked to take over runs in another pid namespace (another \
                     container?), where a number means another process: start it in the hub's own \
                     (nsenter --target PID --pid)";
const APART_IN_TIME: &str = "the process that is to take over runs in another time namespace, where the clock \
                             by which orders are late is another: start it in the hub's own (nsenter \
                             --target PID --time)";

/// One that has asked to take over comes as soon as it is told where; or is gone.
const MET_WITHIN: Duration = Duration::from_secs(3);
/// What goes on when a child of its has ended: the inits of systems, and supervisors. Any other may end
/// with it, and the container ends (docker and podman `--init`, a shell, an entrypoint script that does
/// not exec).
const GOES_ON: [&str; 7] = [
    "systemd",
    "openrc-init",
    "runit",
    "runsv",
    "s6-svscan",
    "s6-supervise",
    "supervisord",
];
/// The pid namespace of the machine itself (PROC_PID_INIT_INO of linux/proc_ns.h).
const OF_THE_MACHINE: &str = "pid:[4026531836]";

/// The process that is the hub now.
#[derive(Debug)]
pub(crate) struct Successor {
    pub(super) process: Process,
    pub(super) wire: Wire,
    /// `None`: there is no service manager.
    pub(super) noticing: Option<Noticing>,
    /// Clients about whom it is to be asked.
    pub(super) undecided: mpsc::UnboundedReceiver<Undecided>,
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
    } else if ends_its_container() {
        Some(UNDER_INIT)
    } else if hub.control().is_draining() {
        Some(DRAINING)
    } else if household.managed && matches!(asked, Asked::Takeover { .. }) {
        Some(MANAGED)
    } else {
        None
    }
}

/// Whether the container may end with this process: nobody of those below whom it runs is known to go
/// on. Not where they cannot be seen. A successor is none of their children, though it comes to be below
/// one of them.
fn ends_its_container() -> bool {
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    let apart = namespace.is_ok_and(|namespace| namespace != Path::new(OF_THE_MACHINE));
    // Started again by somebody who is not known: by his own word, but for process 1.
    let parent = std::os::unix::process::parent_id();
    let taken_care_of = parent > 1 && launch::is_supervised();
    apart && !launch::is_successor() && !taken_care_of && !one_goes_on(parent, Ancestor::read)
}

/// Whether the process of this number does, or one of its parents up to process 1.
fn one_goes_on(mut pid: u32, read: impl Fn(u32) -> Option<Ancestor>) -> bool {
    loop {
        // What comes from outside of its pid namespace has process 0 as its parent (pid_namespaces(7)),
        // and ends with process 1 all the same.
        pid = pid.max(1);
        match read(pid) {
            Some(one) if !one.goes_on() && pid > 1 => pid = one.parent,
            one => return one.is_none_or(|one| one.goes_on()),
        }
    }
}

/// A process below which this one runs.
struct Ancestor {
    name: String,
    /// Its arguments, each ended by 0.
    command: Vec<u8>,
    parent: u32,
}

impl Ancestor {
    fn read(pid: u32) -> Option<Ancestor> {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).ok();
        let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
        Some(Ancestor {
            name: String::from_utf8_lossy(&read("comm")?).trim_end().into(),
            command: read("cmdline").unwrap_or_default(),
            parent: telemetry::stat_fields(&stat)?.nth(1)?.parse().ok()?,
        })
    }

    /// Whether it does when a child of its has ended.
    fn goes_on(&self) -> bool {
        let name = self.name.as_str();
        GOES_ON.contains(&name) || (name == "init" && is_of_a_system(&self.command))
    }
}

/// "init" is anybody's name: an entrypoint script (which the kernel starts as its interpreter), or
/// /dev/init, which podman puts into a container (`--init`). That of a system may have changed its
/// title, `init [3]`.
fn is_of_a_system(command: &[u8]) -> bool {
    let title = command.split(|byte| *byte == 0).next().unwrap_or_default();
    title == b"init" || title.starts_with(b"init ") || title.ends_with(b"/sbin/init")
}

/// Whether these are two namespaces; one that is not seen (no /proc there, an older kernel) is not
/// known to be another.
fn differ(theirs: Option<String>, ours: Option<String>) -> bool {
    theirs
        .zip(ours)
        .is_some_and(|(theirs, ours)| theirs != ours)
}

/// A candidate that is the hub; `None`: there is none, and whoever has asked knows why.
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
    let cannot = |error: io::Error| NotUpgraded::of(format!("cannot start {what}: {error}"));
    let launching = async {
        let (connection, words, mut intermediate) = launch::launch(binary, watchdog).await?;
        intermediate.ended().await?;
        Ok((connection, words))
    };
    let Ok(launched) = timeout_at(deadline, launching).await else {
        return Err(NotUpgraded::of(format!(
            "{what} could not even be started in time: does its file system answer?"
        )));
    };
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
    let not_come = || NotUpgraded::of("the process that asked to take over has not come");
    verdict.send(Ok(name)).map_err(|_| not_come())?;
    info!("a process has asked to take over: it is waited for");
    let accepted = timeout(MET_WITHIN, accept(listener)).await;
    let accepted = accepted.map_err(|_| not_come())?;
    let (connection, pid) = accepted.map_err(cannot)?;
    let Some(pid) = pid else {
        let refused = Message::Refused { why: APART.into() };
        // One that does not hear is no successor either.
        if let Ok(wire) = Wire::new(connection) {
            drop(timeout(SAID_WITHIN, wire.say(&refused, &[])).await);
        }
        return Err(NotUpgraded::of(APART));
    };
    let wire = Wire::new(connection).map_err(cannot)?;
    let mut candidate = Candidate::new("run --takeover".into(), wire, None);
    candidate.process = Some(Process::find(pid));
    candidate.come_up(hub, household, deadline).await
}

/// The first that is root or our own user.
async fn accept(listener: PacketListener) -> io::Result<(PacketSocket, Option<u32>)> {
    let mut told = false;
    loop {
        let connection = listener.accept().await?;
        let (uid, pid) = connection.peer()?;
        if uid == 0 || uid == geteuid().as_raw() {
            return Ok((connection, pid));
        }
        // Once: whoever sees the name can come as often as he likes.
        if !std::mem::replace(&mut told, true) {
            warn!(
                uid,
                pid = pid.unwrap_or(0),
                "another user asked to take over, and is not heard"
            );
        }
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
    notice: Option<Notice>,
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
            notice: None,
            verdict: None,
        }
    }

    /// Hands over to it, until it is the hub.
    async fn come_up(
        mut self,
        hub: &Hub,
        household: &Household,
        deadline: Instant,
    ) -> Result<Candidate, NotUpgraded> {
        let began = Instant::now();
        let why = match timeout_at(deadline, self.accepts(hub, household)).await {
            Ok(Ok(())) => match timeout(TAKEN_WITHIN, self.takes()).await {
                Ok(Ok(())) => return Ok(self),
                Ok(Err(why)) => why,
                Err(_) => format!(
                    "{} accepts, but does not answer, and was ended",
                    self.name()
                ),
            },
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
        if let Some(process) = self.process.take() {
            process.end().await;
        }
        let said = match self.words.take() {
            Some(words) => words.last().await,
            None => Vec::new(),
        };
        Err(NotUpgraded {
            why,
            said,
            exit: self.exit,
            outage: false,
        })
    }

    fn name(&self) -> String {
        match &self.process {
            Some(process) => format!("the successor ({}, process {})", self.what, process.pid),
            None => format!("the successor ({})", self.what),
        }
    }

    /// Hands over to it what it accepts from; comes back when it does.
    async fn accepts(&mut self, hub: &Hub, household: &Household) -> Result<(), String> {
        let mut handed = false;
        loop {
            match self.hear().await? {
                (Message::Started { pid }, mut with) if self.process.is_none() => {
                    self.process = Some(Process::new(pid, with.pop()));
                }
                (Message::NotStarted { why }, _) => return Err(why),
                (
                    Message::Hello {
                        protocol,
                        version,
                        pid,
                        time,
                    },
                    _,
                ) if !handed => {
                    if protocol != PROTOCOL {
                        self.exit = Some(NEEDS_RESTART);
                        return Err(format!(
                            "{} is snihub {version}, which hands over in another way (protocol \
                             {protocol}, not {PROTOCOL}): it needs a restart",
                            self.name()
                        ));
                    }
                    self.is_the_process(pid)?;
                    if differ(time, wire::time_namespace()) {
                        return Err(APART_IN_TIME.into());
                    }
                    self.version = version;
                    let handing = self.hand_over(hub, household).await;
                    handing.map_err(|error| format!("handing over to {}: {error}", self.name()))?;
                    handed = true;
                }
                (Message::Ready { version, adopted }, _) if handed && self.process.is_some() => {
                    (self.version, self.adopted) = (version, adopted);
                    return Ok(());
                }
                _ => return Err(format!("{} makes no sense", self.name())),
            }
        }
    }

    /// What is told the service manager, and is ended if it fails, has to be the very process that is
    /// to be the hub; and what that says of processes has to mean the same here.
    fn is_the_process(&self, pid: Option<u32>) -> Result<(), String> {
        let known = self.process.as_ref().map(|process| process.pid);
        match (known, pid) {
            (Some(known), Some(pid)) if known != pid && self.words.is_some() => Err(format!(
                "{} has started snihub as another process, {pid}: a script has to end in \
                 `exec snihub \"$@\"`, so that it becomes snihub",
                self.name()
            )),
            // The kernel's word: its own is of a pid namespace below ours.
            (Some(known), Some(pid)) if known != pid => Err(APART.into()),
            _ => Ok(()),
        }
    }

    /// Has it be the hub; comes back when it is.
    async fn takes(&mut self) -> Result<(), String> {
        // One that is gone is heard of below, and with what it said last.
        drop(self.wire.say(&Message::Go, &[]).await);
        match self.hear().await? {
            (Message::Taken, _) => Ok(()),
            _ => Err(format!("{} makes no sense", self.name())),
        }
    }

    /// The next that it says, except that it will end.
    async fn hear(&mut self) -> Result<(Message, Vec<OwnedFd>), String> {
        loop {
            let heard = self.wire.hear().await;
            match heard.map_err(|error| format!("talking to {}: {error}", self.name()))? {
                Some((Message::Failing { exit }, _)) => self.exit = Some(exit),
                Some(said) => return Ok(said),
                None => {
                    let code = match self.exit {
                        Some(code) => format!(" (exit code {code})"),
                        None => String::new(),
                    };
                    let what = match self.version.as_str() {
                        "" => "ended before it accepted",
                        _ => "ended before it was the hub",
                    };
                    return Err(format!("{} {what}{code}", self.name()));
                }
            }
        }
    }

    async fn hand_over(&mut self, hub: &Hub, household: &Household) -> io::Result<()> {
        let stderr = self.words.is_some().then(io::stderr);
        self.notice = household.managed.then(Barrier::new).transpose()?;
        let barrier = self.notice.as_ref().map(|(barrier, _)| barrier);
        let mut estate = Estate {
            pid: std::process::id(),
            first_session: hub.next_first_session(),
            stderr: stderr.is_some(),
            notice: barrier.is_some(),
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
                inode: door.inode,
            });
        }
        with.extend(stderr.as_ref().map(AsFd::as_fd));
        with.extend(barrier.map(AsFd::as_fd));
        self.wire.say(&Message::Estate(estate), &with).await
    }

    /// Waits a little for its first order: a hub gives one as soon as it has what was handed on. How
    /// one has ended instead; one that is slow, or has lost the connection, is a process all the same.
    async fn ends_at_once(&mut self, process: &Process, handed: io::Result<()>) -> Option<String> {
        let why = match handed {
            Ok(()) => match timeout(SAID_WITHIN, self.wire.expect()).await {
                Ok(true) | Err(_) => return None,
                Ok(false) => "before its first order".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        if timeout(SAID_WITHIN, process.ended()).await.is_ok() {
            return Some(why);
        }
        warn!(
            pid = process.pid,
            "the successor is the hub, but does not hear this process ({why}): what was counted here is \
             missing there, and its kill, drain and stop may not come here"
        );
        None
    }

    /// It is the hub from now on: gives up what there can be only one of, and hands on the rest.
    pub(crate) async fn takes_over(mut self, hub: &Hub, household: Household) -> Successor {
        let known = self.process.take();
        // It was, when it said that it accepts.
        let process = known.unwrap_or_else(|| Process::find(0)).spared();
        let (old, new) = (std::process::id(), process.pid);
        let over = hub.control().snapshot().settings.upgrade_drain;
        let until = SystemTime::now() + over;
        // The doors first: who comes in by them is to find a hub.
        let stepping_down = household
            .step_down
            .map(|step_down| step_down(new, self.adopted, self.notice.take()));
        // Who asks for a hub when there is none is not to wait at a door that nobody opens.
        drop(household.doors);
        let undecided = hub.step_back(over);
        let links = household.links.release(hub.predecessors(), new).await;
        let noticing = match stepping_down {
            Some(stepping_down) => stepping_down.await,
            None => None,
        };
        let tunnels = hub.totals().open();
        // Whoever was started by hand has a command line of its own.
        let log_level = self
            .words
            .as_ref()
            .and_then(|_| telemetry::chosen_log_level());
        let legacy = legacy(hub, &links, until, log_level);
        let with: Vec<_> = links.iter().map(|(_, socket)| socket.as_fd()).collect();
        let saying = timeout(LEGACY_WITHIN, self.wire.say(&legacy, &with)).await;
        let handed = saying.unwrap_or_else(|late| Err(late.into()));
        let verdict = match self.ends_at_once(&process, handed).await {
            None => Ok(Upgraded {
                old,
                new,
                version: self.version.clone(),
                tunnels,
                over,
                until,
            }),
            Some(why) => Err(NotUpgraded {
                outage: true,
                ..NotUpgraded::of(format!(
                    "process {new} has said that it is the hub, and ended at once ({why}): NOBODY \
                     ACCEPTS; start a hub"
                ))
            }),
        };
        match &verdict {
            Ok(_) => info!(
                pid = new,
                version = self.version,
                tunnels,
                over_s = over.as_secs(),
                "a successor is the hub: no new connections; tunnels are closed evenly over \
                 upgrade_drain"
            ),
            Err(failed) => error!("{}", failed.why),
        }
        if let Some(waiting) = self.verdict.take() {
            drop(waiting.send(verdict));
        }
        Successor {
            process,
            wire: self.wire,
            noticing,
            undecided,
        }
    }
}

fn legacy(
    hub: &Hub,
    links: &[(Arc<Predecessor>, PacketSocket)],
    until: SystemTime,
    log_level: Option<LevelFilter>,
) -> Message {
    let control = hub.control();
    let forefather = |(one, _): &(Arc<Predecessor>, PacketSocket)| Forefather {
        pid: one.pid,
        until_unix_ms: unix_ms(one.until),
        image: Image::of(std::slice::from_ref(&one.counters)),
    };
    Message::Legacy(Box::new(Legacy {
        image: control.bequeath(),
        reloads: hub.reloads().get().results.to_vec(),
        declined: control.declined(),
        until_unix_ms: unix_ms(until),
        log_level: log_level.map(|level| level.to_string()),
        predecessors: links.iter().map(forefather).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_is_known_by_more_than_its_name() {
        for (name, command, wanted) in [
            ("systemd", &b"/sbin/init\0splash\0"[..], true),
            ("init", b"/sbin/init\0", true),
            ("init", b"init [3]\0", true),
            ("init", b"init\0", true),
            ("init", b"/bin/sh\0/init\0", false),
            ("init", b"/usr/bin/python3\0/sbin/init\0", false),
            ("init", b"/dev/init\0--\0snihub\0run\0", false),
            ("init", b"", false),
            ("pause", b"/pause\0", false),
        ] {
            let one = ancestor(name, command, 0);
            assert_eq!(one.goes_on(), wanted, "{name} {command:?}");
        }
    }

    #[test]
    fn a_namespace_that_is_not_seen_is_no_other_one() {
        let [one, other] = ["time:[1]", "time:[2]"].map(|name| Some(name.to_owned()));
        assert!(differ(one.clone(), other.clone()));
        assert!(!differ(one.clone(), one.clone()));
        assert!(!differ(one, None));
        assert!(!differ(None, other));
        assert!(!differ(None, None));
    }

    fn ancestor(name: &str, command: &[u8], parent: u32) -> Ancestor {
        Ancestor {
            name: name.into(),
            command: command.into(),
            parent,
        }
    }

    #[test]
    fn one_that_goes_on_is_looked_for_among_all_parents() {
        let of = |parent: u32, all: &[(u32, &str, u32)]| {
            one_goes_on(parent, |pid| {
                let one = all.iter().find(|one| one.0 == pid);
                one.map(|(_, name, parent)| ancestor(name, b"", *parent))
            })
        };
        let [tini, runit] = [(1, "docker-init", 0), (1, "runit", 0)];
        assert!(!of(1, &[tini]));
        assert!(!of(7, &[tini, (7, "sh", 6), (6, "entrypoint.sh", 1)]));
        assert!(of(7, &[tini, (7, "sh", 6), (6, "s6-supervise", 1)]));
        assert!(of(7, &[runit, (7, "sh", 6), (6, "sh", 1)]));
        // By `docker exec`.
        assert!(!of(0, &[tini]));
        assert!(!of(7, &[tini, (7, "sh", 0)]));
        assert!(of(7, &[runit, (7, "sh", 0)]));
        // Of another user, where /proc hides that.
        assert!(of(7, &[tini]));
    }
}
