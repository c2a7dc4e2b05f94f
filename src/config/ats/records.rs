//! records.config: its lines, as ATS 9.2 reads them (RecConfigFileParse of its
//! RecConfigParse.cc). Pure; one pass over the text, nothing kept.

use super::super::problem::At;

/// A line that ATS takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'t> {
    /// `proxy.config.http.server_ports`.
    pub(super) name: &'t str,
    pub(super) at: At,
    /// Without white space around it; never empty. Of any type: what is in it says whether it fits.
    pub(super) value: &'t str,
    pub(super) value_at: At,
}

/// A line that is neither empty nor a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'t> {
    /// A record.
    Record(Record<'t>),
    /// ATS logs a warning and goes on.
    Skipped {
        /// Where it begins.
        at: At,
        /// What it lacks to be a record.
        why: &'static str,
    },
}

/// The words a line may begin with.
const SCOPES: [&str; 5] = ["CONFIG", "LOCAL", "PROCESS", "NODE", "CLUSTER"];
const TYPES: [&str; 4] = ["INT", "FLOAT", "STRING", "COUNTER"];

/// The lines that say something.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    physical_lines(text).filter_map(|(number, line)| read(number, line))
}

/// Every line with its number, from 1. Lines end at LF, CRLF or a lone CR, as the places of
/// problems are counted.
pub(super) fn physical_lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let mut rest = Some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        let text = rest?;
        number += 1;
        let end = text.find(['\n', '\r']);
        let line = &text[..end.unwrap_or(text.len())];
        rest = end.map(|end| {
            let after = &text[end..];
            let broken = after.strip_prefix("\r\n");
            broken.unwrap_or_else(|| after.get(1..).unwrap_or(""))
        });
        Some((number, line))
    })
}

fn read(number: u32, line: &str) -> Option<Line<'_>> {
    let at = |part: &str| At {
        line: number,
        column: column(line, part),
    };
    let mut words = Words(line.trim_start());
    let scope = words.next()?;
    if scope.starts_with('#') {
        return None;
    }
    let skipped = |part, why| Some(Line::Skipped { at: at(part), why });
    if scope.starts_with("//") {
        return skipped(scope, "// begins no comment; # does");
    }
    let (name, kind) = (words.next(), words.next());
    let value = words.0.trim();
    let (Some(name), Some(kind), false) = (name, kind, value.is_empty()) else {
        return skipped(scope, "is not CONFIG NAME TYPE VALUE");
    };
    if !SCOPES.contains(&scope) {
        return skipped(scope, "does not begin with CONFIG or LOCAL");
    }
    if !TYPES.contains(&kind) {
        return skipped(kind, "is none of INT, FLOAT and STRING");
    }
    Some(Line::Record(Record {
        name,
        at: at(name),
        value,
        value_at: at(value),
    }))
}

/// The words of a line, apart by spaces and tabs; what is left of it.
struct Words<'t>(&'t str);

impl<'t> Iterator for Words<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.0.trim_start_matches([' ', '\t']);
        let (word, rest) = text.split_at(text.find([' ', '\t']).unwrap_or(text.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// In characters from 1; `part` is a slice of `line`.
fn column(line: &str, part: &str) -> u32 {
    let before = part.as_ptr().addr() - line.as_ptr().addr();
    let before = line.get(..before).unwrap_or("").chars().count();
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(text: &str) -> Vec<(u32, &str, &str)> {
        lines(text)
            .filter_map(|line| match line {
                Line::Record(record) => Some((record.at.line, record.name, record.value)),
                Line::Skipped { .. } => None,
            })
            .collect()
    }

    fn skipped(text: &str) -> Vec<(u32, u32, &'static str)> {
        lines(text)
            .filter_map(|line| match line {
                Line::Record(_) => None,
                Line::Skipped { at, why } => Some((at.line, at.column, why)),
            })
            .collect()
    }

    #[test]
    fn fates_guide_is_read_as_ats_reads_it() {
        let text = "\
CONFIG proxy.config.http.cache.http INT 0
// ports
CONFIG proxy.config.http.server_ports STRING 8080 8080:ipv6 443:ssl

# connect
\tLOCAL\tproxy.config.http.connect_ports   STRING   443 6650-6700 \t\r
CONFIG proxy.config.ssl.servername.filename STRING sni.config";
        assert_eq!(
            records(text),
            [
                (1, "proxy.config.http.cache.http", "0"),
                (
                    3,
                    "proxy.config.http.server_ports",
                    "8080 8080:ipv6 443:ssl"
                ),
                (6, "proxy.config.http.connect_ports", "443 6650-6700"),
                (7, "proxy.config.ssl.servername.filename", "sni.config"),
            ]
        );
        assert_eq!(skipped(text), [(2, 1, "// begins no comment; # does")]);
    }

    #[test]
    fn what_ats_skips_is_skipped() {
        for (line, column, part) in [
            ("CONFIG proxy.config.a INT", 1, "is not CONFIG"),
            ("CONFIG proxy.config.a INT  \t ", 1, "is not CONFIG"),
            ("CONFIG", 1, "is not CONFIG"),
            ("  config proxy.config.a INT 1", 3, "does not begin"),
            ("CONFIG proxy.config.a TEXT 1", 23, "is none of"),
            ("//CONFIG proxy.config.a INT 1", 1, "// begins"),
        ] {
            let seen = skipped(line);
            assert_eq!(seen.len(), 1, "{line:?}");
            assert_eq!((seen[0].0, seen[0].1), (1, column), "{line:?}");
            assert!(seen[0].2.starts_with(part), "{line:?}: {}", seen[0].2);
            assert_eq!(records(line), []);
        }
        for line in ["", " \t ", "#x", "  # CONFIG a INT 1", "\r\r\n\n"] {
            assert_eq!(lines(line).count(), 0, "{line:?}");
        }
    }

    #[test]
    fn a_place_is_where_an_editor_shows_it() {
        let text = "# \u{4ee3}\u{7406}\r\n\r \u{4ee3} x\nCONFIG  a  STRING  \u{e9} b";
        let Some(Line::Record(record)) = lines(text).nth(1) else {
            panic!("{text:?}");
        };
        assert_eq!((record.at.line, record.at.column), (4, 9));
        assert_eq!((record.value, record.value_at.column), ("\u{e9} b", 20));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(CONFIG|LOCAL|//|#|INT|STRING|[ \t\r\n]|a|\\PC){0,60}") {
            let count = physical_lines(&text).count() as u32;
            let mut last = 0;
            for line in lines(&text) {
                let at = match line {
                    Line::Record(record) => {
                        prop_assert!(!record.name.is_empty() && !record.value.is_empty());
                        prop_assert_eq!(record.value.trim(), record.value);
                        record.at
                    }
                    Line::Skipped { at, .. } => at,
                };
                prop_assert!(at.line > last && at.line <= count && at.column >= 1);
                last = at.line;
            }
        }
    }
}
