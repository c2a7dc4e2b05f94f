//! Tell, then wait: the first signal drains, the second ends at once.

use crate::server::Hub;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// For a process before this one, beyond the grace period.
const LATE: Duration = Duration::from_secs(3);

/// What the outside asks of a running hub. Any code that holds the senders can ask: the signal
/// handlers of `run`, the demo, a test.
#[derive(Debug)]
pub struct Requests {
    /// Reload now.
    pub reload: mpsc::Receiver<()>,
    /// Stop: the first drains, the second ends at once.
    pub stop: mpsc::Receiver<()>,
}

/// The asking side of [`Requests`].
#[derive(Debug, Clone)]
pub struct Asking {
    /// See [`Requests::reload`].
    pub reload: mpsc::Sender<()>,
    /// See [`Requests::stop`].
    pub stop: mpsc::Sender<()>,
}

impl Requests {
    /// A pair of both sides.
    pub fn channel() -> (Asking, Requests) {
        let (reload, reload_asked) = mpsc::channel(1);
        let (stop, stop_asked) = mpsc::channel(2);
        (
            Asking { reload, stop },
            Requests {
                reload: reload_asked,
                stop: stop_asked,
            },
        )
    }

    /// SIGHUP reloads; SIGTERM and SIGINT stop.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn from_signals() -> std::io::Result<Requests> {
        let (asking, requests) = Requests::channel();
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            loop {
                // A full queue means that it is being asked already.
                tokio::select! {
                    Some(()) = hangup.recv() => drop(asking.reload.try_send(())),
                    Some(()) = terminate.recv() => drop(asking.stop.try_send(())),
                    Some(()) = interrupt.recv() => drop(asking.stop.try_send(())),
                }
            }
        });
        Ok(requests)
    }
}

/// Drains `hub` over `grace`, or kills it when asked a second time; says which of them ended it.
pub async fn wind_down(hub: &Hub, grace: Duration, stop: &mut mpsc::Receiver<()>) {
    let (began, sessions) = (Instant::now(), hub.sessions());
    // Told when it is so: who reads it may ask `/readyz` at once.
    hub.drain(grace);
    info!(
        sessions,
        grace_s = grace.as_secs(),
        "draining: no new connections; tunnels are closed evenly over the grace period; ask again to end at once"
    );
    tokio::select! {
        () = all_ended(hub, grace) => {
            info!(took_ms = began.elapsed().as_millis() as u64, "drained");
        }
        Some(()) = stop.recv() => {
            info!(sessions = hub.sessions(), "asked again: ending at once");
            hub.kill();
            all_ended(hub, Duration::ZERO).await;
        }
    }
    tell_totals(hub);
}

/// This process, and those before it: they drain as long as it does, and are waited for a little
/// longer.
async fn all_ended(hub: &Hub, grace: Duration) {
    let gone = hub.predecessors().all_gone();
    let abroad = tokio::time::timeout(grace + LATE, gone);
    let ((), abroad) = tokio::join!(hub.ended(), abroad);
    if abroad.is_err() {
        for one in hub.predecessors().family().living {
            warn!(
                pid = one.pid,
                tunnels = one.open(),
                "a process before this one does not end, and is left: it is stopped or overloaded, and \
                 ends when it goes on (kill -CONT), or is ended (kill -KILL)"
            );
        }
    }
}

/// What this process has counted.
pub fn tell_totals(hub: &Hub) {
    let totals = hub.totals();
    info!(
        accepted = totals.accepted,
        opened = totals.opened,
        refused = totals.refused,
        left = totals.left,
        dial_failed = totals.dial_failed,
        aborted = totals.aborted,
        client_to_upstream = totals.client_to_upstream,
        upstream_to_client = totals.upstream_to_client,
        "stopped"
    );
}
