//! Command lines that messages advise, in backticks: each is said with the folders and files that this
//! command was given, else it would do its work elsewhere. Not `run`: what a hub was started with a
//! command that asks it does not know.

use super::Cli;
use crate::terminal::tricks;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use serde_json::Value;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

/// Arguments that say where something is.
const PLACES: [&str; 5] = ["ca", "parties", "config", "routes", "admin"];

/// Those that were given: `ca`, and ` --ca DIR` as a shell takes it.
type Given = Vec<(&'static str, String)>;

static GIVEN: OnceLock<Given> = OnceLock::new();

/// Keeps what the command line, as `command` has parsed it, says of places; once.
pub(super) fn keep(mut command: &Command, mut matches: &ArgMatches) {
    while let Some((name, inner)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else {
            break;
        };
        (command, matches) = (found, inner);
    }
    let given = PLACES.into_iter().filter_map(|place| {
        let id = argument(command, place)?.get_id().as_str();
        let said = matches.value_source(id) == Some(ValueSource::CommandLine);
        let value = said.then(|| matches.get_raw(id)?.next())??;
        Some((place, words(place, value)))
    });
    let _ = GIVEN.set(given.collect());
}

/// A text with the places in its command lines.
pub(super) fn aimed(text: &str) -> Cow<'_, str> {
    match GIVEN.get() {
        Some(given) if !given.is_empty() => aim(text, given),
        _ => text.into(),
    }
}

/// A command line with the places that it takes.
pub(super) fn line(line: &str) -> String {
    let given = GIVEN.get().map(Vec::as_slice).unwrap_or_default();
    format!("{line}{}", missing(line, given))
}

/// A document with the places in the command lines of its texts.
pub(super) fn aim_all(document: &mut Value) {
    match document {
        Value::String(text) => {
            if let Cow::Owned(aimed) = aimed(text) {
                *text = aimed;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(aim_all),
        Value::Object(fields) => fields.values_mut().for_each(aim_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn aim<'t>(text: &'t str, given: &[(&str, String)]) -> Cow<'t, str> {
    if !text.contains("`snihub ") {
        return text.into();
    }
    let mut aimed = String::with_capacity(text.len() + 64);
    for (at, part) in text.split('`').enumerate() {
        if at > 0 {
            aimed.push('`');
        }
        aimed.push_str(part);
        if at % 2 == 1 && part.starts_with("snihub ") {
            aimed.push_str(&missing(part, given));
        }
    }
    aimed.into()
}

/// What was given, and this line's command takes, and the line does not say.
fn missing(line: &str, given: &[(&str, String)]) -> String {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let says = |flag: &str| {
        let mut words = words.iter();
        words.any(|word| word.strip_prefix("--") == Some(flag))
    };
    let mut command = &Cli::command();
    let inner = words.iter().skip(1);
    for word in inner {
        match command.find_subcommand(word) {
            Some(inner) => command = inner,
            None => break,
        }
    }
    if command.get_name() == "run" {
        return String::new();
    }
    let missing = given.iter();
    let missing = missing.filter(|(flag, _)| argument(command, flag).is_some() && !says(flag));
    missing.map(|(_, words)| &**words).collect()
}

fn argument<'c>(command: &'c Command, flag: &str) -> Option<&'c Arg> {
    let mut arguments = command.get_arguments();
    arguments.find(|argument| argument.get_long() == Some(flag))
}

/// A flag and its value, as a shell takes them.
fn words(flag: &str, value: &OsStr) -> String {
    // What begins with a dash is no value of its own.
    let between = if value.as_bytes().starts_with(b"-") {
        "="
    } else {
        " "
    };
    format!(" --{flag}{between}{}", quoted(value))
}

/// As it is; in quotes; or, what is no text or would play tricks on a terminal, as `$'...'` of bash, zsh
/// and ksh.
fn quoted(value: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    match value.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if !text.contains(tricks) => format!("'{}'", text.replace('\'', "'\\''")),
        _ => {
            let byte = |byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", *byte as char),
                b' '..=b'~' => (*byte as char).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            let bytes: String = value.as_bytes().iter().map(byte).collect();
            format!("$'{bytes}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_places_that_its_command_takes_and_it_does_not_say() {
        let given = [("ca", "pki-2"), ("parties", "p"), ("admin", "a b")];
        let given = given.map(|(flag, value)| (flag, words(flag, OsStr::new(value))));
        for (text, want) in [
            ("nothing to do", "nothing to do"),
            ("snihub pki list", "snihub pki list"),
            (
                "do `snihub pki revoke 7 --all`, then `ls`",
                "do `snihub pki revoke 7 --all --ca pki-2`, then `ls`",
            ),
            (
                "`snihub party add 7 --ca NEW` and `snihub drain --party 7`",
                "`snihub party add 7 --ca NEW --parties p --admin 'a b'` and `snihub drain --party 7 \
                 --admin 'a b'`",
            ),
            // By its other name.
            (
                "`snihub party rename-route 7`",
                "`snihub party rename-route 7 --ca pki-2 --admin 'a b'`",
            ),
            // Another hub, if only its places were said.
            ("`snihub run --takeover`", "`snihub run --takeover`"),
            ("`snihub` and `snihub man`", "`snihub` and `snihub man`"),
        ] {
            assert_eq!(aim(text, &given), want);
        }
    }

    #[test]
    fn a_shell_takes_what_is_said_again() {
        for (value, want) in [
            (&b"/run/a-b_c.sock"[..], " --ca /run/a-b_c.sock"),
            (b"a b", " --ca 'a b'"),
            (b"it's", " --ca 'it'\\''s'"),
            (b"", " --ca ''"),
            (b"-n", " --ca=-n"),
            (b"p\xffq", " --ca $'p\\xffq'"),
            (b"\x1b[2J'", " --ca $'\\x1b[2J\\''"),
        ] {
            assert_eq!(words("ca", OsStr::from_bytes(value)), want);
        }
    }
}
