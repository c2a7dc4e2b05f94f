//! Where things stand in sni.yaml, in bytes: what an edit has to know and [`super::super::yaml`]
//! has no use for.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use std::fmt::Write;
use std::ops::Range;

/// The list under `sni`, and what stands around it.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) list: List,
    /// Every event outside the list's items, as text: an edit must leave it as it is.
    pub(super) rest: String,
}

/// How the list is written.
#[derive(Debug)]
pub(super) enum List {
    /// Nothing but comments and space.
    Absent,
    /// `sni:` without a value, or with a word for null.
    Null {
        key: Range<usize>,
        /// Empty where no word is written.
        word: Range<usize>,
    },
    /// `- ` in front of each.
    Block { key: Range<usize>, items: Vec<Item> },
    /// `[` and `]` around them; the range has both.
    Flow {
        range: Range<usize>,
        items: Vec<Item>,
    },
}

/// One entry.
#[derive(Debug)]
pub(super) struct Item {
    /// Its first byte, behind the dash.
    pub(super) start: usize,
    /// After its last byte that is neither comment nor space.
    pub(super) end: usize,
    /// Written with `{` and `}`.
    pub(super) flow: bool,
    /// Its keys whose values are scalars.
    pub(super) pairs: Vec<Pair>,
    /// What it says, however it is written.
    pub(super) meaning: String,
}

/// A key and its scalar.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) range: Range<usize>,
    pub(super) style: ScalarStyle,
}

impl Item {
    /// The pair with this key.
    pub(super) fn pair(&self, key: &str) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.key == key)
    }
}

impl Outline {
    /// `None`: not what the house reads as a routes file.
    pub(super) fn read(source: &str) -> Option<Outline> {
        let mut reader = Reader {
            places: Places::of(source),
            source,
            depth: 0,
            key: None,
            list: None,
            inside: false,
            item_key: None,
            rest: String::new(),
        };
        for next in Parser::new_from_str(source) {
            let (event, span) = next.ok()?;
            reader.event(&event, &span)?;
        }
        Some(Outline {
            list: reader.list.unwrap_or(List::Absent),
            rest: reader.rest,
        })
    }
}

/// Depths: the file's mapping is 1, the list 2, an entry 3.
struct Reader<'s> {
    places: Places,
    source: &'s str,
    depth: usize,
    /// The top-level key whose value comes next.
    key: Option<(String, Range<usize>)>,
    list: Option<List>,
    /// Between the list's beginning and its end.
    inside: bool,
    /// The key whose value comes next in an entry.
    item_key: Option<String>,
    rest: String,
}

impl Reader<'_> {
    fn event(&mut self, event: &Event<'_>, span: &Span) -> Option<()> {
        let range = self.places.range(span);
        match event {
            Event::Alias(_) => return None,
            Event::Scalar(text, style, ..) => self.scalar(text, *style, range),
            Event::SequenceStart(..) => self.begin('[', range),
            Event::MappingStart(..) => self.begin('{', range),
            Event::SequenceEnd => self.end(']', &range),
            Event::MappingEnd => self.end('}', &range),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn items(&mut self) -> Option<&mut Vec<Item>> {
        match &mut self.list {
            Some(List::Block { items, .. } | List::Flow { items, .. }) if self.inside => {
                Some(items)
            }
            _ => None,
        }
    }

    /// Whether this bracket is what stands there.
    fn has(&self, sign: char, range: &Range<usize>) -> bool {
        self.source[range.start..].starts_with(sign)
    }

    /// The parser's end of a scalar may be behind spaces that follow it.
    fn tight(&self, text: &str, range: Range<usize>) -> Range<usize> {
        let source = &self.source[range.clone()];
        let quotes = usize::from(source.starts_with(['"', '\'']));
        let whole = source[quotes..].starts_with(text);
        let end = if whole {
            range.start + text.len() + 2 * quotes
        } else {
            range.end
        };
        range.start..end.min(range.end)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, range: Range<usize>) {
        let range = self.tight(text, range);
        let written = style != ScalarStyle::Plain || !text.is_empty();
        let depth = self.depth;
        let is_value = self.item_key.is_some();
        if self.items().is_some() {
            if depth == 2 {
                self.open_item(range.clone(), false);
            }
            if depth == 3 && !is_value {
                self.item_key = Some(text.to_owned());
            } else if depth == 3 {
                let key = self.item_key.take().unwrap_or_default();
                let range = range.clone();
                let pair = Pair {
                    key,
                    text: text.to_owned(),
                    range,
                    style,
                };
                self.with_item(|item| item.pairs.push(pair));
            }
            self.with_item(|item| {
                if written {
                    item.end = item.end.max(range.end);
                }
                // Writing to a String does not fail. The length keeps what a text may hold apart.
                let _ = write!(item.meaning, "{}:{text},", text.len());
            });
            return;
        }
        if depth == 1 {
            match self.key.take() {
                None => self.key = Some((text.to_owned(), range)),
                Some((key, at)) if key == "sni" => {
                    let word = if written { range } else { at.end..at.end };
                    self.list = Some(List::Null { key: at, word });
                    return;
                }
                Some(_) => {}
            }
        }
        let _ = write!(self.rest, "{}:{text},", text.len());
    }

    fn begin(&mut self, sign: char, range: Range<usize>) {
        let flow = self.has(sign, &range);
        if self.items().is_some() {
            match self.depth {
                2 => self.open_item(range, flow),
                // The value is no scalar: not a pair.
                3 => self.item_key = None,
                _ => {}
            }
            self.with_item(|item| item.meaning.push(sign));
        } else {
            let of_list = self.depth == 1 && sign == '[';
            match &self.key {
                Some((key, at)) if of_list && key == "sni" => {
                    self.inside = true;
                    self.list = Some(match flow {
                        true => List::Flow {
                            range,
                            items: Vec::new(),
                        },
                        false => List::Block {
                            key: at.clone(),
                            items: Vec::new(),
                        },
                    });
                }
                _ => self.rest.push(sign),
            }
        }
        self.depth += 1;
    }

    fn end(&mut self, sign: char, range: &Range<usize>) {
        self.depth -= 1;
        if self.inside && self.depth == 1 {
            self.inside = false;
            self.key = None;
            if let Some(List::Flow { range: whole, .. }) = &mut self.list {
                whole.end = range.start + 1;
            }
            return;
        }
        if self.items().is_some() {
            // Its end may be behind a comment that follows it.
            let flow = self.has(sign, range);
            self.with_item(|item| {
                item.meaning.push(sign);
                if flow {
                    item.end = item.end.max(range.start + 1);
                }
            });
            return;
        }
        self.rest.push(sign);
        if self.depth == 1 {
            self.key = None;
        }
    }

    fn open_item(&mut self, range: Range<usize>, flow: bool) {
        self.item_key = None;
        let item = Item {
            start: range.start,
            end: range.start,
            flow,
            pairs: Vec::new(),
            meaning: String::new(),
        };
        if let Some(items) = self.items() {
            items.push(item);
        }
    }

    fn with_item(&mut self, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.items().and_then(|items| items.last_mut()) {
            change(item);
        }
    }
}

/// The parser counts characters; a text is cut at bytes.
struct Places {
    /// The byte of each character and of the end; none where they are the same.
    bytes: Option<Vec<u32>>,
    length: usize,
}

impl Places {
    fn of(source: &str) -> Places {
        let bytes = (!source.is_ascii()).then(|| {
            let starts = source.char_indices().map(|(at, _)| at as u32);
            starts.chain([source.len() as u32]).collect()
        });
        Places {
            bytes,
            length: source.len(),
        }
    }

    fn byte(&self, marker: &Marker) -> usize {
        let index = marker.index();
        let byte = match &self.bytes {
            None => index,
            Some(bytes) => bytes.get(index).map_or(self.length, |&byte| byte as usize),
        };
        byte.min(self.length)
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let (start, end) = (self.byte(&span.start), self.byte(&span.end));
        start..end.max(start)
    }
}
