//! `ip_allow` and `sources`: items in a text or a list, and `"@file"`s of them.

use super::files::{FileSet, MAX_ROUTES_FILE};
use super::problem::{At, Collected, Reporter};
use super::text::{self, Decoded};
use super::value::scalar;
use super::yaml::{Node, Value};
use crate::route::{IpSet, IpSetBuilder};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The `"@file"`s of one sni.yaml: each is read once, however many entries name it.
pub(super) struct IpLists<'f> {
    files: &'f mut FileSet,
    directory: PathBuf,
    /// `None`: it is wrong, and has been reported.
    known: HashMap<PathBuf, Option<Arc<[String]>>>,
    /// Sets of values that are one `"@file"` alone.
    whole: HashMap<PathBuf, Arc<IpSet>>,
    /// What is wrong in them.
    pub(super) collected: Vec<Collected>,
}

impl<'f> IpLists<'f> {
    /// For the sni.yaml at `path`.
    pub(super) fn of(path: &Path, files: &'f mut FileSet) -> IpLists<'f> {
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        IpLists {
            files,
            directory,
            known: HashMap::new(),
            whole: HashMap::new(),
            collected: Vec::new(),
        }
    }

    /// The set that a key's value stands for; `None` where something is wrong with it: it fails
    /// closed, since the file is then not used.
    pub(super) fn read(
        &mut self,
        key: &str,
        node: Node<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Option<Arc<IpSet>> {
        let nodes: Vec<Node<'_>> = match node.value() {
            Value::Sequence(list) => list.items().collect(),
            _ => vec![node],
        };
        if let [only] = nodes[..]
            && let Value::Text(text) = only.value()
            && let Some(path) = text.trim().strip_prefix('@')
            && !path.contains(',')
        {
            return self.whole_file(path, key, only, reporter);
        }
        let mut set = IpSetBuilder::default();
        let (mut right, mut items) = (true, 0);
        for node in nodes {
            let Some(value) = scalar(reporter, key, node) else {
                right = false;
                continue;
            };
            for (offset, item) in split(value.text) {
                items += 1;
                right &= match item.strip_prefix('@') {
                    Some(path) => self.add_file(&mut set, path, key, node.inside(offset), reporter),
                    None => add(&mut set, item, key, node.inside(offset), reporter),
                };
            }
        }
        if items == 0 && right {
            reporter.error(node.at(), key, format!("an empty list: {}", without(key)));
            return None;
        }
        right.then(|| Arc::new(set.build()))
    }

    fn whole_file(
        &mut self,
        name: &str,
        key: &str,
        node: Node<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Option<Arc<IpSet>> {
        let path = self.directory.join(name);
        if let Some(set) = self.whole.get(&path) {
            return Some(Arc::clone(set));
        }
        let mut builder = IpSetBuilder::default();
        if !self.add_file(&mut builder, name, key, node.at(), reporter) {
            return None;
        }
        let set = Arc::new(builder.build());
        self.whole.insert(path, Arc::clone(&set));
        Some(set)
    }

    fn add_file(
        &mut self,
        set: &mut IpSetBuilder,
        name: &str,
        key: &str,
        at: At,
        reporter: &mut Reporter<'_>,
    ) -> bool {
        let path = self.directory.join(name);
        if name.is_empty() {
            reporter.error(at, key, "'@' without the name of a file");
            return false;
        }
        let items = match self.known.get(&path) {
            Some(items) => items.clone(),
            None => {
                let items = self.load(&path);
                self.known.insert(path.clone(), items.clone());
                items
            }
        };
        let Some(items) = items else {
            let text = format!("\"@{}\" cannot be used; see there", path.display());
            reporter.error(at, key, text);
            return false;
        };
        // Each was added once before, when the file was read.
        items.iter().all(|item| set.add(item).is_ok())
    }

    /// One item a line; `#` begins a comment.
    fn load(&mut self, path: &Path) -> Option<Arc<[String]>> {
        let name = path.to_string_lossy();
        let bytes = match self.files.read(path, MAX_ROUTES_FILE) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.collected.push(text::unreadable(&name, &error));
                return None;
            }
        };
        let source = match text::decode(&name, &bytes) {
            Decoded::Text(source) => source,
            Decoded::Wrong(collected) => {
                self.collected.push(collected);
                return None;
            }
        };
        let mut reporter = Reporter::new(&name, source);
        let mut items = Vec::new();
        let mut set = IpSetBuilder::default();
        for (line, text) in (1..).zip(source.lines()) {
            let text = text.split('#').next().unwrap_or("");
            let item = text.trim();
            if item.is_empty() {
                continue;
            }
            let indent = text.chars().take_while(|c| c.is_whitespace()).count() as u32;
            add(
                &mut set,
                item,
                "",
                At {
                    line,
                    column: indent + 1,
                },
                &mut reporter,
            );
            items.push(item.to_owned());
        }
        if items.is_empty() {
            reporter.file_error("", "no address in it");
        }
        let right = reporter.errors() == 0;
        self.collected.push(reporter.finish());
        right.then(|| items.into())
    }
}

/// What a list without an address would mean, and what to do instead.
fn without(key: &str) -> &'static str {
    match key {
        "sources" => "remove the key if the party's addresses are not known",
        _ => "nobody could come; remove the key to let everyone in",
    }
}

fn add(set: &mut IpSetBuilder, item: &str, key: &str, at: At, reporter: &mut Reporter<'_>) -> bool {
    match set.add(item) {
        Ok(()) => true,
        Err(error) => {
            reporter.error(at, key, error.to_string());
            false
        }
    }
}

/// The items between commas, with their place in the text; an empty item is one.
fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    let blank = text.trim().is_empty();
    text.split(',').filter(move |_| !blank).map(move |piece| {
        let at = offset + (piece.len() - piece.trim_start().len());
        offset += piece.len() + 1;
        (at, piece.trim())
    })
}
