//! `snihub party list`.

use super::{Star, Stop, not_there};
use crate::admin::client::ClientError;
use crate::cli::Format;
use crate::cli::columns::{Columns, bytes};
use crate::cli::doctor;
use crate::cli::exit::{self, Exit, answer, document};
use crate::cli::hub::{number, printable, rows};
use crate::party::{self, Routes, Row};
use crate::pki::{Folder, Standing};
use crate::route::TargetTemplate;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;

/// Lists the parties of sni.yaml: routes, certificate days, and what the hub carries.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Bytes are counted from the hub's start on, and its successor after an upgrade
counts on: a tunnel lives for months, and the hub keeps no days. What went in
one of them Prometheus knows:
  increase(snihub_route_bytes_total[1d])")]
pub(super) struct Args {
    /// Ask each party directly how it does, 64 at a time: of those that do not answer each takes some
    /// 6 s. `snihub doctor` says more
    #[arg(long)]
    probe: bool,
    /// How to write the answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    star: Star,
}

pub(super) fn run(args: &Args) -> Result<Exit, Stop> {
    let routes = Routes::read(&args.star.sources())?;
    let (folder, no_days) = args.star.known();
    let (counts, why) = counts(&args.star)?;
    let days = folder.as_ref().map(days_left).unwrap_or_default();
    let mut parties: Vec<Value> = routes
        .rows()
        .map(|row| describe(&row, &days, counts.as_ref()))
        .collect();
    if args.probe {
        let health = match doctor::health(&routes, folder.as_ref()) {
            Ok(health) => health,
            Err(error) => return Ok(exit::system("cannot ask", &error)),
        };
        for party in &mut parties {
            let mut own = health.iter();
            let own = own.find(|(name, _)| party["name"] == name.as_str());
            party["health"] = json!(own.map(|(_, finding)| finding));
        }
    }
    if args.format == Format::Json {
        let body = json!({
            "file": routes.path,
            "hub": why,
            "authority": no_days,
            "parties": parties,
        });
        return Ok(document(body, Exit::Ok));
    }
    let mut headings = vec![
        "party",
        ">line",
        "route",
        ">days left",
        ">open",
        ">bytes to it",
        ">bytes from it",
    ];
    let asked = parties.iter().any(|party| !party["probe"].is_null());
    if asked {
        headings.push("hub's probe");
    }
    if args.probe {
        headings.push("health");
    }
    let mut columns = Columns::new(&headings);
    for party in &parties {
        let count = |key: &str, show: fn(u64) -> String| match counts {
            Some(_) => show(number(&party[key])),
            None => "-".to_owned(),
        };
        let mut cells = vec![
            printable(party["name"].as_str().unwrap_or("-")),
            party["line"].to_string(),
            printable(party["route"].as_str().unwrap_or("-")),
            party["days_left"]
                .as_i64()
                .map_or("-".to_owned(), |days| days.to_string()),
            count("tunnels_open", |n| n.to_string()),
            count("client_to_upstream", bytes),
            count("upstream_to_client", bytes),
        ];
        if asked {
            cells.push(printable(party["probe"]["state"].as_str().unwrap_or("-")));
        }
        if args.probe {
            cells.push(health(&party["health"]));
        }
        columns.row(cells);
    }
    let mut text = columns.print();
    if !routes.is_there() {
        text += &format!("{}\n", printable(&not_there(&routes)));
    }
    text += &match why {
        Some(why) => format!("no counts: {}\n", printable(&why)),
        None => "bytes: since the hub's start, upgrades included\n".to_owned(),
    };
    if let Some(why) = no_days {
        let _ = writeln!(text, "no days: {}", printable(&why));
    }
    Ok(answer(&text, Exit::Ok))
}

/// `ok`, or which of the doctor's checks it fails.
fn health(finding: &Value) -> String {
    let word = |key: &str| finding[key].as_str().unwrap_or("-");
    match word("severity") {
        "ok" | "note" => "ok".to_owned(),
        _ => printable(word("check")),
    }
}

/// The hub's counts by route, or why there are none.
pub(super) fn counts(star: &Star) -> Result<(Option<Value>, Option<String>), Stop> {
    let Some(socket) = star.socket()? else {
        return Ok((None, Some("hub.yaml says `admin: off`".to_owned())));
    };
    Ok(match party::counts(&socket) {
        Ok(body) => (Some(body), None),
        Err(ClientError::NotRunning(_)) => (
            None,
            Some(format!("no hub runs behind {}", socket.display())),
        ),
        Err(error) => (None, Some(error.to_string())),
    })
}

/// One party, in numbers; bytes and tunnels are those since the hub's start.
pub(super) fn describe(row: &Row<'_>, days: &Days, counts: Option<&Value>) -> Value {
    let name = row.route.pattern().as_str();
    let sum = counts.and_then(|body| {
        let mut own = rows(body, "routes").iter();
        own.find(|count| count["id"] == *row.route.id)
    });
    let count = |key: &str| sum.map(|sum| number(&sum[key]));
    json!({
        "name": name,
        "line": row.line,
        "route": row.route.target().map(TargetTemplate::as_str),
        "days_left": days.get(&name.to_ascii_lowercase()),
        "tunnels_open": count("tunnels_open"),
        "tunnels_opened": count("tunnels_opened"),
        "refused": count("refused"),
        "dial_errors": count("dial_errors"),
        "client_to_upstream": count("client_to_upstream"),
        "upstream_to_client": count("upstream_to_client"),
        "probe": sum.map_or(&Value::Null, |sum| &sum["probe"]),
    })
}

/// Days by name, of the certificate that ends first; negative when it is over.
pub(super) type Days = HashMap<String, i64>;

/// Of every name of an authority.
pub(super) fn days_left(folder: &Folder) -> Days {
    let mut days = Days::new();
    for entry in folder.listing().entries {
        if entry.standing.stands() || entry.standing == Standing::Ended {
            let name = entry.issue.primary.to_ascii_lowercase();
            let least = days.entry(name).or_insert(entry.days_left);
            *least = entry.days_left.min(*least);
        }
    }
    days
}
