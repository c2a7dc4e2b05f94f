//! Two texts that differ in one place, as `diff -u` shows them.

use crate::terminal::plain;
use std::fmt::Write;

/// Lines around the change.
const CONTEXT: usize = 3;

/// A unified diff with one hunk; empty where nothing differs. Control characters are shown as one
/// that moves no cursor.
pub(super) fn unified(from: &str, to: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (a, b) = (lines(old), lines(new));
    let most = a.len().min(b.len());
    let before = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let ends = a.iter().rev().zip(b.iter().rev());
    let after = ends.take(most - before).take_while(|(x, y)| x == y).count();
    let start = before.saturating_sub(CONTEXT);
    let (end_a, end_b) = (a.len() - after, b.len() - after);
    let tail = after.min(CONTEXT);
    let mut text = format!("--- {}\n+++ {}\n", plain(from), plain(to));
    let span = |start: usize, end: usize| match end - start {
        // An empty side is named by the line before it.
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    };
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "@@ -{} +{} @@",
        span(start, end_a + tail),
        span(start, end_b + tail)
    );
    let mut put = |sign: char, lines: &[&str]| {
        for line in lines {
            let bare = line.trim_end_matches(['\n', '\r']);
            let _ = writeln!(text, "{sign}{}", plain(bare));
            if bare.len() == line.len() {
                text.push_str("\\ No newline at end of file\n");
            }
        }
    };
    put(' ', &a[start..before]);
    put('-', &a[before..end_a]);
    put('+', &b[before..end_b]);
    put(' ', &a[end_a..end_a + tail]);
    text
}

/// With their breaks.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_more_with_three_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n";
        let new = "1\n2\n3\n4\nx\n5\n6\n7\n8\n";
        let want = "--- f\n+++ f\n@@ -2,6 +2,7 @@\n 2\n 3\n 4\n+x\n 5\n 6\n 7\n";
        assert_eq!(unified("f", "f", old, new), want);
        assert_eq!(unified("f", "f", old, old), "");
    }

    #[test]
    fn the_beginning_and_an_open_end() {
        let want = "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n";
        assert_eq!(unified("a", "b", "", "x\n"), want);
        let want = "--- a\n+++ a\n@@ -1,1 +1,2 @@\n-x\n\\ No newline at end of file\n+x\n+\u{fffd}\n\
                    \\ No newline at end of file\n";
        assert_eq!(unified("a", "a", "x", "x\n\u{1b}"), want);
    }
}
