//! `snihub tunnels`: what stands right now.

use super::check::plural;
use super::columns::{Columns, bytes, time};
use super::exit::Exit;
use super::hub::{Hub, number, rows, text};
use serde_json::Value;

/// Lists the tunnels that stand: who, whereto, how much, how fast, how far.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Columns: up is from the client to the upstream, down the other way, each with
its bytes a second of late; rtt is the kernel's round-trip time to the client
and to the upstream in ms, resent the segments that were sent again to both;
state is empty, or stalled, half-open, draining: it stays with the process
before an upgrade, or with a hub that ends.")]
pub(super) struct Args {
    /// Only those of this route, by its id
    #[arg(long, value_name = "ID")]
    route: Option<String>,
    /// Only those to and from this party, by its route's id
    #[arg(long, value_name = "ID")]
    party: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    hub: Hub,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    let limit = args.limit.map(|limit| limit.to_string());
    let given = [
        ("route", args.route.as_deref()),
        ("party", args.party.as_deref()),
        ("limit", limit.as_deref()),
    ];
    let parameters: Vec<_> = given
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    args.hub.show("/api/tunnels", &parameters, show)
}

fn show(body: &Value) -> String {
    let mut columns = Columns::new(&[
        "id", "source", "party", "name", "upstream", ">age", ">idle", ">up", ">up/s", ">down",
        ">down/s", "relay", ">rtt", ">resent", "state",
    ]);
    let tunnels = rows(body, "tunnels");
    for row in tunnels {
        let n = |key: &str| number(&row[key]);
        let tcp = &row["tcp"];
        let rtt = |key: &str| number(&tcp[key]) as f64 / 1e3;
        let resent = number(&tcp["client_retransmits"]) + number(&tcp["upstream_retransmits"]);
        let states = [
            ("stalled", "stalled"),
            ("half_open", "half-open"),
            ("draining", "draining"),
        ];
        let states = states.iter().filter(|(key, _)| row[*key] == true);
        let state: Vec<_> = states.map(|(_, state)| *state).collect();
        columns.row(vec![
            text(&row["id"]),
            text(&row["source"]),
            text(&row["party"]),
            text(&row["name"]),
            text(&row["upstream"]),
            time(n("age_ms")),
            time(n("idle_ms")),
            bytes(n("client_to_upstream")),
            bytes(n("client_to_upstream_per_second")),
            bytes(n("upstream_to_client")),
            bytes(n("upstream_to_client_per_second")),
            text(&row["relay"]),
            format!("{:.1}/{:.1}", rtt("client_rtt_us"), rtt("upstream_rtt_us")),
            resent.to_string(),
            state.join(" "),
        ]);
    }
    let all = number(&body["all"]);
    match all as usize == tunnels.len() {
        true => format!("{}{}\n", columns.print(), plural(tunnels.len(), "tunnel")),
        false => format!("{}{} of {all} tunnels\n", columns.print(), tunnels.len()),
    }
}
