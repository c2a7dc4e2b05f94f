//! `snihub refusals`: who got no tunnel of late, and why.

use super::columns::{Columns, time};
use super::exit::Exit;
use super::hub::{Hub, number, rows, text};
use super::status::ago;
use serde_json::Value;

/// Lists the latest clients that got no tunnel, the latest last; the log has all of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// At most so many
    #[arg(long, value_name = "N", default_value = "40")]
    limit: usize,
    #[command(flatten)]
    hub: Hub,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    let limit = args.limit.to_string();
    args.hub.show("/api/refusals", &[("limit", &limit)], show)
}

fn show(body: &Value) -> String {
    let refusals = rows(body, "refusals");
    if refusals.is_empty() {
        return "nobody was refused of late\n".to_owned();
    }
    let mut columns = Columns::new(&[
        ">ago", "session", "source", "party", "name", "reason", "why",
    ]);
    for row in refusals.iter().rev() {
        columns.row(vec![
            time(ago(number(&row["at_unix_ms"]))),
            text(&row["session"]),
            text(&row["source"]),
            text(&row["party"]),
            text(&row["name"]),
            text(&row["reason"]),
            text(&row["why"]),
        ]);
    }
    columns.print()
}
