//! How commands end: sysexits(3) codes, and output that survives a closed pipe.

use super::advice;
use crate::config::{Problem, Severity};
use crate::takeover;
use crate::telemetry;
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0
    Ok,
    /// 1: the answer is no.
    No,
    /// 2: something does not work, where 1 is a warning (`doctor`, as monitoring plugins count).
    Broken,
    /// 64, EX_USAGE: the command line is wrong.
    Usage,
    /// 69, EX_UNAVAILABLE: the hub that runs cannot do it, and one that is restarted can.
    Restart,
    /// 71, EX_OSERR: the system would not.
    System,
    /// 77, EX_NOPERM: permission denied.
    Permission,
    /// 78, EX_CONFIG: a file is wrong.
    Config,
    /// 130: ended by Ctrl-C before there was an answer (128 + SIGINT, as shells count).
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Broken => 2,
            Exit::Usage => 64,
            Exit::Restart => takeover::NEEDS_RESTART,
            Exit::System => 71,
            Exit::Permission => 77,
            Exit::Config => 78,
            Exit::Interrupted => 130,
        }
    }

    /// What files with these problems come to; warnings count if `strict`.
    pub(super) fn of_problems(problems: &[Problem], strict: bool) -> Exit {
        let counts = |problem: &&Problem| match problem.severity {
            Severity::Error => true,
            Severity::Warning => strict,
            Severity::Note => false,
        };
        let mut counted = problems.iter().filter(counts).peekable();
        if counted.peek().is_none() {
            return Exit::Ok;
        }
        let counted: Vec<_> = counted.collect();
        if counted.iter().any(|problem| problem.denied) {
            Exit::Permission
        } else if counted.iter().all(|problem| problem.file.starts_with("--")) {
            // A flag's value, such as --listen's.
            Exit::Usage
        } else {
            Exit::Config
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Prints files' problems to stderr, errors after warnings so that they stand last on a screen.
pub(super) fn problems(problems: &[Problem]) -> Exit {
    let mut text = String::new();
    for severity in [Severity::Warning, Severity::Error] {
        for problem in problems
            .iter()
            .filter(|problem| problem.severity == severity)
        {
            text.push_str(&format!("{problem}\n"));
        }
    }
    complain(&text);
    Exit::of_problems(problems, false)
}

/// Prints what the system would not do to stderr.
pub(super) fn system(what: &str, error: &io::Error) -> Exit {
    complain(&format!("snihub: {what}: {error}\n"));
    if error.kind() == ErrorKind::PermissionDenied {
        Exit::Permission
    } else {
        Exit::System
    }
}

/// Prints a command's answer to stdout. Rust ignores SIGPIPE, so a reader that left (`| head`)
/// shows as an error here; it has what it wanted, and `exit` stands.
pub(super) fn answer(text: &dyn Display, exit: Exit) -> Exit {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => system("cannot write", &error),
        _ => exit,
    }
}

/// Prints a command's answer as a JSON document.
pub(super) fn document(mut body: Value, exit: Exit) -> Exit {
    advice::aim_all(&mut body);
    answer(&format!("{body:#}\n"), exit)
}

/// Prints to stderr.
pub(super) fn complain(text: &str) {
    telemetry::to_stderr(advice::aimed(text).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_goes_before_configuration() {
        let error = Problem::of_file(Severity::Error, "f", "", "x");
        let warning = Problem::of_file(Severity::Warning, "f", "", "x");
        let denied = Problem {
            denied: true,
            ..error.clone()
        };
        let note = Problem::of_file(Severity::Note, "f", "", "x");
        assert_eq!(Exit::of_problems(&[], true), Exit::Ok);
        assert_eq!(Exit::of_problems(&[note], true), Exit::Ok);
        assert_eq!(
            Exit::of_problems(std::slice::from_ref(&warning), false),
            Exit::Ok
        );
        assert_eq!(Exit::of_problems(&[warning], true), Exit::Config);
        assert_eq!(
            Exit::of_problems(std::slice::from_ref(&error), false),
            Exit::Config
        );
        assert_eq!(Exit::of_problems(&[error, denied], false), Exit::Permission);
    }
}
