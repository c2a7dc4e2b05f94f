//! What is wrong with a file, told so that it can be put right at night: where, what was seen,
//! what is allowed, and the line itself.

use crate::terminal;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Problems of one severity that one file may report; the rest is only counted. A generated file
/// of a million wrong lines must not fill the memory with their excerpts.
pub const MAX_SHOWN: usize = 1_000;

/// Characters of a file's line that an excerpt shows.
const EXCERPT_WIDTH: usize = 120;

/// Characters of a seen value that a message repeats.
const SEEN_WIDTH: usize = 80;

/// Whether a file can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; somebody should look.
    Warning,
    /// Nothing is wrong: what became of a line that was written for another program.
    Note,
}

/// One mistake in one file.
///
/// `Display` is the headline and, where there is one, the line of the file with a caret:
///
/// ```text
/// sni.yaml:14:19: tunnel_route: port "70000" is not in 1..=65535
///    14 |     tunnel_route: 10.0.0.1:70000
///       |                   ^
/// ```
///
/// Nothing in it can move a terminal: control characters of the file are escaped, long lines cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The file as the operator named it (escaped).
    #[serde(serialize_with = "as_str")]
    pub file: Arc<str>,
    /// From 1; 0 where the problem is of the whole file.
    pub line: u32,
    /// In characters, from 1; 0 where the problem is of the whole file.
    pub column: u32,
    /// The key it is about; empty where there is none.
    pub key: String,
    /// What was seen, and what is allowed.
    pub text: String,
    /// The line of the file.
    pub excerpt: Option<Excerpt>,
    /// The file could not be opened for lack of permission (exit code 77).
    #[serde(skip)]
    pub denied: bool,
}

/// A line of a file, safe to print, and where the caret belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// At most 120 characters and two ellipses.
    pub line: String,
    /// Characters before the caret.
    pub caret: usize,
}

impl Problem {
    /// A problem of a whole file, or of one that cannot be read.
    pub fn of_file(severity: Severity, file: &str, key: &str, text: impl Into<String>) -> Problem {
        Problem {
            severity,
            file: escape(file).into(),
            line: 0,
            column: 0,
            key: key.into(),
            text: text.into(),
            excerpt: None,
            denied: false,
        }
    }

    /// A warning without an excerpt; without a place it is of the whole file.
    pub(super) fn warning(
        file: &str,
        at: Option<At>,
        key: &str,
        text: impl Into<String>,
    ) -> Problem {
        Problem {
            line: at.map_or(0, |at| at.line),
            column: at.map_or(0, |at| at.column),
            ..Problem::of_file(Severity::Warning, file, key, text)
        }
    }

    /// The first line of `Display` alone: for the log.
    pub fn headline(&self) -> impl fmt::Display + '_ {
        Headline(self)
    }

    /// What problems are sorted by. Those of the whole file come last, among them how many more
    /// there are than are shown.
    pub(super) fn sort_key(&self) -> (Arc<str>, u32, u32) {
        let line = self.line.checked_sub(1).unwrap_or(u32::MAX);
        (Arc::clone(&self.file), line, self.column)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Headline(self).fmt(f)?;
        if let Some(excerpt) = &self.excerpt {
            let caret = excerpt.caret;
            write!(
                f,
                "\n{:>6} | {}\n       | {:caret$}^",
                self.line, excerpt.line, ""
            )?;
        }
        Ok(())
    }
}

struct Headline<'p>(&'p Problem);

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            severity,
            file,
            line,
            column,
            key,
            text,
            ..
        } = self.0;
        write!(f, "{file}:")?;
        if *line > 0 {
            write!(f, "{line}:{column}:")?;
        }
        match severity {
            Severity::Error => {}
            Severity::Warning => write!(f, " warning:")?,
            Severity::Note => write!(f, " note:")?,
        }
        if !key.is_empty() {
            write!(f, " {key}:")?;
        }
        write!(f, " {text}")
    }
}

impl Serialize for Excerpt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.line)
    }
}

fn as_str<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
}

/// Collects the problems of one file, up to [`MAX_SHOWN`] of each severity.
pub(super) struct Reporter<'s> {
    file: Arc<str>,
    source: &'s str,
    /// Byte offset of each line's start; built at the first problem.
    starts: Vec<u32>,
    problems: Vec<Problem>,
    errors: usize,
    warnings: usize,
    notes: usize,
}

/// What a [`Reporter`] collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) problems: Vec<Problem>,
    pub(super) errors: usize,
    pub(super) warnings: usize,
}

impl<'s> Reporter<'s> {
    /// `file` as the operator named it, `source` its text.
    pub(super) fn new(file: &str, source: &'s str) -> Reporter<'s> {
        Reporter {
            file: escape(file).into(),
            source,
            starts: Vec::new(),
            problems: Vec::new(),
            errors: 0,
            warnings: 0,
            notes: 0,
        }
    }

    pub(super) fn error(&mut self, at: At, key: &str, text: impl Into<String>) {
        self.push(Severity::Error, Some(at), key, text.into());
    }

    pub(super) fn warning(&mut self, at: At, key: &str, text: impl Into<String>) {
        self.push(Severity::Warning, Some(at), key, text.into());
    }

    pub(super) fn note(&mut self, at: At, key: &str, text: impl Into<String>) {
        self.push(Severity::Note, Some(at), key, text.into());
    }

    /// An error of the whole file.
    pub(super) fn file_error(&mut self, key: &str, text: impl Into<String>) {
        self.push(Severity::Error, None, key, text.into());
    }

    /// A warning of the whole file.
    pub(super) fn file_warning(&mut self, key: &str, text: impl Into<String>) {
        self.push(Severity::Warning, None, key, text.into());
    }

    /// Errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The text of a line (from 1), without its break.
    pub(super) fn line(&mut self, line: u32) -> &'s str {
        if self.starts.is_empty() {
            self.starts = line_starts(self.source);
        }
        let Some(&start) = (line as usize)
            .checked_sub(1)
            .and_then(|n| self.starts.get(n))
        else {
            return "";
        };
        let rest = self.source.get(start as usize..).unwrap_or("");
        rest.split(['\n', '\r']).next().unwrap_or("")
    }

    /// Ends the collection; where some were only counted, a last problem says so.
    pub(super) fn finish(mut self) -> Collected {
        for (severity, count) in [
            (Severity::Error, self.errors),
            (Severity::Warning, self.warnings),
            (Severity::Note, self.notes),
        ] {
            if count > MAX_SHOWN {
                let what = match severity {
                    Severity::Error => "errors",
                    Severity::Warning => "warnings",
                    Severity::Note => "notes",
                };
                let text = format!(
                    "{} more {what} in this file are not shown ({count} in all)",
                    count - MAX_SHOWN
                );
                let mut last = Problem::of_file(severity, "", "", text);
                last.file = Arc::clone(&self.file);
                self.problems.push(last);
            }
        }
        Collected {
            problems: self.problems,
            errors: self.errors,
            warnings: self.warnings,
        }
    }

    fn push(&mut self, severity: Severity, at: Option<At>, key: &str, text: String) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        };
        *count += 1;
        if *count > MAX_SHOWN {
            return;
        }
        let excerpt = at.map(|at| Excerpt::of(self.line(at.line), at.column));
        self.problems.push(Problem {
            severity,
            file: Arc::clone(&self.file),
            line: at.map_or(0, |at| at.line),
            column: at.map_or(0, |at| at.column),
            key: escape(key),
            text,
            excerpt,
            denied: false,
        });
    }
}

impl Excerpt {
    /// A window of `line` around `column` (from 1).
    fn of(line: &str, column: u32) -> Excerpt {
        let before = (column as usize).saturating_sub(1);
        let skip = if before < EXCERPT_WIDTH - 20 {
            0
        } else {
            before - EXCERPT_WIDTH / 2
        };
        let mut chars = line.chars().skip(skip);
        let mut out = String::new();
        if skip > 0 {
            out.push('…');
        }
        out.extend(chars.by_ref().take(EXCERPT_WIDTH).map(terminal::one));
        if chars.next().is_some() {
            out.push('…');
        }
        Excerpt {
            line: out,
            caret: before - skip + usize::from(skip > 0),
        }
    }
}

/// A value as a message repeats it: in quotes, escaped, cut.
pub(super) fn seen(value: &str) -> String {
    match value.char_indices().nth(SEEN_WIDTH) {
        None => format!("{value:?}"),
        Some((cut, _)) => format!("{:?}…", &value[..cut]),
    }
}

/// A path as it is printed.
fn escape(path: &str) -> String {
    terminal::plain(path)
}

/// Byte offsets at which lines start. YAML 1.2 (5.4) breaks lines at LF, CRLF and a lone CR.
fn line_starts(source: &str) -> Vec<u32> {
    let bytes = source.as_bytes();
    let mut starts = vec![0];
    for (at, byte) in bytes.iter().enumerate() {
        let ends = match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            starts.push(u32::try_from(at + 1).unwrap_or(u32::MAX));
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: &str, at: At) -> Problem {
        let mut reporter = Reporter::new("sni.yaml", source);
        reporter.error(at, "tunnel_route", "port \"70000\" is not in 1..=65535");
        reporter.finish().problems.remove(0)
    }

    #[test]
    fn shows_the_line_with_a_caret() {
        let problem = one(
            "sni:\r\n- fqdn: a\r  tunnel_route: h:70000\n",
            At {
                line: 3,
                column: 17,
            },
        );
        assert_eq!(
            problem.to_string(),
            "sni.yaml:3:17: tunnel_route: port \"70000\" is not in 1..=65535\n\
             \x20    3 |   tunnel_route: h:70000\n\
             \x20      |                 ^"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let excerpt = one(
            &line,
            At {
                line: 1,
                column: 5_001,
            },
        )
        .excerpt
        .expect("an excerpt");
        assert!(excerpt.line.chars().count() <= EXCERPT_WIDTH + 2);
        assert_eq!(excerpt.line.chars().nth(excerpt.caret), Some('X'));
    }

    #[test]
    fn nothing_moves_the_terminal() {
        let problem = one("a\u{1b}[2J\u{202e}b\u{7f}", At { line: 1, column: 1 });
        let shown = problem.to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
        assert!(!shown.contains('\u{7f}'));
        assert_eq!(seen("a\u{1b}\u{202e}"), "\"a\\u{1b}\\u{202e}\"");
        assert_eq!(seen(&"x".repeat(500)).chars().count(), SEEN_WIDTH + 3);
    }

    #[test]
    fn the_rest_is_counted() {
        let mut reporter = Reporter::new("f", "x");
        for _ in 0..MAX_SHOWN + 7 {
            reporter.error(At { line: 1, column: 1 }, "k", "bad");
        }
        let collected = reporter.finish();
        assert_eq!(
            (collected.errors, collected.problems.len()),
            (MAX_SHOWN + 7, MAX_SHOWN + 1)
        );
        assert_eq!(
            collected.problems[MAX_SHOWN].text,
            "7 more errors in this file are not shown (1007 in all)"
        );
    }
}
