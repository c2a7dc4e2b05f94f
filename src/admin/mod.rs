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
mod query;
mod reports;
mod respond;

pub use api::{ENDPOINTS, Endpoint, OPENAPI};

use crate::config::{ADMIN_SOCKET, Settings};
use crate::net::listener::{self, ListenError};
use crate::server::Control;
use door::UnixDoor;
use guard::Entrance;
use rustix::process::nice;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Added to the nice value of the doors' thread (nice(2); on Linux a thread has its own): where
/// CPUs are short it gets a third of a worker's share, so that a flood of requests costs the
/// tunnels little, and health is still answered.
const NICE: i32 = 5;

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
    tcp: Vec<(TcpListener, Entrance)>,
}

impl Doors {
    /// Opens what `settings` name. A built-in socket that cannot be had is told, and missed.
    ///
    /// # Errors
    /// [`AdminError`].
    pub fn open(settings: &Settings) -> Result<Doors, AdminError> {
        let unix = match &settings.admin {
            Some(path) => unix(path)?,
            None => None,
        };
        let mut tcp = Vec::new();
        if let Some(address) = settings.admin_listen {
            if let Some(file) = &settings.admin_token_file {
                guard::read_token(file).map_err(|why| AdminError::Token {
                    path: file.clone(),
                    why,
                })?;
            }
            let token_file = settings.admin_token_file.clone();
            let entrance = Entrance::Loopback { token_file };
            tcp.push((listen("admin_listen", address)?, entrance));
        }
        if let Some(address) = settings.ops_listen {
            tcp.push((listen("ops_listen", address)?, Entrance::Ops));
        }
        Ok(Doors { unix, tcp })
    }

    /// Answers on all of them, on a thread of its own, until [`Serving`] is dropped.
    ///
    /// # Errors
    /// [`AdminError::Thread`].
    pub fn serve(self, control: Control) -> Result<Serving, AdminError> {
        let stop = CancellationToken::new();
        let stopping = stop.clone();
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
                    runtime.block_on(stopping.run_until_cancelled(self.answer(Arc::new(control))));
                });
            })
            .map_err(AdminError::Thread)?;
        Ok(Serving {
            stop,
            thread: Some(thread),
        })
    }

    async fn answer(self, control: Arc<Control>) {
        let mut doors = tokio::task::JoinSet::new();
        // Kept here, so that its file goes when the doors close.
        let unix = self.unix.map(Arc::new);
        if let Some(door) = &unix {
            doors.spawn(door::serve_unix(Arc::clone(door), Arc::clone(&control)));
        }
        for (listener, entrance) in self.tcp {
            doors.spawn(door::serve_tcp(listener, entrance, Arc::clone(&control)));
        }
        while let Some(ended) = doors.join_next().await {
            match ended {
                Ok(Err(error)) => error!(%error, "an admin or ops listener ended"),
                Err(error) => error!(%error, "an admin or ops listener ended: a bug in the hub"),
                Ok(Ok(())) => {}
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Doors that are served; dropped, they close.
#[derive(Debug)]
pub struct Serving {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
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

fn unix(path: &Path) -> Result<Option<UnixDoor>, AdminError> {
    match UnixDoor::open(path) {
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

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, AdminError> {
    let explain = |error| AdminError::Listen { key, error };
    let socket = listener::bind(address, false, None).map_err(explain)?;
    let bound = socket.local_addr().unwrap_or(address);
    info!("{key}: http://{bound}/");
    Ok(socket)
}
