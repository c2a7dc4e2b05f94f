//! FATE's `pulsar_route_table.yaml` as a party's FATE reads it (`_federation.py` of its Pulsar
//! federation): under a party's number its broker and a proxy, under `default` those of all others.

use super::problem::{Problem, Reporter};
use super::yaml::{Node, Tree, Value};
use std::collections::HashMap;

/// The entry of all parties that have none.
const DEFAULT: &str = "default";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FateEntry {
    /// A party's number, or `default`.
    pub key: String,
    /// Where it begins, from 1.
    pub line: u32,
    /// Whether FATE finds it: it looks for integers and for `default`, and `"9999"` is a text.
    pub found: bool,
    values: HashMap<String, String>,
}

impl FateEntry {
    /// Whether it is that of all parties that have none.
    pub fn is_default(&self) -> bool {
        self.key == DEFAULT
    }

    /// The text of a key; an empty one is none.
    pub fn get(&self, key: &str) -> Option<&str> {
        let value = self.values.get(key).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

/// The entries of a text, in its order; `file` is what it goes by in problems.
///
/// # Errors
/// What is wrong with it as YAML, or that it is none of these.
pub fn fate_table(file: &str, source: &str) -> Result<Vec<FateEntry>, Vec<Problem>> {
    let mut reporter = Reporter::new(file, source);
    let tree = Tree::parse(source, &mut reporter);
    let mut entries = Vec::new();
    match tree.root().map(|root| (root, root.value())) {
        Some((_, Value::Mapping(parties))) => {
            let mut nodes = parties.items();
            while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                let Value::Text(name) = key.value() else {
                    continue;
                };
                let Value::Mapping(own) = value.value() else {
                    let text = format!("a mapping is wanted, not {}", value.seen());
                    reporter.error(value.at(), name, text);
                    continue;
                };
                let number = !key.is_quoted() && name.parse::<i64>().is_ok();
                let text = |(key, _, value): (&str, _, Node<'_>)| match value.value() {
                    Value::Text(text) => Some((key.to_owned(), text.to_owned())),
                    _ => None,
                };
                entries.push(FateEntry {
                    key: name.to_owned(),
                    line: key.at().line,
                    found: number || name == DEFAULT,
                    values: own.entries().filter_map(text).collect(),
                });
            }
        }
        Some((root, _)) => {
            let text = format!("parties are wanted, not {}", root.seen());
            reporter.error(root.at(), "", text);
        }
        None => reporter.file_error("", "holds nothing"),
    }
    let collected = reporter.finish();
    match collected.errors {
        0 => Ok(entries),
        _ => Err(collected.problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_and_texts_are_not() {
        let text = "9999:\n  host: h\n  sslPort: 6651\n  proxy: \"\"\n\"10000\": {host: i}\ndefault:\n  proxy: p:443\n";
        let entries = fate_table("t.yaml", text).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (&*entry.key, entry.line, entry.found, entry.get("proxy")))
            .collect();
        let wanted = [
            ("9999", 1, true, None),
            ("10000", 5, false, None),
            ("default", 6, true, Some("p:443")),
        ];
        assert_eq!(found, wanted);
        assert_eq!(entries[0].get("sslPort"), Some("6651"));
    }

    #[test]
    fn what_is_none_is_told_with_its_place() {
        for (text, place) in [
            ("", "t.yaml"),
            ("- a", "t.yaml:1:1"),
            ("1: x", "t.yaml:1:4"),
        ] {
            let problems = fate_table("t.yaml", text).unwrap_err();
            let said = problems[0].headline().to_string();
            assert!(said.starts_with(&format!("{place}: ")), "{said}");
        }
        assert!(fate_table("t.yaml", "1: {host: a\n").is_err());
    }
}
