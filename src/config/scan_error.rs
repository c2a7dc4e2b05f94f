//! saphyr-parser's messages speak of tokens, from where it noticed; the mistakes that operators make
//! get words of their own, from where they were made.

use super::problem::{At, Reporter, seen};
use saphyr_parser::ScanError;

/// Where the mistake is, and what.
pub(super) fn explain(error: &ScanError, reporter: &mut Reporter<'_>) -> (At, String) {
    let marker = error.marker();
    let at = At {
        line: marker.line().max(1) as u32,
        column: marker.col() as u32 + 1,
    };
    let info = error.info();
    if let Some(found) = sign(reporter.line(at.line), at) {
        return found;
    }
    if info.contains("quoted scalar") && !info.contains("escape") && !info.contains("tab") {
        return (
            at,
            "not YAML: the quote that begins here is not closed".into(),
        );
    }
    if info.starts_with("simple key expect") {
        return (
            written_before(at, reporter),
            "not YAML: a key without \":\"".into(),
        );
    }
    if info.contains("tab")
        && let Some(at) = tab_from(at, reporter)
    {
        return (at, "not YAML: a tab; indent with spaces".into());
    }
    let info = info
        .replace("while scanning ", "in ")
        .replace("while parsing ", "in ");
    (at, format!("not YAML: {info}"))
}

/// Text that begins with a sign of YAML's own; the scanner stands on the sign or just behind it.
fn sign(line: &str, at: At) -> Option<(At, String)> {
    let before: Vec<char> = line.chars().take(at.column as usize).collect();
    let opens = |index: usize| {
        let previous = index.checked_sub(1).map(|index| before[index]);
        let begins = previous.is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '{' | ','));
        begins && matches!(before[index], '*' | '@' | '`' | '%' | '&' | '!')
    };
    let index = (1..=2)
        .filter_map(|back| before.len().checked_sub(back))
        .find(|at| opens(*at))?;
    let ends = |c: &char| c.is_whitespace() || matches!(c, ',' | ']' | '}');
    let word: String = line.chars().skip(index).take_while(|c| !ends(c)).collect();
    let word = seen(&word);
    let sign = before[index];
    let text = format!(
        "{word} begins with \"{sign}\", which YAML reads as a sign of its own; quote it: '{}'",
        word.trim_matches(['"', '…'])
    );
    Some((
        At {
            column: index as u32 + 1,
            ..at
        },
        text,
    ))
}

/// The last line above `at` that has something on it.
fn written_before(at: At, reporter: &mut Reporter<'_>) -> At {
    for line in (1..at.line).rev() {
        let text = reporter.line(line);
        let indent = text
            .chars()
            .take_while(|c| matches!(c, ' ' | '\t' | '-'))
            .count();
        if indent < text.chars().count() && !text[indent..].starts_with('#') {
            return At {
                line,
                column: indent as u32 + 1,
            };
        }
    }
    at
}

/// The first tab from `at` on: the scanner may stand at the beginning of the text before it.
fn tab_from(at: At, reporter: &mut Reporter<'_>) -> Option<At> {
    (at.line..=at.line + 1).find_map(|line| {
        let skip = if line == at.line {
            at.column as usize - 1
        } else {
            0
        };
        let column = reporter
            .line(line)
            .chars()
            .skip(skip)
            .position(|c| c == '\t')?;
        Some(At {
            line,
            column: (skip + column) as u32 + 1,
        })
    })
}
