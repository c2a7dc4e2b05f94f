//! `snihub upgrade`: another process becomes the hub, and nobody is cut off.

use super::check::plural;
use super::columns::time;
use super::exit::{Exit, complain};
use super::hub::{Hub, number, printable, rows, text};
use crate::pki::Moment;
use crate::takeover;
use serde_json::Value;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;

/// Has the hub start its successor and hand over to it: a new binary, or settings that only a new
/// process takes. Nobody is refused, and no tunnel is cut at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Comes back when the new process accepts. It listens on the same sockets, with
the same arguments and the files as they are; the old one keeps the tunnels that
stand, and closes them evenly over `upgrade_drain` (hub.yaml, 10m). `snihub
tunnels` shows them as draining, `kill` and `drain` reach them. A successor that
does not come up changes nothing, and its words are shown.
Exit codes: 0 upgraded; 1 not, nothing has changed; 69 no hub runs there that
could be upgraded, and a restart would do; 71 it has not answered; 77 not
permitted; 78 as 1, the files are wrong.")]
pub(super) struct Args {
    /// The program to start [default: the path that the running hub was started from]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Have the new process take a table that has lost most of its routes, this once
    #[arg(long)]
    allow_shrink: bool,
    /// Give up if it does not accept after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=30))]
    within: u32,
    #[command(flatten)]
    hub: Hub,
}

/// What a hub has run for it: starts PROGRAM with its own stdin, a connection to the hub.
#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs `upgrade`.
pub(super) fn run(args: &Args) -> Exit {
    let binary = match args.binary.as_ref().map(std::path::absolute).transpose() {
        Ok(binary) => binary,
        Err(error) => return super::exit::system("--binary", &error),
    };
    let binary = binary
        .map(PathBuf::into_os_string)
        .map(OsString::into_string);
    let binary = match binary.transpose() {
        Ok(binary) => binary,
        Err(_) => {
            complain("snihub: --binary: the path is not UTF-8\n");
            return Exit::Usage;
        }
    };
    let within = (u64::from(args.within) * 1000).to_string();
    let mut parameters = vec![("within_ms", within.as_str())];
    if args.allow_shrink {
        parameters.push(("allow_shrink", "true"));
    }
    parameters.extend(binary.as_deref().map(|path| ("binary", path)));
    match args.hub.change_or_restart("/api/upgrade", &parameters) {
        Ok(reply) if reply.status == 200 => args.hub.print(&reply.body, done, Exit::Ok),
        Ok(reply) => {
            let exit = match reply.body["exit"].as_u64() {
                Some(78) => Exit::Config,
                Some(code) if code == u64::from(takeover::NEEDS_RESTART) => Exit::Restart,
                _ => Exit::No,
            };
            args.hub.print(&reply.body, not_done, exit)
        }
        Err(exit) => exit,
    }
}

fn done(body: &Value) -> String {
    let n = |key: &str| number(&body[key]);
    let (old, new, version) = (n("old_pid"), n("new_pid"), text(&body["version"]));
    let upgraded = format!("upgraded: process {new} ({version}) is the hub, in the place of {old}");
    let tunnels = plural(n("tunnels") as usize, "tunnel");
    match n("tunnels") {
        0 => format!("{upgraded}; no tunnel stands there\n"),
        _ => {
            let until = Moment((n("until_unix_ms") / 1000) as i64);
            let over = time(n("over_ms"));
            format!("{upgraded}\n{tunnels} left there, closed evenly over {over}, until {until}\n")
        }
    }
}

fn not_done(body: &Value) -> String {
    let unchanged = match body["outage"].as_bool() {
        Some(true) => "",
        _ => ", nothing has changed",
    };
    let mut out = format!("not upgraded{unchanged}: {}\n", text(&body["error"]));
    for line in rows(body, "said") {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  {}", printable(line.as_str().unwrap_or_default()));
    }
    out
}

/// Runs the intermediate's command.
pub(super) fn start_successor(args: &StartArgs) -> Exit {
    match takeover::start_successor(&args.program, &args.arguments) {
        Ok(()) => Exit::Ok,
        Err(error) => super::exit::system("the hub cannot be told", &error),
    }
}
