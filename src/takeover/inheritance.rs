//! The new process: gets what the old one listens on, and gives it orders as long as it holds
//! tunnels.

use super::wire::{
    self, Estate, Forefather, Got, Legacy, Message, Mouth, Order, PROTOCOL, Reply, Wire,
};
use super::{ANSWER_WITHIN, LEGACY_WITHIN, READY_WITHIN, SAID_WITHIN};
use crate::config::OnRouteRemoved;
use crate::net::{Barrier, PacketSocket, Passed, PassedDoor};
use crate::server::{self, Control, Given, Hub, Inherited, Predecessors};
use crate::telemetry::{self, Image};
use crate::tunnel::Ended;
use crate::worker::{Command, Question};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the processes before this one are asked what they have counted: so much is lost of the
/// counts of one that is killed.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Within this an order is begun, or never: so long before nobody waits for its answer any more.
const BEGUN_WITHIN: Duration = Duration::from_secs(5);

/// For the answer that is on its way when a successor comes: what was ended by then the successor does not
/// know, and who asked is not to hear that there was none.
const FINISHED_WITHIN: Duration = Duration::from_millis(250);

/// Questions that may stand unanswered: a process that is stopped reads nothing, and what waits in its
/// socket's queue leaves less room for what has to come in, a stop and the first order of a successor. The
/// queue has room for hundreds.
const UNHEARD: u32 = 4;

/// Of one that is stopped, or overloaded.
const SILENT: &str = "the process before this one does not answer: what was asked on the admin door is \
                      told, or done, without it";

/// Why this process does not take over. The running one goes on as if nothing had been.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// `--successor`, and stdin is no connection.
    #[error(
        "--successor is for a hub that starts its successor, and stdin is no connection to one: use \
         `snihub upgrade`, or `snihub run --takeover`"
    )]
    NotStartedByHub,
    /// It said no; its words.
    #[error("the hub that runs keeps its place: {0}")]
    Refused(String),
    /// It is gone, or has turned away.
    #[error("the hub that runs has broken off the hand-over")]
    BrokenOff,
    /// It speaks another language.
    #[error("the hub that runs hands over in another way: it needs a restart")]
    Foreign,
    /// It does not answer, or the connection is bad.
    #[error("talking to the hub that runs: {0}")]
    Wire(#[from] io::Error),
}

/// The running hub, as the process sees it that is to succeed it.
#[derive(Debug)]
pub struct Predecessor {
    connection: PacketSocket,
    farewell: Farewell,
    pid: u32,
    stderr: Option<OwnedFd>,
    notice: Option<Barrier>,
}

/// For telling the running hub that this process will not come up; silent once it has.
#[derive(Debug, Clone)]
pub struct Farewell(Arc<Mutex<Option<PacketSocket>>>);

impl Farewell {
    /// Tells it that this process ends with this exit code.
    pub fn tell(&self, exit: u8) {
        if let Some(connection) = self.take() {
            // It hears of the end in any case.
            drop(wire::say(&connection, &Message::Failing { exit }, &[]));
        }
    }

    fn take(&self) -> Option<PacketSocket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What it has handed over.
#[derive(Debug)]
pub struct Handed {
    /// Where clients come in.
    pub inherited: Inherited,
    /// Where people and scrapers do.
    pub doors: Vec<PassedDoor>,
    /// Ids of the routes that were in force.
    pub routes: Vec<Arc<str>>,
    /// Whether most of them may be gone, this once.
    pub allow_shrink: bool,
}

impl Predecessor {
    /// The one that has started this process.
    ///
    /// # Errors
    /// [`TakeoverError::NotStartedByHub`].
    pub fn of_stdin() -> Result<Predecessor, TakeoverError> {
        let connection = PacketSocket::from_stdin().map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => TakeoverError::NotStartedByHub,
            _ => error.into(),
        })?;
        Predecessor::with(connection)
    }

    /// The one that waits for us under this name.
    ///
    /// # Errors
    /// [`TakeoverError::Wire`].
    pub fn at(name: &str) -> Result<Predecessor, TakeoverError> {
        Predecessor::with(PacketSocket::connect(name)?)
    }

    fn with(connection: PacketSocket) -> Result<Predecessor, TakeoverError> {
        connection.set_timeout(Some(READY_WITHIN))?;
        let copy = connection.try_clone()?;
        Ok(Predecessor {
            connection,
            farewell: Farewell(Arc::new(Mutex::new(Some(copy)))),
            pid: 0,
            stderr: None,
            notice: None,
        })
    }

    /// For telling it that this process will not come up.
    pub fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }

    /// Says that our files are right, and waits for what it hands over.
    ///
    /// # Errors
    /// [`TakeoverError`].
    pub fn estate(&mut self) -> Result<Handed, TakeoverError> {
        let hello = Message::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            pid: Some(std::process::id()),
            time: wire::time_namespace(),
        };
        match wire::say(&self.connection, &hello, &[]) {
            // What it has said last is still there.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            said => said?,
        }
        let (estate, with) = match wire::hear(&self.connection)? {
            Some((Message::Estate(estate), with)) => (estate, with),
            Some((Message::Refused { why }, _)) => return Err(TakeoverError::Refused(why)),
            Some(_) => return Err(TakeoverError::Foreign),
            None => return Err(TakeoverError::BrokenOff),
        };
        let mut with = with.into_iter();
        let handed = handed(&estate, &mut with).ok_or(TakeoverError::Foreign)?;
        self.stderr = estate.stderr.then(|| with.next()).flatten();
        let notice = estate.notice.then(|| with.next()).flatten();
        self.notice = notice.map(Barrier::from_fd);
        self.pid = estate.pid;
        info!(pid = estate.pid, "takes over from the hub that runs");
        Ok(handed)
    }

    /// What the service manager passes when it knows this process; once.
    pub fn notice(&mut self) -> Option<Barrier> {
        self.notice.take()
    }

    /// Says that this process accepts, and whether it goes on with the admin door's unix socket; comes
    /// back when it is the hub.
    ///
    /// # Errors
    /// [`TakeoverError`]: the running hub goes on.
    pub async fn settle(self, hub: &Hub, adopted: bool) -> Result<Links, TakeoverError> {
        let mut wire = Wire::new(self.connection)?;
        let version = env!("CARGO_PKG_VERSION").into();
        match wire.say(&Message::Ready { version, adopted }, &[]).await {
            // Gone: it is heard below, after what it has said last.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            said => said?,
        }
        let connected = match timeout(READY_WITHIN, wire.hear()).await {
            Ok(heard) => match heard? {
                Some((Message::Go, _)) => wire.say(&Message::Taken, &[]).await.is_ok(),
                Some((Message::Refused { why }, _)) => return Err(TakeoverError::Refused(why)),
                Some(_) => return Err(TakeoverError::Foreign),
                // Gone: else nobody would accept.
                None => false,
            },
            Err(_) => return Err(TakeoverError::BrokenOff),
        };
        // It would keep the process before this one from hearing of our end.
        drop(self.farewell.take());
        let legacy = match connected {
            true => legacy(&mut wire).await?,
            false => None,
        };
        // From now on its stderr is ours: it hears no more what we say on the old one.
        if let Some(Err(error)) = self.stderr.map(rustix::stdio::dup2_stderr) {
            warn!("stderr stays that of an upgrade: {error}");
        }
        let links = Links::default();
        if !connected {
            warn!("the process before this one has ended in the middle of handing over");
            return Ok(links);
        }
        let control = hub.control();
        let snapshot = control.snapshot();
        let settings = &snapshot.settings;
        let parent = |until, image: &Image| {
            let all = control.predecessors();
            links.begin(&control, all.add(self.pid, until, image), wire);
        };
        match legacy {
            Some((legacy, with)) => {
                parent(since_1970(legacy.until_unix_ms), &legacy.image);
                links.inherit(&control, legacy, with);
            }
            // As far as we know.
            None => parent(
                SystemTime::now() + settings.upgrade_drain,
                &Image::default(),
            ),
        }
        let retire = settings.on_route_removed == OnRouteRemoved::Close;
        // Our files may be newer than those that it decides by.
        control.retire_abroad(retire);
        info!("this process is the hub");
        Ok(links)
    }
}

/// What the process before this one has to hand on. This one is the hub: whatever comes, it is not the
/// end of it, unless the other has not heard so, and goes on itself.
async fn legacy(wire: &mut Wire) -> Result<Option<(Legacy, Vec<OwnedFd>)>, TakeoverError> {
    let why = match timeout(LEGACY_WITHIN, wire.hear()).await {
        Ok(Ok(Some((Message::Legacy(legacy), with)))) => return Ok(Some((*legacy, with))),
        Ok(Ok(Some((Message::Refused { why }, _)))) => return Err(TakeoverError::Refused(why)),
        Ok(Ok(Some(_))) => "it makes no sense".to_owned(),
        Ok(Ok(None)) => "it has ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it has not come in time, and is taken if it comes yet".to_owned(),
    };
    warn!("what the process before this one has counted is missing: {why}");
    Ok(None)
}

fn since_1970(unix_ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms)
}

fn handed(estate: &Estate, with: &mut impl Iterator<Item = OwnedFd>) -> Option<Handed> {
    let mut inherited = Inherited {
        sockets: Vec::new(),
        first_session: estate.first_session,
    };
    for (number, one) in (0..).zip(&estate.sockets) {
        inherited.sockets.push(Passed {
            number,
            name: one.name.clone(),
            listed: one.listed,
            socket: with.next()?,
        });
    }
    let mut doors = Vec::new();
    for one in &estate.doors {
        doors.push(PassedDoor {
            key: one.key.clone(),
            at: one.at.clone(),
            inode: one.inode,
            socket: with.next()?,
        });
    }
    Some(Handed {
        inherited,
        doors,
        routes: estate.routes.clone(),
        allow_shrink: estate.allow_shrink,
    })
}

/// The connections to the processes before this one.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<Vec<Link>>>);

#[derive(Debug)]
struct Link {
    one: Arc<server::Predecessor>,
    socket: Option<PacketSocket>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Links {
    fn all(&self) -> MutexGuard<'_, Vec<Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with what a process before this one had, besides its own counts.
    fn inherit(&self, control: &Control, legacy: Legacy, with: Vec<OwnedFd>) {
        if let Some(level) = legacy.log_level.and_then(|level| level.parse().ok()) {
            telemetry::choose_log_level(level);
        }
        control.reloads().inherit(&legacy.reloads);
        let all = control.predecessors();
        all.remember(legacy.declined);
        for (one, connection) in legacy.predecessors.into_iter().zip(with) {
            let Forefather {
                pid,
                until_unix_ms,
                image,
            } = one;
            match Wire::new(PacketSocket::from_fd(connection)) {
                Ok(wire) => {
                    let added = all.add(pid, since_1970(until_unix_ms), &image);
                    self.begin(control, added, wire);
                }
                Err(error) => warn!(pid, "an earlier process is not reached: {error}"),
            }
        }
    }

    fn begin(&self, control: &Control, (one, orders): Added, wire: Wire) {
        // Without it a successor of ours does not hear of that process any more.
        let socket = wire.copy().ok();
        let stop = CancellationToken::new();
        let (stopped, link) = (stop.clone(), Arc::clone(&one));
        let (control, links) = (control.clone(), self.clone());
        let task = tokio::spawn(async move {
            let (ask, questions) = mpsc::unbounded_channel();
            let ending = say_ends(wire.mouth(), orders, ask);
            let serving = Abroad {
                wire,
                one: link,
                control,
                links,
                next: 0,
                unheard: 0,
            }
            .serve(questions, stopped.clone());
            let stopping = async {
                stopped.cancelled().await;
                sleep(FINISHED_WITHIN).await;
            };
            tokio::select! {
                () = ending => {}
                () = serving => {}
                () = stopping => {}
            }
        });
        self.all().push(Link {
            one,
            socket,
            stop,
            task,
        });
    }

    /// It is gone: its connection is not kept.
    fn forget(&self, gone: &Arc<server::Predecessor>) {
        self.all().retain(|link| !Arc::ptr_eq(&link.one, gone));
    }

    fn next(&self) -> Option<Link> {
        let mut all = self.all();
        (!all.is_empty()).then(|| all.remove(0))
    }

    /// Gives no more orders: the connections to those that still hold tunnels, for the successor of
    /// this number. Each of them is told of it here: if the successor ends before its first order, it
    /// is that end, not ours, for which they have nobody any more.
    pub(super) async fn release(
        self,
        all: &Predecessors,
        successor: u32,
    ) -> Vec<(Arc<server::Predecessor>, PacketSocket)> {
        let first = Message::Order {
            id: first_of(successor),
            order: Order::Count,
            until: None,
        };
        // All at once: each may take as long as an answer.
        self.all().iter().for_each(|link| link.stop.cancel());
        let mut released = Vec::new();
        while let Some(link) = self.next() {
            // One more may have been handed on meanwhile.
            link.stop.cancel();
            // A panic there was told by its own hook.
            drop(link.task.await);
            if let Some(socket) = link.socket.filter(|_| all.lives(&link.one)) {
                // Never waits: the socket does not block. One whose queue is full hears it from the
                // successor.
                drop(wire::say(&socket, &first, &[]));
                released.push((link.one, socket));
            }
        }
        released
    }
}

/// Ids of orders begin with this one: an answer to another process is not taken for ours. It is never
/// waited for; the process before has given it, to tell who comes.
fn first_of(pid: u32) -> u64 {
    u64::from(pid) << 32
}

/// Has a process end at once, or over some time: past a question that it does not answer, which would
/// keep that for longer than this process may live. What is asked of it is passed on. Never comes back.
async fn say_ends(
    mouth: Mouth,
    mut orders: UnboundedReceiver<Given>,
    ask: UnboundedSender<(Question, Instant)>,
) {
    while let Some(Given { command, at }) = orders.recv().await {
        let order = match command {
            Command::Drain(over) => Order::Stop {
                over_ms: over.as_millis() as u64,
            },
            Command::Kill => Order::Kill,
            Command::Ask(question) => {
                drop(ask.send((*question, at)));
                continue;
            }
            _ => continue,
        };
        let order = Message::Order {
            id: first_of(std::process::id()),
            order,
            until: None,
        };
        // Of one that is gone it is heard below.
        drop(mouth.say(&order, &[]).await);
    }
    std::future::pending::<()>().await;
}

/// The last is for counts: they are told however late, so that a process that goes on is heard.
fn most_unheard(order: &Order) -> u32 {
    match order {
        Order::Count => UNHEARD,
        _ => UNHEARD - 1,
    }
}

/// One of them, and the orders for it.
type Added = (Arc<server::Predecessor>, UnboundedReceiver<Given>);

/// The way to one of them.
struct Abroad {
    wire: Wire,
    one: Arc<server::Predecessor>,
    control: Control,
    links: Links,
    next: u64,
    /// Questions that it was asked since it was heard last.
    unheard: u32,
}

/// It is there no more.
struct Gone;

impl Abroad {
    /// Carries questions until it is gone, or none is to be carried any more: one at a time, so that no
    /// two messages stand in each other's way.
    async fn serve(
        mut self,
        mut questions: UnboundedReceiver<(Question, Instant)>,
        stop: CancellationToken,
    ) {
        let mut clock = interval(COUNT_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.next = first_of(std::process::id());
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((question, at)) = questions.recv() => self.carry(question, at).await,
                _ = clock.tick() => self.count(Instant::now()).await.map(drop),
                heard = self.wire.hear() => match self.heard(heard) {
                    Ok((message, with)) => self.told(message, with).await,
                    Err(gone) => Err(gone),
                },
            };
            if let Err(Gone) = done {
                self.control.predecessors().gone(&self.one);
                return self.links.forget(&self.one);
            }
        }
    }

    /// Whatever it says, it goes on.
    fn heard(&mut self, heard: io::Result<Got>) -> Result<(Message, Vec<OwnedFd>), Gone> {
        match heard {
            Ok(Some(heard)) => {
                self.unheard = 0;
                Ok(heard)
            }
            Ok(None) | Err(_) => {
                self.lost()?;
                Err(Gone)
            }
        }
    }

    /// What nobody has asked for.
    async fn told(&self, message: Message, with: Vec<OwnedFd>) -> Result<(), Gone> {
        match message {
            Message::Last(image) => self.last(&image),
            // Late: until now it was stopped, or very busy.
            Message::Legacy(legacy) => {
                self.control.predecessors().note(&self.one, &legacy.image);
                self.links.inherit(&self.control, *legacy, with);
                Ok(())
            }
            Message::Undecided { id, client } => {
                let lets_in = self.control.lets_in(&client);
                let decided = Message::Decided { id, lets_in };
                // One that does not hear it is looked through later.
                drop(timeout(SAID_WITHIN, self.wire.say(&decided, &[])).await);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn last(&self, image: &Image) -> Result<(), Gone> {
        self.control.predecessors().note(&self.one, image);
        info!(
            pid = self.one.pid,
            "the process before this one has ended with the last of its tunnels"
        );
        self.gone()
    }

    fn lost(&self) -> Result<(), Gone> {
        let (pid, tunnels) = (self.one.pid, self.one.open());
        warn!(
            pid,
            tunnels, "the process before this one is gone: the tunnels that it held are cut"
        );
        self.gone()
    }

    /// Before whoever waits for an answer hears that there is none: it is none of the silent ones.
    fn gone(&self) -> Result<(), Gone> {
        self.control.predecessors().gone(&self.one);
        Err(Gone)
    }

    /// Whether it has told them.
    async fn count(&mut self, asked: Instant) -> Result<bool, Gone> {
        let counted = self.ask(Order::Count, asked).await?;
        if let Some(Reply::Counted { image, sessions }) = counted {
            self.control.predecessors().note(&self.one, &image);
            self.one.sessions.store(sessions, Relaxed);
            return Ok(true);
        }
        Ok(false)
    }

    /// An answer that does not come is not given: whoever waits for it hears so.
    async fn carry(&mut self, question: Question, asked: Instant) -> Result<(), Gone> {
        match question {
            Question::Alive(reply) => {
                let _ = reply.send(());
            }
            Question::Count(reply) => {
                if self.count(asked).await? {
                    let _ = reply.send(());
                }
            }
            Question::Tunnels(reply) => {
                if let Some(Reply::Tunnels(mut tunnels)) = self.ask(Order::Tunnels, asked).await? {
                    tunnels.iter_mut().for_each(|tunnel| tunnel.draining = true);
                    drop(reply.send(tunnels));
                }
            }
            Question::Standing(reply) => {
                if let Some(Reply::Standing(all)) = self.ask(Order::Standing, asked).await? {
                    drop(reply.send(all));
                }
            }
            Question::End(session, reply) => {
                let order = Order::End { session };
                if let Some(Reply::Ended(known)) = self.ask(order, asked).await? {
                    let _ = reply.send(known);
                }
            }
            Question::Drain(group, over, why, reply) => {
                let order = Order::Drain {
                    group: group.into(),
                    over_ms: over.as_millis() as u64,
                    removed: why == Ended::RouteRemoved,
                };
                if let Some(Reply::Drained(count)) = self.ask(order, asked).await? {
                    let _ = reply.send(count);
                }
            }
        }
        Ok(())
    }

    /// `None`: no answer in time. `asked`: since then somebody waits for it, and what he is told that it
    /// was not done is not done later.
    async fn ask(&mut self, order: Order, asked: Instant) -> Result<Option<Reply>, Gone> {
        let counts = matches!(order, Order::Count);
        let reply = self.ask_in_time(order, asked).await?;
        // Of its counts there are those of before.
        if reply.is_none() && !counts {
            let pid = self.one.pid;
            warn!(pid, "{SILENT}");
        }
        Ok(reply)
    }

    async fn ask_in_time(&mut self, order: Order, asked: Instant) -> Result<Option<Reply>, Gone> {
        let begun_within = (asked + BEGUN_WITHIN).checked_duration_since(Instant::now());
        let Some(left) = begun_within else {
            // It has waited behind one that was not answered either.
            return Ok(None);
        };
        if self.unheard >= most_unheard(&order) {
            return Ok(None);
        }
        let until = wire::clock() + left.as_millis() as u64;
        self.next += 1;
        let exchange = self.exchange(self.next, order, until);
        match timeout_at(asked + ANSWER_WITHIN, exchange).await {
            Ok(reply) => reply.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn exchange(&mut self, id: u64, order: Order, until: u64) -> Result<Reply, Gone> {
        // An error is heard of below: what it said last may still be there.
        let order = Message::Order {
            id,
            order,
            until: Some(until),
        };
        // One for which there was no room does not stand unanswered.
        if self.wire.say(&order, &[]).await.is_ok() {
            self.unheard += 1;
        }
        loop {
            let heard = self.wire.hear().await;
            match self.heard(heard)? {
                (Message::Reply { id: of, reply }, _) if of == id => return Ok(reply),
                (message, with) => self.told(message, with).await?,
            }
        }
    }
}
