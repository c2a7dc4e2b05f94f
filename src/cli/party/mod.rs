//! `snihub party`: parties of the star, each in one command.

mod add;
mod added;
mod list;
mod remove;
mod reroute;
mod show;

use super::Format;
use super::exit::{self, Exit, answer, complain, document};
use super::hub;
use super::pki::{Place, Stop as PkiStop, exit_of, receipt};
use crate::admin::client::ClientError;
use crate::config::Sources;
use crate::party::{Change, Expected, Live, Party, PartyError, Routes};
use crate::pki::{Folder, PkiError};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Parties of the star: route, certificate and what each is given.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  snihub party add 9998 --route 192.168.0.4:6651    route, certificate, folder
  snihub party add 9998 --route 192.168.0.4:6651 --dry-run
  snihub party list                                 routes, days, tunnels, bytes
  snihub party reroute 9998 --route 192.168.0.5:6651
  snihub party remove 9998 --end-tunnels

Each edits sni.yaml in place, keeps the old one as sni.yaml.bak, and waits until
the hub that runs here has the change. What is there already is left as it is:
the same command again changes nothing, and completes what was cut short.

Exit codes: 0 done; 1 what is there says no; 64 wrong usage; 71 the system would
not; 77 permission, or a wrong passphrase; 78 sni.yaml or hub.yaml is wrong, or
no authority; 130 Ctrl-C.")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Box<add::Args>),
    List(list::Args),
    Show(show::Args),
    Remove(remove::Args),
    #[command(visible_alias = "rename-route")]
    Reroute(reroute::Args),
}

/// Runs the command.
pub(super) fn run(args: Args) -> Exit {
    let done = match args.command {
        Command::Add(args) => add::run(*args),
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Remove(args) => remove::run(&args),
        Command::Reroute(args) => reroute::run(&args),
    };
    done.unwrap_or_else(|stop| stop.told("party"))
}

/// Why a command ended before it was done.
pub(super) enum Stop {
    Party(PartyError),
    Pki(PkiStop),
    /// It was told already.
    Told(Exit),
}

impl From<PartyError> for Stop {
    fn from(error: PartyError) -> Stop {
        Stop::Party(error)
    }
}

impl From<PkiStop> for Stop {
    fn from(stop: PkiStop) -> Stop {
        Stop::Pki(stop)
    }
}

impl From<crate::pki::PkiError> for Stop {
    fn from(error: crate::pki::PkiError) -> Stop {
        Stop::Party(error.into())
    }
}

impl Stop {
    /// `command`: which one it was.
    pub(super) fn told(self, command: &str) -> Exit {
        let error = match self {
            Stop::Party(error) => error,
            Stop::Pki(PkiStop::Pki(error)) => error.into(),
            Stop::Pki(PkiStop::Said(exit, text)) => {
                complain(&format!("snihub {command}: {text}\n"));
                return exit;
            }
            Stop::Told(exit) => return exit,
        };
        let exit = match &error {
            PartyError::Config(problems) => return exit::problems(problems),
            PartyError::Pki(error) => exit_of(error.fault()),
            PartyError::Usage(_) => Exit::Usage,
            PartyError::Refused(_) => Exit::No,
            PartyError::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => Exit::Permission,
                _ => Exit::System,
            },
        };
        complain(&format!("snihub {command}: {error}\n"));
        exit
    }
}

/// Which files and which hub.
#[derive(Debug, ClapArgs)]
pub(super) struct Star {
    /// hub.yaml [default: /etc/snihub/hub.yaml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// sni.yaml, or the directory with sni.yaml or sni.config in it [default: `routes` of hub.yaml,
    /// else /etc/snihub]
    #[arg(long, value_name = "PATH")]
    routes: Option<PathBuf>,
    /// The hub's admin socket [default: `admin` of hub.yaml, else /run/snihub/admin.sock]
    #[arg(long, value_name = "PATH")]
    admin: Option<PathBuf>,
    #[command(flatten)]
    authority: Place,
}

/// Where bundles are.
#[derive(Debug, ClapArgs)]
struct Bundles {
    /// Where the parties' bundles are
    #[arg(long, value_name = "DIR", default_value = "parties")]
    parties: PathBuf,
}

impl Bundles {
    /// By the number alone only below the authority's domain: two domains have the same numbers.
    fn of(&self, party: &Party, folder: Option<&Folder>) -> PathBuf {
        let own = folder.and_then(Folder::domain) == Some(&*party.domain);
        self.parties.join(if own { &party.id } else { &party.name })
    }
}

impl Star {
    pub(super) fn sources(&self) -> Sources {
        Sources {
            config: self.config.clone(),
            routes: self.routes.clone(),
            ..Sources::default()
        }
    }

    /// sni.yaml, to be changed unless this is a dry run.
    fn routes(&self, dry_run: bool) -> Result<Routes, PartyError> {
        let sources = self.sources();
        match dry_run {
            true => Routes::read(&sources),
            false => Routes::lock(&sources),
        }
    }

    /// Whether somebody said which files.
    pub(super) fn is_named(&self) -> bool {
        self.config.is_some() || self.routes.is_some()
    }

    /// `None`: the hub cannot be asked.
    pub(super) fn socket(&self) -> Result<Option<PathBuf>, Stop> {
        hub::socket(self.admin.as_deref(), self.config.as_deref()).map_err(Stop::Told)
    }

    /// What the hub has, if it says so soon.
    fn counts(&self) -> Result<Option<Value>, Stop> {
        let socket = self.socket()?;
        Ok(socket.and_then(|socket| crate::party::counts(&socket).ok()))
    }

    /// Without an authority there are routes all the same. `Err`: one is here, and why it cannot be
    /// read.
    pub(super) fn folder(&self) -> Result<Option<Folder>, String> {
        match self.authority.open() {
            Ok(folder) => Ok(Some(folder)),
            Err(PkiStop::Pki(PkiError::NoAuthority(_))) => Ok(None),
            Err(PkiStop::Pki(error)) => Err(error.to_string()),
            Err(PkiStop::Said(_, text)) => Err(text),
        }
    }

    /// The authority, or why nobody knows what it has issued.
    fn known(&self) -> (Option<Folder>, Option<String>) {
        match self.folder() {
            Ok(Some(folder)) => (Some(folder), None),
            Ok(None) => (
                None,
                Some("no authority here, --ca DIR says where it is".to_owned()),
            ),
            Err(why) => (None, Some(why)),
        }
    }

    /// A party of the file by its number or name: of the authority's domain, or the only one that is
    /// called so.
    pub(super) fn party(&self, text: &str, routes: &Routes) -> Result<Party, Stop> {
        let (folder, _) = self.known();
        let domain = folder.as_ref().and_then(Folder::domain);
        if text.contains('.') || domain.is_some() {
            return Ok(Party::new(text, domain)?);
        }
        let called = |pattern: &str| pattern.split_once('.').is_some_and(|(id, _)| id == text);
        let mut names: Vec<&str> = routes
            .rows()
            .map(|row| row.route.pattern().as_str())
            .collect();
        names.retain(|name| called(name));
        names.dedup();
        match names[..] {
            [name] => Ok(Party::new(name, None)?),
            [] => Err(no_entry(text, routes).into()),
            _ => Err(PartyError::Usage(format!(
                "{} has {} names that begin with {text}: say the full one",
                routes.path.display(),
                names.len()
            ))
            .into()),
        }
    }

    /// What the hub that runs here makes of the file; told in words, as JSON, and as an exit code.
    fn live(&self, expected: &Expected<'_>) -> Result<Told, Stop> {
        let Some(socket) = self.socket()? else {
            return Ok(Told::unasked(
                "hub.yaml says `admin: off`: it takes the file by itself",
            ));
        };
        let outcome = crate::party::reload(&socket, expected);
        Ok(Told::of(&socket, outcome, expected.target.is_some()))
    }
}

/// Why a party cannot be shown.
fn no_entry(text: &str, routes: &Routes) -> PartyError {
    let file = routes.path.display();
    PartyError::Refused(match routes.is_there() {
        true => format!("{file}: no entry for {text}; `snihub party list` shows them"),
        false => not_there(routes),
    })
}

fn not_there(routes: &Routes) -> String {
    let file = routes.path.display();
    format!("{file} is not there: --routes says where it is")
}

/// What is said of the hub.
struct Told {
    text: String,
    json: Value,
    exit: Exit,
    socket: Option<PathBuf>,
    /// Whether it does what the file says; `None`: not known.
    in_force: Option<bool>,
    /// Whether one runs; `None`: not known.
    running: Option<bool>,
}

impl Told {
    fn unasked(why: &str) -> Told {
        Told {
            text: format!("not asked: {why}"),
            json: json!({ "running": null, "in_force": null, "why": why }),
            exit: Exit::Ok,
            socket: None,
            in_force: None,
            running: None,
        }
    }

    fn of(socket: &Path, outcome: Result<Live, ClientError>, route: bool) -> Told {
        let (behind, has) = (
            socket.display(),
            if route {
                "has the route"
            } else {
                "has it no more"
            },
        );
        let told = |text: String, running, in_force, exit| Told {
            json: json!({ "running": running, "in_force": in_force, "text": text }),
            text,
            exit,
            socket: Some(socket.to_owned()),
            in_force,
            running,
        };
        match outcome {
            Ok(Live::InForce { generation }) => told(
                format!("{has} (generation {generation})"),
                Some(true),
                Some(true),
                Exit::Ok,
            ),
            Ok(Live::Elsewhere { generation, file }) => told(
                format!(
                    "the one behind {behind} took its files (generation {generation}), and they do not \
                     say so: {}",
                    others(file.as_deref())
                ),
                Some(true),
                Some(false),
                Exit::No,
            ),
            Ok(Live::Refused { lines, file: None }) => told(
                format!(
                    "REFUSED, the old configuration stays in force:\n{}",
                    lines.join("\n")
                ),
                Some(true),
                Some(false),
                Exit::Config,
            ),
            Ok(Live::Refused { lines, file }) => told(
                format!(
                    "the one behind {behind} refuses its files, and {}:\n{}",
                    others(file.as_deref()),
                    lines.join("\n")
                ),
                Some(true),
                Some(false),
                Exit::No,
            ),
            Err(ClientError::NotRunning(_)) => told(
                format!("none runs behind {behind}: the file counts when one starts"),
                Some(false),
                None,
                Exit::Ok,
            ),
            Err(error) => told(
                format!("{error}. The file is changed, and the hub takes it by itself"),
                None,
                None,
                hub::exit_of(&error),
            ),
        }
    }
}

/// Of a hub whose routes are not those that were changed.
fn others(file: Option<&Path>) -> String {
    let file = file.map(|file| format!(" (its routes: {})", file.display()));
    format!(
        "it runs with other files than these{}",
        file.unwrap_or_default()
    )
}

/// A command's words on stdout, in two steps: what is done, and then what the hub makes of it, which
/// may take a while or never come.
struct Words {
    format: Format,
    /// Of the first step.
    exit: Exit,
}

impl Words {
    /// Says what is done; JSON is one document, and said at the end.
    fn done(format: Format, text: &str) -> Words {
        let exit = match format {
            Format::Text => answer(&text, Exit::Ok),
            Format::Json => Exit::Ok,
        };
        Words { format, exit }
    }

    /// Says the rest. That stdout takes nothing was complained of once.
    fn end(self, text: &str, json: Value, exit: Exit) -> Exit {
        match (self.format, self.exit) {
            (Format::Text, Exit::Ok) => answer(&text, exit),
            (Format::Text, broken) => broken,
            (Format::Json, _) => document(json, exit),
        }
    }
}

/// A dry run's answer: what would become of the file, and what an operator should know.
fn would(name: &str, change: Option<&Change>, notes: &[String], format: Format) -> Exit {
    let diff = change.map(Change::diff).unwrap_or_default();
    if format == Format::Json {
        let body = json!({ "dry_run": true, "name": name, "diff": diff, "notes": notes });
        return document(body, Exit::Ok);
    }
    let mut text = diff;
    if text.is_empty() {
        say(
            &mut text,
            "route",
            "the file says so already: nothing would change",
        );
    }
    notes.iter().for_each(|note| say(&mut text, "note", note));
    answer(&text, Exit::Ok)
}

/// A word and what is said of it, in lines that fit a terminal.
fn say(text: &mut String, word: &str, what: &str) {
    let mut lines = what.lines();
    receipt::paragraph(
        text,
        word,
        &hub::printable(lines.next().unwrap_or_default()),
    );
    for line in lines {
        // Writing to a String does not fail.
        let _ = writeln!(text, "        {}", hub::printable(line));
    }
}
