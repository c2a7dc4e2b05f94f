//! One worker: a thread, its current-thread runtime, its listeners, its sessions.
//!
//! What a session touches while bytes flow belongs to its worker alone (pools, counters, the
//! registry of live sessions), so nothing is locked there. Orders come as [`Command`]s from the
//! control thread, and connections from a worker that has more of them.

mod accept;
mod asked;
mod balance;
mod closing;
mod heir;
mod orders;
mod registry;
mod spread;

pub use asked::{Group, Question, Standing};
pub use balance::Belongings;
pub use closing::RETIRE_OVER;
pub use heir::{Heir, Undecided};
pub use orders::{Arrival, Command, Door, Inbound, Shared, Start};
pub use registry::{Decided, Live, Place};

use crate::config::Settings;
use crate::net::dial::DialOptions;
use crate::net::listener::{self, Listener};
use crate::net::preface::HelloMemory;
use crate::net::resolve::ResolveClient;
use crate::net::sockopt::{self, Keepalive};
use crate::peek::{PeekOptions, Scratch};
use crate::permits::{Caps, Permits, pipes_for, tunnels_for};
use crate::route::Route;
use crate::session::{Accepted, Places, session};
use crate::snapshot::Snapshot;
use crate::telemetry::{Ledger, Record, SessionId};
use crate::tunnel::{Limits, Pools};
use foldhash::fast::RandomState;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// The pause after `accept` found no descriptor or memory: long enough not to spin, short enough
/// to be back within a second.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The grain of the idle wheel and of spread closing.
const TICK: Duration = Duration::from_millis(250);
/// A tunnel that lives long says so this often.
const ALIVE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The worker, as its sessions see it.
pub struct Worker {
    index: usize,
    snapshot: RefCell<Arc<Snapshot>>,
    shared: Arc<Shared>,
    pools: Rc<Pools>,
    scratch: Scratch,
    ledger: Rc<Ledger>,
    doors: Vec<Door>,
    sessions: RefCell<HashMap<SessionId, Rc<registry::Entry>, RandomState>>,
    next: Cell<u64>,
    /// Accepting is over; nothing is handed to other workers any more.
    draining: CancellationToken,
    /// A successor accepts from the same listeners, and is the hub.
    heir: RefCell<Option<Heir>>,
    last_trouble_told: Cell<Option<Instant>>,
    /// Ticks until a fat tunnel may leave again.
    settling: Cell<u32>,
}

/// Runs a worker on this thread until it is told to end.
///
/// # Errors
/// When the runtime cannot be had or a listener cannot be registered (descriptors).
pub fn run(start: Start) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async move {
        let Start {
            index,
            listeners,
            snapshot,
            shared,
            mut commands,
            doors,
            counters,
            splice,
            ready,
        } = start;
        let most_pipes = shared.pipes(&snapshot.settings, doors.len());
        let ledger = Ledger::new(Arc::clone(&counters), Arc::clone(&shared.pairs));
        let pools = Pools::metered(splice, most_pipes, Arc::clone(&counters.tunnels));
        pools.set_keepalive(keepalive(&snapshot.settings));
        let worker = Rc::new(Worker {
            index,
            snapshot: RefCell::new(snapshot),
            shared,
            pools,
            scratch: Scratch::new(),
            ledger,
            doors,
            sessions: RefCell::default(),
            next: Cell::new(0),
            draining: CancellationToken::new(),
            heir: RefCell::default(),
            last_trouble_told: Cell::new(None),
            settling: Cell::new(0),
        });
        let (mut listening, mut accepting) = (Vec::new(), Vec::new());
        for (socket, inbound) in listeners {
            listening.push((Rc::new(Listener::from_std(socket)?), inbound));
        }
        // Nobody waits any more: the start failed elsewhere, and the order to end is on its way.
        let _ = ready.send(());
        // Kept, it would let the start wait for the word of a worker that could not run.
        drop(ready);
        let ticking = Rc::clone(&worker);
        spawn_local(unbroken(move || tick(Rc::clone(&ticking))));
        while let Some(command) = commands.recv().await {
            match command {
                Command::Accept => {
                    let begin = |(listener, inbound): &(_, _)| worker.accept(listener, inbound);
                    accepting = listening.iter().map(begin).collect();
                }
                Command::Publish(snapshot, retire) => {
                    worker.take_over(&snapshot.settings, &listening);
                    worker.snapshot.replace(snapshot);
                    if retire {
                        spawn_local(closing::retire(Rc::clone(&worker)));
                    }
                }
                Command::Adopt(arrival) => worker.begin(*arrival),
                Command::Settle(mover) => worker.settle(*mover),
                Command::Ask(question) => worker.answer(*question),
                Command::Succeeded(heir) => drop(worker.heir.replace(Some(heir))),
                Command::Drain(over) => {
                    listening.clear();
                    worker.draining.cancel();
                    let accepting = std::mem::take(&mut accepting);
                    spawn_local(closing::drain(Rc::clone(&worker), accepting, over));
                }
                Command::Kill => break,
            }
        }
        // What was handed over and comes too late has a record like any other.
        commands.close();
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Adopt(arrival) => worker.begin(*arrival),
                Command::Settle(mover) => worker.settle(*mover),
                _ => {}
            }
        }
        // The runtime goes now, and every session with it: each tells its record as it is dropped.
        Ok(())
    })
}

impl Shared {
    /// How many tunnels may stand: as configured, else as many as the descriptors carry.
    fn tunnels(&self, settings: &Settings) -> usize {
        let fitting = || tunnels_for(self.nofile);
        settings.limits.tunnels.unwrap_or_else(fitting)
    }

    /// How many pipes each of `workers` may have open.
    fn pipes(&self, settings: &Settings, workers: usize) -> usize {
        pipes_for(self.nofile, self.tunnels(settings), workers)
    }
}

impl Worker {
    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Pipes, slabs, scratch.
    pub fn pools(&self) -> &Rc<Pools> {
        &self.pools
    }

    /// Where hellos are read into.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Process-wide caps.
    pub fn permits(&self) -> &Permits {
        &self.shared.permits
    }

    /// Who resolves names.
    pub fn resolver(&self) -> &ResolveClient {
        &self.shared.resolver
    }

    /// Memory of pending hellos.
    pub fn hello_memory(&self) -> &Arc<HelloMemory> {
        &self.shared.hello_memory
    }

    /// How a hello is read from this listener.
    pub fn peek_options(&self, settings: &Settings, inbound: &Inbound, at: Instant) -> PeekOptions {
        PeekOptions {
            max_client_hello: settings.max_client_hello,
            proxy: inbound.proxy.clone(),
            deadline: (at + settings.hello_timeout).into(),
        }
    }

    /// How an upstream of this route is dialled.
    pub fn dial_options(&self, settings: &Settings, route: &Route) -> DialOptions {
        DialOptions {
            per_address: route.timeouts.dial.unwrap_or(settings.dial_timeout),
            total: settings.dial_timeout_total,
            own: Arc::clone(&self.shared.own),
        }
    }

    /// How long a tunnel of this route may stand still.
    pub fn tunnel_limits(&self, settings: &Settings, route: &Route) -> Limits {
        let pick = |own: Option<Duration>, hub: Option<Duration>| match own {
            Some(own) => Some(own).filter(|own| !own.is_zero()),
            None => hub,
        };
        Limits {
            idle: pick(route.timeouts.idle, settings.idle_timeout),
            half_open: pick(route.timeouts.half_open, settings.half_open_timeout),
            write_stall: pick(route.timeouts.write_stall, settings.write_stall_timeout),
        }
    }

    /// Whether the generation in force sends a connection of this kind to the same place.
    pub fn still_routed(&self, why: &Decided) -> bool {
        let snapshot = self.snapshot.borrow();
        match why.place.decide(&snapshot.routes) {
            Ok(now) => now.target == why.target && now.route.id == why.route.id,
            Err(_) => false,
        }
    }

    /// Begins to accept.
    fn accept(self: &Rc<Self>, listener: &Rc<Listener>, inbound: &Arc<Inbound>) -> JoinHandle<()> {
        let (worker, listener) = (Rc::clone(self), Rc::downgrade(listener));
        let inbound = Arc::clone(inbound);
        spawn_local(unbroken(move || {
            accept::accept(
                Rc::clone(&worker),
                Weak::clone(&listener),
                Arc::clone(&inbound),
            )
        }))
    }

    /// What a new generation changes outside the sessions that it will decide.
    fn take_over(&self, settings: &Settings, listening: &[(Rc<Listener>, Arc<Inbound>)]) {
        self.shared
            .hello_memory
            .set_limit(settings.limits.hello_memory);
        let workers = self.doors.len();
        self.pools
            .set_most_pipes(self.shared.pipes(settings, workers));
        self.pools.set_keepalive(keepalive(settings));
        for (listener, _) in listening {
            // Inherited by what it accepts from now on. A socket that listens takes the options.
            let _ = sockopt::for_tunnels(&**listener, keepalive(settings));
        }
    }

    /// The caps in force.
    pub fn caps(&self) -> Caps {
        let settings = &self.snapshot.borrow().settings;
        let limits = &settings.limits;
        Caps {
            tunnels: self.shared.tunnels(settings),
            pending_hellos: limits.pending_hellos,
            pending_dials: limits.pending_dials,
        }
    }

    fn has_room(&self) -> bool {
        self.shared.permits.room(&self.caps())
    }

    /// Keeps an accepted connection, or hands it to a worker that has clearly fewer.
    fn take(self: &Rc<Self>, accepted: listener::Accepted, inbound: &Arc<Inbound>) {
        let elsewhere = self.less_busy();
        let arrival = Arrival {
            accepted,
            inbound: Arc::clone(inbound),
            at: Instant::now(),
            admission: self.shared.permits.admit(),
            opening: elsewhere.unwrap_or(self.door()).opening.take(),
        };
        let kept = match elsewhere {
            Some(door) => {
                // Comes back if that worker has ended.
                let sent = door.commands.send(Command::Adopt(Box::new(arrival)));
                match sent.map_err(|refused| refused.0) {
                    Err(Command::Adopt(arrival)) => *arrival,
                    _ => return,
                }
            }
            None => arrival,
        };
        self.begin(kept);
    }

    fn begin(self: &Rc<Self>, arrival: Arrival) {
        let Arrival {
            accepted,
            inbound,
            at,
            admission,
            opening,
        } = arrival;
        let endpoints = accepted.endpoints;
        let stream = match TcpStream::from_std(accepted.stream) {
            Ok(stream) => stream,
            Err(cause) => {
                let client = endpoints.client;
                self.tell_trouble(&format_args!(
                    "a connection from {client} is dropped, epoll does not take it: {cause} \
                     (memory, or the sysctl fs.epoll.max_user_watches)"
                ));
                return;
            }
        };
        let sequence = self.next.get();
        self.next.set(sequence + 1);
        let in_process = sequence * self.doors.len() as u64 + self.index as u64;
        let id = self.shared.first_session + in_process;
        let record = Record::begin(id, endpoints, Rc::clone(&self.ledger));
        let entry = registry::Entry::new(record, at, 0);
        let live = Live::enter(self, id, &entry);
        let accepted = Accepted {
            stream,
            endpoints,
            inbound,
            at,
            pending: admission.hello,
        };
        let worker = Rc::clone(self);
        let held = Places {
            session: admission.session,
            opening,
        };
        let task = spawn_local(session(worker, accepted, live, held));
        // Set once, right here.
        drop(entry.task.set(task.abort_handle()));
    }

    /// Says so at most every ten seconds.
    fn tell_trouble(&self, what: &dyn Display) {
        self.ledger.counters().accept_pauses.add(1);
        let now = Instant::now();
        let lately = |told: Instant| now.duration_since(told) < Duration::from_secs(10);
        if !self.last_trouble_told.get().is_some_and(lately) {
            self.last_trouble_told.set(Some(now));
            warn!("{what}");
        }
    }

    fn door(&self) -> &Door {
        &self.doors[self.index]
    }

    fn publish_load(&self) {
        self.door()
            .sessions
            .store(self.sessions.borrow().len(), Relaxed);
    }
}

/// hub.yaml's keepalive as the sockets take it.
pub fn keepalive(settings: &Settings) -> Option<Keepalive> {
    settings.keepalive.map(|k| Keepalive {
        idle: k.interval,
        probes: k.probes,
    })
}

/// Runs a task that the worker cannot be without, and runs it again if it panics.
async fn unbroken<F: Future<Output = ()> + 'static>(task: impl Fn() -> F) {
    while spawn_local(task()).await.is_err() {
        error!("a task of this worker panicked and goes on: a bug in the hub; please report it");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// The worker's only timer while tunnels stand.
async fn tick(worker: Rc<Worker>) {
    let mut clock = tokio::time::interval(TICK);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for n in 0u64.. {
        clock.tick().await;
        worker.pools.tick();
        worker.balance();
        if n % 240 == 239 {
            tell_alive(&worker);
        }
    }
}

fn tell_alive(worker: &Worker) {
    for entry in worker.sessions.borrow().values() {
        let standing = entry.standing.borrow().is_some();
        if let Some(days) = days_untold(entry.began.elapsed(), entry.alive_told.get())
            && standing
        {
            entry.alive_told.set(days);
            entry.record.borrow().alive();
        }
    }
}

/// The age in days, if it is more than what was told.
fn days_untold(age: Duration, told: u64) -> Option<u64> {
    let days = age.as_secs() / ALIVE_EVERY.as_secs();
    (days > told).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_is_told_once_a_day() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(days_untold(hours(23), 0), None);
        assert_eq!(days_untold(hours(24), 0), Some(1));
        assert_eq!(days_untold(hours(47), 1), None);
        assert_eq!(days_untold(hours(48), 1), Some(2));
    }
}
