//! Accepting: never dies, never spins, and loses nobody who waits in a queue.

use super::{ACCEPT_PAUSE, Inbound, Worker};
use crate::net::listener::Listener;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

/// Connections taken out of a listener's queue before it closes: as many as the queue holds.
const MAX_LATE: usize = 4096;
/// How often a full cap is looked at again while connections wait in the backlog.
const ROOM_POLL: Duration = Duration::from_millis(20);

/// Accepts until the worker drains; then takes what waits in the queue, which closing the listener
/// would reset, unless a successor accepts from the same one.
/// The worker lets go of the listener when it drains, so it is closed right here, in the same poll
/// that found the queue empty: between the two nobody can come to wait.
pub(super) async fn accept(worker: Rc<Worker>, listener: Weak<Listener>, inbound: Arc<Inbound>) {
    let Some(listener) = listener.upgrade() else {
        return;
    };
    let accepting = accept_for_ever(&worker, &listener, &inbound);
    worker.draining.run_until_cancelled(accepting).await;
    if worker.heir.borrow().is_some() {
        return;
    }
    for _ in 0..MAX_LATE {
        if !worker.has_room() {
            return;
        }
        match listener.accept_waiting() {
            Some(accepted) => worker.take(accepted, &inbound),
            None => return,
        }
    }
}

async fn accept_for_ever(worker: &Rc<Worker>, listener: &Listener, inbound: &Arc<Inbound>) {
    loop {
        while !worker.has_room() {
            tokio::time::sleep(ROOM_POLL).await;
        }
        match listener.accept().await {
            Ok(accepted) => worker.take(accepted, inbound),
            Err(pause) => {
                worker.tell_trouble(&format_args!("{pause}; connections wait in the backlog"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
