//! What a worker is given: its start, its orders, what it shares with the others.

use super::asked::Question;
use super::balance::Mover;
use super::heir::Heir;
use crate::net::listener;
use crate::net::preface::HelloMemory;
use crate::net::proxy_protocol::Trusted;
use crate::net::resolve::ResolveClient;
use crate::permits::{Admission, Gauge, Held, Permits};
use crate::snapshot::Snapshot;
use crate::telemetry::{Counters, Pairs, SessionId};
use crate::tunnel::SpliceMode;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// Process-wide caps.
    pub permits: Permits,
    /// The resolver on the control thread.
    pub resolver: ResolveClient,
    /// Memory of hellos that are not whole.
    pub hello_memory: Arc<HelloMemory>,
    /// The session ids of this process begin here, beyond those of the one before it.
    pub first_session: SessionId,
    /// The hub's own listeners: never dialled.
    pub own: Arc<[SocketAddr]>,
    /// Descriptors this process may open (RLIMIT_NOFILE).
    pub nofile: usize,
    /// Which parties and routes are counted on their own.
    pub pairs: Arc<Pairs>,
}

/// A listener's properties, as its connections carry them.
#[derive(Debug)]
pub struct Inbound {
    /// The address listened on.
    pub local: SocketAddr,
    /// `proxy_protocol: required`, from these sources.
    pub proxy: Option<Arc<Trusted>>,
}

impl Inbound {
    /// Whether `source` is a balancer that may speak for others.
    pub fn trusts(&self, source: IpAddr) -> bool {
        self.proxy
            .as_ref()
            .is_some_and(|trusted| trusted.contains(source))
    }
}

/// An order to a worker.
#[derive(Debug)]
pub enum Command {
    /// Every worker can run: begin to accept.
    Accept,
    /// A new generation; with `true`, tunnels it no longer allows are closed over some seconds.
    Publish(Arc<Snapshot>, bool),
    /// A connection another worker accepted.
    Adopt(Box<Arrival>),
    /// A fat tunnel of a worker that has more of them.
    Settle(Box<Mover>),
    /// Something that the admin door or the watchdog wants to know, or have done.
    Ask(Box<Question>),
    /// The listeners are a successor's, too: what waits in their queues is left to it, and it has the
    /// say about whom this process lets in yet.
    Succeeded(Heir),
    /// Stop accepting, close what stands evenly over this time, then end.
    Drain(Duration),
    /// End now.
    Kill,
}

/// A connection before it is anybody's session.
#[derive(Debug)]
pub struct Arrival {
    pub(super) accepted: listener::Accepted,
    pub(super) inbound: Arc<Inbound>,
    pub(super) at: Instant,
    pub(super) admission: Admission,
    pub(super) opening: Held,
}

/// The way to a worker, for the control thread and the other workers.
#[derive(Debug, Clone)]
pub struct Door {
    /// Its orders.
    pub commands: mpsc::UnboundedSender<Command>,
    /// How many sessions it has.
    pub sessions: Arc<AtomicUsize>,
    /// How many of them have no tunnel yet, with those that are on their way to it.
    pub opening: Arc<Gauge>,
    /// How many fat tunnels it had of late.
    pub fat: Arc<AtomicUsize>,
}

impl Door {
    /// To a worker that has nothing yet.
    pub fn new(commands: mpsc::UnboundedSender<Command>) -> Door {
        Door {
            commands,
            sessions: Arc::default(),
            opening: Arc::default(),
            fat: Arc::default(),
        }
    }
}

/// What a worker is started with.
#[derive(Debug)]
pub struct Start {
    /// 0-based.
    pub index: usize,
    /// Its listeners; may be none.
    pub listeners: Vec<(std::net::TcpListener, Arc<Inbound>)>,
    /// The first generation.
    pub snapshot: Arc<Snapshot>,
    /// Process-wide things.
    pub shared: Arc<Shared>,
    /// Its orders.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// All workers' doors, its own at `index`.
    pub doors: Vec<Door>,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Whether this kernel lets us splice.
    pub splice: SpliceMode,
    /// Told when it can accept. Dropped untold: it cannot run.
    pub ready: std::sync::mpsc::Sender<()>,
}
