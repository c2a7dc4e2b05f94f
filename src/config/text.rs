//! Bytes of a file into text: UTF-8, with or without a byte order mark.

use super::problem::{Collected, Problem, Reporter, Severity};
use super::yaml::position;
use crate::regular::ReadError;

/// What the bytes of a file are.
pub(super) enum Decoded<'b> {
    /// Text, without its byte order mark.
    Text(&'b str),
    /// No text.
    Wrong(Collected),
}

/// Text without a leading byte order mark; anything that is not UTF-8 is reported with its place.
pub(super) fn decode<'b>(file: &str, bytes: &'b [u8]) -> Decoded<'b> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Decoded::Text(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let (good, bad) = bytes.split_at(error.valid_up_to());
            // The prefix is valid UTF-8 by the error's word.
            let good = std::str::from_utf8(good).unwrap_or("");
            let mut reporter = Reporter::new(file, good);
            let byte = bad.first().copied().unwrap_or_default();
            let text = format!("byte 0x{byte:02x} is not UTF-8");
            reporter.error(position(good, good.len()), "", text);
            Decoded::Wrong(reporter.finish())
        }
    }
}

/// The problem of a file that cannot be read.
pub(super) fn unreadable(file: &str, error: &ReadError) -> Collected {
    let mut problem = Problem::of_file(Severity::Error, file, "", error.to_string());
    problem.denied = error.is_denied();
    one(problem)
}

/// A problem that is alone in its file.
pub(super) fn one(problem: Problem) -> Collected {
    Collected {
        errors: usize::from(problem.severity == Severity::Error),
        warnings: usize::from(problem.severity == Severity::Warning),
        problems: vec![problem],
    }
}
