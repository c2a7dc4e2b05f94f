//! What a doctor says: what was seen, why it matters, the line to change.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, and will not for long, or not for everybody.
    Warning,
    /// It does not work.
    Error,
}

/// `1 entry`, `2 entries`.
pub(super) fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// One of them. No text of it moves a cursor, wherever it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check: of a closed set, for programs.
    pub check: &'static str,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    pub why: Option<String>,
    /// What to do; where there is one, the line to change.
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Finding {
        Finding::new(Severity::Ok, check, seen)
    }

    /// Worth knowing.
    pub(super) fn note(check: &'static str, seen: impl Into<String>) -> Finding {
        Finding::new(Severity::Note, check, seen)
    }

    /// It works, but.
    pub(super) fn warning(check: &'static str, seen: impl Into<String>) -> Finding {
        Finding::new(Severity::Warning, check, seen)
    }

    /// It does not work.
    pub(super) fn error(check: &'static str, seen: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, check, seen)
    }

    fn new(severity: Severity, check: &'static str, seen: impl Into<String>) -> Finding {
        Finding {
            severity,
            check,
            seen: seen.into(),
            why: None,
            fix: None,
        }
    }

    /// The same, and why it matters.
    pub(super) fn why(mut self, why: impl Into<String>) -> Finding {
        self.why = Some(why.into());
        self
    }

    /// The same, and what to do.
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Finding {
        self.fix = Some(fix.into());
        self
    }
}

/// Findings of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// What was looked at: `directly, 192.168.0.4:6651`.
    pub title: String,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
}

/// Everything about one party, or one hub.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whom it is about.
    pub subject: String,
    /// The worst of its findings.
    pub worst: Severity,
    /// In the order of a connection.
    pub sections: Vec<Section>,
}

impl Report {
    /// Of these sections; those without findings are left out.
    pub(super) fn new(subject: impl Into<String>, mut sections: Vec<Section>) -> Report {
        sections.retain(|section| !section.findings.is_empty());
        let findings = sections.iter().flat_map(|section| &section.findings);
        Report {
            subject: subject.into(),
            worst: findings
                .map(|finding| finding.severity)
                .max()
                .unwrap_or(Severity::Ok),
            sections,
        }
    }
}

impl Section {
    pub(super) fn new(title: impl Into<String>, findings: Vec<Finding>) -> Section {
        Section {
            title: title.into(),
            findings,
        }
    }
}

/// Milliseconds, for people.
pub(super) fn ms(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
