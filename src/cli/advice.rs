//! Command lines that messages advise, in backticks: each is said with the folders and files that this
//! command was given, else it would do its work elsewhere.

use super::Cli;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::OnceLock;

/// Arguments that say where something is.
const PLACES: [&str; 5] = ["ca", "parties", "config", "routes", "admin"];

/// Those that were given: `--ca` and its value, as a shell takes it.
type Given = Vec<(&'static str, String)>;

static GIVEN: OnceLock<Given> = OnceLock::new();

/// Keeps what the command line says of places; once.
pub(super) fn keep(matches: &ArgMatches) {
    let (mut command, mut matches) = (&Cli::command(), matches);
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
        Some((place, quoted(&value.to_string_lossy())))
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
    let missing = given.iter();
    let missing = missing.filter(|(flag, _)| argument(command, flag).is_some() && !says(flag));
    missing
        .map(|(flag, value)| format!(" --{flag} {value}"))
        .collect()
}

fn argument<'c>(command: &'c Command, flag: &str) -> Option<&'c Arg> {
    let mut arguments = command.get_arguments();
    arguments.find(|argument| argument.get_long() == Some(flag))
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_places_that_its_command_takes_and_it_does_not_say() {
        let given = [
            ("ca", "pki-2".to_owned()),
            ("parties", "p".to_owned()),
            ("admin", "'a b'".to_owned()),
        ];
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
            ("`snihub` and `snihub man`", "`snihub` and `snihub man`"),
        ] {
            assert_eq!(aim(text, &given), want);
        }
    }

    #[test]
    fn what_a_shell_would_not_take_as_it_is_stands_in_quotes() {
        assert_eq!(quoted("/run/a-b_c.sock"), "/run/a-b_c.sock");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
