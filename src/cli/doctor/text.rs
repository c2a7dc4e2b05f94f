//! What the doctor found, for people and programs.

use crate::cli::Format;
use crate::cli::check::plural;
use crate::cli::columns::wrap;
use crate::cli::exit::{Exit, answer, document};
use crate::cli::hub;
use crate::party::doctor::{Finding, Report, Severity};
use serde_json::json;
use std::fmt::Write;

/// Columns of a terminal that nobody made wider.
const WIDTH: usize = 80;

/// Prints them; the exit code says the worst that was found.
pub(super) fn tell(reports: &[Report], format: Format) -> Exit {
    let worst = reports.iter().map(|report| report.worst).max();
    let worst = worst.unwrap_or(Severity::Ok);
    let exit = match worst {
        Severity::Ok | Severity::Note => Exit::Ok,
        Severity::Warning => Exit::No,
        Severity::Error => Exit::Broken,
    };
    if format == Format::Json {
        let body = json!({ "worst": worst, "reports": reports });
        return document(body, exit);
    }
    let mut text = String::new();
    for report in reports {
        show(&mut text, report);
    }
    let count = |severity| {
        let findings = reports.iter().flat_map(|report| &report.sections);
        let findings = findings.flat_map(|section| &section.findings);
        findings
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    // Writing to a String does not fail.
    let _ = match worst {
        Severity::Ok | Severity::Note => writeln!(text, "all is well"),
        _ => writeln!(
            text,
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    };
    answer(&text, exit)
}

fn show(text: &mut String, report: &Report) {
    let _ = writeln!(text, "{}", hub::printable(&report.subject));
    for section in &report.sections {
        wrap(text, "  ", 4, WIDTH, &hub::printable(&section.title));
        for finding in &section.findings {
            show_finding(text, finding);
        }
    }
    text.push('\n');
}

fn show_finding(text: &mut String, finding: &Finding) {
    let word = match finding.severity {
        Severity::Ok => "ok",
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "ERROR",
    };
    let head = format!("    {word:<9}");
    wrap(text, &head, 13, WIDTH, &hub::printable(&finding.seen));
    for (word, said) in [("why: ", &finding.why), ("do:  ", &finding.fix)] {
        if let Some(said) = said {
            let head = format!("{:13}{word}", "");
            wrap(text, &head, 18, WIDTH, &hub::printable(said));
        }
    }
}
