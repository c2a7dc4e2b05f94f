//! `snihub routes`: what each route of the running hub carries.

use super::columns::{Columns, bytes};
use super::exit::Exit;
use super::hub::{Hub, number, printable, rows, text};
use crate::pki::Moment;
use serde_json::Value;

/// Lists the routes in force with their tunnels, bytes and refusals since the start.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// By the party that calls, too (empty: not known)
    #[arg(long)]
    links: bool,
    #[command(flatten)]
    hub: Hub,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    let show = |body: &Value| {
        if args.links {
            links(body)
        } else {
            routes(body)
        }
    };
    args.hub.show("/api/routes", &[], show)
}

const COUNTS: [&str; 6] = [
    ">open",
    ">opened",
    ">refused",
    ">failed",
    ">from clients",
    ">from upstreams",
];

/// The last one may be a long line.
const PROBED: [&str; 3] = [">ms", ">days left", "probe"];

fn counts(row: &Value) -> [String; 6] {
    let n = |key: &str| number(&row[key]);
    [
        n("tunnels_open").to_string(),
        n("tunnels_opened").to_string(),
        n("refused").to_string(),
        n("dial_errors").to_string(),
        bytes(n("client_to_upstream")),
        bytes(n("upstream_to_client")),
    ]
}

fn routes(body: &Value) -> String {
    let probed = rows(body, "routes")
        .iter()
        .any(|row| !row["probe"].is_null());
    let more = if probed { &PROBED[..] } else { &[] };
    let mut columns = Columns::new(&[&["route", ">line", "target"], &COUNTS[..], more].concat());
    for row in rows(body, "routes") {
        let line = row["line"]
            .as_u64()
            .map_or("-".to_owned(), |line| line.to_string());
        let mut cells = vec![text(&row["id"]), line, text(&row["target"])];
        cells.extend(counts(row));
        if probed {
            cells.extend(probe(&row["probe"]));
        }
        columns.row(cells);
    }
    columns.print()
}

/// What the latest probe found.
fn probe(probe: &Value) -> [String; 3] {
    if probe.is_null() {
        return ["-"; 3].map(str::to_owned);
    }
    let end = probe["certificate"]["not_after_unix_ms"].as_i64();
    let days = end.map(|ms| Moment(ms / 1_000).days_after(Moment::now()));
    let why = probe["why"]
        .as_str()
        .map(|why| format!(": {}", printable(why)));
    [
        format!("{:.1}", probe["took_ms"].as_f64().unwrap_or(0.0)),
        days.map_or("-".to_owned(), |days| days.to_string()),
        format!("{}{}", text(&probe["state"]), why.unwrap_or_default()),
    ]
}

fn links(body: &Value) -> String {
    let mut columns = Columns::new(&[&["from", "route"], &COUNTS[..]].concat());
    for row in rows(body, "links") {
        let mut cells = vec![text(&row["party"]), text(&row["route"])];
        cells.extend(counts(row));
        columns.row(cells);
    }
    columns.print()
}
