//! Where log lines go: stdout, through a bounded queue and a thread of its own, so that a stuck
//! journal never stops a worker.

use std::fmt;
use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

/// Lines that may wait for a slow stdout (each some 300 bytes); beyond it lines are dropped rather
/// than tunnels held up.
const QUEUE_LINES: usize = 64 * 1024;

/// The format in force. A subscriber belongs to the whole process, and so does this.
static JSON: AtomicBool = AtomicBool::new(false);

/// The least severe lines that are written. Of the whole process, too.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Sends all events of the process to stdout, as text or as one JSON object a line. Keep the guard:
/// dropping it waits for what is queued.
pub fn init_log(json: bool, level: LevelFilter) -> LogGuard {
    set_log_json(json);
    let written = Arc::<AtomicU64>::default();
    let (queue, writer) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE_LINES)
        .finish(Batch {
            out: std::io::stdout(),
            held: Vec::with_capacity(BATCH),
            lines: 0,
            written: Arc::clone(&written),
        });
    let guard = LogGuard {
        writer: Some(writer),
        dropped: queue.error_counter(),
        queued: Arc::default(),
        written,
    };
    let queued = Arc::clone(&guard.queued);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || {
            queued.fetch_add(1, Relaxed);
            queue.clone()
        })
        .with_ansi(std::io::stdout().is_terminal())
        .event_format(Lines {
            text: Format::default().with_target(false),
            json: Format::default()
                .json()
                .flatten_event(true)
                .with_target(false),
        });
    let (level, handle) = reload::Layer::new(level);
    let subscriber = Registry::default().with(level).with(lines);
    // Whoever set a subscriber before (a test, the demo) keeps it.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        drop(LEVEL.set(handle));
    }
    guard
}

/// Changes the format of the lines to come.
pub fn set_log_json(json: bool) {
    JSON.store(json, Relaxed);
}

/// Changes the least severe lines to come; false: the log is somebody else's.
pub fn set_log_level(level: LevelFilter) -> bool {
    LEVEL
        .get()
        .is_some_and(|handle| handle.modify(|now| *now = level).is_ok())
}

/// The least severe lines that are written; `None`: the log is somebody else's.
pub fn log_level() -> Option<LevelFilter> {
    LEVEL.get()?.clone_current()
}

/// Waits, when dropped, until every line is written, or stdout has taken none for [`STUCK`]: a
/// reader that is only slow gets all of them, one that stands still does not keep the process.
/// What was lost is told on stderr.
pub struct LogGuard {
    writer: Option<WorkerGuard>,
    dropped: ErrorCounter,
    queued: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

/// How long stdout may stand still while lines wait for it at the end.
const STUCK: Duration = Duration::from_secs(3);

impl LogGuard {
    /// Lines that found the queue full.
    fn dropped(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }

    /// Lines that wait for stdout.
    fn waiting(&self) -> u64 {
        let settled = self.written.load(Relaxed) + self.dropped();
        self.queued.load(Relaxed).saturating_sub(settled)
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
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
        let lost = waiting + self.dropped();
        if lost > 0 {
            // Nobody may be there to read this either.
            let _ = writeln!(
                std::io::stderr(),
                "snihub: {lost} log lines are lost: stdout was not read fast enough"
            );
        }
    }
}

/// Bytes of lines that are written at once, when they come faster than one system call each is
/// good for.
const BATCH: usize = 8 * 1024;

/// Stdout, counting lines: each comes in one `write`, and `flush` whenever no other one waits.
struct Batch {
    out: Stdout,
    held: Vec<u8>,
    lines: u64,
    written: Arc<AtomicU64>,
}

impl Write for Batch {
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
        self.written
            .fetch_add(std::mem::take(&mut self.lines), Relaxed);
        done.and_then(|()| self.out.flush())
    }
}

/// Both formats; which of them is asked at each line, so that a reload can change it.
struct Lines {
    text: Format,
    json: Format<Json>,
}

impl<S> FormatEvent<S, DefaultFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if JSON.load(Relaxed) {
            // No colours inside JSON, whatever stdout is.
            self.json
                .format_event(context, Writer::new(&mut writer), event)
        } else {
            self.text.format_event(context, writer, event)
        }
    }
}
