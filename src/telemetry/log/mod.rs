//! Where log lines go: stdout, and the records to a file of their own if there is one; each through
//! a bounded queue and a thread, so that neither a stuck journal nor a full disk stops a worker.
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
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
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

/// What each queue of this process lost, for [`lost_lines`].
static LOST: OnceLock<Vec<queue::Lost>> = OnceLock::new();

/// Sends all events of the process to stdout; records to `file` instead, if there is one. Keep the
/// guard: dropping it waits for what is queued.
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
    let out = Queue::start(LOGS[0], "stdout", io::stdout());
    let file = file.map(|file| Queue::start(LOGS[1], "the file of access_log", file));
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
    };
    let subscriber = Registry::default().with(everything).with(records);
    // Whoever set a subscriber before (a test, the demo) keeps it.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let lost = guard.queues.iter().map(Queue::lost).collect();
        drop(LOST.set(lost));
        LEVEL.store(number(level), Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(guard)
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
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queues.drain(..).for_each(Queue::finish);
    }
}
