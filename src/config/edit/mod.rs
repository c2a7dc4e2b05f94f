//! sni.yaml edited in place: an entry more, an entry less, another value; every other byte stays.
//!
//! An edit is a few replacements at places that the parser knows. It looks like its neighbours:
//! their indentation, quotes, line breaks, blank lines, flow or block style. Then the result is read
//! again: it has to say what the old text said and the change, nothing else, or there is no edit and
//! a person is asked to make it.
//!
//! yaml-edit 0.3 was tried on the files of the tests below: it keeps every byte, but puts a new entry
//! between an entry and the keys of it that are commented out (a commented `ip_allow` then looks like
//! the new party's), follows neither quotes nor braces nor blank lines, and finds no list under the
//! bare `sni:` of ATS's chart or in a file of comments.

mod lines;
mod outline;
mod splice;

use outline::{Item, List, Outline};
use splice::Splice;
use thiserror::Error;

/// An entry to be written: keys and values in their order, `fqdn` first.
pub type Pairs<'p> = [(&'p str, &'p str)];

/// The file is written in a way that is left to people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("is written in a way that is not edited here; nothing was touched. Edit it by hand:\n{0}")]
pub struct ByHand(pub String);

/// The text with one entry more: before the entry with this number (from 0), or at the end.
///
/// # Errors
/// [`ByHand`].
pub fn insert(source: &str, before: Option<usize>, pairs: &Pairs<'_>) -> Result<String, ByHand> {
    edit(source, &format!("add {}", plain(pairs)), |text, outline| {
        let splices = splice::insert(text, outline, before, pairs)?;
        let mut wanted = meanings(outline);
        let at = before.unwrap_or(wanted.len()).min(wanted.len());
        wanted.insert(at, meaning(pairs));
        Some((splices, wanted))
    })
}

/// The text without the entry with this number (from 0). Comments above it stay.
///
/// # Errors
/// [`ByHand`].
pub fn remove(source: &str, at: usize) -> Result<String, ByHand> {
    let what = format!("remove entry {} of the list", at + 1);
    edit(source, &what, |text, outline| {
        let splices = splice::remove(text, outline, at)?;
        let mut wanted = meanings(outline);
        wanted.remove(at);
        Some((splices, wanted))
    })
}

/// The text with another value for a key that the entry with this number (from 0) has.
///
/// # Errors
/// [`ByHand`].
pub fn set(source: &str, at: usize, key: &str, value: &str) -> Result<String, ByHand> {
    let what = format!("give entry {} of the list {key}: {value}", at + 1);
    edit(source, &what, |text, outline| {
        let item = items(outline).get(at)?;
        let pair = item.pair(key)?;
        let splice = Splice {
            range: pair.range.clone(),
            text: splice::quoted(value, pair.style),
        };
        let mut wanted = meanings(outline);
        let old = format!("{}{}", part(&pair.key), part(&pair.text));
        let new = format!("{}{}", part(key), part(value));
        wanted[at] = wanted[at].replacen(&old, &new, 1);
        let text_of = &text[pair.range.clone()];
        // A value over several lines, or with escapes, is a person's own way of writing.
        let simple = text_of.trim_matches(['"', '\'']) == pair.text;
        simple.then_some((vec![splice], wanted))
    })
}

/// The value of a key as the entry with this number has it.
pub fn value(source: &str, at: usize, key: &str) -> Option<String> {
    let (_, text) = split_mark(source);
    let outline = Outline::read(text)?;
    Some(items(&outline).get(at)?.pair(key)?.text.clone())
}

/// Makes the splices, and proves them.
fn edit(
    source: &str,
    what: &str,
    change: impl FnOnce(&str, &Outline) -> Option<(Vec<Splice>, Vec<String>)>,
) -> Result<String, ByHand> {
    let by_hand = || ByHand(what.to_owned());
    let (mark, text) = split_mark(source);
    let outline = Outline::read(text).ok_or_else(by_hand)?;
    let (splices, wanted) = change(text, &outline).ok_or_else(by_hand)?;
    let new = splice::apply(text, splices);
    let read = Outline::read(&new).ok_or_else(by_hand)?;
    let same = meanings(&read) == wanted && read.rest == with_key(&outline, &read);
    match same {
        true => Ok(format!("{mark}{new}")),
        false => Err(by_hand()),
    }
}

/// What stands around the list has to stay; a file without `sni:` gets it.
fn with_key(old: &Outline, new: &Outline) -> String {
    match old.list {
        List::Absent => new.rest.clone(),
        _ => old.rest.clone(),
    }
}

/// The byte order mark, and the text behind it.
fn split_mark(source: &str) -> (&str, &str) {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    source.split_at(source.len() - text.len())
}

fn items(outline: &Outline) -> &[Item] {
    match &outline.list {
        List::Block { items, .. } | List::Flow { items, .. } => items,
        List::Absent | List::Null { .. } => &[],
    }
}

fn meanings(outline: &Outline) -> Vec<String> {
    items(outline)
        .iter()
        .map(|item| item.meaning.clone())
        .collect()
}

/// As [`Item::meaning`] has it.
fn meaning(pairs: &Pairs<'_>) -> String {
    let inner: String = pairs
        .iter()
        .map(|(key, value)| part(key) + &part(value))
        .collect();
    format!("{{{inner}}}")
}

fn part(text: &str) -> String {
    format!("{}:{text},", text.len())
}

fn plain(pairs: &Pairs<'_>) -> String {
    splice::flow(pairs, false)
}

#[cfg(test)]
mod tests;
