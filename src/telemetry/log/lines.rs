//! How a line is written.

use super::{LogFormat, SQUID, is_format, priority};
use rustix::fs::fstat;
use std::fmt::{self, Write as _};
use std::os::fd::AsFd;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

/// All formats; which of them is asked at each line, so that a reload can change it.
pub(super) struct Lines {
    journal: bool,
    text: Format,
    timeless: Format<Full, ()>,
    json: Format<Json>,
}

impl Lines {
    /// `journal`: begins each line with its severity, which the journal takes off (sd-daemon(3)),
    /// and leaves the time to it.
    pub(super) fn new(journal: bool) -> Lines {
        Lines {
            journal,
            text: Format::default().with_target(false),
            timeless: Format::default().with_target(false).without_time(),
            json: Format::default()
                .json()
                .flatten_event(true)
                .with_target(false),
        }
    }
}

/// Whether this is a stream to systemd's journal: `JOURNAL_STREAM` has its device and inode then
/// (systemd.exec(5)).
pub(super) fn is_journal(stream: impl AsFd) -> bool {
    let (Ok(told), Ok(stat)) = (std::env::var("JOURNAL_STREAM"), fstat(stream)) else {
        return false;
    };
    told == format!("{}:{}", stat.st_dev, stat.st_ino)
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
        let metadata = event.metadata();
        if self.journal {
            write!(writer, "<{}>", priority(*metadata.level()))?;
        }
        if metadata.target() == SQUID {
            let mut whole = Message(String::new());
            event.record(&mut whole);
            return writeln!(writer, "{}", whole.0);
        }
        if is_format(LogFormat::Json) {
            // No colours inside JSON, whatever stdout is.
            let writer = Writer::new(&mut writer);
            return self.json.format_event(context, writer, event);
        }
        match self.journal {
            true => self.timeless.format_event(context, writer, event),
            false => self.text.format_event(context, writer, event),
        }
    }
}

/// An event that is its message alone.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "{value:?}");
    }
}
