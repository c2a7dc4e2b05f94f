//! Lines on their way out.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// How long the other side may stand still while lines wait for it at the end: a reader that is
/// only slow gets all of them, one that stands still does not keep the process.
const STUCK: Duration = Duration::from_secs(3);

/// Bytes of lines that are written at once, when they come faster than one system call each is
/// good for.
const BATCH: usize = 8 * 1024;

/// A queue and the thread that empties it.
pub(super) struct Queue {
    log: &'static str,
    whereto: &'static str,
    entry: NonBlocking,
    writer: Option<WorkerGuard>,
    queued: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

/// How many lines a queue lost.
pub(super) struct Lost {
    /// Which.
    pub(super) log: &'static str,
    dropped: ErrorCounter,
    failed: Arc<AtomicU64>,
}

impl Lost {
    pub(super) fn lines(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.failed.load(Relaxed)
    }
}

impl Queue {
    /// To `out`, whose failures are counted; `whereto` in words. Beyond `most` that wait for a slow reader
    /// lines are dropped rather than anybody held up.
    pub(super) fn start(
        log: &'static str,
        whereto: &'static str,
        most: usize,
        out: impl Write + Send + 'static,
    ) -> Queue {
        let written = Arc::<AtomicU64>::default();
        let failed = Arc::<AtomicU64>::default();
        let (entry, writer) = NonBlockingBuilder::default()
            .buffered_lines_limit(most)
            .thread_name(log)
            .finish(Batch {
                out,
                held: Vec::with_capacity(BATCH),
                lines: 0,
                written: Arc::clone(&written),
                failed: Arc::clone(&failed),
            });
        Queue {
            log,
            whereto,
            entry,
            writer: Some(writer),
            queued: Arc::default(),
            written,
            failed,
        }
    }

    /// Where a layer writes its lines.
    pub(super) fn lines(&self) -> impl Fn() -> NonBlocking + Send + Sync + 'static {
        let (queued, entry) = (Arc::clone(&self.queued), self.entry.clone());
        move || {
            queued.fetch_add(1, Relaxed);
            entry.clone()
        }
    }

    pub(super) fn lost(&self) -> Lost {
        Lost {
            log: self.log,
            dropped: self.entry.error_counter(),
            failed: Arc::clone(&self.failed),
        }
    }

    /// Lines that wait.
    fn waiting(&self) -> u64 {
        let dropped = self.entry.error_counter().dropped_lines() as u64;
        let settled = self.written.load(Relaxed) + dropped;
        self.queued.load(Relaxed).saturating_sub(settled)
    }

    /// Waits until every line is written, or none has been for [`STUCK`]; what is to be said of those that
    /// are lost.
    pub(super) fn finish(mut self) -> Option<String> {
        let (mut waiting, mut moved) = (self.waiting(), Instant::now());
        while waiting > 0 && moved.elapsed() < STUCK {
            std::thread::sleep(Duration::from_millis(1));
            let now = self.waiting();
            if now != waiting {
                (waiting, moved) = (now, Instant::now());
            }
        }
        if waiting > 0 {
            // Its thread stands in a write and would not hear; the process ends without it.
            std::mem::forget(self.writer.take());
        }
        let lost = waiting + self.lost().lines();
        let whereto = self.whereto;
        (lost > 0).then(|| {
            format!("snihub: {lost} log lines are lost: {whereto} took none, or not fast enough\n")
        })
    }
}

/// Counts lines: each comes in one `write`, and `flush` whenever no other one waits.
struct Batch<W> {
    out: W,
    held: Vec<u8>,
    lines: u64,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl<W: Write> Write for Batch<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.held.len() + line.len() > BATCH {
            // A reader that is gone gets none of the lines to come either.
            drop(self.flush());
        }
        self.held.extend_from_slice(line);
        self.lines += 1;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.out.write_all(&self.held);
        self.held.clear();
        let lines = std::mem::take(&mut self.lines);
        self.written.fetch_add(lines, Relaxed);
        if done.is_err() {
            self.failed.fetch_add(lines, Relaxed);
        }
        done.and_then(|()| self.out.flush())
    }
}
