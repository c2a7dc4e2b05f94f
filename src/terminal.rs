//! Other people's text on a terminal: which characters play tricks there.

/// Whether a character moves the cursor (the controls C0 and C1), breaks a line (U+2028, U+2029), or
/// is not seen and may reorder what is (Unicode 9.0 UAX 9, the explicit directions and marks; the
/// zero-width ones). Whoever shows text of a peer, a file or a request replaces or escapes these.
pub fn tricks(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// One line that moves no cursor: one for one, so that a caret below it stays true.
pub fn plain(text: &str) -> String {
    text.chars().map(one).collect()
}

/// As [`plain`], of one character.
pub fn one(c: char) -> char {
    match c {
        '\t' => ' ',
        c if tricks(c) => '\u{fffd}',
        c => c,
    }
}

/// Escaped, so that it can be seen what was there.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(escape).collect()
}

/// As [`escaped`], of one character.
pub fn escape(c: char) -> impl Iterator<Item = char> {
    let escaped = tricks(c);
    let as_is = (!escaped).then_some(c);
    let shown = escaped.then(|| c.escape_unicode());
    as_is.into_iter().chain(shown.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_and_what_plays_tricks_is_shown() {
        let honest = "Universität Zürich, 9998.fate.org 北京 🦀";
        assert_eq!(
            (plain(honest), escaped(honest)),
            (honest.into(), honest.into())
        );
        for c in "\0\n\r\x1b\u{9b}\u{61c}\u{200b}\u{200f}\u{2028}\u{202e}\u{2066}\u{2069}\u{feff}"
            .chars()
        {
            let text = format!("a{c}b");
            assert_eq!(plain(&text), "a\u{fffd}b", "{c:?}");
            assert_eq!(escaped(&text), format!("a\\u{{{:x}}}b", c as u32), "{c:?}");
        }
        assert_eq!(plain("a\tb"), "a b");
    }
}
