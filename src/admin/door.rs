//! Accepting on the doors: bounded in number, size and time, whoever comes.

use super::api;
use super::guard::{self, Entrance};
use crate::net::{PassedDoor, unix};
use crate::server::Control;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinHandle, yield_now};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// Connections of an admin door at once. When one more comes, the oldest goes whose request is not
/// being carried out: it has had its time, and who connects and says nothing keeps nobody out, nor does
/// who does not read its answer. Where all are being carried out, who comes waits in the socket's
/// queue, which is a successor's, too, for the first that is done. An answer that is not read is kept in
/// memory meanwhile, some 20 MB with 40,000 tunnels.
const ADMIN_GUESTS: usize = 16;
/// The same of the ops door, whose answers are short.
const OPS_GUESTS: usize = 64;
/// For the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// For a connection from accept to its end; an upgrade takes the longest,
/// [`crate::takeover::READY_WITHIN`] and some.
const ALL_WITHIN: Duration = Duration::from_secs(40);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// On the unix socket nobody goes sooner: who has connected is about to say what it wants. On TCP, where
/// strangers come, silent ones would have others wait.
const HEARD_WITHIN: Duration = Duration::from_millis(50);
/// Between two looks for a place.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The pause after an accept that failed (descriptors, memory).
const PAUSE: Duration = Duration::from_millis(100);
/// Such failures are told so often at most.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// The unix socket; its file goes with it, if it is `ours`.
#[derive(Debug)]
pub(super) struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
    ours: Arc<AtomicBool>,
}

impl UnixDoor {
    /// Listens at `path`, in a folder that is made if it is missing.
    pub(super) fn open(path: &Path) -> io::Result<UnixDoor> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(folder)?;
        let listener = unix::listen(path)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(UnixDoor {
            listener,
            path: path.to_owned(),
            inode,
            ours: Arc::new(AtomicBool::new(true)),
        })
    }

    /// The one of the process before this one, which keeps the file until this one is the hub. No other
    /// file that stands at `path` by now is taken for it.
    pub(super) fn adopt(path: &Path, passed: PassedDoor) -> io::Result<UnixDoor> {
        let inode = fs::symlink_metadata(path)?.ino();
        if inode != passed.inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        let listener = UnixListener::from(passed.socket);
        listener.set_nonblocking(true)?;
        Ok(UnixDoor {
            listener,
            path: path.to_owned(),
            inode,
            ours: Arc::default(),
        })
    }

    /// Another descriptor of its socket, the path, and the inode of its file.
    pub(super) fn copy(&self) -> io::Result<(OwnedFd, &Path, u64)> {
        Ok((self.listener.try_clone()?.into(), &self.path, self.inode))
    }

    /// Whether its file goes with it.
    pub(super) fn ours(&self) -> &Arc<AtomicBool> {
        &self.ours
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        // Unless another hub has put its own there.
        if self.ours.load(Relaxed)
            && fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode)
        {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Answers on the unix socket.
pub(super) async fn serve_unix(
    door: Arc<UnixDoor>,
    control: Arc<Control>,
    inside: TaskTracker,
) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(door.listener.try_clone()?)?;
    let mut guests = Guests::at_most(ADMIN_GUESTS, HEARD_WITHIN);
    let mut trouble = Trouble::default();
    loop {
        guests.room().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                // Who would have gone may be at work by now.
                guests.room().await;
                let peer = stream.peer_cred().map(|peer| peer.uid());
                let own = geteuid().as_raw();
                let trusted = peer.is_ok_and(|uid| uid == 0 || uid == own);
                let entrance = Entrance::Unix { trusted };
                let busy = Arc::<AtomicBool>::default();
                let served = serve(stream, entrance, Arc::clone(&control), Arc::clone(&busy));
                guests.admit(inside.spawn(served), busy);
            }
            Err(error) => trouble.pause(&error).await,
        }
    }
}

/// Answers on a TCP listener.
pub(super) async fn serve_tcp(
    listener: TcpListener,
    entrance: Entrance,
    control: Arc<Control>,
    inside: TaskTracker,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let most = match entrance {
        Entrance::Ops => OPS_GUESTS,
        Entrance::Unix { .. } | Entrance::Loopback { .. } => ADMIN_GUESTS,
    };
    let mut guests = Guests::at_most(most, Duration::ZERO);
    let mut trouble = Trouble::default();
    loop {
        guests.room().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                guests.room().await;
                let (entrance, busy) = (entrance.clone(), Arc::<AtomicBool>::default());
                let served = serve(stream, entrance, Arc::clone(&control), Arc::clone(&busy));
                guests.admit(inside.spawn(served), busy);
            }
            Err(error) => trouble.pause(&error).await,
        }
    }
}

/// Accepting fails, perhaps for long.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
}

impl Trouble {
    async fn pause(&mut self, error: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            self.told = Some(Instant::now());
            warn!(%error, "an admin or ops connection is not accepted; tried again every 100 ms");
        }
        sleep(PAUSE).await;
    }
}

/// The connections of one door, oldest first.
struct Guests {
    most: usize,
    /// For which each stays whatever it does.
    stay: Duration,
    inside: VecDeque<Guest>,
}

struct Guest {
    task: AbortHandle,
    since: Instant,
    /// Its request is being carried out.
    busy: Arc<AtomicBool>,
}

impl Guests {
    fn at_most(most: usize, stay: Duration) -> Guests {
        Guests {
            most,
            stay,
            inside: VecDeque::with_capacity(most),
        }
    }

    /// Comes back when one more may come in.
    async fn room(&mut self) {
        loop {
            self.inside.retain(|guest| !guest.task.is_finished());
            if self.inside.len() < self.most || self.leaving().is_some() {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn admit(&mut self, guest: JoinHandle<()>, busy: Arc<AtomicBool>) {
        self.inside.retain(|guest| !guest.task.is_finished());
        if self.inside.len() >= self.most
            && let Some(guest) = self.leaving().and_then(|at| self.inside.remove(at))
        {
            guest.task.abort();
        }
        self.inside.push_back(Guest {
            task: guest.abort_handle(),
            since: Instant::now(),
            busy,
        });
    }

    /// Who goes for one that comes.
    fn leaving(&self) -> Option<usize> {
        let may_go =
            |guest: &Guest| !guest.busy.load(Relaxed) && guest.since.elapsed() >= self.stay;
        self.inside.iter().position(may_go)
    }
}

/// One connection, which is one request: who holds a door open keeps nothing but a place.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    entrance: Entrance,
    control: Arc<Control>,
    busy: Arc<AtomicBool>,
) {
    let service = service_fn(|request| {
        let (entrance, control) = (entrance.clone(), Arc::clone(&control));
        let busy = Arc::clone(&busy);
        async move {
            busy.store(true, Relaxed);
            if guard::changes(request.method()) {
                // Once round by epoll: it tells of a client's end that was there before we were, since the
                // hub was stopped, or had no descriptor. Hyper sees that, and does not come back here.
                yield_now().await;
            }
            let answer = api::answer(&request, &entrance, &control).await;
            busy.store(false, Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What a client does wrong is its own concern, and it is told by the status or the close.
    let _ = tokio::time::timeout(ALL_WITHIN, connection).await;
}
