//! What is going on, on stderr: a line per step, and on a terminal one that moves.

use super::exchange::Pace;
use super::table::megabytes;
use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Erases the line the cursor is in (ECMA-48 EL 2) and goes to its beginning.
const CLEAR: &str = "\r\x1b[2K";

/// Between two looks at what has moved: often for an eye, seldom for a log.
const ON_TERMINAL: Duration = Duration::from_millis(100);
const IN_LOG: Duration = Duration::from_secs(2);

/// Tells the steps of a run.
pub(super) struct Progress {
    began: Instant,
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            began: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Since the beginning.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// Begins a step.
    pub(super) fn step(&self, text: &str) {
        let clear = if self.terminal { CLEAR } else { "" };
        say(&format!(
            "{clear}{:5.1} s  {text}\n",
            self.took().as_secs_f64()
        ));
    }

    /// Shows what `pace` has moved for as long as it is polled.
    pub(super) async fn watch(&self, pace: &Pace) -> Infallible {
        let every = if self.terminal { ON_TERMINAL } else { IN_LOG };
        let mut last = pace.moved.load(Relaxed);
        loop {
            tokio::time::sleep(every).await;
            let moved = pace.moved.load(Relaxed);
            let speed = moved.abs_diff(last) as f64 / 1e6 / every.as_secs_f64();
            last = moved;
            let line = format!(
                "         {} through the hub, {speed:.0} MB/s",
                megabytes(moved)
            );
            match self.terminal {
                true => say(&format!("{CLEAR}{line}")),
                false => say(&format!("{line}\n")),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            say(CLEAR);
        }
    }
}

/// Whoever reads may be gone: no reason to stop.
fn say(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
