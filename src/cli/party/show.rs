//! `snihub party show`.

use super::list::{counts, days_left, describe};
use super::{Bundles, Star, Stop, no_entry, say};
use crate::cli::Format;
use crate::cli::check::plural;
use crate::cli::columns::bytes;
use crate::cli::exit::{Exit, answer, document};
use crate::cli::hub::{number, rows};
use crate::cli::pki::receipt::shown;
use crate::party::{Party, Routes};
use crate::pki::{Folder, Standing, days_of};
use serde_json::{Value, json};
use std::path::Path;

/// Shows one party: its entry, its certificates, its bundle, and who calls whom.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The party's number, or its full name
    #[arg(value_name = "PARTY")]
    party: String,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    bundles: Bundles,
    #[command(flatten)]
    star: Star,
}

pub(super) fn run(args: &Args) -> Result<Exit, Stop> {
    let routes = Routes::read(&args.star.sources())?;
    let party = args.star.party(&args.party, &routes)?;
    let (name, file) = (&party.name, routes.path.display());
    let Some(row) = routes.find(name) else {
        return Err(no_entry(name, &routes).into());
    };
    let (folder, unknown) = args.star.known();
    let (counted, why) = counts(&args.star)?;
    let days = folder.as_ref().map(days_left).unwrap_or_default();
    let mut body = describe(&row, &days, counted.as_ref());
    let bundle = args.bundles.of(&party, folder.as_ref());
    body["party"] = json!(party.id);
    body["file"] = json!(routes.path);
    for key in ["ip_allow", "sources"] {
        body[key] = json!(routes.value(row.at, key));
    }
    body["certificates"] = folder
        .as_ref()
        .map_or(Value::Null, |folder| certificates(folder, name));
    body["bundle"] = json!(bundle.is_dir().then_some(&bundle));
    body["authority"] = json!(unknown);
    body["links"] = counted
        .as_ref()
        .map_or(Value::Null, |counted| links(counted, name));
    body["hub"] = json!(why);
    if args.format == Format::Json {
        return Ok(document(body, Exit::Ok));
    }
    let mut text = String::new();
    let target = body["route"].as_str().unwrap_or("nowhere: it is refused");
    say(
        &mut text,
        "route",
        &format!("{file}:{}: {name} -> {target}", row.line),
    );
    for (word, key) in [("allowed", "ip_allow"), ("sources", "sources")] {
        if let Some(value) = body[key].as_str() {
            say(&mut text, word, value);
        }
    }
    for one in rows(&body, "certificates") {
        let (layout, serial) = (one["layout"].as_str(), one["serial"].as_str());
        let (layout, serial) = (layout.unwrap_or("-"), serial.unwrap_or("-"));
        let left = match (one["standing"].as_str(), one["days_left"].as_i64()) {
            (Some("revoked"), _) => "REVOKED".to_owned(),
            (Some("half"), _) => "its other half is REVOKED".to_owned(),
            (_, Some(days @ ..0)) => format!("over since {} or less", days_of(-days)),
            (_, days) => format!("{} left", days_of(days.unwrap_or(0))),
        };
        let what = format!("{layout}, {left}, serial {serial}");
        say(&mut text, "cert", &what);
    }
    if let Some(unknown) = unknown {
        say(&mut text, "cert", &format!("not known: {unknown}"));
    }
    say(
        &mut text,
        "bundle",
        &where_it_is(args, &bundle, &party, folder.is_some()),
    );
    match why {
        Some(why) => say(&mut text, "hub", &format!("no counts: {why}")),
        None => {
            let open = plural(number(&body["tunnels_open"]) as usize, "tunnel");
            say(&mut text, "hub", &format!("{open} open"));
        }
    }
    if let Some(state) = body["probe"]["state"].as_str() {
        say(&mut text, "probe", state);
    }
    for trouble in rows(&body["probe"], "troubles") {
        say(&mut text, "", trouble.as_str().unwrap_or_default());
    }
    for link in rows(&body, "links") {
        let (from, to) = (link["party"].as_str(), link["route"].as_str());
        let (from, to) = (from.unwrap_or("other"), to.unwrap_or("-"));
        let n = |key: &str| number(&link[key]);
        let what = format!(
            "{from} -> {to}: {} open, {} there, {} back",
            n("tunnels_open"),
            bytes(n("client_to_upstream")),
            bytes(n("upstream_to_client"))
        );
        say(&mut text, "link", &what);
    }
    Ok(answer(&text, Exit::Ok))
}

/// Without its authority a bundle may be called by the number alone, or be that of another domain.
fn where_it_is(args: &Args, bundle: &Path, party: &Party, known: bool) -> String {
    let place = shown(bundle).display();
    let numbered = args.bundles.parties.join(&party.id);
    match (bundle.is_dir(), !known && numbered.is_dir()) {
        (true, _) => place.to_string(),
        (false, false) => format!("{place} is not there"),
        (false, true) => format!(
            "{}, if {} is its authority's domain",
            shown(&numbered).display(),
            party.domain
        ),
    }
}

fn certificates(folder: &Folder, name: &str) -> Value {
    let entries = folder.listing().entries.into_iter();
    let own = entries.filter(|entry| {
        let shown = match entry.standing {
            Standing::Valid | Standing::Due | Standing::AuthorityDue | Standing::Half => true,
            Standing::Ended | Standing::Revoked => !entry.newer,
            Standing::Renewed | Standing::Lost => false,
        };
        shown && entry.issue.primary == name
    });
    let one = |entry: crate::pki::Entry<'_>| {
        let certified = &entry.issue.certificates[entry.at];
        json!({
            "layout": entry.issue.layout.spec().name,
            "role": certified.role,
            "serial": certified.serial.to_string(),
            "names": certified.names,
            "not_after": certified.not_after,
            "days_left": entry.days_left,
            "standing": entry.standing,
            "by_request": entry.issue.by_request,
        })
    };
    own.map(one).collect()
}

/// Who calls it, and whom it calls.
fn links(counted: &Value, name: &str) -> Value {
    let own = |link: &&Value| link["party"] == name || link["route"] == name;
    rows(counted, "links").iter().filter(own).cloned().collect()
}
