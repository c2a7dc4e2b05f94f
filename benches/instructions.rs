//! Instructions of one hello, and of one decision: unlike times they do not drift.
//!
//! `cargo bench --bench instructions` runs itself under valgrind, each case with 1,000 and with 3,000
//! repetitions: what the second run counts more than the first is 2,000 times the case, whatever the
//! beginning took. Needs valgrind (Debian's package of that name).

#[path = "support/hellos.rs"]
mod hellos;
#[path = "support/table.rs"]
mod table;

use snihub::tls::ServerName;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use table::{LARGE, decide, names, table};

const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

type Case = (&'static str, fn(u64));

const CASES: [Case; 6] = [
    ("parse + check, 344 B", |times| parse(344, times)),
    ("parse + check, 1800 B", |times| parse(1800, times)),
    ("decide among 100,000, exact", |times| {
        decisions(times, LARGE.exact, |i| format!("broker-{i}.site.example"));
    }),
    ("decide among 100,000, suffix", |times| {
        decisions(times, LARGE.suffix, |i| {
            format!("b1.party-{i}.fate.example")
        });
    }),
    ("parse + check + decide, 344 B", |times| both(344, times)),
    ("parse + check + decide, 1800 B", |times| both(1800, times)),
];

fn parse(size: usize, times: u64) {
    let (hello, mut joined) = (hellos::built("9999.fate.org", size), Vec::new());
    for _ in 0..times {
        black_box(hellos::parse(black_box(&hello), &mut joined));
    }
}

fn decisions(times: u64, count: usize, of: fn(usize) -> String) {
    let (table, names) = (table(&LARGE), names(count, of));
    for (_, name) in (0..times).zip(names.iter().cycle()) {
        assert!(decide(&table, name).is_ok());
    }
}

fn both(size: usize, times: u64) {
    let table = table(&LARGE);
    let hello = |name: &ServerName| hellos::built(name.as_str(), size);
    let names = names(LARGE.exact, |i| format!("broker-{i}.site.example"));
    let hellos: Vec<_> = names.iter().map(hello).collect();
    let mut joined = Vec::new();
    for (_, hello) in (0..times).zip(hellos.iter().cycle()) {
        let name = hellos::parse(black_box(hello), &mut joined);
        assert!(name.is_some_and(|name| decide(&table, &name).is_ok()));
    }
}

/// Instructions of a run of this program, by callgrind.
fn counted(case: usize, times: u64) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--case", &case.to_string(), &times.to_string()])
        .output()
        .map_err(|e| {
            format!("cannot run valgrind ({e}): install it, Debian's package is valgrind")
        })?;
    let told = String::from_utf8_lossy(&run.stderr);
    told.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok())
        .ok_or_else(|| format!("valgrind: {}\n{told}", run.status))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, case, times] = &words[..]
        && flag == "--case"
        && let (Ok(case), Ok(times)) = (case.parse::<usize>(), times.parse())
    {
        CASES[case].1(times);
        return ExitCode::SUCCESS;
    }
    for (number, (name, _)) in CASES.iter().enumerate() {
        match counted(number, FEW).and_then(|few| Ok((few, counted(number, MANY)?))) {
            Ok((few, many)) => {
                println!(
                    "{name:32} {:6.0} instructions",
                    (many - few) as f64 / (MANY - FEW) as f64
                );
            }
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
