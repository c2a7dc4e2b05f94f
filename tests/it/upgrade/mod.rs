//! Upgrades: another process becomes the hub, and nobody is refused or cut.

mod counts;
mod failures;
mod late;
mod load;
mod orders;
mod takeover;

use crate::admin::http::{unix, wait_for};
use crate::support::hello::Hello;
use crate::support::hub::{Hub, Options, PATIENCE};
use crate::support::party::Party;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
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

/// A client in the middle of its hello.
struct Late {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Late {
    /// The hub has taken it in.
    fn begin(hub: &Hub, name: &str) -> Late {
        let before = status(hub)["accepted"].as_u64().unwrap();
        let hello = Hello::named(name).wire();
        let mut stream = TcpStream::connect(hub.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&hello[..50]).unwrap();
        wait_for("it is in", || match status(hub)["accepted"].as_u64() {
            Some(now) if now > before => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let rest = hello[50..].to_vec();
        Late { stream, rest }
    }

    /// Sends the rest; what comes first: the party's mark, or that of an alert.
    fn end(&mut self) -> u8 {
        let mut first = [0];
        self.stream.write_all(&self.rest).unwrap();
        self.stream.read_exact(&mut first).unwrap();
        first[0]
    }

    /// The same, and it is declined as one who asks for an unknown name.
    fn end_declined(mut self) {
        let mut all = vec![self.end()];
        self.stream.read_to_end(&mut all).unwrap();
        assert_eq!(all, [0x15, 3, 3, 0, 2, 2, 112]);
    }
}

fn signal(pid: u64, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
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
