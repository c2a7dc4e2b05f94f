//! What the hub's own probes of the upstreams find, where it is told, and that nobody is refused for
//! it.

mod bounds;
mod certificates;
mod settings;
mod states;

use crate::admin::http::{Answer, unix, wait_for};
use crate::support::hub::{Hub, Options};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;

/// Asked by TLS once a second, unless an entry says otherwise.
const TLS: &str = "probe: {kind: tls, interval: 1s}\n";

fn hub(routes: String, settings: &str) -> Hub {
    let settings = format!("ops_listen: 127.0.0.1:0\n{settings}");
    Hub::start(Options::routes(routes).settings(settings).with_admin())
}

/// A table of these names and destinations.
fn table(entries: &[(&str, SocketAddr)]) -> String {
    let entry = |(name, to): &(&str, SocketAddr)| format!("- fqdn: {name}\n  tunnel_route: {to}\n");
    format!("sni:\n{}", entries.iter().map(entry).collect::<String>())
}

fn get(hub: &Hub, path: &str) -> Answer {
    let answer = unix(&hub.folder().join("admin.sock"), "GET", path);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// What `/api/routes` has of a route's probe.
fn probe(hub: &Hub, id: &str) -> Value {
    let body = get(hub, "/api/routes").json();
    let mut rows = body["routes"].as_array().unwrap().iter();
    let row = rows.find(|row| row["id"] == id);
    row.map_or(Value::Null, |row| row["probe"].clone())
}

/// The same, when it is as wanted.
fn wait_probe(hub: &Hub, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_for(id, || {
        let probe = probe(hub, id);
        match wanted(&probe) {
            true => Ok(probe),
            false => Err(probe.to_string()),
        }
    })
}

fn failing(hub: &Hub, id: &str, why: &str) -> Value {
    let found = wait_probe(hub, id, |probe| probe["state"] == "failing");
    let said = found["why"].as_str().unwrap();
    assert!(said.contains(why), "{why:?} in {said:?}");
    found
}

fn up(hub: &Hub, id: &str) -> Value {
    wait_probe(hub, id, |probe| probe["state"] == "up")
}

/// What a command of an operator prints.
fn say(hub: &Hub, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(arguments)
        .arg("--admin")
        .arg(hub.folder().join("admin.sock"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of a text as one, without the gaps that wrap them.
fn in_one(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
