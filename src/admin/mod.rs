//! The two doors: *admin* sees everything and steers, *ops* is told totals.
//!
//! | door | where | who | what |
//! |---|---|---|---|
//! | admin | unix socket, 0600 | the hub's own user and root, by peer credentials | everything |
//! | admin | `admin_listen`, loopback | who names a loopback host | reads; changes with the token |
//! | ops | `ops_listen` | everyone | totals and health |
//!
//! They are served by a thread of their own: a slow scrape delays neither a reload nor a name that
//! is being resolved, and no worker is asked for counters.

mod api;
pub mod client;
mod door;
mod guard;
mod health;
mod page;
mod probes;
mod query;
mod reports;
mod respond;
mod upgrade;

pub use api::{ENDPOINTS, Endpoint, OPENAPI};

use crate::config::{ADMIN_SOCKET, Settings};
use crate::net::PassedDoor;
use crate::net::listener::{self, ListenError};
use crate::server::Control;
use door::UnixDoor;
use guard::Entrance;
use rustix::process::nice;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Added to the nice value of the doors' thread (nice(2); on Linux a thread has its own): where
/// CPUs are short it gets a third of a worker's share, so that a flood of requests costs the
/// tunnels little, and health is still answered.
const NICE: i32 = 5;

/// For those who are inside when the process ends whose doors were shut for a successor.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The key of the unix socket.
const UNIX: &str = "admin";

/// Why a door does not open.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The unix socket.
    #[error("admin: {}: {error}{}", .path.display(), hint(.error))]
    Socket {
        /// Where it was to be.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A TCP listener.
    #[error("{key}: {error}")]
    Listen {
        /// Its key in hub.yaml.
        key: &'static str,
        /// Why not.
        error: ListenError,
    },
    /// The token.
    #[error("admin_token_file: {}: {why}", .path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No thread, or no runtime for it.
    #[error("cannot start the admin thread: {0}")]
    Thread(io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another hub runs there: give this one another `admin`",
        _ => "; give `admin` (or --admin) a path that this user may write, or off",
    }
}

/// The doors, open but not served: nobody is answered before the hub accepts.
#[derive(Debug)]
pub struct Doors {
    unix: Option<UnixDoor>,
    tcp: Vec<TcpDoor>,
}

#[derive(Debug)]
struct TcpDoor {
    key: &'static str,
    /// As hub.yaml has it.
    address: SocketAddr,
    listener: TcpListener,
    entrance: Entrance,
}

impl Doors {
    /// Opens what `settings` name, and goes on with what the process before this one has passed of it.
    /// A built-in socket that cannot be had is told, and missed.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn open(settings: &Settings, passed: Vec<PassedDoor>) -> Result<Doors, AdminError> {
        let mut passed = Handed(passed);
        let unix = match &settings.admin {
            Some(path) => unix(path, &mut passed)?,
            None => None,
        };
        let mut tcp = Vec::new();
        if let Some(address) = settings.admin_listen {
            if let Some(file) = &settings.admin_token_file {
                guard::read_token(file).map_err(|why| AdminError::Token {
                    path: file.clone(),
                    why,
                })?;
                if let Some(mode) = guard::read_by_all(file) {
                    warn!(
                        "admin_token_file: {}: everyone on this machine may read it (mode {mode:04o}): \
                         chmod o-r",
                        file.display()
                    );
                }
            }
            let token_file = settings.admin_token_file.clone();
            let entrance = Entrance::Loopback { token_file };
            tcp.push(TcpDoor::open(
                "admin_listen",
                address,
                entrance,
                &mut passed,
            )?);
        }
        if let Some(address) = settings.ops_listen {
            let ops = Entrance::Ops;
            tcp.push(TcpDoor::open("ops_listen", address, ops, &mut passed)?);
        }
        Ok(Doors { unix, tcp })
    }

    /// Copies of their sockets, for a successor.
    ///
    /// # Errors
    /// [`AdminError::Thread`]: no descriptors.
    pub fn copies(&self) -> Result<Vec<PassedDoor>, AdminError> {
        let mut copies = Vec::new();
        if let Some(door) = &self.unix {
            let (socket, path, inode) = door.copy().map_err(AdminError::Thread)?;
            copies.push(PassedDoor {
                key: UNIX.into(),
                at: path.to_string_lossy().into(),
                inode,
                socket,
            });
        }
        for door in &self.tcp {
            let copy = door.listener.try_clone().map_err(AdminError::Thread)?;
            copies.push(PassedDoor {
                key: door.key.into(),
                at: door.address.to_string(),
                inode: 0,
                socket: copy.into(),
            });
        }
        Ok(copies)
    }

    /// Whether the unix socket is the one of the process before this one, and so its file.
    pub fn has_adopted_socket(&self) -> bool {
        let adopted = |door: &UnixDoor| !door.ours().load(Relaxed);
        self.unix.as_ref().is_some_and(adopted)
    }

    /// Answers on all of them, on a thread of its own, until [`Serving`] is dropped.
    ///
    /// # Errors
    /// [`AdminError::Thread`].
    pub fn serve(self, control: Control) -> Result<Serving, AdminError> {
        let (stop, shut) = (CancellationToken::new(), CancellationToken::new());
        let (stopping, shutting) = (stop.clone(), shut.clone());
        let file = self.unix.as_ref().map(|door| Arc::clone(door.ours()));
        if let Some(ours) = &file {
            ours.store(true, Relaxed);
        }
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("admin".into())
            .spawn(move || {
                // Fails where a sandbox forbids it: then all threads are equal.
                let _ = nice(NICE);
                tracing::dispatcher::with_default(&dispatch, || {
                    runtime.block_on(async {
                        let inside = TaskTracker::new();
                        let answering =
                            self.answer(Arc::new(control), shutting.clone(), inside.clone());
                        stopping.run_until_cancelled(answering).await;
                        inside.close();
                        if shutting.is_cancelled() {
                            // The answer to an upgrade may be on its way.
                            drop(timeout(ANSWERED_WITHIN, inside.wait()).await);
                        }
                    });
                });
            })
            .map_err(AdminError::Thread)?;
        Ok(Serving {
            stop,
            shut,
            file,
            thread: Some(thread),
        })
    }

    async fn answer(self, control: Arc<Control>, shut: CancellationToken, inside: TaskTracker) {
        let mut doors = tokio::task::JoinSet::new();
        // Kept here, so that it is gone, and its file, when the doors close or are shut.
        let unix = self.unix.map(Arc::new);
        // Shut, it comes to its end: who is inside already is answered by a task of its own.
        let until_shut = |answering| {
            let shut = shut.clone();
            async move {
                shut.run_until_cancelled_owned(answering)
                    .await
                    .unwrap_or(Ok(()))
            }
        };
        type Answering = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;
        if let Some(door) = &unix {
            let (door, control) = (Arc::clone(door), Arc::clone(&control));
            let answering: Answering = Box::pin(door::serve_unix(door, control, inside.clone()));
            doors.spawn(until_shut(answering));
        }
        for TcpDoor {
            listener, entrance, ..
        } in self.tcp
        {
            let control = Arc::clone(&control);
            doors.spawn(until_shut(Box::pin(door::serve_tcp(
                listener,
                entrance,
                control,
                inside.clone(),
            ))));
        }
        while let Some(ended) = doors.join_next().await {
            match ended {
                Ok(Err(error)) => error!(%error, "an admin or ops listener ended"),
                Err(error) => error!(%error, "an admin or ops listener ended: a bug in the hub"),
                Ok(Ok(())) => {}
            }
        }
        if shut.is_cancelled() {
            // Nobody is to wait in the queue of a socket that is not listened on any more.
            drop(unix);
        }
        std::future::pending::<()>().await;
    }
}

/// Doors that are served; dropped, they close.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    shut: CancellationToken,
    /// Whether the unix socket's file goes with it.
    file: Option<Arc<AtomicBool>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Lets nobody in any more, and closes the sockets; who is inside is answered. `adopted`: the unix
    /// socket is a successor's now, and so its file.
    pub fn shut(&self, adopted: bool) {
        if let (Some(file), true) = (&self.file, adopted) {
            file.store(false, Relaxed);
        }
        self.shut.cancel();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there was told by its own hook.
            drop(thread.join());
        }
    }
}

/// What the process before this one has passed.
struct Handed(Vec<PassedDoor>);

impl Handed {
    fn take(&mut self, key: &str, at: &str) -> Option<PassedDoor> {
        let fits = |one: &PassedDoor| one.key == key && one.at == at;
        let place = self.0.iter().position(fits)?;
        Some(self.0.swap_remove(place))
    }
}

fn unix(path: &Path, passed: &mut Handed) -> Result<Option<UnixDoor>, AdminError> {
    let adopted = passed
        .take(UNIX, &path.to_string_lossy())
        // Its file may have been removed, or be another's.
        .and_then(|door| UnixDoor::adopt(path, door).ok());
    let door = match adopted {
        Some(door) => Ok(door),
        None => UnixDoor::open(path),
    };
    match door {
        Ok(door) => {
            info!("admin door: {}", path.display());
            Ok(Some(door))
        }
        Err(error) => {
            let error = AdminError::Socket {
                path: path.to_owned(),
                error,
            };
            if path != Path::new(ADMIN_SOCKET) {
                return Err(error);
            }
            warn!("the hub runs without its admin door: {error}");
            Ok(None)
        }
    }
}

impl TcpDoor {
    fn open(
        key: &'static str,
        address: SocketAddr,
        entrance: Entrance,
        passed: &mut Handed,
    ) -> Result<TcpDoor, AdminError> {
        let explain = |error| AdminError::Listen { key, error };
        let listener = match passed.take(key, &address.to_string()) {
            Some(door) => listener::adopt(door.socket, None),
            None => listener::bind(address, false, None),
        };
        let listener = listener.map_err(explain)?;
        let bound = listener.local_addr().unwrap_or(address);
        info!("{key}: http://{bound}/");
        Ok(TcpDoor {
            key,
            address,
            listener,
            entrance,
        })
    }
}
