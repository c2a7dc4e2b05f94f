//! Asks the hub on a thread of its own: an answer that takes long holds no key up.

use crate::admin::client;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
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
    /// If somebody looks at them.
    pub(super) tunnels: Option<Value>,
}

pub(super) enum News {
    Reading(Box<Reading>),
    /// Why there is none.
    Silence(String),
}

pub(super) struct Asking {
    news: Receiver<News>,
    tunnels: Arc<AtomicBool>,
    /// Asks at once.
    now: Sender<()>,
}

impl Asking {
    /// Every `interval`, and whenever somebody begins to look at tunnels.
    pub(super) fn start(socket: PathBuf, interval: Duration) -> io::Result<Asking> {
        let (tell, news) = mpsc::channel();
        let (now, asked) = mpsc::channel();
        let tunnels = Arc::<AtomicBool>::default();
        let wanted = Arc::clone(&tunnels);
        std::thread::Builder::new()
            .name("asking".into())
            .spawn(move || {
                loop {
                    let told = match read(&socket, wanted.load(Relaxed)) {
                        Ok(reading) => News::Reading(Box::new(reading)),
                        Err(error) => News::Silence(error.to_string()),
                    };
                    if tell.send(told).is_err() {
                        return;
                    }
                    if let Err(RecvTimeoutError::Disconnected) = asked.recv_timeout(interval) {
                        return;
                    }
                }
            })?;
        Ok(Asking { news, tunnels, now })
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

fn read(socket: &std::path::Path, tunnels: bool) -> Result<Reading, client::ClientError> {
    let ask = |path: &str, parameters: &[(&str, &str)]| {
        client::ask(socket, "GET", path, parameters).map(|reply| reply.body)
    };
    let status = ask("/api/status", &[])?;
    let at = Instant::now();
    let table = ask("/api/routes", &[])?;
    let refusals = ask("/api/refusals", &[("limit", MOST_REFUSALS)])?;
    let tunnels = match tunnels {
        true => Some(ask("/api/tunnels", &[("limit", MOST_TUNNELS)])?),
        false => None,
    };
    Ok(Reading {
        at,
        status,
        table,
        refusals,
        tunnels,
    })
}
