//! How the keys of a mapping are read: each value by its rule, and what is wrong is reported.

use super::problem::{At, Reporter, seen};
use super::value::{DurationRule, did_you_mean, scalar};
use super::yaml::{Node, Value};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Where keys stand.
#[derive(Debug, Default)]
pub(super) struct Seen {
    places: Vec<(String, At)>,
}

impl Seen {
    pub(super) fn note(&mut self, key: &str, at: At) {
        self.places.push((key.to_owned(), at));
    }

    pub(super) fn place(&self, key: &str) -> Option<At> {
        self.places
            .iter()
            .find(|(other, _)| other == key)
            .map(|(_, at)| *at)
    }
}

/// The entries of a mapping; anything else is reported.
pub(super) fn mapping<'t>(
    key: &str,
    node: Node<'t>,
    known: &[&str],
    reporter: &mut Reporter<'_>,
) -> Vec<(&'t str, At, Node<'t>)> {
    match node.value() {
        Value::Mapping(mapping) => mapping.entries().collect(),
        _ => {
            let text = format!(
                "{} where keys are expected: {}",
                node.seen(),
                known.join(", ")
            );
            reporter.error(node.at(), key, text);
            Vec::new()
        }
    }
}

/// The new value, if there is a right one.
pub(super) fn put<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

pub(super) fn unknown(key: &str, at: At, known: &[&str], reporter: &mut Reporter<'_>) {
    let text = match did_you_mean(key, known.iter().copied()) {
        Some(meant) => format!("unknown key {}; did you mean {meant}?", seen(key)),
        None => format!("unknown key {}; known are {}", seen(key), known.join(", ")),
    };
    reporter.error(at, "", text);
}

pub(super) fn time(
    key: &str,
    node: Node<'_>,
    rule: &DurationRule,
    r: &mut Reporter<'_>,
) -> Option<Duration> {
    time_or_off(key, node, rule, r).flatten()
}

pub(super) fn time_or_off(
    key: &str,
    node: Node<'_>,
    rule: &DurationRule,
    reporter: &mut Reporter<'_>,
) -> Option<Option<Duration>> {
    scalar(reporter, key, node)?.duration(rule)
}

pub(super) fn size(
    key: &str,
    node: Node<'_>,
    within: RangeInclusive<usize>,
    r: &mut Reporter<'_>,
) -> Option<usize> {
    scalar(r, key, node)?.size(within)
}

pub(super) fn count(
    key: &str,
    node: Node<'_>,
    within: RangeInclusive<usize>,
    none: Option<&str>,
    reporter: &mut Reporter<'_>,
) -> Option<Option<usize>> {
    scalar(reporter, key, node)?.count(within, none)
}

pub(super) fn word<T: Copy>(
    key: &str,
    node: Node<'_>,
    words: &[(&str, T)],
    r: &mut Reporter<'_>,
) -> Option<T> {
    scalar(r, key, node)?.word(words)
}
