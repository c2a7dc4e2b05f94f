//! Where log lines go: stdout, and the records to a file of their own if there is one; each through
//! a bounded queue and a thread, so that neither a stuck journal nor a full disk stops a worker. What goes
//! to stderr has such a queue, too: it is often the same stream, and nobody is to be held up by it, nor the
//! end of the process.
//!
//! Records are events of two targets: [`ACCESS`] in the log's own words, or [`SQUID`] as Traffic
//! Server's squid.log has them. The format in force decides which of them is written.

mod file;
mod lines;
mod queue;

pub use file::reopen_at_sigusr1;

use file::LogFile;
use lines::{Lines, is_journal};
use queue::Queue;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};

/// The target of records in the log's own words.
pub(super) const ACCESS: &str = "snihub::access";
/// The target of records that are whole lines of squid.log.
pub(super) const SQUID: &str = "snihub::squid";

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line; so are the other lines of the log.
    Json,
    /// As Traffic Server's squid.log, one line for each connection when it is over.
    Squid,
}

/// The format in force. A subscriber belongs to the whole process, and so does this.
static FORMAT: AtomicU8 = AtomicU8::new(LogFormat::Text as u8);

/// The least severe lines that stdout gets; 0 where the log is somebody else's.
static LEVEL: AtomicU8 = AtomicU8::new(0);
/// Whether an operator has chosen it while the process ran.
static CHOSEN: AtomicBool = AtomicBool::new(false);
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

/// The logs: stdout, and the file of `access_log`.
pub const LOGS: [&str; 2] = ["log", "access"];

/// Lines that may wait in each of them, of some 300 bytes.
const LOG_LINES: usize = 64 * 1024;
/// Words that may wait for stderr: of a successor, some 4 KiB each.
const WORDS: usize = 1024;

/// Bytes that a pipe takes without a wait where poll(2) says that it takes any (pipe(7), PIPE_BUF).
const AT_ONCE: usize = 4096;

/// The way into the queue of stderr.
static TO_STDERR: OnceLock<Box<Entry>> = OnceLock::new();
type Entry = dyn Fn() -> NonBlocking + Send + Sync;

/// What each queue of this process lost, for [`lost_lines`].
static LOST: OnceLock<Vec<queue::Lost>> = OnceLock::new();

/// Sends all events of the process to stdout; records to `file` instead, if there is one; and panics as
/// [`to_stderr`]. Keep the guard: dropping it waits for what is queued.
///
/// # Errors
/// The file cannot be opened for appending.
pub fn init_log(
    format: LogFormat,
    file: Option<&Path>,
    level: LevelFilter,
) -> io::Result<LogGuard> {
    set_log_format(format);
    let file = file.map(LogFile::open).transpose()?;
    let out = Queue::start(LOGS[0], "stdout", LOG_LINES, io::stdout());
    let file = file.map(|file| Queue::start(LOGS[1], "the file of access_log", LOG_LINES, file));
    let stderr = Queue::start("stderr", "stderr", WORDS, io::stderr());
    let apart = file.is_some();
    let everything = tracing_subscriber::fmt::layer()
        .with_ansi(io::stdout().is_terminal())
        .with_writer(out.lines())
        .event_format(Lines::new(is_journal(io::stdout())))
        .with_filter(Wanted::Out { apart });
    let records = file.as_ref().map(|file| {
        tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(file.lines())
            .event_format(Lines::new(false))
            .with_filter(Wanted::Records)
    });
    let guard = LogGuard {
        queues: std::iter::once(out).chain(file).collect(),
        stderr: Some(stderr),
    };
    let subscriber = Registry::default().with(everything).with(records);
    // Whoever set a subscriber before (a test, the demo) keeps it.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let lost = guard.queues.iter().map(Queue::lost).collect();
        drop(LOST.set(lost));
        if let Some(stderr) = &guard.stderr {
            drop(TO_STDERR.set(Box::new(stderr.lines())));
            std::panic::set_hook(Box::new(tell_panic));
        }
        LEVEL.store(number(level), Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(guard)
}

/// Says this on stderr. Where there is a log it waits for nobody: what is said when too much waits, or
/// after the end of the log, is lost.
pub fn to_stderr(words: &[u8]) {
    // There is nobody left to tell if stderr fails.
    let _ = match TO_STDERR.get() {
        Some(queue) => queue().write_all(words),
        None => io::stderr().write_all(words),
    };
}

/// In the words of the standard library, whose own hook would hold up the worker that goes on.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let mut words = format!("thread '{}' {panic}\n", thread.name().unwrap_or("?"));
    // As RUST_BACKTRACE has it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        words.push_str(&format!("{backtrace}\n"));
    }
    // At once if they fit: it may be the last that the process does.
    let mut stderr = [PollFd::from_borrowed_fd(
        rustix::stdio::stderr(),
        PollFlags::OUT,
    )];
    let takes = poll(&mut stderr, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    if takes && words.len() <= AT_ONCE {
        let _ = io::stderr().write_all(words.as_bytes());
    } else {
        to_stderr(words.as_bytes());
    }
}

/// Changes the format of the records to come.
pub fn set_log_format(format: LogFormat) {
    FORMAT.store(format as u8, Relaxed);
}

fn is_format(format: LogFormat) -> bool {
    FORMAT.load(Relaxed) == format as u8
}

/// Whether records are to be told as lines of squid.log.
pub(super) fn is_squid() -> bool {
    is_format(LogFormat::Squid)
}

/// Changes the least severe lines to come, as an operator has chosen; false: the log is somebody
/// else's.
pub fn choose_log_level(level: LevelFilter) -> bool {
    let ours = LEVEL.load(Relaxed) > 0;
    if ours {
        LEVEL.store(number(level), Relaxed);
        CHOSEN.store(true, Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
    ours
}

/// The level that an operator has chosen while the process ran, or the one before it.
pub fn chosen_log_level() -> Option<LevelFilter> {
    log_level().filter(|_| CHOSEN.load(Relaxed))
}

/// The least severe lines that are written; `None`: the log is somebody else's.
pub fn log_level() -> Option<LevelFilter> {
    let level = LEVEL.load(Relaxed);
    (level > 0).then(|| LEVELS[usize::from(level)])
}

fn number(level: LevelFilter) -> u8 {
    let place = LEVELS.iter().position(|known| *known == level);
    // OFF would be nobody's log.
    place.unwrap_or(0).max(1) as u8
}

/// Lines that this process has not written, by [`LOGS`]: their queue was full, or the file could not be
/// written.
pub(super) fn lost_lines() -> [u64; LOGS.len()] {
    let all = LOST.get().map_or(&[][..], Vec::as_slice);
    LOGS.map(|log| {
        let of_log = all.iter().filter(|lost| lost.log == log);
        of_log.map(queue::Lost::lines).sum()
    })
}

/// What a layer writes.
enum Wanted {
    /// All that the level lets through; records only unless they are kept `apart`.
    Out { apart: bool },
    /// Records alone, whatever the level.
    Records,
}

impl Wanted {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let record = match metadata.target() {
            SQUID => is_squid().then_some(()),
            ACCESS => (!is_squid()).then_some(()),
            _ => return matches!(self, Wanted::Out { .. }) && *metadata.level() <= level(),
        };
        let within = match self {
            Wanted::Out { apart: true } => return false,
            Wanted::Out { apart: false } => level(),
            Wanted::Records => level().max(LevelFilter::INFO),
        };
        record.is_some() && *metadata.level() <= within
    }
}

fn level() -> LevelFilter {
    LEVELS[usize::from(LEVEL.load(Relaxed))]
}

impl<S: Subscriber> Filter<S> for Wanted {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    /// Asked again whenever the level changes; the format does without, so no more is said.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self {
            Wanted::Out { .. } => level(),
            Wanted::Records => level().max(LevelFilter::INFO),
        })
    }
}

/// How severe a line is in the numbers of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Waits, when dropped, until every line is written, or nobody takes any: see [`Queue`].
pub struct LogGuard {
    queues: Vec<Queue>,
    /// Told last what the others have lost.
    stderr: Option<Queue>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let lost: Vec<_> = self.queues.drain(..).filter_map(Queue::finish).collect();
        if let Some(stderr) = self.stderr.take() {
            for words in lost {
                // Never waits.
                let _ = stderr.lines()().write_all(words.as_bytes());
            }
            // Nobody may be there to read this either.
            drop(stderr.finish());
        }
    }
}
