//! Lines under each other, for people: columns as wide as what stands in them, numbers at the right.

use super::advice;
use std::fmt::Write;

/// A table in the making.
pub(super) struct Columns {
    /// `true`: at the right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// A heading that begins with `>` has numbers below it.
    pub(super) fn new(headings: &[&str]) -> Columns {
        let right = headings.iter().map(|name| name.starts_with('>')).collect();
        let bare = |name: &&str| name.trim_start_matches('>').to_owned();
        Columns {
            right,
            rows: vec![headings.iter().map(bare).collect()],
        }
    }

    /// One line more.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, with a line break at each line's end.
    pub(super) fn print(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                // Writing to a String does not fail.
                let _ = match right {
                    true => write!(line, "{cell:>width$}  "),
                    false => write!(line, "{cell:width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text behind `head`, in lines of at most `width` columns; those after the first begin at column
/// `indent`. A word that is longer stays whole, and so does what stands in backticks: paths and
/// command lines are to be copied.
pub(super) fn wrap(to: &mut String, head: &str, indent: usize, width: usize, text: &str) {
    to.push_str(head);
    let mut column = head.chars().count();
    let mut quoted = false;
    let is_gap = |c: char| {
        quoted ^= c == '`';
        c == ' ' && !quoted
    };
    for (at, word) in advice::aimed(text).split(is_gap).enumerate() {
        let length = word.chars().count();
        if at > 0 && column + 1 + length > width {
            // Writing to a String does not fail.
            let _ = write!(to, "\n{:indent$}", "");
            column = indent;
        } else if at > 0 {
            to.push(' ');
            column += 1;
        }
        to.push_str(word);
        column += length;
    }
    to.push('\n');
}

/// Bytes as people read them: `734 B`, `1.2 kB`, `104.9 MB`.
pub(super) fn bytes(n: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.iter().find(|(_, size)| n as f64 >= *size) {
        Some((unit, size)) => format!("{:.1} {unit}", n as f64 / size),
        None => format!("{n} B"),
    }
}

/// A time as people read it: `0.4s`, `12s`, `3m05s`, `2h07m`, `41d03h`.
pub(super) fn time(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..=9 => format!("{}.{}s", s, ms % 1000 / 100),
        10..=59 => format!("{s}s"),
        60..=3_599 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..=86_399 => format!("{}h{:02}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut columns = Columns::new(&["name", ">n", "rest"]);
        columns.row(vec!["aéb".into(), "7".into(), String::new()]);
        columns.row(vec!["bb".into(), "1234".into(), "x".into()]);
        let want = "name     n  rest\naéb      7\nbb    1234  x\n";
        assert_eq!(columns.print(), want);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0, 999, 1_000, 104_857_600, 5_000_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "104.9 MB", "5.0 GB"]);
        let shown = [0, 450, 12_000, 185_000, 7_620_000, 3_553_200_000].map(time);
        assert_eq!(shown, ["0.0s", "0.4s", "12s", "3m05s", "2h07m", "41d03h"]);
    }
}
