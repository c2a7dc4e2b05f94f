//! Which paths a Rust source names, as far as holding the house's arrows needs it: comments,
//! literals and test modules left out, `use` trees unfolded, `self` and `super` resolved.

use std::fs;
use std::path::{Path, PathBuf};

/// A path that a file names: `["crate", "route", "RouteTable"]`, `["tokio", "net", "TcpStream"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// 1-based.
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// Every `.rs` file below `folder`, sorted.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    files
}

/// The module that a file of `src/` is, below the crate root: `net/mod.rs` and `net.rs` are
/// `["net"]`, `net/dial.rs` is `["net", "dial"]`, `lib.rs` and `main.rs` are the root.
pub(crate) fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(
        module.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        module.pop();
    }
    module
}

/// The paths that `source` names outside its test modules, in order.
pub(crate) fn imports(source: &str, module: &[String]) -> Vec<Import> {
    let tokens = without_tests(tokens(&without_comments(source)));
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // `use<'a>` is a bound, not an import.
        if tokens[at].text == "use" && tokens.get(at + 1).is_some_and(|t| t.text != "<") {
            at = tree(&tokens, at + 1, &[], &mut found);
        } else if starts_path(&tokens, at) {
            let start = at;
            let mut path = vec![tokens[at].text.clone()];
            while tokens.get(at + 1).is_some_and(|t| t.text == "::")
                && tokens.get(at + 2).is_some_and(Token::is_word)
            {
                path.push(tokens[at + 2].text.clone());
                at += 2;
            }
            found.push(Import {
                line: tokens[start].line,
                path,
            });
            at += 1;
        } else {
            at += 1;
        }
    }
    found
        .into_iter()
        .map(|import| absolute(import, module))
        .collect()
}

/// A word followed by `::` that is not itself the middle of a path.
fn starts_path(tokens: &[Token], at: usize) -> bool {
    tokens[at].is_word()
        && tokens.get(at + 1).is_some_and(|t| t.text == "::")
        && (at == 0 || tokens[at - 1].text != "::" || at < 2 || !tokens[at - 2].is_word())
}

/// Unfolds the tree of a `use` into `found`; returns where the tree ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<Import>) -> usize {
    let mut path = prefix.to_vec();
    let mut line = tokens.get(at).map_or(0, |t| t.line);
    let mut told = false;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "as" => at += 1,
            "{" => {
                at = tree(tokens, at + 1, &path, found);
                told = true;
                continue;
            }
            "," | "}" | ";" => {
                if !told && path.len() > prefix.len() {
                    found.push(Import {
                        line,
                        path: path.clone(),
                    });
                }
                match token.text.as_str() {
                    "," if prefix.is_empty() => return at,
                    "," => {
                        path = prefix.to_vec();
                        told = false;
                    }
                    _ => return at + 1,
                }
            }
            _ => {
                line = token.line;
                path.push(token.text.clone());
            }
        }
        at += 1;
    }
    at
}

/// `self::` and `super::` replaced by what they mean in `module`; the binary's own `snihub::` is
/// the crate.
fn absolute(import: Import, module: &[String]) -> Import {
    let mut base: Option<Vec<String>> = None;
    let mut rest = import.path.iter();
    let mut path: Vec<String> = Vec::new();
    for word in rest.by_ref() {
        match word.as_str() {
            "self" => {
                base.get_or_insert_with(|| module.to_vec());
            }
            "super" => {
                base.get_or_insert_with(|| module.to_vec()).pop();
            }
            "snihub" if base.is_none() => base = Some(Vec::new()),
            _ => {
                path.push(word.clone());
                break;
            }
        }
    }
    path.extend(rest.cloned());
    let path = match base {
        Some(base) => [vec!["crate".to_owned()], base, path].concat(),
        None => path,
    };
    Import {
        line: import.line,
        path,
    }
}

#[derive(Debug, Clone)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text
            .starts_with(|c: char| c.is_alphanumeric() || c == '_')
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let len = match first {
                _ if word(first) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            tokens.push(Token {
                line,
                text: rest[..len].to_owned(),
            });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

/// Cuts out every item behind `#[cfg(test)]`: up to its closing brace, or its semicolon.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut rest = &tokens[..];
    while let Some(token) = rest.first() {
        let is_test = rest.len() > TEST.len() && rest.iter().zip(TEST).all(|(t, w)| t.text == w);
        if !is_test {
            kept.push(token.clone());
            rest = &rest[1..];
            continue;
        }
        let mut depth = 0;
        let end = rest.iter().position(|t| {
            depth += i32::from(t.text == "{") - i32::from(t.text == "}");
            depth == 0 && (t.text == "}" || t.text == ";")
        });
        rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
    }
    kept
}

/// Blanks comments and the insides of string and character literals; lines stay where they are.
fn without_comments(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let blank = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(hashes) = raw_string(rest, &out) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            rest[open..]
                .find(&close)
                .map_or(rest.len(), |at| open + at + close.len())
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        if blank == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..blank].chars().filter(|&c| c == '\n'));
            out.push(' ');
            rest = &rest[blank..];
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// How many `#` the raw string has that begins here, if one does.
fn raw_string(text: &str, before: &str) -> Option<usize> {
    let inside_word = before.ends_with(|c: char| c.is_alphanumeric() && c != 'b');
    let body = text.strip_prefix('r').filter(|_| !inside_word)?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    body[hashes..].starts_with('"').then_some(hashes)
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of a character literal, 0 for a lifetime.
fn character(text: &str) -> usize {
    let inside: Vec<(usize, char)> = text.char_indices().skip(1).take(12).collect();
    match inside[..] {
        [(_, '\\'), _, ..] => inside[2..]
            .iter()
            .find(|(_, c)| *c == '\'')
            .map_or(0, |(at, _)| at + 1),
        [_, (at, '\''), ..] => at + 1,
        _ => 0,
    }
}
