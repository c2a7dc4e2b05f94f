//! `snihub party remove`.

use super::{Bundles, Star, Stop, Told, Words, say, would};
use crate::cli::Format;
use crate::cli::exit::Exit;
use crate::cli::hub;
use crate::cli::pki::receipt::shown;
use crate::party::{self, Drained, Expected, Party, PartyError, Plan, Routes};
use serde_json::{Value, json};
use std::fmt::Write;

/// Takes a party's route out of sni.yaml. Standing tunnels stay, unless they are ended; certificate
/// and bundle stay, too.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The party's number, or its full name
    #[arg(value_name = "PARTY")]
    party: String,
    /// End its tunnels, to it and from it, evenly over `drain` of hub.yaml
    #[arg(long)]
    end_tunnels: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    bundles: Bundles,
    #[command(flatten)]
    star: Star,
}

pub(super) fn run(args: &Args) -> Result<Exit, Stop> {
    let routes = args.star.routes(args.dry_run)?;
    let party = args.star.party(&args.party, &routes)?;
    let file = routes.path.display().to_string();
    let plan = party::remove(&routes, &party.name)?;
    let absent = plan.is_none();
    // As the hub was before it sees the change.
    let before = args.star.counts()?;
    if absent && !known(args, &routes, &party, before.as_ref()) {
        return Err(PartyError::Refused(format!(
            "{file}: no entry for {}; `snihub party list` shows them",
            party.name
        ))
        .into());
    }
    let Plan { change, notes } = plan.unwrap_or(Plan {
        change: None,
        notes: Vec::new(),
    });
    if args.dry_run {
        return Ok(would(&party.name, change.as_ref(), &notes, args.format));
    }
    let prepared = change.map(party::Change::prepare).transpose()?;
    let backup = prepared.map(party::Prepared::commit).transpose()?.flatten();
    let path = routes.path.clone();
    drop(routes);
    let name = &party.name;
    let mut text = String::new();
    let route = match &backup {
        Some(old) => format!("{name} is out of {file}; before: {}", shown(old).display()),
        None => format!("{name} was out of {file} already"),
    };
    say(&mut text, "route", &route);
    notes.iter().for_each(|note| say(&mut text, "note", note));
    let words = Words::done(args.format, &text);
    let told = args.star.live(&Expected {
        name,
        target: None,
        file: &path,
        before: before.as_ref(),
    })?;
    let tunnels = args.end_tunnels.then(|| Tunnels::end(&told, name));
    let tunnels = tunnels.unwrap_or_default();
    let exit = match told.exit {
        Exit::Ok => tunnels.exit,
        exit => exit,
    };
    let mut text = String::new();
    say(&mut text, "hub", &told.text);
    if let Some(what) = &tunnels.text {
        say(&mut text, "tunnels", what);
    }
    if let Some(next) = next(args, &party) {
        say(&mut text, "next", &next);
    }
    let body = json!({
        "party": party.id,
        "name": name,
        "file": file,
        "changed": !absent,
        "backup": backup,
        "tunnels_ended": tunnels.ended,
        "tunnels": tunnels.text,
        "notes": notes,
        "hub": told.json,
    });
    Ok(words.end(&text, body, exit))
}

/// What became of the tunnels that were to be ended.
struct Tunnels {
    ended: Option<u64>,
    text: Option<String>,
    exit: Exit,
}

impl Default for Tunnels {
    fn default() -> Tunnels {
        Tunnels {
            ended: None,
            text: None,
            exit: Exit::Ok,
        }
    }
}

impl Tunnels {
    fn drained(drained: &Drained, name: &str) -> Tunnels {
        let (tunnels, over) = (drained.tunnels, drained.over_ms as f64 / 1e3);
        let mut text = format!("{tunnels} to be ended over {over} s");
        for one in &drained.silent {
            // Writing to a String does not fail.
            let _ = write!(text, "; {one}");
        }
        let exit = match drained.silent.is_empty() {
            true => Exit::Ok,
            false => {
                let _ = write!(
                    text,
                    ": `snihub drain --party {name}` ends its tunnels then"
                );
                Exit::System
            }
        };
        Tunnels {
            ended: Some(tunnels),
            text: Some(text),
            exit,
        }
    }

    /// Ends them, if the hub leads there no more: else they would be opened again.
    fn end(told: &Told, name: &str) -> Tunnels {
        let kept = |why: &str, exit| Tunnels {
            text: Some(format!(
                "not ended: {why}. `snihub drain --party {name}` ends them"
            )),
            exit,
            ..Tunnels::default()
        };
        match (&told.socket, told.running, told.in_force) {
            (_, Some(false), _) => Tunnels::default(),
            (Some(socket), _, Some(true)) => match party::drain(socket, name) {
                Ok(drained) => Tunnels::drained(&drained, name),
                Err(error) => kept(&error.to_string(), hub::exit_of(&error)),
            },
            (_, _, Some(false)) => kept(
                "the hub does not do what this file says yet, and they would be opened again",
                Exit::No,
            ),
            (_, _, None | Some(true)) => kept("nobody knows what the hub does", Exit::No),
        }
    }
}

/// What a removal leaves for the operator to do.
fn next(args: &Args, party: &Party) -> Option<String> {
    let (name, folder) = (&party.name, args.star.folder());
    let revoke = format!("`snihub pki revoke {name} --all` takes it back");
    let certificate = match &folder {
        Ok(Some(folder)) => {
            let listing = folder.listing();
            let mut entries = listing.entries.iter();
            entries
                .any(|entry| entry.issue.primary == *name && entry.standing.stands())
                .then(|| format!("its certificate is still good: {revoke}"))
        }
        Ok(None) => Some(format!(
            "where its authority is, {revoke}, if it has a certificate"
        )),
        Err(why) => Some(format!(
            "the authority here cannot be read ({why}): if it has issued a certificate, {revoke}"
        )),
    };
    let bundle = args.bundles.of(party, folder.ok().flatten().as_ref());
    let bundle = bundle
        .is_dir()
        .then(|| format!("{} stays", shown(&bundle).display()));
    let next: Vec<String> = certificate.into_iter().chain(bundle).collect();
    (!next.is_empty()).then(|| next.join("; "))
}

/// Whether a name that is not in the file was there: by what a removal leaves behind, or because the
/// hub still has to do with it, as when that was cut short.
fn known(args: &Args, routes: &Routes, party: &Party, before: Option<&Value>) -> bool {
    let name = &party.name;
    let (folder, _) = args.star.known();
    let issued = folder.as_ref().is_some_and(|folder| {
        let listing = folder.listing();
        let mut entries = listing.entries.iter();
        entries.any(|entry| entry.issue.primary == *name)
    });
    let counted = || {
        let mut rows = before
            .into_iter()
            .flat_map(|body| hub::rows(body, "routes"));
        rows.any(|row| row["id"] == *name)
    };
    issued || args.bundles.of(party, folder.as_ref()).is_dir() || routes.had(name) || counted()
}
