//! From an outline and a change to the replacements that make it.

use super::Pairs;
use super::lines::{
    break_of, indent, is_blank, is_comment, line, line_before, line_end, line_start, skip_trivia,
};
use super::outline::{Item, List, Outline};
use saphyr_parser::ScalarStyle;
use std::ops::Range;

/// Bytes that are replaced.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    fn insert(at: usize, text: String) -> Splice {
        Splice {
            range: at..at,
            text,
        }
    }

    fn delete(range: Range<usize>) -> Splice {
        Splice {
            range,
            text: String::new(),
        }
    }
}

/// Makes them all; they do not overlap.
pub(super) fn apply(source: &str, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| splice.range.start);
    let mut text = String::with_capacity(source.len() + 256);
    let mut from = 0;
    for splice in &splices {
        text.push_str(&source[from..splice.range.start]);
        text.push_str(&splice.text);
        from = splice.range.end;
    }
    text.push_str(&source[from..]);
    text
}

/// `None`: not in this file.
pub(super) fn insert(
    source: &str,
    outline: &Outline,
    before: Option<usize>,
    pairs: &Pairs<'_>,
) -> Option<Vec<Splice>> {
    let eol = break_of(source);
    match &outline.list {
        List::Absent => {
            let text = format!("sni:{eol}{}", block(2, 2, pairs, None, eol));
            Some(vec![at_line(source, source.len(), text)])
        }
        List::Null { key, word } => {
            let column = key.start - line_start(source, key.start);
            let text = block(column + 2, 2, pairs, None, eol);
            let mut splices = vec![at_line(source, line_end(source, word.end), text)];
            if !word.is_empty() {
                splices.push(Splice::delete(word.clone()));
            }
            Some(splices)
        }
        List::Block { key, items } => Some(vec![in_block(source, key, items, before, pairs)?]),
        List::Flow { range, items } => Some(in_flow(source, range, items, before, pairs)),
    }
}

/// `None`: not in this file.
pub(super) fn remove(source: &str, outline: &Outline, at: usize) -> Option<Vec<Splice>> {
    match &outline.list {
        List::Absent | List::Null { .. } => None,
        List::Block { items, .. } => {
            let dash = dash(source, items.get(at)?)?;
            let start = line_start(source, dash);
            let end = end_of(source, &items[at], dash - start);
            // The gap in front of the last one goes with it.
            let last = at > 0 && at + 1 == items.len();
            let mut range = with_blank(source, start, end, last);
            let above = line_before(source, start).map_or("", |above| line(source, above));
            if at == 0 && items.len() > 1 && range.start == start && !is_comment(above) {
                // The list does not begin with the blank line that was between the two.
                range.end = match is_blank(line(source, end)) {
                    true => line_end(source, end),
                    false => end,
                };
            }
            // The break at the end of a block scalar is a part of it (YAML 1.2, 8.1.1.2).
            let scalar = at > 0 && source[..items[at - 1].end].ends_with(['\n', '\r']);
            if !scalar && end == source.len() && !source.ends_with(['\n', '\r']) {
                range.start -= break_before(source, range.start);
            }
            Some(vec![Splice::delete(range)])
        }
        List::Flow { range, items } => out_of_flow(source, range, items, at),
    }
}

/// Whole lines at the beginning of a line. A text whose last line has no break gets none at its end.
fn at_line(source: &str, at: usize, text: String) -> Splice {
    let open = at == source.len() && !source.is_empty() && !source.ends_with(['\n', '\r']);
    if !open {
        return Splice::insert(at, text);
    }
    let eol = break_of(source);
    Splice::insert(
        at,
        format!("{eol}{}", text.strip_suffix(eol).unwrap_or(&text)),
    )
}

fn in_block(
    source: &str,
    key: &Range<usize>,
    items: &[Item],
    before: Option<usize>,
    pairs: &Pairs<'_>,
) -> Option<Splice> {
    let eol = break_of(source);
    let last = items.last()?;
    let dash_of_last = dash(source, last)?;
    let column = dash_of_last - line_start(source, dash_of_last);
    let text = match last.flow {
        true => format!(
            "{}- {}{eol}",
            " ".repeat(column),
            flow_like(source, last, pairs)
        ),
        false => {
            let same_line = line_start(source, last.start) == line_start(source, dash_of_last);
            let inner = if same_line {
                last.start - dash_of_last
            } else {
                2
            };
            block(column, inner, pairs, Some(last), eol)
        }
    };
    let apart = items.len() > 1
        && line_before(source, line_start(source, dash_of_last))
            .is_some_and(|before| is_blank(line(source, before)));
    let Some(at) = before.filter(|&at| at < items.len()) else {
        let gap = if apart { eol } else { "" };
        let at = end_of(source, last, column);
        return Some(at_line(source, at, format!("{gap}{text}")));
    };
    // Comments right above an entry are about it.
    let mut start = line_start(source, dash(source, &items[at])?);
    let floor = match at {
        0 => line_end(source, key.end),
        _ => end_of(source, &items[at - 1], column),
    };
    while let Some(above) = line_before(source, start) {
        let text = line(source, above);
        if above < floor || !is_comment(text) || indent(text) > column {
            break;
        }
        start = above;
    }
    let gap = if apart { eol } else { "" };
    Some(Splice::insert(start, format!("{text}{gap}")))
}

/// The dash of an entry: on its line, or alone above it.
fn dash(source: &str, item: &Item) -> Option<usize> {
    let mut start = line_start(source, item.start);
    loop {
        let text = line(source, start);
        let at = start + indent(text);
        let behind = source[at..].strip_prefix('-');
        let is_dash =
            behind.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']));
        if is_dash && at < item.start {
            return Some(at);
        }
        start = line_before(source, start)?;
    }
}

/// Behind the last line of an entry: with the comment on it, and those below that are indented like
/// its keys.
fn end_of(source: &str, item: &Item, column: usize) -> usize {
    // A block scalar ends where the next line begins.
    let closed = source[..item.end].ends_with(['\n', '\r']);
    let mut end = if closed {
        item.end
    } else {
        line_end(source, item.end)
    };
    while end < source.len() {
        let text = line(source, end);
        if !is_comment(text) || indent(text) <= column {
            break;
        }
        end = line_end(source, end);
    }
    end
}

/// The lines of an entry, with the blank line above it that would be one too many.
fn with_blank(source: &str, start: usize, end: usize, last: bool) -> Range<usize> {
    let blank = |at: usize| is_blank(line(source, at));
    match line_before(source, start).filter(|&above| blank(above)) {
        Some(above) if last || end == source.len() || blank(end) => above..end,
        _ => start..end,
    }
}

/// Bytes of the line break in front of a line.
fn break_before(source: &str, start: usize) -> usize {
    let above = line_before(source, start);
    above.map_or(0, |above| start - above - line(source, above).len())
}

fn in_flow(
    source: &str,
    range: &Range<usize>,
    items: &[Item],
    before: Option<usize>,
    pairs: &Pairs<'_>,
) -> Vec<Splice> {
    let eol = break_of(source);
    let Some(last) = items.last() else {
        return vec![Splice::insert(range.start + 1, flow(pairs, false))];
    };
    let new = flow_like(source, last, pairs);
    if let Some(next) = before.and_then(|at| items.get(at)) {
        return vec![match own_line(source, next) {
            Some(margin) => {
                let at = line_start(source, next.start);
                Splice::insert(at, format!("{margin}{new},{eol}"))
            }
            None => Splice::insert(next.start, format!("{new}, ")),
        }];
    }
    let after = skip_trivia(source, last.end);
    let comma = source[after..].starts_with(',');
    let Some(margin) = own_line(source, last) else {
        return vec![Splice::insert(last.end, format!(", {new}"))];
    };
    let end = line_end(source, if comma { after } else { last.end });
    if comma && skip_trivia(source, after + 1) >= end {
        return vec![Splice::insert(end, format!("{margin}{new},{eol}"))];
    }
    if !comma && after >= end {
        // In front of what comments on the line.
        let first = Splice::insert(last.end, ",".to_owned());
        return vec![first, Splice::insert(end, format!("{margin}{new}{eol}"))];
    }
    vec![Splice::insert(last.end, format!(",{eol}{margin}{new}"))]
}

fn out_of_flow(
    source: &str,
    range: &Range<usize>,
    items: &[Item],
    at: usize,
) -> Option<Vec<Splice>> {
    let item = items.get(at)?;
    let inner = range.start + 1..range.end - 1;
    let around = [
        source.get(inner.start..item.start)?,
        source.get(item.end..inner.end)?,
    ];
    if items.len() == 1 && !around.concat().contains('#') {
        // The parser takes no bracket at the beginning of a line right behind the other.
        return Some(vec![Splice::delete(inner)]);
    }
    let after = skip_trivia(source, item.end);
    let whole_line = |end: usize| {
        own_line(source, item).filter(|_| skip_trivia(source, end) >= line_end(source, end))?;
        Some(line_start(source, item.start)..line_end(source, end))
    };
    if source[after..].starts_with(',') {
        let spaces = source[after + 1..].len() - source[after + 1..].trim_start_matches(' ').len();
        let inline = item.start..after + 1 + spaces;
        return Some(vec![Splice::delete(
            whole_line(after + 1).unwrap_or(inline),
        )]);
    }
    let Some(previous) = at.checked_sub(1).map(|at| &items[at]) else {
        return Some(vec![Splice::delete(item.start..item.end)]);
    };
    let comma = skip_trivia(source, previous.end);
    Some(match whole_line(item.end) {
        Some(lines) => vec![Splice::delete(comma..comma + 1), Splice::delete(lines)],
        None => vec![Splice::delete(comma..item.end)],
    })
}

/// The space in front of an entry that begins its line.
fn own_line<'s>(source: &'s str, item: &Item) -> Option<&'s str> {
    let margin = &source[line_start(source, item.start)..item.start];
    is_blank(margin).then_some(margin)
}

/// Lines of a block entry: the dash in this column, its keys so much to the right.
fn block(column: usize, inner: usize, pairs: &Pairs<'_>, like: Option<&Item>, eol: &str) -> String {
    let mut text = String::new();
    for (at, (key, value)) in pairs.iter().enumerate() {
        let margin = " ".repeat(column);
        let front = match at {
            0 => format!("{margin}-{}", " ".repeat(inner - 1)),
            _ => format!("{margin}{}", " ".repeat(inner)),
        };
        text += &format!("{front}{key}: {}{eol}", quoted(value, style(like, key)));
    }
    text
}

/// `{fqdn: a, tunnel_route: b}`.
pub(super) fn flow(pairs: &Pairs<'_>, spaces: bool) -> String {
    flow_with(pairs, spaces, None)
}

fn flow_like(source: &str, like: &Item, pairs: &Pairs<'_>) -> String {
    let spaces = like.flow && source[like.start..].starts_with("{ ");
    flow_with(pairs, spaces, Some(like))
}

fn flow_with(pairs: &Pairs<'_>, spaces: bool, like: Option<&Item>) -> String {
    let pair = |(key, value): &(&str, &str)| {
        // A comma would end a plain scalar here.
        let style = match value.contains(',') {
            true => ScalarStyle::DoubleQuoted,
            false => style(like, key),
        };
        format!("{key}: {}", quoted(value, style))
    };
    let inner: Vec<String> = pairs.iter().map(pair).collect();
    let space = if spaces { " " } else { "" };
    format!("{{{space}{}{space}}}", inner.join(", "))
}

/// As the neighbour quotes the same key, else its name.
fn style(like: Option<&Item>, key: &str) -> ScalarStyle {
    let pair = like.and_then(|item| item.pair(key).or_else(|| item.pair("fqdn")));
    pair.map_or(ScalarStyle::Plain, |pair| pair.style)
}

/// A value of one line without quotes in it: names, addresses, ports.
pub(super) fn quoted(value: &str, style: ScalarStyle) -> String {
    let plain = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    match style {
        ScalarStyle::SingleQuoted => format!("'{value}'"),
        ScalarStyle::DoubleQuoted => format!("\"{value}\""),
        // YAML 1.2 (7.3.3): indicators begin no plain scalar.
        _ if plain => value.to_owned(),
        _ => format!("\"{value}\""),
    }
}
