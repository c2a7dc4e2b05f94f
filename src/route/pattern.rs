//! `fqdn`: which server names an entry takes.

use crate::tls::ServerName;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;

/// A pattern over server names: lower case, without its one trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FqdnPattern {
    /// Shared with the id of its route: a table of a million names holds each once.
    text: Arc<str>,
    form: Form,
    cannot_match: Option<CannotMatch>,
}

/// How a pattern is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// No `*`: by hash. `''` is the empty name.
    Exact,
    /// `*.` and no other `*`: by hash of what follows.
    Suffix,
    /// `*` alone.
    Any,
    /// What stands before, between and after the `*`s: tried one by one.
    General(Box<[Box<str>]>),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Longer than any name, with room for many `*`.
    #[error("{0} bytes long; a server name has at most 253, a pattern at most 512")]
    TooLong(usize),
    /// A control character (a line break, a tab): it would forge lines in a log.
    #[error("control character {0:?}")]
    Control(char),
}

/// Why no valid server name (conformance rule 15) can match a pattern. Such an entry loads, as in
/// ATS, with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CannotMatch {
    /// RFC 6066 section 3: an address is no server name.
    #[error("an IP address is never a server name (RFC 6066)")]
    IpLiteral,
    /// A character that no server name has. Those of regular expressions are literal here, while
    /// ATS 9 interprets them.
    #[error("{0:?} does not occur in server names (regular expressions are not interpreted)")]
    Character(char),
    /// RFC 5890: on the wire a name is ASCII.
    #[error("{0:?} is not ASCII; write the name as it is on the wire (xn--...)")]
    NonAscii(char),
    /// Two dots in a row, or one at the beginning, or nothing but a dot at the end.
    #[error("has an empty label (two dots in a row, or one at the beginning)")]
    EmptyLabel,
    /// RFC 1035 section 2.3.4.
    #[error("has a label of more than 63 bytes")]
    LabelTooLong,
    /// RFC 1035 section 2.3.4.
    #[error("is longer than 253 bytes even where each * is empty")]
    NameTooLong,
}

impl FqdnPattern {
    /// Longest pattern, in bytes.
    pub const MAX_LEN: usize = 512;

    /// Case is folded and one trailing dot ignored. `''` takes hellos without a name; `*` stands
    /// for any run of bytes, also none (`*` alone takes hellos without a name, too); everything
    /// else stands for itself.
    ///
    /// # Errors
    /// [`PatternError`]: too long, or control characters.
    pub fn parse(text: &str) -> Result<FqdnPattern, PatternError> {
        if text.len() > FqdnPattern::MAX_LEN {
            return Err(PatternError::TooLong(text.len()));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(PatternError::Control(c));
        }
        let text = without_trailing_dot(text).to_ascii_lowercase();
        Ok(FqdnPattern {
            form: form_of(&text),
            cannot_match: cannot_match(&text),
            text: text.into(),
        })
    }

    /// The pattern in lower case, without its trailing dot.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many `*` it has: `$1` to `$N` of its target stand for what they took.
    pub fn captures(&self) -> usize {
        self.text.bytes().filter(|&b| b == b'*').count()
    }

    /// The name that it takes, if that is one alone.
    pub fn one_name(&self) -> Option<ServerName> {
        // No name has a `*`, nor is empty (conformance rule 15).
        ServerName::parse(self.text.as_bytes()).ok()
    }

    /// Why no valid name can match, if none can.
    pub fn cannot_match(&self) -> Option<CannotMatch> {
        self.cannot_match
    }

    /// What each `*` took of a name (lower case; empty for a hello without one), greedy from the
    /// left as an anchored regular expression with `(.*)`; `None`: no match.
    pub fn capture<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        match &self.form {
            Form::Exact => (name == self.as_str()).then(Vec::new),
            Form::Suffix => {
                let taken = name.strip_suffix(&self.text[1..])?;
                (!taken.is_empty()).then(|| vec![taken])
            }
            Form::Any => Some(vec![name]),
            Form::General(pieces) => {
                let mut taken = Vec::with_capacity(pieces.len() - 1);
                let matched = place(pieces, name, |from, to| taken.push(&name[from..to]), || ());
                taken.reverse();
                matched.then_some(taken)
            }
        }
    }

    /// As [`FqdnPattern::capture`], without saying what was taken.
    pub fn matches(&self, name: &str) -> bool {
        match &self.form {
            Form::Exact => name == self.as_str(),
            Form::Suffix => name
                .strip_suffix(&self.text[1..])
                .is_some_and(|s| !s.is_empty()),
            Form::Any => true,
            Form::General(pieces) => place(pieces, name, |_, _| (), || ()),
        }
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// What the hash index knows it by: the name, or what follows the `*.` of a suffix.
    pub(super) fn key(&self) -> &str {
        match self.form {
            Form::Suffix => &self.text[2..],
            _ => &self.text,
        }
    }

    pub(super) fn shared_text(&self) -> &Arc<str> {
        &self.text
    }
}

impl fmt::Display for FqdnPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `*.` and `.` keep their dot: they are no way to write `*` and `''`, which take hellos without a
/// name.
fn without_trailing_dot(text: &str) -> &str {
    match text.strip_suffix('.') {
        Some("" | "*") | None => text,
        Some(rest) => rest,
    }
}

fn form_of(text: &str) -> Form {
    if !text.contains('*') {
        return Form::Exact;
    }
    if text == "*" {
        return Form::Any;
    }
    match text.strip_prefix("*.") {
        Some(suffix) if !suffix.contains('*') => Form::Suffix,
        _ => Form::General(text.split('*').map(Box::from).collect()),
    }
}

/// Conformance rules 15 and 16, turned round: what no valid name has.
fn cannot_match(text: &str) -> Option<CannotMatch> {
    let in_names = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.parse::<IpAddr>().is_ok() {
        return Some(CannotMatch::IpLiteral);
    }
    if let Some(c) = text.chars().find(|&c| !in_names(c) && c != '*') {
        return Some(if c.is_ascii() {
            CannotMatch::Character(c)
        } else {
            CannotMatch::NonAscii(c)
        });
    }
    if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
        return Some(CannotMatch::EmptyLabel);
    }
    // A `*` may take a dot, so that a label may end at it.
    if text.split(['.', '*']).any(|label| label.len() > 63) {
        return Some(CannotMatch::LabelTooLong);
    }
    let literal = text.bytes().filter(|&b| b != b'*').count();
    (literal > 253).then_some(CannotMatch::NameTooLong)
}

/// Puts the pieces of a pattern into a name, each as far to the right as those after it allow:
/// what an anchored regular expression with greedy `(.*)` between them finds, without its
/// backtracking. The search for a piece goes left from where the last one was placed, so no
/// position is tried twice: at most `name x pattern` steps.
///
/// `taken` hears what each `*` took (from, to), the last `*` first; `step` each comparison.
fn place(
    pieces: &[Box<str>],
    name: &str,
    mut taken: impl FnMut(usize, usize),
    mut step: impl FnMut(),
) -> bool {
    let [first, between @ .., last] = pieces else {
        return false;
    };
    let name = name.as_bytes();
    let (low, mut high) = match name.len().checked_sub(last.len()) {
        Some(high) if first.len() <= high => (first.len(), high),
        _ => return false,
    };
    if !same(&name[high..], last, &mut step) || !same(&name[..low], first, &mut step) {
        return false;
    }
    for piece in between.iter().rev() {
        let Some(end) = (low + piece.len()..=high)
            .rev()
            .find(|&end| same(&name[end - piece.len()..end], piece, &mut step))
        else {
            return false;
        };
        taken(end, high);
        high = end - piece.len();
    }
    taken(low, high);
    true
}

fn same(bytes: &[u8], piece: &str, step: &mut impl FnMut()) -> bool {
    bytes.iter().zip(piece.as_bytes()).all(|(a, b)| {
        step();
        a == b
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> FqdnPattern {
        FqdnPattern::parse(text).unwrap()
    }

    #[test]
    fn case_and_one_trailing_dot_are_ignored() {
        assert_eq!(pattern("MiXed.CoM.").as_str(), "mixed.com");
        assert_eq!(pattern("mixed.com.."), pattern("MIXED.com.."));
        assert_eq!(
            pattern("mixed.com..").cannot_match(),
            Some(CannotMatch::EmptyLabel)
        );
    }

    #[test]
    fn a_dot_does_not_turn_into_the_pattern_for_no_name() {
        for text in [".", "*."] {
            assert_eq!(
                pattern(text).cannot_match(),
                Some(CannotMatch::EmptyLabel),
                "{text}"
            );
            assert!(!pattern(text).matches(""), "{text}");
        }
    }

    #[test]
    fn only_the_empty_pattern_and_stars_take_a_hello_without_a_name() {
        for text in ["", "*", "**"] {
            assert!(pattern(text).matches(""), "{text:?}");
        }
        for text in ["*.*", "*.a", "a", "*a"] {
            assert!(!pattern(text).matches(""), "{text:?}");
        }
    }

    #[test]
    fn a_suffix_takes_several_labels_but_not_none() {
        let wild = pattern("*.wild.com");
        assert_eq!(wild.capture("a.b.wild.com"), Some(vec!["a.b"]));
        for name in [
            "wild.com",
            ".wild.com",
            "b.wild.com.evil.org",
            "bwild.com",
            "",
        ] {
            assert_eq!(wild.capture(name), None, "{name}");
        }
    }

    #[test]
    fn stars_are_greedy_from_the_left() {
        let two = pattern("*.m.*.com");
        assert_eq!(two.capture("a.m.b.m.c.com"), Some(vec!["a.m.b", "c"]));
        assert_eq!(two.captures(), 2);
        assert_eq!(pattern("pre*.net").capture("pre.net"), Some(vec![""]));
        assert_eq!(pattern("a*a").capture("a"), None);
    }

    #[test]
    fn what_no_name_can_match_is_told() {
        let long = format!("{}.com", "a".repeat(64));
        let wide = ["a".repeat(60).as_str(); 5].join(".");
        for (text, why) in [
            ("10.0.0.7", CannotMatch::IpLiteral),
            ("::1", CannotMatch::IpLiteral),
            ("foo[0-9]+.re.com", CannotMatch::Character('[')),
            (" sp.com", CannotMatch::Character(' ')),
            ("b\u{fc}cher.example", CannotMatch::NonAscii('\u{fc}')),
            (".a", CannotMatch::EmptyLabel),
            ("a..b", CannotMatch::EmptyLabel),
            (&long, CannotMatch::LabelTooLong),
            (&wide, CannotMatch::NameTooLong),
        ] {
            assert_eq!(pattern(text).cannot_match(), Some(why), "{text}");
        }
        for text in [
            "",
            "*",
            "under_score.com",
            "xn--bcher-kva.example",
            "a*b",
            "x.*",
            "10.0.7",
        ] {
            assert_eq!(pattern(text).cannot_match(), None, "{text}");
        }
    }

    #[test]
    fn what_would_forge_a_log_line_or_fill_it_is_refused() {
        assert_eq!(FqdnPattern::parse("a\nb"), Err(PatternError::Control('\n')));
        assert_eq!(
            FqdnPattern::parse(&"a".repeat(513)),
            Err(PatternError::TooLong(513))
        );
    }

    #[test]
    fn a_match_takes_at_most_name_times_pattern_steps() {
        let name = "a".repeat(253);
        for text in [
            "*a*a*a*a*b",
            "*a*a*a*a*b*",
            "*aaaa*aaab*a*",
            "*a*a*a*a*",
            "*b*a*a*a*a",
        ] {
            let Form::General(pieces) = pattern(text).form else {
                panic!("{text}")
            };
            let mut steps = 0;
            place(&pieces, &name, |_, _| (), || steps += 1);
            assert!(steps <= name.len() * text.len(), "{text}: {steps} steps");
        }
    }

    /// What `^p0(.*)p1(.*)...pn$` finds, by trying all: the longest for the first star first.
    fn by_backtracking<'n>(pieces: &[&str], name: &'n str) -> Option<Vec<&'n str>> {
        let rest = name.strip_prefix(pieces[0])?;
        if pieces.len() == 1 {
            return rest.is_empty().then(Vec::new);
        }
        (0..=rest.len()).rev().find_map(|n| {
            let mut taken = by_backtracking(&pieces[1..], &rest[n..])?;
            taken.insert(0, &rest[..n]);
            Some(taken)
        })
    }

    proptest! {
        #[test]
        fn captures_are_those_of_a_greedy_regular_expression(
            text in "[ab*]{0,4}[ab.*]{0,4}\\*[ab*]{0,3}",
            name in "[ab]{0,9}(\\.[ab]{1,5})?",
        ) {
            let pattern = pattern(&text);
            prop_assume!(matches!(pattern.form, Form::General(_)));
            let pieces: Vec<&str> = pattern.as_str().split('*').collect();
            let wanted = by_backtracking(&pieces, &name);
            prop_assert_eq!(pattern.matches(&name), wanted.is_some());
            prop_assert_eq!(pattern.capture(&name), wanted);
        }
    }
}
