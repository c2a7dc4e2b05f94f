//! Times in UTC, to the second: what certificates hold and people read.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// Seconds of one day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `1 day`, `12 days`.
pub fn days_of(count: i64) -> String {
    match count {
        1 => "1 day".to_owned(),
        _ => format!("{count} days"),
    }
}

/// Seconds since 1970, UTC; shown as `2027-11-28 06:30 UTC`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Moment(pub i64);

impl Moment {
    /// By the system's clock.
    pub fn now() -> Moment {
        Moment::of(SystemTime::now())
    }

    /// The whole second that holds it. Before 1970 counts as 1970.
    pub fn of(time: SystemTime) -> Moment {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// Whole days from `now` on, rounded down: negative when it is over.
    pub fn days_after(self, now: Moment) -> i64 {
        (self.0 - now.0).div_euclid(DAY.as_secs() as i64)
    }

    pub(super) fn plus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(span.as_secs() as i64))
    }

    pub(super) fn minus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(span.as_secs() as i64))
    }

    /// For what encodes certificates. Years beyond 9999, which no certificate has, count as 1970.
    pub(super) fn date(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        let (hour, minute) = (date.hour(), date.minute());
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_a_date_and_counted_in_whole_days() {
        assert_eq!(Moment(1_827_383_400).to_string(), "2027-11-28 06:30 UTC");
        assert_eq!([0, 1, 2].map(days_of), ["0 days", "1 day", "2 days"]);
        let now = Moment(1_000_000);
        assert_eq!(now.plus(DAY).days_after(now), 1);
        assert_eq!(now.plus(DAY - Duration::from_secs(1)).days_after(now), 0);
        assert_eq!(now.minus(Duration::from_secs(1)).days_after(now), -1);
    }
}
