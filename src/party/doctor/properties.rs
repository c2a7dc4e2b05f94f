//! broker.conf: lines of a key and a value, as java.util.Properties reads them.

use std::path::Path;

/// More than any broker.conf has, bytes.
pub const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// A file's keys, each with its line.
#[derive(Debug, Clone)]
pub(super) struct Properties<'p> {
    file: &'p Path,
    pairs: Vec<(usize, String, String)>,
}

impl<'p> Properties<'p> {
    /// Reads a text. Nothing of it is an error: Java takes every line for something.
    pub(super) fn parse(file: &'p Path, text: &str) -> Properties<'p> {
        let mut pairs = Vec::new();
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            let mut line = line.trim_start().to_owned();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            while continues(&line) {
                line.pop();
                line.push_str(lines.next().map_or("", |(_, next)| next.trim_start()));
            }
            let end = line.find(['=', ':', ' ', '\t']).unwrap_or(line.len());
            let (key, rest) = line.split_at(end);
            let rest = rest.trim_start();
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
            pairs.push((number, key.to_owned(), value.to_owned()));
        }
        Properties { file, pairs }
    }

    /// The value of a key; of several the last counts, and an empty one is none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, _, value) = self.last(key)?;
        Some(value)
            .filter(|value| !value.is_empty())
            .map(String::as_str)
    }

    /// `FILE:LINE: key=value`, or what is not there.
    pub(super) fn at(&self, key: &str) -> String {
        let file = self.file.display();
        match self.last(key) {
            Some((line, _, value)) => format!("{file}:{line}: {key}={value}"),
            None => format!("{file} has no {key}"),
        }
    }

    fn last(&self, key: &str) -> Option<&(usize, String, String)> {
        self.pairs.iter().rev().find(|(_, own, _)| own == key)
    }
}

/// An odd number of backslashes at the end.
fn continues(line: &str) -> bool {
    let bare = line.trim_end_matches('\\');
    (line.len() - bare.len()) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_java_reads_them() {
        let text = "# a\n! b\n\na=1\n  b : 2 \nc 3\nd=\ne=x\\\n   y\na=4\n\u{0}=z";
        let read = Properties::parse(Path::new("b.conf"), text);
        let got = |key| read.get(key);
        assert_eq!(
            (got("a"), got("b"), got("c"), got("d"), got("e"), got("f")),
            (Some("4"), Some("2"), Some("3"), None, Some("xy"), None)
        );
        assert_eq!(read.at("a"), "b.conf:10: a=4");
        assert_eq!(read.at("d"), "b.conf:7: d=");
        assert_eq!(read.at("f"), "b.conf has no f");
    }
}
