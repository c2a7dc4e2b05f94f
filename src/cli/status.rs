//! `snihub status`: the running hub at a glance.

use super::check::plural;
use super::columns::{bytes, time, wrap};
use super::exit::Exit;
use super::hub::{Hub, number, rows, text};
use crate::pki::Moment;
use serde_json::Value;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Of lines that are longer than what stands before them leaves room for.
const WIDTH: usize = 100;

/// Shows whether the hub is well, what it carries and what became of the last reload.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 ready; 1 it runs but takes no new clients; 71 no hub runs; 77
not permitted.")]
pub(super) struct Args {
    /// Exit 0 as long as it runs, ready or not: for a container's health check
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    hub: Hub,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Exit {
    match args.hub.read("/api/status", &[]) {
        Ok(body) => {
            let ready = body["ready"].as_bool() == Some(true);
            let exit = match ready || args.live {
                true => Exit::Ok,
                false => Exit::No,
            };
            args.hub.print(&body, show, exit)
        }
        Err(exit) => exit,
    }
}

fn show(body: &Value) -> String {
    let state = match &body["not_ready"] {
        Value::Null => "ready".to_owned(),
        why => format!("NOT READY: {}", text(why)),
    };
    let listen: Vec<String> = rows(body, "listen").iter().map(text).collect();
    let relay = match &body["relay_why"] {
        Value::Null => text(&body["relay"]),
        why => format!("{}: {}", text(&body["relay"]), text(why)),
    };
    let n = |key: &str| number(&body[key]);
    let old = old(body);
    let part = if old.is_empty() { "" } else { ", in part old" };
    let lines = [
        ("state", state),
        (
            "version",
            format!(
                "{}, pid {}, up {}",
                text(&body["version"]),
                n("pid"),
                time(n("uptime_s") * 1000)
            ),
        ),
        ("listening", listen.join(", ")),
        (
            "workers",
            format!(
                "{}, relay {relay}, log level {}",
                n("workers"),
                text(&body["log_level"]).to_lowercase()
            ),
        ),
        (
            "routes",
            format!("{}, generation {}", n("routes"), n("generation")),
        ),
        ("last reload", reload(&body["last_reload"])),
        (
            "tunnels",
            format!(
                "{} open, {} opened{old}",
                n("tunnels_open"),
                n("tunnels_opened")
            ),
        ),
        (
            "bytes",
            format!(
                "{} from clients, {} from upstreams{part}",
                bytes(n("client_to_upstream")),
                bytes(n("upstream_to_client"))
            ),
        ),
        (
            "clients",
            format!(
                "{} accepted, {} refused, {} left early{part}",
                n("accepted"),
                n("refused"),
                n("left")
            ),
        ),
        ("dial errors", format!("{}{part}", n("dial_errors"))),
    ];
    let mut out = String::new();
    for (name, value) in lines {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{name:<12} {value}");
    }
    for problem in rows(&body["last_reload"], "problems") {
        let _ = writeln!(out, "{:<12} {}", "", text(problem));
    }
    for (n, wait) in rows(body, "waits_for_upgrade").iter().enumerate() {
        let name = if n == 0 { "not in force" } else { "" };
        let _ = writeln!(out, "{name:<12} {}", text(wait));
    }
    out.push_str(&upstreams(&body["upstreams"]));
    for one in rows(body, "predecessors") {
        let (pid, tunnels) = (number(&one["pid"]), number(&one["tunnels_open"]));
        let tunnels = plural(tunnels as usize, "tunnel");
        let said = match silent(one) {
            true => " as it said last (it does not answer)",
            false => "",
        };
        let until = Moment((number(&one["until_unix_ms"]) / 1000) as i64);
        let _ = writeln!(
            out,
            "{:<12} pid {pid}, {tunnels} of these{said}, to be closed by {until}",
            "draining"
        );
    }
    out
}

/// A process before the hub whose part of the counts is as it said last.
fn silent(one: &Value) -> bool {
    one["answers"] == false
}

/// What is said beside a number that such processes have a part in.
fn old(body: &Value) -> String {
    let silent = rows(body, "predecessors").iter().filter(|one| silent(one));
    let pids: Vec<String> = silent.map(|one| number(&one["pid"]).to_string()).collect();
    match pids.is_empty() {
        true => String::new(),
        false => format!(", in part old: pid {} does not answer", pids.join(", ")),
    }
}

/// How those do that are asked, and what somebody has to look at.
fn upstreams(body: &Value) -> String {
    if body.is_null() {
        return String::new();
    }
    let n = |key: &str| number(&body[key]);
    let (up, failing) = (n("up"), n("failing"));
    let new = match n("asked").saturating_sub(up + failing) {
        0 => String::new(),
        new => format!(", {new} not asked yet"),
    };
    let mut out = format!("{:<12} {up} up, {failing} failing{new}\n", "upstreams");
    for trouble in rows(body, "troubles") {
        let head = format!("{:<12} ", "");
        wrap(&mut out, &head, head.len(), WIDTH, &text(&trouble["text"]));
    }
    let more = n("more_troubles");
    if more > 0 {
        // Writing to a String does not fail.
        let _ = writeln!(out, "{:<12} and {more} more: `snihub routes`", "");
    }
    out
}

fn reload(last: &Value) -> String {
    let result = match &last["result"] {
        Value::Null => return "none since the start".to_owned(),
        result if result == "refused" => "REFUSED, the older configuration is in force".to_owned(),
        result => text(result),
    };
    format!("{result}, {} ago", time(ago(number(&last["at_unix_ms"]))))
}

/// How long ago a moment is, in ms.
pub(super) fn ago(unix_ms: u64) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.as_millis() as u64).saturating_sub(unix_ms)
}
