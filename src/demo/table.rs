//! What was measured, as text for people: at most 100 columns, no control codes.

use super::measured::{LinkRow, Measured, Trial};
use super::party::label;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

/// Wider than this a line of the report never is, whatever is in it.
pub(super) const WIDTH: usize = 100;

/// The whole report; `complaints`: the hub's own warnings, shown when something is wrong.
pub(super) fn report(measured: &Measured, complaints: &[String]) -> String {
    let faults = measured.faults();
    let mut text = String::new();
    links(&mut text, measured);
    joined(&mut text, measured);
    trials(&mut text, &measured.trials);
    let (checks, seconds) = (measured.checks(), measured.took.as_secs_f64());
    if faults.is_empty() {
        line(
            &mut text,
            &format!(
                "All right: {checks} of {checks}; {} through the hub in {seconds:.1} s.",
                moved(measured)
            ),
        );
        return text;
    }
    let wrong: BTreeSet<_> = faults.iter().map(|(row, _)| row).collect();
    let wrong = wrong.len();
    line(
        &mut text,
        &format!("NOT AS IT SHOULD BE: {wrong} of {checks}, in {seconds:.1} s."),
    );
    for (row, fault) in &faults {
        wrapped(&mut text, "  ", &format!("{row}: {fault}"));
    }
    if !complaints.is_empty() {
        line(&mut text, "The hub's own warnings:");
        for complaint in complaints {
            wrapped(&mut text, "  ", complaint);
        }
    }
    text
}

fn links(text: &mut String, measured: &Measured) {
    let head = [
        "link",
        "sent",
        "received",
        "MB/s",
        "handshake",
        "round trip",
        "relay",
        "hashes",
        "",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(measured.links.iter().map(link));
    line(text, "");
    text.push_str(&aligned(&rows, &[1, 2, 3, 4, 5]));
    if measured
        .links
        .iter()
        .any(|row| row.busy && row.seen.is_ok())
    {
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        let busy =
            format!("* measured while the other links ran at full speed, {cores} cores in all");
        line(text, &busy);
    }
    if measured.links.iter().all(|row| row.faults().is_empty()) {
        let hub = measured.hub;
        let agree = format!(
            "Callers, servers and the hub on {hub} agree on every byte. The hub decrypts nothing: each \
             certificate was verified end to end, by name."
        );
        wrapped(text, "", &agree);
    }
}

fn link(row: &LinkRow) -> [String; 9] {
    let Ok(ends) = &row.seen else {
        let mut cells: [String; 9] = Default::default();
        cells[0] = row.title();
        cells[8] = "WRONG".to_owned();
        return cells;
    };
    let link = &ends.link;
    let speed =
        (link.end.sent + link.end.received) as f64 / 1e6 / link.took.as_secs_f64().max(1e-6);
    let mark = if row.busy { "*" } else { "" };
    let relay = ends.closed.as_ref().and_then(|closed| closed.relay.clone());
    [
        row.title(),
        megabytes(link.end.sent),
        megabytes(link.end.received),
        format!("{speed:.0}"),
        format!("{}{mark}", millis(link.handshake)),
        format!("{}{mark}", millis(link.round_trip)),
        relay.unwrap_or_else(|| "?".to_owned()),
        format!("{} of 2", ends.right_hashes()),
        verdict(row.faults().is_empty()),
    ]
}

fn joined(text: &mut String, measured: &Measured) {
    let Ok(joined) = &measured.joined else { return };
    let (name, after) = (label(joined.name), millis(joined.routed_after));
    let moved = megabytes(joined.moved_meanwhile);
    let told = format!(
        "Party {name} joined by an edit of sni.yaml: it was reached {after} later, while {moved} \
         passed between the others."
    );
    line(text, "");
    wrapped(text, "", &told);
}

fn trials(text: &mut String, trials: &[Trial]) {
    let head = ["tried", "the client saw", "the hub recorded", ""];
    let mut rows = vec![head.map(str::to_owned)];
    for trial in trials {
        rows.push([
            trial.what.to_owned(),
            trial.client.clone(),
            trial.hub.clone(),
            verdict(trial.faults.is_empty()),
        ]);
    }
    line(text, "");
    text.push_str(&aligned(&rows, &[]));
    line(text, "");
}

fn verdict(right: bool) -> String {
    if right { "ok" } else { "WRONG" }.to_owned()
}

/// All that the links carried, TLS included.
fn moved(measured: &Measured) -> String {
    let links = measured
        .links
        .iter()
        .filter_map(|row| row.seen.as_ref().ok());
    megabytes(
        links
            .map(|ends| ends.link.raw_sent + ends.link.raw_received)
            .sum(),
    )
}

/// Bytes in 10^6.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..1.0 => format!("{millis:.2} ms"),
        ..100.0 => format!("{millis:.1} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

/// Columns of equal width; those listed in `right` are aligned to the right.
fn aligned<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut cells = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a String does not fail.
            let _ = match right.contains(&column) {
                true => write!(cells, "{cell:>width$}  "),
                false => write!(cells, "{cell:<width$}  "),
            };
        }
        line(&mut text, cells.trim_end());
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.extend(line.chars().take(WIDTH));
    text.push('\n');
}

/// A paragraph below `indent`; words longer than a line are cut.
fn wrapped(text: &mut String, indent: &str, paragraph: &str) {
    let mut current = String::new();
    for word in paragraph.split_whitespace() {
        let full = indent.len() + current.chars().count() + 1 + word.chars().count() > WIDTH;
        if full && !current.is_empty() {
            line(text, &format!("{indent}{current}"));
            current.clear();
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    line(text, &format!("{indent}{current}"));
}

#[cfg(test)]
mod tests {
    use super::super::measured::Joined;
    use super::super::measured::tests::good;
    use super::*;

    fn measured() -> Measured {
        let trial = Trial {
            what: "plain HTTP",
            client: "closed without a byte".to_owned(),
            hub: "not_tls: looks like HTTP".to_owned(),
            faults: Vec::new(),
        };
        let joined = Joined {
            name: "10001.fate.test",
            routed_after: Duration::from_millis(47),
            moved_meanwhile: 31_400_000,
        };
        Measured {
            hub: "127.0.0.1:4443".parse().unwrap(),
            links: vec![
                good(),
                LinkRow {
                    busy: true,
                    ..good()
                },
            ],
            joined: Ok(joined),
            trials: vec![trial],
            took: Duration::from_millis(6210),
        }
    }

    fn assert_fits(text: &str) {
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    }

    #[test]
    fn a_good_run_says_so_in_its_last_line() {
        let text = report(&measured(), &["WARN not shown".to_owned()]);
        assert_fits(&text);
        assert!(
            text.ends_with("All right: 4 of 4; 6.4 MB through the hub in 6.2 s.\n"),
            "{text}"
        );
        let row =
            "9999 -> 10000  2.0 MB    1.0 MB     6     1.9 ms     0.09 ms  splice  2 of 2  ok";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("1.9 ms*"), "{text}");
        assert!(!text.contains("not shown"));
    }

    #[test]
    fn a_fault_is_shown_in_its_row_and_explained_below() {
        let mut measured = measured();
        measured.links[0].seen = Err("no handshake within 10 s".to_owned());
        measured.joined = Err("x".repeat(150));
        measured.trials[0].faults = vec!["the client got 300 bytes ".repeat(9)];
        let text = report(&measured, &["WARN dial failed".to_owned()]);
        assert_fits(&text);
        assert!(text.contains("NOT AS IT SHOULD BE: 3 of 4, in"), "{text}");
        assert!(
            text.contains("9999 -> 10000: no handshake within 10 s"),
            "{text}"
        );
        assert!(text.contains("WARN dial failed"), "{text}");
        assert_eq!(text.matches("WRONG").count(), 2, "{text}");
    }
}
