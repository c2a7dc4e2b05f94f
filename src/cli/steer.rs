//! `snihub reload`, `drain`, `kill`, `log-level`: what changes the running hub.

use super::check::plural;
use super::exit::Exit;
use super::hub::{Hub, number, printable, rows, text};
use crate::telemetry;
use serde_json::Value;
use std::fmt::Write;

/// Has the hub read its files again; the answer is the verdict.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An edit is noticed without it; this waits until it is in force, or says why it
is not. What of hub.yaml only a new process takes (`listen`, `workers`, the
doors, `access_log.to`) is told, and waits for `snihub upgrade`.
Exit codes: 0 the files are in force, but for what waits; 71 no hub runs; 77 not
permitted; 78 the files are wrong.")]
pub(super) struct ReloadArgs {
    /// Take a table that has lost most of its routes, this once
    #[arg(long)]
    allow_shrink: bool,
    #[command(flatten)]
    hub: Hub,
}

/// Ends the tunnels of a route or a party evenly over a time; new ones come as sni.yaml says.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct DrainArgs {
    /// Those of this route, by its id (`snihub routes`)
    #[arg(long, value_name = "ID", group = "what")]
    route: Option<String>,
    /// Those to and from this party, by its route's id
    #[arg(long, value_name = "ID", group = "what")]
    party: Option<String>,
    /// Over so many seconds [default: `drain` of hub.yaml]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    over: Option<u32>,
    #[command(flatten)]
    hub: Hub,
}

/// Ends one tunnel: both sides get RST.
#[derive(Debug, clap::Args)]
pub(super) struct KillArgs {
    /// The session's id, as `snihub tunnels` and the log print it
    id: String,
    #[command(flatten)]
    hub: Hub,
}

/// Shows or changes the least severe lines that are logged, until the hub ends.
#[derive(Debug, clap::Args)]
pub(super) struct LogLevelArgs {
    /// The new one
    #[arg(value_parser = ["error", "warn", "info", "debug"])]
    level: Option<String>,
    #[command(flatten)]
    hub: Hub,
}

/// Runs `reload`.
pub(super) fn reload(args: &ReloadArgs) -> Exit {
    let parameters: &[_] = if args.allow_shrink {
        &[("allow_shrink", "true")]
    } else {
        &[]
    };
    match args.hub.change("/api/reload", parameters) {
        Ok(reply) => {
            let exit = if reply.status == 200 {
                Exit::Ok
            } else {
                Exit::Config
            };
            args.hub.print(&reply.body, verdict, exit)
        }
        Err(exit) => exit,
    }
}

fn verdict(body: &Value) -> String {
    let mut out = String::new();
    let problems = || rows(body, "text").iter().zip(rows(body, "problems"));
    // Errors stand last on a screen; notes are about lines that were skipped.
    for severity in ["warning", "error"] {
        for (text, _) in problems().filter(|(_, problem)| problem["severity"] == severity) {
            for line in text.as_str().unwrap_or_default().lines() {
                // Writing to a String does not fail.
                let _ = writeln!(out, "{}", printable(line));
            }
        }
    }
    let waiting = rows(body, "waits_for_upgrade").len();
    let result = match body["result"].as_str() {
        Some("live") => "reloaded",
        Some("unchanged") if waiting > 0 => "nothing else changed",
        Some("unchanged") => "nothing changed",
        _ => "refused: the old configuration stays in force",
    };
    let waits = match waiting {
        // Files that are refused are put right first.
        _ if body["result"] == "refused" => String::new(),
        0 => String::new(),
        1 => "; 1 change waits for `snihub upgrade`".to_owned(),
        all => format!("; {all} changes wait for `snihub upgrade`"),
    };
    let (generation, routes) = (number(&body["generation"]), number(&body["routes"]));
    let routes = plural(routes as usize, "route");
    let _ = writeln!(out, "{result}; generation {generation}, {routes}{waits}");
    out
}

/// Runs `drain`.
pub(super) fn drain(args: &DrainArgs) -> Exit {
    let over = args
        .over
        .map(|seconds| (u64::from(seconds) * 1000).to_string());
    let given = [
        ("route", args.route.as_deref()),
        ("party", args.party.as_deref()),
        ("over_ms", over.as_deref()),
    ];
    let parameters: Vec<_> = given
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    let show = |body: &Value| {
        let (tunnels, ms) = (number(&body["tunnels"]), number(&body["over_ms"]));
        let tunnels = plural(tunnels as usize, "tunnel");
        format!("to be ended over {} s: {tunnels}\n", ms as f64 / 1e3)
    };
    changed(&args.hub, "/api/drain", &parameters, show)
}

/// Runs `kill`.
pub(super) fn kill(args: &KillArgs) -> Exit {
    if telemetry::session_id(&args.id).is_none() {
        super::exit::complain("snihub: this is no id of a tunnel: `snihub tunnels` prints them\n");
        return Exit::Usage;
    }
    let path = format!("/api/tunnels/{}/end", args.id);
    changed(&args.hub, &path, &[], |body| {
        format!("{} is ended\n", text(&body["ended"]))
    })
}

/// Runs `log-level`.
pub(super) fn log_level(args: &LogLevelArgs) -> Exit {
    let show = |body: &Value| format!("{}\n", text(&body["level"]).to_lowercase());
    match &args.level {
        None => args.hub.show("/api/log-level", &[], show),
        Some(level) => changed(&args.hub, "/api/log-level", &[("level", level)], show),
    }
}

fn changed(
    hub: &Hub,
    path: &str,
    parameters: &[(&str, &str)],
    text: impl FnOnce(&Value) -> String,
) -> Exit {
    match hub.change(path, parameters) {
        Ok(reply) => hub.print(&reply.body, text, Exit::Ok),
        Err(exit) => exit,
    }
}
