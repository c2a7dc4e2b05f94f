//! Asks the hub on threads of their own: an answer that takes long holds no key up, and no other answer.

use crate::admin::client::{self, ClientError};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Tunnels and refusals that are asked for: nobody reads further, and a list is not for free.
const MOST_TUNNELS: &str = "5000";
const MOST_REFUSALS: &str = "500";

/// All that is shown, as of one moment.
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) status: Value,
    pub(super) table: Value,
    pub(super) refusals: Value,
}

pub(super) enum News {
    Reading(Box<Reading>),
    /// If somebody looks at them. They take as long as the slowest process before the hub.
    Tunnels(Value),
    /// Why there is none.
    Silence(String),
}

pub(super) struct Asking {
    news: Receiver<News>,
    tunnels: Arc<AtomicBool>,
    /// Asks for tunnels at once.
    now: Sender<()>,
    /// The threads end with it.
    _going_on: Sender<()>,
}

impl Asking {
    /// Every `interval`, and whenever somebody begins to look at tunnels.
    pub(super) fn start(socket: PathBuf, interval: Duration) -> io::Result<Asking> {
        let (tell, news) = mpsc::channel();
        let tunnels = Arc::<AtomicBool>::default();
        let (wanted, of_tunnels) = (Arc::clone(&tunnels), socket.clone());
        let _going_on = ask_every(interval, tell.clone(), move || {
            let reading = read(&socket).map(Box::new);
            Some(reading.map(News::Reading))
        })?;
        let now = ask_every(interval, tell, move || {
            let listed = || ask(&of_tunnels, "/api/tunnels", &[("limit", MOST_TUNNELS)]);
            let listed = wanted.load(Relaxed).then(listed)?;
            Some(listed.map(News::Tunnels))
        })?;
        Ok(Asking {
            news,
            tunnels,
            now,
            _going_on,
        })
    }

    /// What came meanwhile.
    pub(super) fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    pub(super) fn with_tunnels(&self, wanted: bool) {
        if self.tunnels.swap(wanted, Relaxed) != wanted && wanted {
            // The thread ends with this.
            let _ = self.now.send(());
        }
    }
}

/// Tells what `asked` comes to, on a thread of its own, until nobody is left who hears it; at once when
/// something is sent.
fn ask_every(
    interval: Duration,
    tell: Sender<News>,
    asked: impl Fn() -> Option<Result<News, ClientError>> + Send + 'static,
) -> io::Result<Sender<()>> {
    let (now, at_once) = mpsc::channel();
    let thread = std::thread::Builder::new().name("asking".into());
    thread.spawn(move || {
        loop {
            let told =
                asked().map(|told| told.unwrap_or_else(|why| News::Silence(why.to_string())));
            if told.is_some_and(|told| tell.send(told).is_err()) {
                return;
            }
            if let Err(RecvTimeoutError::Disconnected) = at_once.recv_timeout(interval) {
                return;
            }
        }
    })?;
    Ok(now)
}

fn read(socket: &Path) -> Result<Reading, ClientError> {
    let status = ask(socket, "/api/status", &[])?;
    let table = ask(socket, "/api/routes", &[])?;
    // Each of the two waits a second for a process before the hub that does not answer.
    let at = Instant::now();
    let refusals = ask(socket, "/api/refusals", &[("limit", MOST_REFUSALS)])?;
    Ok(Reading {
        at,
        status,
        table,
        refusals,
    })
}

fn ask(socket: &Path, path: &str, parameters: &[(&str, &str)]) -> Result<Value, ClientError> {
    client::ask(socket, "GET", path, parameters).map(|reply| reply.body)
}
