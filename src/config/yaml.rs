//! YAML as the house reads it: a flat tree of nodes with positions, made from saphyr-parser's
//! events without recursion. Every scalar stays text, as in ATS; what it means is its reader's
//! business. Aliases, anchors, tags and second documents are refused: a routing table has no use
//! for them, and with them one line could stand for a million.

use super::problem::{At, Reporter, seen};
use super::scan_error;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How deep collections may nest. sni.yaml needs 4.
const MAX_DEPTH: usize = 32;

/// Collections at this depth and above are kept when the text breaks off: the top level and the
/// list in it. What stands deeper may be half an entry.
const KEPT_DEPTH: usize = 2;

/// A mapping with more keys than this is searched for duplicates by hash.
const FEW_KEYS: usize = 16;

/// A file's nodes in the order of the text: a collection is followed by its children, a key by
/// its value. 20 bytes a node, because a million routes are five million nodes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Raw>,
    text: String,
    complete: bool,
}

#[derive(Debug, Clone, Copy)]
struct Raw {
    /// Scalar: where its text begins. Collection: the node after its last descendant.
    a: u32,
    /// Scalar: length of its text.
    b: u32,
    at: At,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Quoted,
    Sequence,
    Mapping,
}

/// One value in a [`Tree`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'t> {
    tree: &'t Tree,
    index: usize,
}

/// What a node is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'t> {
    /// No value, `~` or `null`, unquoted.
    Null,
    /// Any other scalar.
    Text(&'t str),
    /// A list.
    Sequence(Node<'t>),
    /// Keys and values.
    Mapping(Node<'t>),
}

impl Tree {
    /// Reads `source` (without its byte order mark). What is wrong goes to `reporter`; the tree
    /// then holds what stands before it, for further mistakes to be found in it.
    pub(super) fn parse(source: &str, reporter: &mut Reporter<'_>) -> Tree {
        if let Some(at) = control_character(source) {
            reporter.error(at, "", "a control character, which YAML 1.2 (5.1) forbids");
            return Tree::default();
        }
        let mut builder = Builder::new(reporter);
        builder.run(Parser::new_from_str(source));
        builder.tree
    }

    /// The top-level value; `None`: nothing but comments and space.
    pub(super) fn root(&self) -> Option<Node<'_>> {
        (!self.nodes.is_empty()).then_some(Node {
            tree: self,
            index: 0,
        })
    }

    /// Whether the text was read to its end.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }
}

impl<'t> Node<'t> {
    fn raw(self) -> Raw {
        self.tree.nodes[self.index]
    }

    /// Where it begins; a missing value is where its key is.
    pub(super) fn at(self) -> At {
        self.raw().at
    }

    /// A place in its text, `offset` bytes from the beginning; near it where the text is quoted
    /// with escapes or goes over several lines.
    pub(super) fn inside(self, offset: usize) -> At {
        let quote = u32::from(self.raw().kind == Kind::Quoted);
        let chars = self
            .text()
            .get(..offset)
            .map_or(0, |before| before.chars().count());
        At {
            column: self.at().column + quote + chars as u32,
            ..self.at()
        }
    }

    /// What it is.
    pub(super) fn value(self) -> Value<'t> {
        match self.raw().kind {
            Kind::Plain => match self.text() {
                // The core schema's words for null (YAML 1.2, 10.3.2).
                "" | "~" | "null" | "Null" | "NULL" => Value::Null,
                text => Value::Text(text),
            },
            Kind::Quoted => Value::Text(self.text()),
            Kind::Sequence => Value::Sequence(self),
            Kind::Mapping => Value::Mapping(self),
        }
    }

    /// Whether it stands in quotes, or is a block of text: no number, whatever its letters.
    pub(super) fn is_quoted(self) -> bool {
        self.raw().kind == Kind::Quoted
    }

    /// What it is, in words for a message.
    pub(super) fn seen(self) -> String {
        match self.value() {
            Value::Null => "nothing".into(),
            Value::Text(text) => seen(text),
            Value::Sequence(_) => "a list".into(),
            Value::Mapping(_) => "a mapping".into(),
        }
    }

    /// The text of a scalar as it is, null words included; empty for a collection.
    fn text(self) -> &'t str {
        let Raw { a, b, kind, .. } = self.raw();
        match kind {
            Kind::Plain | Kind::Quoted => &self.tree.text[a as usize..(a + b) as usize],
            Kind::Sequence | Kind::Mapping => "",
        }
    }

    /// The node after this one and all in it.
    fn after(self) -> usize {
        let Raw { a, kind, .. } = self.raw();
        match kind {
            Kind::Plain | Kind::Quoted => self.index + 1,
            Kind::Sequence | Kind::Mapping => a as usize,
        }
    }

    /// The children of a sequence (of a mapping: keys and values in turn).
    pub(super) fn items(self) -> impl Iterator<Item = Node<'t>> {
        let end = self.after();
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            let node = (next < end).then_some(Node {
                tree: self.tree,
                index: next,
            })?;
            next = node.after();
            Some(node)
        })
    }

    /// The keys and values of a mapping, without repeated keys (reported by the parser) and
    /// without keys that are no text.
    pub(super) fn entries(self) -> impl Iterator<Item = (&'t str, At, Node<'t>)> {
        let mut items = self.items();
        std::iter::from_fn(move || Some((items.next()?, items.next()?)))
            .filter(|(key, _)| matches!(key.raw().kind, Kind::Plain | Kind::Quoted))
            .map(|(key, value)| (key.text(), key.at(), value))
    }
}

/// A collection that is still open.
struct Frame {
    index: usize,
    /// The key whose value comes next.
    key: Option<usize>,
}

struct Builder<'r, 's> {
    reporter: &'r mut Reporter<'s>,
    tree: Tree,
    open: Vec<Frame>,
    documents: usize,
}

impl<'r, 's> Builder<'r, 's> {
    fn new(reporter: &'r mut Reporter<'s>) -> Self {
        Builder {
            reporter,
            tree: Tree::default(),
            open: Vec::new(),
            documents: 0,
        }
    }

    fn run<'i>(&mut self, mut parser: Parser<'i, StrInput<'i>>) {
        while let Some(next) = parser.next_event() {
            let goes_on = match next {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    self.scan_error(&error);
                    false
                }
            };
            if !goes_on {
                return self.abandon();
            }
        }
        self.tree.complete = true;
    }

    /// False: the rest of the text cannot be trusted.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let at = place(&span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.reporter
                        .error(at, "", "a second document; the file must hold one");
                    return false;
                }
            }
            Event::Alias(_) => {
                self.refuse(at, "an alias (*name)");
                self.scalar(at, "", Kind::Quoted);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.properties(at, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                self.scalar(at, &text, if plain { Kind::Plain } else { Kind::Quoted });
            }
            Event::SequenceStart(anchor, tag) => {
                self.properties(at, anchor, tag.is_some());
                return self.begin(at, Kind::Sequence);
            }
            Event::MappingStart(anchor, tag) => {
                self.properties(at, anchor, tag.is_some());
                return self.begin(at, Kind::Mapping);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn properties(&mut self, at: At, anchor: usize, tag: bool) {
        if anchor != 0 {
            self.refuse(at, "an anchor (&name)");
        }
        if tag {
            self.refuse(at, "a tag (!name)");
        }
    }

    fn refuse(&mut self, at: At, what: &str) {
        let key = self.pending_key();
        let text = format!("{what} is not supported; put text that begins so in quotes");
        self.reporter.error(at, &key, text);
    }

    fn scalar(&mut self, mut at: At, text: &str, kind: Kind) {
        let key = self.open.last().and_then(|frame| frame.key);
        if let (Some(key), true, Kind::Plain) = (key, text.is_empty(), kind) {
            at = self.tree.nodes[key].at;
        }
        let a = self.tree.text.len() as u32;
        self.tree.text.push_str(text);
        self.tree.nodes.push(Raw {
            a,
            b: text.len() as u32,
            at,
            kind,
        });
        self.completed(self.tree.nodes.len() - 1);
    }

    fn begin(&mut self, at: At, kind: Kind) -> bool {
        if self.open.len() == MAX_DEPTH {
            let text = format!("nested more than {MAX_DEPTH} deep");
            self.reporter.error(at, "", text);
            return false;
        }
        self.open.push(Frame {
            index: self.tree.nodes.len(),
            key: None,
        });
        self.tree.nodes.push(Raw {
            a: 0,
            b: 0,
            at,
            kind,
        });
        true
    }

    fn end(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        self.close(&frame);
        self.completed(frame.index);
    }

    fn close(&mut self, frame: &Frame) {
        self.tree.nodes[frame.index].a = self.tree.nodes.len() as u32;
        if self.tree.nodes[frame.index].kind == Kind::Mapping {
            self.check_keys(frame.index);
        }
    }

    /// A node stands whole: in a mapping it is a key or the value of one.
    fn completed(&mut self, index: usize) {
        let Some(frame) = self.open.last_mut() else {
            return;
        };
        if self.tree.nodes[frame.index].kind == Kind::Mapping {
            frame.key = match frame.key {
                None => Some(index),
                Some(_) => None,
            };
        }
    }

    /// The text breaks off: what is open and may be half an entry is dropped, the rest closed.
    fn abandon(&mut self) {
        while let Some(frame) = self.open.pop() {
            if self.open.len() >= KEPT_DEPTH {
                self.tree.nodes.truncate(frame.index);
                continue;
            }
            if let Some(key) = frame.key
                && !self.has_value(key)
            {
                self.tree.nodes.truncate(key);
            }
            self.close(&frame);
        }
    }

    fn has_value(&self, key: usize) -> bool {
        Node {
            tree: &self.tree,
            index: key,
        }
        .after()
            < self.tree.nodes.len()
    }

    /// Keys must be text, and each may stand once. (ATS takes the first of several.)
    fn check_keys(&mut self, mapping: usize) {
        let node = Node {
            tree: &self.tree,
            index: mapping,
        };
        let mut few: Vec<(&str, At)> = Vec::new();
        let mut many: HashMap<&str, At> = HashMap::new();
        for key in node.items().step_by(2) {
            let (text, at) = (key.text(), key.at());
            if !matches!(key.raw().kind, Kind::Plain | Kind::Quoted) {
                self.reporter
                    .error(at, "", format!("{} as a key; a key is text", key.seen()));
                continue;
            }
            let first = few
                .iter()
                .find(|(other, _)| *other == text)
                .map(|(_, at)| *at);
            let first = first.or_else(|| match many.entry(text) {
                _ if few.len() < FEW_KEYS => None,
                Entry::Occupied(entry) => Some(*entry.get()),
                Entry::Vacant(entry) => {
                    entry.insert(at);
                    None
                }
            });
            match first {
                Some(first) => {
                    let text = format!("duplicate key, first in line {}", first.line);
                    self.reporter.error(at, key.text(), text);
                }
                None if few.len() < FEW_KEYS => few.push((text, at)),
                None => {}
            }
        }
    }

    fn pending_key(&self) -> String {
        let key = self.open.last().and_then(|frame| frame.key);
        key.map_or_else(String::new, |index| {
            Node {
                tree: &self.tree,
                index,
            }
            .text()
            .to_owned()
        })
    }

    fn scan_error(&mut self, error: &ScanError) {
        let (at, text) = scan_error::explain(error, self.reporter);
        let key = self.pending_key();
        self.reporter.error(at, &key, text);
    }
}

fn place(span: &Span) -> At {
    At {
        line: span.start.line().max(1) as u32,
        column: span.start.col() as u32 + 1,
    }
}

/// The first character that YAML 1.2 (5.1) does not allow: the scanner takes some of them for the
/// end of the text.
fn control_character(source: &str) -> Option<At> {
    let bad = |b: &u8| (*b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || *b == 0x7f;
    let offset = source.as_bytes().iter().position(bad)?;
    Some(position(source, offset))
}

/// Line and column of a byte offset.
pub(super) fn position(source: &str, offset: usize) -> At {
    let before = &source[..offset];
    let mut at = At { line: 1, column: 1 };
    let mut chars = before.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                at = At {
                    line: at.line + 1,
                    column: 1,
                }
            }
            '\r' if chars.peek() != Some(&'\n') => {
                at = At {
                    line: at.line + 1,
                    column: 1,
                }
            }
            _ => at.column += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> (Tree, Vec<String>) {
        let mut reporter = Reporter::new("f", source);
        let tree = Tree::parse(source, &mut reporter);
        let problems = reporter.finish().problems;
        (
            tree,
            problems.iter().map(|p| p.headline().to_string()).collect(),
        )
    }

    #[test]
    fn nodes_know_where_they_are() {
        let (tree, problems) =
            parse("# c\r\nsni:\r\n- fqdn: a\r\n  'x': \"b\\tc\"\r\n  n:\r\n- []\r\n");
        assert!(problems.is_empty() && tree.complete());
        let (key, at, list) = tree.root().and_then(|r| r.entries().next()).expect("sni");
        assert_eq!((key, at), ("sni", At { line: 2, column: 1 }));
        let items: Vec<_> = list.items().collect();
        assert_eq!(items.len(), 2);
        let entries: Vec<_> = items[0].entries().collect();
        assert_eq!(entries[0].2.seen(), "\"a\"");
        assert_eq!(entries[1].2.at(), At { line: 4, column: 8 });
        assert_eq!(entries[1].2.text(), "b\tc");
        assert!(matches!(entries[2].2.value(), Value::Null));
        assert_eq!(entries[2].2.at(), At { line: 5, column: 3 });
        assert_eq!(items[1].items().count(), 0);
    }

    #[test]
    fn null_is_not_the_empty_text() {
        let (tree, _) = parse("[~, null, '', 'null', \"\", NULL, nil]");
        let null = |node: Node<'_>| matches!(node.value(), Value::Null);
        let nulls: Vec<bool> = tree.root().expect("a list").items().map(null).collect();
        assert_eq!(nulls, [true, true, false, false, false, true, false]);
    }

    #[test]
    fn what_a_table_has_no_use_for_is_refused() {
        for (source, wanted) in [
            (
                "a: &x 1\nb: *x\n",
                "f:1:4: a: an anchor (&name) is not supported",
            ),
            ("a: !!int 1\n", "f:1:4: a: a tag (!name) is not supported"),
            ("a: 1\n---\nb: 1\n", "f:2:1: a second document"),
            ("? [a]\n: 1\n", "f:1:3: a list as a key"),
            (
                "a: 1\nb: 2\na: 3\n",
                "f:3:1: a: duplicate key, first in line 1",
            ),
            ("a: 1\nb: \u{1}\n", "f:2:4: a control character"),
            (
                "- fqdn: *.x.org\n",
                "f:1:9: fqdn: \"*.x.org\" begins with \"*\"",
            ),
            ("- fqdn: *\n", "f:1:9: fqdn: \"*\" begins with \"*\""),
            ("- [a, *.b.c]\n", "f:1:7: \"*.b.c\" begins with \"*\""),
            (
                "ip_allow: @f\n",
                "f:1:11: ip_allow: \"@f\" begins with \"@\"",
            ),
            ("a: 'x\n", "not YAML"),
            ("a: 1\n\tb: 2\n", "not YAML"),
        ] {
            let (_, problems) = parse(source);
            assert!(
                problems.first().is_some_and(|p| p.contains(wanted)),
                "{source:?}: {problems:?}"
            );
        }
    }

    #[test]
    fn many_keys_are_searched_by_hash() {
        let mut source: String = (0..5_000).map(|n| format!("k{n}: 1\n")).collect();
        source.push_str("k3: 2\nk4711: 2\n");
        let (_, problems) = parse(&source);
        assert_eq!(
            problems,
            [
                "f:5001:1: k3: duplicate key, first in line 4",
                "f:5002:1: k4711: duplicate key, first in line 4712"
            ]
        );
    }

    #[test]
    fn what_stands_before_a_break_is_kept() {
        let (tree, problems) = parse("sni:\n- fqdn: a\n  x: 1\n- fqdn: b\n  y: 'q\n");
        assert_eq!(problems.len(), 1);
        assert!(!tree.complete());
        let (_, _, list) = tree.root().and_then(|r| r.entries().next()).expect("sni");
        assert_eq!(list.items().count(), 1);
        let (tree, _) = parse("a: 1\nb: *x\n");
        assert_eq!(tree.root().map(|r| r.entries().count()), Some(1));
    }

    #[test]
    fn depth_is_bounded_without_recursion() {
        let big = 10_000_000;
        for nest in ["[", "{a: ", "- ", "? ", "- - ? "] {
            let (tree, problems) = parse(&nest.repeat(big / nest.len()));
            assert!(!problems.is_empty() && !tree.complete(), "{nest:?}");
        }
        let indented: String = (0..2_000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect();
        assert!(parse(&indented).1[0].contains("nested more than 32 deep"));
        assert!(parse(&("[".repeat(32) + &"]".repeat(32))).1.is_empty());
        assert_eq!(parse(&("[".repeat(33) + &"]".repeat(33))).1.len(), 1);
    }
}
