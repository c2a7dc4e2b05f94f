//! Lines of a text by bytes. YAML 1.2 (5.4) breaks them at LF, CRLF and a lone CR.

/// Where the line that holds this byte begins.
pub(super) fn line_start(source: &str, at: usize) -> usize {
    // The LF of a CRLF is of the line that the two end.
    let at = match source.as_bytes().get(at) {
        Some(b'\n') if source[..at].ends_with('\r') => at - 1,
        _ => at,
    };
    source[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1)
}

/// Where the next line begins, or the end of the text.
pub(super) fn line_end(source: &str, at: usize) -> usize {
    match source[at..].find(['\n', '\r']) {
        None => source.len(),
        Some(length) => at + length + break_length(&source[at + length..]),
    }
}

/// The line that begins here, without its break.
pub(super) fn line(source: &str, start: usize) -> &str {
    source[start..].split(['\n', '\r']).next().unwrap_or("")
}

/// Where the line before the one that begins here begins; `None` at the first.
pub(super) fn line_before(source: &str, start: usize) -> Option<usize> {
    let end = source[..start]
        .strip_suffix('\n')
        .unwrap_or(&source[..start]);
    let end = end.strip_suffix('\r').unwrap_or(end);
    (end.len() < start).then(|| line_start(source, end.len()))
}

/// Bytes of the line break that the text begins with.
pub(super) fn break_length(text: &str) -> usize {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// The first line break of the text; LF where it has none.
pub(super) fn break_of(source: &str) -> &str {
    let at = source.find(['\n', '\r']);
    at.map_or("\n", |at| &source[at..at + break_length(&source[at..])])
}

/// Spaces at the beginning.
pub(super) fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Nothing but space.
pub(super) fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Nothing but a comment.
pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The next byte that is neither space nor of a comment, or the end of the text.
pub(super) fn skip_trivia(source: &str, mut at: usize) -> usize {
    loop {
        let rest = &source[at..];
        let space = rest.len() - rest.trim_start().len();
        at += space;
        if !source[at..].starts_with('#') {
            return at;
        }
        at = line_end(source, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_every_kind_of_break() {
        for text in ["ab\ncd\nef", "ab\r\ncd\r\nef", "ab\rcd\ref"] {
            let second = line_end(text, 0);
            let third = line_end(text, second);
            assert_eq!(
                [0, second, third].map(|at| line(text, at)),
                ["ab", "cd", "ef"]
            );
            assert_eq!(line_end(text, third), text.len());
            assert_eq!(line_before(text, third), Some(second));
            assert_eq!(line_before(text, second), Some(0));
            assert_eq!(line_before(text, 0), None);
            for at in second..third {
                assert_eq!(line_start(text, at), second, "{text:?} {at}");
            }
        }
        assert_eq!(break_of("a\r\nb\n"), "\r\n");
        assert_eq!(break_of("a"), "\n");
    }

    #[test]
    fn trivia_are_space_and_comments() {
        let text = "  # a\n\n # b ]\n , # c";
        assert_eq!(&text[skip_trivia(text, 0)..], ", # c");
        assert_eq!(skip_trivia(text, text.len() - 3), text.len());
    }
}
