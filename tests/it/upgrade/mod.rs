//! Upgrades: another process becomes the hub, and nobody is refused or cut.

mod counts;
mod failures;
mod late;
mod load;
mod orders;
mod takeover;

use crate::admin::http::{unix, wait_for};
use crate::support::hub::{Hub, Options};
use crate::support::party::Party;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
}

fn run(hub: &Hub, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(arguments)
        .arg("--admin")
        .arg(socket(hub))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(err.is_empty() || output.status.code() != Some(0), "{err}");
    Said {
        code: output.status.code(),
        out: out + &err,
    }
}

fn ask(hub: &Hub, arguments: &[&str]) -> String {
    let said = run(hub, arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
    said.out
}

fn json(hub: &Hub, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&ask(hub, &arguments)).unwrap()
}

fn socket(hub: &Hub) -> PathBuf {
    hub.folder().join("admin.sock")
}

fn status(hub: &Hub) -> Value {
    json(hub, &["status"])
}

/// The process that is the hub.
fn pid(hub: &Hub) -> u64 {
    status(hub)["pid"].as_u64().unwrap()
}

fn tunnels(hub: &Hub) -> Vec<Value> {
    json(hub, &["tunnels"])["tunnels"]
        .as_array()
        .unwrap()
        .clone()
}

fn samples(hub: &Hub) -> BTreeMap<String, f64> {
    unix(&socket(hub), "GET", "/metrics").samples()
}

/// One that succeeds; what it came to.
fn upgrade(hub: &Hub) -> Value {
    let done = json(hub, &["upgrade"]);
    assert_eq!(done["new_pid"], pid(hub), "{done}");
    done
}

/// A hub with these names, that closes nothing after an upgrade for a long time.
fn start(names: &[&str], party: Party, settings: &str) -> Hub {
    let entries: String = names.iter().map(|name| party.entry(name)).collect();
    let settings = format!("upgrade_drain: 1d\n{settings}");
    let options = Options::routes(format!("sni:\n{entries}")).settings(settings);
    Hub::start(options.with_admin())
}

/// Whether the process runs: neither gone nor waiting to be looked at by its parent.
fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state == Some(false)
}

fn ends(pid: u64) {
    wait_for("the end of a process", || match runs(pid) {
        true => Err(format!("{pid} runs")),
        false => Ok(()),
    });
}

/// Waits for so many records of tunnels that ended for this reason; there are no more.
fn ended(hub: &Hub, why: &str, wanted: usize) {
    wait_for(why, || {
        let mut records = hub.records();
        records.retain(|record| record["ended"] == why);
        match records.len() {
            seen if seen < wanted => Err(format!("{seen} of {wanted}")),
            seen if seen > wanted => panic!("{seen} of {wanted}: {why}"),
            _ => Ok(()),
        }
    });
}
