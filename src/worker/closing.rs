//! Tunnels ended by the hub: evenly over a time, so that links do not all come back at once.

use super::registry::Entry;
use super::{Command, TICK, Worker};
use crate::tunnel::Ended;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Over how long tunnels are closed that a reload took the route from.
pub const RETIRE_OVER: Duration = Duration::from_secs(5);

/// Ends, over some seconds, the tunnels that the generation in force would not open today.
pub(super) async fn retire(worker: Rc<Worker>) {
    let gone = |entry: &Rc<Entry>| match &*entry.standing.borrow() {
        Some(standing) => !worker.still_routed(&standing.why),
        None => false,
    };
    end_evenly(&worker, RETIRE_OVER, Ended::RouteRemoved, gone).await;
}

/// Ends all tunnels evenly over `over`; at its end also what never became one.
pub(super) async fn drain(worker: Rc<Worker>, accepting: Vec<JoinHandle<()>>, over: Duration) {
    for task in accepting {
        // Its queue is empty now, and it closes when the task is gone.
        drop(task.await);
    }
    end_evenly(&worker, over, Ended::Drained, |entry| {
        entry.standing.borrow().is_some()
    })
    .await;
    let all: Vec<_> = worker.sessions.borrow().values().cloned().collect();
    for entry in all {
        entry.end(Ended::Drained);
    }
    while !worker.sessions.borrow().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Our own door: cannot be shut while this worker runs.
    drop(worker.doors[worker.index].commands.send(Command::Kill));
}

/// About every tick the share that is due of those that `pick` names then, in no particular order
/// (the registry's), so that links do not all come back in one instant, nor in step with those of
/// another worker: each step has a random length, and the first share a random part.
pub(super) async fn end_evenly(
    worker: &Rc<Worker>,
    over: Duration,
    why: Ended,
    pick: impl Fn(&Rc<Entry>) -> bool,
) {
    let end = Instant::now() + over;
    let mut credit = random_part();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let step = TICK.mul_f64(0.5 + random_part()).min(left);
        let due: Vec<_> = worker
            .sessions
            .borrow()
            .values()
            .filter(|e| pick(e))
            .cloned()
            .collect();
        // 0 / 0 at the very end: all.
        let share = step.as_secs_f64() / left.as_secs_f64();
        credit += due.len() as f64 * if share < 1.0 { share } else { 1.0 };
        for entry in due.iter().take(credit as usize) {
            entry.end(why);
            credit -= 1.0;
        }
        if left.is_zero() || worker.sessions.borrow().is_empty() {
            return;
        }
        tokio::time::sleep(step).await;
    }
}

/// At least 0, less than 1. The standard library's hash keys are random: enough for jitter.
fn random_part() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}
