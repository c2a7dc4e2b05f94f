//! `snihub party reroute`.

use super::{Star, Stop, Words, say, would};
use crate::cli::Format;
use crate::cli::exit::Exit;
use crate::cli::pki::receipt::shown;
use crate::party::{self, Expected, Plan};
use serde_json::json;

/// Changes where the hub finds a party's broker: new tunnels go there, standing ones stay where they
/// are.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The party's number, or its full name
    #[arg(value_name = "PARTY")]
    party: String,
    /// Where the hub finds its broker from now on
    #[arg(long, value_name = "HOST:PORT")]
    route: String,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    star: Star,
}

pub(super) fn run(args: &Args) -> Result<Exit, Stop> {
    let routes = args.star.routes(args.dry_run)?;
    let party = args.star.party(&args.party, &routes)?;
    let (name, file) = (&party.name, routes.path.display().to_string());
    let Plan { change, notes } = party::reroute(&routes, name, &args.route)?;
    if args.dry_run {
        return Ok(would(name, change.as_ref(), &notes, args.format));
    }
    let prepared = change.map(party::Change::prepare).transpose()?;
    let backup = prepared.map(party::Prepared::commit).transpose()?.flatten();
    let path = routes.path.clone();
    drop(routes);
    let (mut text, route) = (String::new(), &args.route);
    let done = match &backup {
        Some(old) => format!(
            "{file} has {name} -> {route} now; before: {}",
            shown(old).display()
        ),
        None => format!("{file} has {name} -> {route} already"),
    };
    say(&mut text, "route", &done);
    notes.iter().for_each(|note| say(&mut text, "note", note));
    let words = Words::done(args.format, &text);
    let told = args.star.live(&Expected {
        name,
        target: Some(route),
        file: &path,
        before: None,
    })?;
    let body = json!({
        "party": party.id,
        "name": name,
        "route": route,
        "file": file,
        "changed": backup.is_some(),
        "backup": backup,
        "notes": notes,
        "hub": told.json,
    });
    let mut text = String::new();
    say(&mut text, "hub", &told.text);
    let again = match args.star.folder() {
        Ok(folder) => folder.map(|folder| party::again(&folder, name)),
        // What else was said then is not known.
        Err(_) => Some(" ...".to_owned()),
    };
    let again = again.unwrap_or_default();
    let next = format!(
        "standing tunnels stay where they are: `snihub drain --route {name}` moves them. `snihub party \
         add {name} --route {route}{again}` makes its bundle anew (with --parties and --ca as it was \
         made)"
    );
    say(&mut text, "next", &next);
    Ok(words.end(&text, body, told.exit))
}
