//! Texts into numbers, with their bounds: durations, sizes, counts, words.

use super::problem::{At, Reporter, seen};
use super::yaml::{Node, Value};
use std::ops::RangeInclusive;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A year; no timeout needs more, and sums of two cannot overflow.
pub(super) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a duration may be.
#[derive(Debug, Clone)]
pub(super) struct DurationRule {
    /// Bounds, both allowed.
    pub(super) within: RangeInclusive<Duration>,
    /// Whether `0` and `off` are allowed.
    pub(super) off: bool,
}

impl DurationRule {
    /// May not be off.
    pub(super) const fn on(min: Duration, max: Duration) -> DurationRule {
        DurationRule {
            within: min..=max,
            off: false,
        }
    }

    /// May be off.
    pub(super) const fn or_off(min: Duration, max: Duration) -> DurationRule {
        DurationRule {
            within: min..=max,
            off: true,
        }
    }
}

/// One key with its scalar value, and where to complain.
pub(super) struct Scalar<'r, 's, 't> {
    pub(super) reporter: &'r mut Reporter<'s>,
    pub(super) key: &'t str,
    pub(super) at: At,
    pub(super) text: &'t str,
}

/// The text of a scalar; anything else is reported.
pub(super) fn scalar<'r, 's, 't>(
    reporter: &'r mut Reporter<'s>,
    key: &'t str,
    node: Node<'t>,
) -> Option<Scalar<'r, 's, 't>> {
    match node.value() {
        Value::Text(text) => Some(Scalar {
            reporter,
            key,
            at: node.at(),
            text,
        }),
        Value::Null => {
            reporter.error(node.at(), key, "has no value");
            None
        }
        Value::Sequence(_) | Value::Mapping(_) => {
            reporter.error(
                node.at(),
                key,
                format!("{} where one value is expected", node.seen()),
            );
            None
        }
    }
}

impl Scalar<'_, '_, '_> {
    /// An error about the value: what was seen, then `allowed`.
    pub(super) fn refuse<T>(&mut self, allowed: &str) -> Option<T> {
        self.reporter
            .error(self.at, self.key, format!("{} {allowed}", seen(self.text)));
        None
    }

    /// `10s`, `5m`, `1h`, `1d`, `500ms`; `0` and `off` give `Some(None)` where allowed.
    pub(super) fn duration(mut self, rule: &DurationRule) -> Option<Option<Duration>> {
        let (min, max) = (
            show_duration(*rule.within.start()),
            show_duration(*rule.within.end()),
        );
        let off = if rule.off { ", or off" } else { "" };
        match parse_duration(self.text) {
            Ok(None) if rule.off => Some(None),
            Ok(Some(value)) if rule.within.contains(&value) => Some(Some(value)),
            Ok(_) => self.refuse(&format!("is not in {min}..={max}{off}")),
            Err(why) => self.refuse(&format!("{why}; allowed are {min}..={max}{off}")),
        }
    }

    /// `64KiB`, `64MiB`, `1GiB`, or bytes.
    pub(super) fn size(mut self, within: RangeInclusive<usize>) -> Option<usize> {
        let (min, max) = (show_size(*within.start()), show_size(*within.end()));
        match parse_size(self.text) {
            Some(value) if within.contains(&value) => Some(value),
            Some(_) => self.refuse(&format!("is not in {min}..={max}")),
            None => self.refuse(&format!(
                "is not a size: write 65536, 64KiB, 64MiB or 1GiB; allowed are {min}..={max}"
            )),
        }
    }

    /// A whole number; `word` (say, `auto`) gives `Some(None)` where there is one.
    pub(super) fn count(
        mut self,
        within: RangeInclusive<usize>,
        word: Option<&str>,
    ) -> Option<Option<usize>> {
        if word == Some(self.text) {
            return Some(None);
        }
        match digits(self.text).and_then(|text| text.parse().ok()) {
            Some(value) if within.contains(&value) => Some(Some(value)),
            _ => {
                let (min, max) = (within.start(), within.end());
                let word = word.map_or_else(String::new, |word| format!(", nor {word}"));
                self.refuse(&format!("is not a number in {min}..={max}{word}"))
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(mut self, words: &[(&str, T)]) -> Option<T> {
        match words.iter().find(|(word, _)| *word == self.text) {
            Some((_, value)) => Some(*value),
            None => {
                let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.refuse(&format!("is not one of {}", allowed.join(", ")))
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn truth(self) -> Option<bool> {
        self.word(&[("true", true), ("false", false)])
    }
}

/// `Ok(None)`: off.
fn parse_duration(text: &str) -> Result<Option<Duration>, &'static str> {
    const SHAPE: &str = "is not a duration: write 500ms, 10s, 5m, 1h or 1d";
    if text == "off" || text == "0" {
        return Ok(None);
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) if number.is_empty() => return Err(SHAPE),
        Err(_) => u64::MAX,
    };
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => SECOND,
        "m" => SECOND * 60,
        "h" => SECOND * 3_600,
        "d" => SECOND * 86_400,
        "" => return Err("has no unit: write 500ms, 10s, 5m, 1h or 1d"),
        _ => return Err(SHAPE),
    };
    // Anything this large is out of every bound.
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let value = unit.checked_mul(number).unwrap_or(Duration::MAX);
    Ok((!value.is_zero()).then_some(value))
}

fn parse_size(text: &str) -> Option<usize> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: usize = digits(number)?.parse().unwrap_or(usize::MAX);
    let unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    Some(number.saturating_mul(unit))
}

/// Rust's `parse` also takes a leading `+`.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// As it would be written in the file.
pub(super) fn show_duration(value: Duration) -> String {
    let (seconds, millis) = (value.as_secs(), value.subsec_millis());
    match seconds {
        0 if millis == 0 => "0".into(),
        _ if millis != 0 => format!("{}ms", value.as_millis()),
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

fn show_size(value: usize) -> String {
    match value {
        v if v % (1 << 30) == 0 => format!("{}GiB", v >> 30),
        v if v % (1 << 20) == 0 => format!("{}MiB", v >> 20),
        v if v % (1 << 10) == 0 => format!("{}KiB", v >> 10),
        v => v.to_string(),
    }
}

/// The known key that a wrong one was probably meant to be: at most two edits away (an insertion,
/// a deletion, a replacement, or two letters swapped), and fewer edits than the longer of the two
/// has bytes, so that something of it is left. Of several the nearest, then the first by alphabet.
pub(super) fn did_you_mean<'k>(
    wrong: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let best = known
        .into_iter()
        .map(|key| (edits(wrong, key), key))
        .min()?;
    (best.0 <= 2 && best.0 < wrong.len().max(best.1.len())).then_some(best.1)
}

/// Edit distance with transpositions (optimal string alignment); anything above 2 may come as 3.
fn edits(a: &str, b: &str) -> usize {
    // A key from a file may be of any length.
    if a.len().abs_diff(b.len()) > 2 {
        return 3;
    }
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0; b.len() + 1]; 3];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let (row, above, above2) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[row][0] = i;
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[above][j - 1] + same)
                .min(rows[above][j] + 1)
                .min(rows[row][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[above2][j - 2] + 1);
            }
            rows[row][j] = best;
        }
    }
    rows[a.len() % 3][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, wanted) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            let value = Duration::from_millis(wanted);
            assert_eq!(parse_duration(text), Ok(Some(value)));
            assert_eq!(show_duration(value), text);
        }
        for text in ["0", "off", "0s", "0ms"] {
            assert_eq!(parse_duration(text), Ok(None));
        }
        for text in [
            "10", "", "s", "10 s", "1.5s", "-1s", "+1s", "10S", "10sec", "1h30m",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
        let huge = parse_duration("99999999999999999999999d");
        assert!(matches!(huge, Ok(Some(value)) if value > YEAR));
    }

    #[test]
    fn sizes() {
        for (text, wanted) in [
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Some(wanted));
        }
        assert_eq!(parse_size("99999999999999999999GiB"), Some(usize::MAX));
        for text in ["", "KiB", "64 KiB", "64K", "64kb", "-1", "+1", "1.5MiB"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_typo_finds_its_key() {
        let known = ["ip_allow", "fqdn", "tunnel_route", "http2", "quic"];
        for (wrong, wanted) in [
            ("ip_alow", Some("ip_allow")),
            ("ip-allow", Some("ip_allow")),
            ("ipallow", Some("ip_allow")),
            ("fqnd", Some("fqdn")),
            ("tunnel_ruote", Some("tunnel_route")),
            ("tunel_rout", Some("tunnel_route")),
            ("note", None),
            ("comment", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(wrong, known), wanted, "{wrong:?}");
        }
        assert_eq!(did_you_mean(&"x".repeat(1 << 20), known), None);
    }
}
