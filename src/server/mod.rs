//! The whole hub: listeners, workers, and the control thread that looks after them.
//!
//! The control thread is the caller's: it resolves names, notices changed files, reloads, and
//! hears the signals. Workers only move bytes.

mod control;
mod counted;
mod listeners;
mod predecessors;
mod removal;
mod silent;

pub use control::{Control, NoVerdict, Succeeded, VERDICT_WITHIN};
pub use listeners::{ActivationError, STORED};
pub use predecessors::{Family, Given, Predecessor, Predecessors};
pub use silent::{Heard, Silent};

use crate::config::{FileSet, Loaded, Settings, Sources};
use crate::health::{self, Board};
use crate::net::Passed;
use crate::net::listener::ListenError;
use crate::net::preface::HelloMemory;
use crate::net::resolve::{ResolveClient, Resolver, ResolverFiles};
use crate::permits::{self, Permits};
use crate::probe::Prober;
use crate::reload::{self, Asked, Reloader};
use crate::shutdown::{self, Requests};
use crate::snapshot::Snapshot;
use crate::takeover::{self, Household, TakeoverError};
use crate::telemetry::{Counters, Pairs, Reloads, SessionId, Totals};
use crate::tunnel::{self, SpliceMode};
use crate::worker::{self, Command, Door, Heir, Shared, Undecided};
use listeners::{Listeners, OpenError};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

/// Why the hub does not run.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener could not be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A new item of `listen` has addresses of an old one, which is open until its hub ends.
    #[error(
        "{address} of `listen` overlaps {bound}, on which the hub listens until now: that needs a restart \
         (stop it, then start it), unless `ss -ltnp 'sport = :{port}'` shows somebody else there, too",
        port = .address.port()
    )]
    Overlap {
        /// The new one.
        address: SocketAddr,
        /// The old one.
        bound: SocketAddr,
    },
    /// Sockets that were passed to this process are not those to listen on.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// A thread could not be started.
    #[error("cannot start a worker thread: {0}")]
    Thread(io::Error),
    /// A thread started, but found no descriptors or memory for its runtime.
    #[error("a worker thread cannot run, for want of descriptors or memory; the log says which")]
    Worker,
    /// The process before this one keeps its place.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// The process after this one has ended, and who restarts the hub waits for the end of this one.
    #[error("the successor has ended, and nobody accepts: the service has failed")]
    Orphaned,
    /// All workers have ended by themselves, as the log says.
    #[error("all workers have ended by themselves; the log says why")]
    WorkersGone,
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> StartError {
        match error {
            OpenError::Activation(error) => StartError::Activation(error),
            OpenError::Listen(error) => StartError::Listen(error),
            OpenError::Overlap { address, bound } => StartError::Overlap { address, bound },
        }
    }
}

/// Reloads, and upgrades, that the admin door may ask for at once.
const ASKED: usize = 16;

/// What a process begins with that comes from somebody else.
#[derive(Debug, Default)]
pub struct Inherited {
    /// To listen on.
    pub sockets: Vec<Passed>,
    /// Its session ids begin here: an operator's `kill` means one session of all processes.
    pub first_session: SessionId,
}

/// Sessions that may begin here between a successor's first and the last of this process.
const MEANWHILE: SessionId = 1 << 20;
/// The first session of each process is a multiple of this.
const ROUND: SessionId = 1 << 24;

/// A running hub.
#[derive(Debug)]
pub struct Hub {
    doors: Vec<Door>,
    /// Workers that have not ended.
    running: watch::Sender<usize>,
    counters: Vec<Arc<Counters>>,
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    draining: Arc<AtomicBool>,
    succeeded: Arc<AtomicBool>,
    reloads: Arc<Reloads>,
    reload: mpsc::Sender<Asked>,
    started: SystemTime,
    bequeathed: Arc<RwLock<Option<Vec<Arc<Counters>>>>>,
    listing: Arc<Mutex<()>>,
    upgrades: mpsc::Sender<takeover::Asked>,
    predecessors: Arc<Predecessors>,
    health: Arc<Board>,
    /// Copies of all listening sockets. As long as one of them is open, connections wait in its
    /// queue whether or not anybody accepts: none is left when the workers close theirs.
    sockets: Lock<Vec<Passed>>,
    /// What it listens on no longer, see [`Listeners`].
    left: Vec<SocketAddr>,
}

impl Hub {
    /// Listens, on what was inherited and what is missing of `listen`, and starts the workers, each in the caller's tracing dispatcher.
    /// `reload`, `upgrades`: where a [`Control`] asks for one.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub fn start(
        snapshot: &Arc<Snapshot>,
        resolver: ResolveClient,
        splice: SpliceMode,
        nofile: usize,
        reload: mpsc::Sender<Asked>,
        upgrades: mpsc::Sender<takeover::Asked>,
        inherited: Inherited,
    ) -> Result<Hub, StartError> {
        let settings = &snapshot.settings;
        let workers = workers(settings);
        let Listeners {
            mut sockets,
            inbounds,
            copies,
            left,
            ..
        } = Listeners::open(settings, workers, inherited.sockets)?;
        let addresses: Vec<_> = inbounds.iter().map(|inbound| inbound.local).collect();
        let shared = Arc::new(Shared {
            permits: Permits::default(),
            resolver,
            hello_memory: HelloMemory::new(settings.limits.hello_memory),
            first_session: inherited.first_session,
            own: addresses.clone().into(),
            nofile,
            pairs: Arc::new(Pairs::new(settings.metrics.max_routes)),
        });
        let (doors, orders): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (commands, orders) = mpsc::unbounded_channel();
                (Door::new(commands), orders)
            })
            .unzip();
        let (running, _) = watch::channel(0);
        let mut hub = Hub {
            doors,
            running,
            counters: Vec::new(),
            addresses,
            shared: Arc::clone(&shared),
            snapshot: watch::Sender::new(Arc::clone(snapshot)),
            draining: Arc::default(),
            succeeded: Arc::default(),
            reloads: Arc::default(),
            reload,
            started: SystemTime::now(),
            bequeathed: Arc::default(),
            listing: Arc::default(),
            upgrades,
            predecessors: Predecessors::none(Arc::clone(&shared.pairs)),
            health: Arc::default(),
            sockets: Lock::new(copies),
            left,
        };
        let (ready, told) = std::sync::mpsc::channel();
        for (index, commands) in orders.into_iter().enumerate() {
            let counters = Arc::<Counters>::default();
            hub.counters.push(Arc::clone(&counters));
            let start = worker::Start {
                index,
                listeners: std::mem::take(&mut sockets[index]),
                snapshot: Arc::clone(snapshot),
                shared: Arc::clone(&shared),
                commands,
                doors: hub.doors.clone(),
                counters,
                splice,
                ready: ready.clone(),
            };
            spawn(start, hub.running.clone()).map_err(StartError::Thread)?;
        }
        drop(ready);
        // Only then do they accept: a fast worker's first clients could else take the descriptors
        // that a slow one needs to run.
        if told.iter().take(workers).count() < workers {
            return Err(StartError::Worker);
        }
        hub.order(|| Command::Accept);
        for inbound in &inbounds {
            info!(
                proxy_protocol = if inbound.proxy.is_some() {
                    "required"
                } else {
                    "off"
                },
                "listening on {}", inbound.local
            );
        }
        Ok(hub)
    }

    /// The addresses listened on, with their real ports, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Copies of the listening sockets that no socket unit keeps open, for somebody who will. As long
    /// as one of them is open, connections wait in its queue whether or not anybody accepts.
    pub fn own_sockets(&self) -> Vec<OwnedFd> {
        let sockets = self.sockets();
        let own = sockets.iter().filter(|one| one.name == STORED);
        // Without a copy it is not kept; nothing else is lost.
        own.filter_map(|one| one.socket.try_clone().ok()).collect()
    }

    /// Copies of all listening sockets; none of a hub that accepts no more.
    pub fn sockets(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the session ids of a successor begin: beyond all that this process may come to give.
    pub fn next_first_session(&self) -> SessionId {
        let workers = self.counters.len() as u64;
        let most = self.counters.iter().map(|one| one.accepted.get()).max();
        let given = self.shared.first_session + (most.unwrap_or(0) + 1) * workers;
        ((given + MEANWHILE) / ROUND + 1) * ROUND
    }

    /// Puts a new generation into force; with `retire` tunnels that it no longer allows are closed.
    /// Without, those that the processes before this one open yet.
    pub fn publish(&self, snapshot: &Arc<Snapshot>, retire: bool) {
        let most = snapshot.settings.metrics.max_routes;
        self.shared.pairs.set_most_routes(most);
        self.order(|| Command::Publish(Arc::clone(snapshot), retire));
        self.snapshot.send_replace(Arc::clone(snapshot));
        self.control().retire_abroad(retire);
    }

    /// Stops accepting and begins to close what stands, also in the processes before this one, evenly
    /// over `over`.
    pub fn drain(&self, over: Duration) {
        self.draining.store(true, Relaxed);
        self.sockets().clear();
        self.order(|| Command::Drain(over));
        self.predecessors.order(|| Command::Drain(over));
    }

    /// Stops accepting, and leaves what waits in the queues to a successor; what stands is closed
    /// evenly over `over`. That is no end of the hub, see [`Control::is_succeeded`]. Comes back with
    /// the clients that were in the middle of their hello or dial, about whom the successor has the say.
    pub fn step_back(&self, over: Duration) -> mpsc::UnboundedReceiver<Undecided> {
        let (heir, undecided) = Heir::new();
        self.succeeded.store(true, Relaxed);
        self.sockets().clear();
        self.order(|| Command::Succeeded(heir.clone()));
        self.order(|| Command::Drain(over));
        undecided
    }

    /// Ends everything at once, also in the processes before this one.
    pub fn kill(&self) {
        self.order(|| Command::Kill);
        self.predecessors.order(|| Command::Kill);
    }

    /// Waits until every worker has ended, told to or not.
    pub async fn ended(&self) {
        // Cannot fail: `self` holds a sender.
        let _ = self
            .running
            .subscribe()
            .wait_for(|running| *running == 0)
            .await;
    }

    /// Sessions of any state at this moment.
    pub fn sessions(&self) -> usize {
        self.doors
            .iter()
            .map(|door| door.sessions.load(Relaxed))
            .sum()
    }

    /// What became of the reloads so far.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// The processes before this one.
    pub fn predecessors(&self) -> &Arc<Predecessors> {
        &self.predecessors
    }

    /// A handle for the admin door.
    pub fn control(&self) -> Control {
        Control {
            doors: self.doors.clone(),
            counters: self.counters.clone(),
            shared: Arc::clone(&self.shared),
            addresses: self.addresses.clone(),
            running: self.running.subscribe(),
            snapshot: self.snapshot.subscribe(),
            draining: Arc::clone(&self.draining),
            succeeded: Arc::clone(&self.succeeded),
            reloads: Arc::clone(&self.reloads),
            reload: self.reload.clone(),
            started: self.started,
            bequeathed: Arc::clone(&self.bequeathed),
            listing: Arc::clone(&self.listing),
            upgrades: self.upgrades.clone(),
            predecessors: Arc::clone(&self.predecessors),
            health: Arc::clone(&self.health),
        }
    }

    /// Asks the upstreams how they do, until it is dropped.
    fn ask_upstreams(&self) -> AbortOnDropHandle<()> {
        let mut ports: Vec<u16> = self.addresses.iter().map(SocketAddr::port).collect();
        ports.dedup();
        let shared = &self.shared;
        let prober = Prober::apart_from(Arc::clone(&shared.own), shared.resolver.clone());
        let (board, snapshots) = (Arc::clone(&self.health), self.snapshot.subscribe());
        // A task of its own: whatever becomes of it, reloads and signals are heard.
        AbortOnDropHandle::new(tokio::spawn(health::watch(prober, ports, board, snapshots)))
    }

    /// What was counted since the start.
    pub fn totals(&self) -> Totals {
        Totals::of(self.counters.iter().map(AsRef::as_ref))
    }

    fn order(&self, command: impl Fn() -> Command) {
        for door in &self.doors {
            // A shut door is a worker that has ended.
            drop(door.commands.send(command()));
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a hub is run from.
#[derive(Debug)]
pub struct Start {
    /// Where the files are.
    pub sources: Sources,
    /// What they say.
    pub loaded: Loaded,
    /// The files.
    pub files: FileSet,
    /// What the outside asks of it.
    pub requests: Requests,
    /// What it begins with.
    pub inherited: Inherited,
}

/// Runs the hub until it is asked to stop, or a successor has taken its place and the last of its
/// tunnels has ended; reloads as files change. This thread is its control thread. `ready` is told
/// once, when the hub accepts; what it gives is handed to a successor, too.
///
/// # Errors
/// [`StartError`]: before anything runs, or because nothing runs any more; or that of `ready`.
pub async fn run(
    start: Start,
    ready: impl AsyncFnOnce(&mut Hub) -> Result<Household, StartError>,
) -> Result<(), StartError> {
    let Start {
        sources,
        loaded,
        files,
        mut requests,
        inherited,
    } = start;
    let nofile = permits::raise_nofile();
    let Loaded {
        settings,
        routes,
        routes_file,
        ..
    } = loaded;
    let snapshot = Arc::new(Snapshot {
        generation: 1,
        settings,
        routes,
        routes_file,
    });
    let splice = tunnel::self_test();
    let (resolver, broken) = Resolver::open(ResolverFiles::default());
    broken.iter().for_each(|problem| warn!("{problem}"));
    let (resolve, answering) = resolver.serve();
    tokio::spawn(answering);
    tell_sums(&snapshot.settings, nofile, splice);
    info!(
        routes = snapshot.routes.len(),
        "routes are those of {}",
        snapshot.routes_file.display()
    );
    let (reload, mut asked) = mpsc::channel(ASKED);
    let (upgrade, mut upgrades) = mpsc::channel(ASKED);
    let mut hub = Hub::start(
        &snapshot, resolve, splice, nofile, reload, upgrade, inherited,
    )?;
    hub.reloads().begin(files.loaded_hash());
    if snapshot.routes.is_empty() {
        warn!("no routes: every client is refused until sni.yaml has one");
    }
    let household = ready(&mut hub).await?;
    // Only now: a successor that does not become the hub changes nothing.
    for bound in &hub.left {
        info!("no longer listening on {bound}: `listen` has changed");
    }
    let mut reloader = Reloader::new(sources, files, snapshot);
    let asking = hub.ask_upstreams();
    let candidate = tokio::select! {
        () = reload::watch(&mut reloader, &resolver, &hub, &mut requests.reload, &mut asked) => None,
        () = hub.ended() => {
            return Err(StartError::WorkersGone);
        }
        Some(()) = requests.stop.recv() => None,
        candidate = takeover::candidate(&hub, &household, &mut upgrades) => Some(candidate),
    };
    // Whoever waits for a verdict hears that none will come.
    drop((asked, upgrades));
    // Nor is anything of the upstreams known from now on.
    drop(asking);
    hub.health.clear();
    match candidate {
        Some(candidate) => {
            let successor = candidate.takes_over(&hub, household).await;
            successor.outlive(&hub, &mut requests.stop).await?;
        }
        None => {
            let grace = reloader.current().settings.drain;
            shutdown::wind_down(&hub, grace, &mut requests.stop).await;
        }
    }
    Ok(())
}

/// The sums an operator checks a limit against, once.
fn tell_sums(settings: &Settings, nofile: usize, splice: SpliceMode) {
    let relay = match splice {
        SpliceMode::Splice => "splice",
        SpliceMode::Copy(why) => {
            warn!(why, "splice(2) is not to be had here: bytes are copied");
            "copy"
        }
    };
    let fitting = permits::tunnels_for(nofile);
    let tunnels = settings.limits.tunnels.unwrap_or(fitting);
    if tunnels > fitting {
        warn!(
            "limits.tunnels is {tunnels}, and {nofile} descriptors (RLIMIT_NOFILE) are enough for {fitting}: \
             raise LimitNOFILE, or accepting will pause before the limit is reached"
        );
    }
    info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = workers(settings),
        descriptors = nofile,
        tunnels,
        hello_memory = settings.limits.hello_memory,
        relay,
        "starting"
    );
}

/// As configured, else one per available CPU.
fn workers(settings: &Settings) -> usize {
    let available = || std::thread::available_parallelism().map_or(1, Into::into);
    settings.workers.unwrap_or_else(available)
}

/// Starts a worker on a thread of its own; `running` counts it until it has ended.
fn spawn(start: worker::Start, running: watch::Sender<usize>) -> io::Result<()> {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let counted = Counted(running);
    counted.0.send_modify(|running| *running += 1);
    let name = format!("worker-{}", start.index);
    std::thread::Builder::new().name(name).spawn(move || {
        let _counted = counted;
        tracing::dispatcher::with_default(&dispatch, || {
            if let Err(error) = worker::run(start) {
                error!(%error, "a worker cannot run");
            }
        });
    })?;
    Ok(())
}

/// Counts a worker off when its thread ends, also by a panic.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
