//! Names to addresses: /etc/hosts, then DNS as /etc/resolv.conf says.
//!
//! ```text
//! worker --ResolveClient--> bounded queue --> Resolver::serve on the control thread
//!                                             |  hosts: the answer, if the name is there
//!                                             |  DNS: A and AAAA together, search list, cache
//! control thread --refresh_if_changed (each 500 ms, and on inotify)--> a new generation
//! ```
//! A change of resolv.conf makes a new resolver with an empty cache; the hosts file comes before any
//! cache, so that a negative answer never hides a line that was just added.

mod client;
mod dns;
mod files;
mod hosts;
mod name;

pub use client::ResolveClient;
pub use files::{Refreshed, ResolverFiles};

use client::Ask;
use dns::Dns;
use files::Watched;
use hosts::Hosts;
use name::HostName;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Addresses of one name, at least one, in the order in which they came, each once.
pub type Addresses = Arc<[IpAddr]>;

type Answer = Result<Addresses, ResolveError>;

/// Names that the name servers are being asked for; one more is [`ResolveError::Busy`]. It does not
/// wait: clients can choose names (`$1.svc`), and slow ones must not stand before the others.
const MAX_LOOKUPS: usize = 1024;

/// Questions on their way to the resolver's thread; one more is [`ResolveError::Busy`].
const MAX_QUEUED: usize = 4096;

/// For one name with its whole search list; whoever asks has a shorter deadline of its own.
const LOOKUP_LIMIT: Duration = Duration::from_secs(30);

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// Not a host name (a `$` that no capture replaced, a space, an empty label): nobody was
    /// asked.
    #[error("{0:?} is not a host name: {1}")]
    NotAName(Arc<str>, &'static str),
    /// The name servers say that there is no such name, or no address of it.
    #[error("{name}: no such host (asked: hosts file, then {asked})")]
    NotFound {
        /// The name.
        name: Arc<str>,
        /// Which full names, of the search list, were tried.
        asked: String,
    },
    /// The name servers did not answer, or not properly.
    #[error("{name}: the name servers fail: {cause}")]
    Failed {
        /// The name.
        name: Arc<str>,
        /// In the resolver's words.
        cause: String,
    },
    /// The name is not in the hosts file and there is no name server.
    #[error("{name}: not in the hosts file, and no name server is configured ({why})")]
    NoNameServer {
        /// The name.
        name: Arc<str>,
        /// What is wrong with resolv.conf.
        why: Arc<str>,
    },
    /// No answer before the caller's deadline.
    #[error("{0}: no answer from the name servers in time")]
    TimedOut(Arc<str>),
    /// 1,024 other names are being asked for already.
    #[error("{0}: too many names are being resolved")]
    Busy(Arc<str>),
    /// The resolver has ended: the hub is shutting down.
    #[error("{0}: the resolver has stopped")]
    Stopped(Arc<str>),
}

/// What both files said when they were last read.
#[derive(Clone)]
struct Generation {
    hosts: Arc<Hosts>,
    dns: Result<Arc<Dns>, Arc<str>>,
}

impl Generation {
    /// What can be said without asking a name server: an answer, or that there is none to ask.
    fn known(&self, name: &Arc<str>, host: &HostName) -> Result<Answer, Arc<Dns>> {
        if let Some(found) = self.hosts.lookup(host) {
            return Ok(Ok(found));
        }
        match &self.dns {
            Ok(dns) => Err(dns.clone()),
            Err(why) => Ok(Err(ResolveError::NoNameServer {
                name: name.clone(),
                why: why.clone(),
            })),
        }
    }
}

/// Resolves for all workers. Lives on the control thread; cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    watched: Mutex<Watched>,
    now: Mutex<Arc<Generation>>,
}

impl Resolver {
    /// Reads both files. A file that is missing or broken is no error: literals and what the other
    /// one says still work; the problems are returned to be logged.
    pub fn open(files: ResolverFiles) -> (Resolver, Vec<String>) {
        let (watched, generation, problems) = Watched::open(files);
        let shared = Shared {
            watched: Mutex::new(watched),
            now: Mutex::new(Arc::new(generation)),
        };
        let resolver = Resolver {
            shared: Arc::new(shared),
        };
        (resolver, problems)
    }

    /// The hosts file and resolv.conf, to be watched.
    pub fn files(&self) -> ResolverFiles {
        lock(&self.shared.watched).files().clone()
    }

    /// Stats both files (two system calls; more only when something changed) and takes over what
    /// changed. `None`: nothing did. Lookups under way finish with what they began with.
    pub fn refresh_if_changed(&self) -> Option<Refreshed> {
        let before = self.generation();
        let (after, refreshed) = lock(&self.shared.watched).refresh(&before)?;
        if let Some(after) = after {
            *lock(&self.shared.now) = Arc::new(after);
        }
        Some(refreshed)
    }

    /// A client for the workers, and the future that answers it: to be spawned on the control
    /// thread's runtime. It ends when the last clone of the client is gone.
    pub fn serve(&self) -> (ResolveClient, impl Future<Output = ()> + Send + 'static) {
        let (asks, queue) = mpsc::channel(MAX_QUEUED);
        (ResolveClient::new(asks), answer_all(self.clone(), queue))
    }

    fn generation(&self) -> Arc<Generation> {
        lock(&self.shared.now).clone()
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resolver")
    }
}

/// Nothing that is locked here can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sessions that wait for one name: it is asked for once, however many want it (a hub that
/// restarts meets every party's broker at once).
type Waiting = HashMap<Arc<str>, Vec<oneshot::Sender<Answer>>>;

async fn answer_all(resolver: Resolver, mut queue: mpsc::Receiver<Ask>) {
    let mut waiting: Waiting = HashMap::new();
    let mut lookups = JoinSet::new();
    let mut open = true;
    while open || !lookups.is_empty() {
        tokio::select! {
            ask = queue.recv(), if open => match ask {
                None => open = false,
                Some(ask) => answer(&resolver.generation(), ask, &mut waiting, &mut lookups),
            },
            Some(done) = lookups.join_next() => match done {
                Ok((name, answer)) => {
                    for reply in waiting.remove(&name).unwrap_or_default() {
                        // A session that stopped waiting has dropped its end.
                        let _ = reply.send(answer.clone());
                    }
                }
                // A lookup panicked and took its name along: nobody may wait for it for ever.
                Err(_) => waiting.clear(),
            },
        }
    }
}

/// Answers at once, or joins those who wait for the same name, or asks the name servers.
fn answer(
    generation: &Generation,
    Ask { name, host, reply }: Ask,
    waiting: &mut Waiting,
    lookups: &mut JoinSet<(Arc<str>, Answer)>,
) {
    let dns = match generation.known(&name, &host) {
        Ok(answer) => return drop(reply.send(answer)),
        Err(dns) => dns,
    };
    if let Some(others) = waiting.get_mut(&name) {
        return others.push(reply);
    }
    if lookups.len() >= MAX_LOOKUPS {
        return drop(reply.send(Err(ResolveError::Busy(name))));
    }
    waiting.insert(name.clone(), vec![reply]);
    lookups.spawn(async move {
        let answer = timeout(LOOKUP_LIMIT, dns.lookup(&name, &host)).await;
        let answer = answer.unwrap_or_else(|_| Err(ResolveError::TimedOut(name.clone())));
        (name, answer)
    });
}
