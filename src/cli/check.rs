//! `snihub check`: what `run` would say of the files, without running.

use super::exit::{Exit, answer};
use super::{Files, Format};
use crate::config::{self, Load, Problem, Severity};
use serde::Serialize;
use std::fmt::Write;

/// Reports every mistake in hub.yaml and the routes file, with the line it is in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  snihub check                           the files in /etc/snihub
  snihub check --routes sni.yaml         one table, with the built-in settings
  snihub check --strict --format json    for a pipeline: warnings count, too
  snihub check --ats /etc/trafficserver  what becomes of each line of ATS's

Errors come first, then warnings, then notes (what became of a line of ATS),
each as FILE:LINE:COLUMN: KEY: WHAT; the last line is the sum.
Exit codes: 0 usable; 77 a file may not be read; 78 errors (with --strict:
or warnings).")]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Exit 78 on warnings, too
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    let load = config::load(&args.files.sources());
    let exit = Exit::of_problems(&load.problems, args.strict);
    let text = match args.format {
        Format::Text => text(&load),
        Format::Json => json(&load),
    };
    answer(&text, exit)
}

fn text(load: &Load) -> String {
    let mut text = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let some: Vec<_> = load
            .problems
            .iter()
            .filter(|p| p.severity == severity)
            .collect();
        for problem in &some {
            let _ = match severity {
                Severity::Note => writeln!(text, "{}", problem.headline()),
                Severity::Error | Severity::Warning => writeln!(text, "{problem}"),
            };
        }
        if !some.is_empty() {
            text.push('\n');
        }
    }
    if let Some((file, routes)) = &load.routes {
        let _ = write!(text, "{}: {}, ", file.display(), plural(*routes, "route"));
    }
    let (errors, warnings) = (
        plural(load.errors, "error"),
        plural(load.warnings, "warning"),
    );
    let _ = writeln!(text, "{errors}, {warnings}");
    text
}

/// `1 route`, `2 routes`.
pub(super) fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[derive(Serialize)]
struct Report<'l> {
    /// Whether `run` would take the files.
    usable: bool,
    routes_file: Option<String>,
    routes: Option<usize>,
    errors: usize,
    warnings: usize,
    problems: &'l [Problem],
}

/// The report as one JSON object; [`super::explain`] has the same for files that are wrong.
pub(super) fn json(load: &Load) -> String {
    let routes = load.routes.as_ref();
    let report = Report {
        usable: load.loaded.is_some(),
        routes_file: routes.map(|(file, _)| file.display().to_string()),
        routes: routes.map(|(_, count)| *count),
        errors: load.errors,
        warnings: load.warnings,
        problems: &load.problems,
    };
    // Plain strings and numbers: nothing in it can fail to serialize.
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    format!("{text}\n")
}
