//! `snihub party remove`.

use super::{Bundles, Star, Stop, say, would};
use crate::cli::Format;
use crate::cli::exit::{Exit, answer};
use crate::cli::hub;
use crate::cli::pki::receipt::shown;
use crate::party::{self, Expected, Party, PartyError, Plan, Routes};
use serde_json::{Value, json};

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
    let told = args.star.live(&Expected {
        name: &party.name,
        target: None,
        file: &path,
        before: before.as_ref(),
    })?;
    let mut drained = None;
    if let (true, Some(socket), Exit::Ok) = (args.end_tunnels, &told.socket, told.exit)
        && told.json["running"] == true
    {
        let ended = party::drain(socket, &party.name);
        drained = Some(ended.map_err(|error| {
            crate::cli::exit::complain(&format!("snihub party: {error}\n"));
            Stop::Told(hub::exit_of(&error))
        })?);
    }
    if args.format == Format::Json {
        let body = json!({
            "party": party.id,
            "name": party.name,
            "file": file,
            "changed": !absent,
            "backup": backup,
            "tunnels_ended": drained.map(|(tunnels, _)| tunnels),
            "notes": notes,
            "hub": told.json,
        });
        return Ok(answer(&format!("{body:#}\n"), told.exit));
    }
    let mut text = String::new();
    let name = &party.name;
    let route = match &backup {
        Some(old) => format!("{name} is out of {file}; before: {}", shown(old).display()),
        None => format!("{name} was out of {file} already"),
    };
    say(&mut text, "route", &route);
    notes.iter().for_each(|note| say(&mut text, "note", note));
    say(&mut text, "hub", &told.text);
    if let Some((tunnels, over)) = drained {
        let seconds = over as f64 / 1e3;
        say(
            &mut text,
            "tunnels",
            &format!("{tunnels} to be ended over {seconds} s"),
        );
    }
    let next = format!(
        "its certificate is still good: `snihub pki revoke {name} --all` takes it back; {} stays",
        shown(&args.bundles.of(&party, args.star.folder().as_ref())).display()
    );
    say(&mut text, "next", &next);
    Ok(answer(&text, told.exit))
}

/// Whether a name that is not in the file was there: by what a removal leaves behind, or because the
/// hub still has to do with it, as when that was cut short.
fn known(args: &Args, routes: &Routes, party: &Party, before: Option<&Value>) -> bool {
    let name = &party.name;
    let folder = args.star.folder();
    let issued = folder.as_ref().is_some_and(|folder| {
        let listing = folder.listing();
        let mut entries = listing.entries.iter();
        entries.any(|entry| entry.issue.primary == *name)
    });
    let counted = || {
        let mut rows = before.into_iter().flat_map(|body| hub::rows(body, "routes"));
        rows.any(|row| row["id"] == *name)
    };
    issued || args.bundles.of(party, folder.as_ref()).is_dir() || routes.had(name) || counted()
}
