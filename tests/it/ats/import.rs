//! `snihub import`: what it writes passes `check`, and routes as ATS's folder does.

use super::rig::{lay, records, said, servername, snihub};
use crate::support::dir::TempDir;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const SNI: &str = "\
# ours
sni:
  - fqdn: 9999.fate.org
    tunnel_route: 192.168.0.1:6651
    verify_client: NONE
  - fqdn: '*.pulsar.org'
    tunnel_route: pulsar-$1.svc:6651
    ip_allow: '@lists/allowed'
  - fqdn: '*.ports.org'
    tunnel_route: h.ports.org:$1
  - fqdn: low.org
    tunnel_route: h:80
  - fqdn: here.org
    tunnel_route: h
";

/// As `explain --format json` tells it, without the file and line.
fn explained(words: &[&str], name: &[&str]) -> (Option<i32>, Value) {
    let output = snihub(&[&["explain", "--format", "json"], name, words].concat());
    let mut answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{words:?}: {}", String::from_utf8_lossy(&output.stderr)));
    for key in ["file", "line"] {
        if let Some(entry) = answer["entry"].as_object_mut() {
            entry.remove(key);
        }
    }
    (output.status.code(), answer)
}

#[test]
fn both_route_alike() {
    let dir = TempDir::new();
    let ats = dir.path().join("etc");
    let more = servername("sni/sni.yaml")
        + "CONFIG proxy.config.http.proxy_protocol_allowlist STRING 10.0.0.0/8,192.168.0.9\n";
    let records = records(8443, &more)
        .replace("443 1024-65535", "443 6650-6700")
        .replace("ip-in=127.0.0.1", "ip-in=127.0.0.1 9443:ssl:pp");
    lay(
        &ats,
        &[
            ("records.config", &records),
            ("sni/sni.yaml", SNI),
            ("sni/lists/allowed", "10.0.0.0/8\n"),
        ],
    );
    let (ats, out) = (ats.display().to_string(), dir.path().join("new"));
    let out_text = out.display().to_string();
    let output = snihub(&["import", "--ats", &ats, "--out", &out_text]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        said(&output).starts_with("3 files in "),
        "{}",
        said(&output)
    );
    assert!(
        stderr.contains("each connection has to begin with a PROXY header"),
        "{stderr}"
    );

    // ATS's folder is needed no more.
    let hub = out.join("hub.yaml").display().to_string();
    let moved = dir.path().join("moved");
    let before: Vec<_> = names()
        .map(|name| explained(&["--ats", &ats], &name))
        .collect();
    fs::rename(&ats, &moved).unwrap();
    let check = snihub(&["check", "--config", &hub]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    assert!(
        said(&check).contains("5 routes, 0 errors"),
        "{}",
        said(&check)
    );
    let mut codes = Vec::new();
    for (name, before) in names().zip(before) {
        let after = explained(&["--config", &hub], &name);
        assert_eq!(before, after, "{name:?}");
        codes.push(after.0);
    }
    assert!(
        codes.contains(&Some(0)) && codes.contains(&Some(1)),
        "{codes:?}"
    );

    let written = fs::read_to_string(&hub).unwrap();
    for part in [
        "- \"127.0.0.1:8443\"\n",
        "- {address: \"0.0.0.0:9443\", proxy_protocol: required, trusted: [\"10.0.0.0/8\", \"192.168.0.9/32\"]}\n",
        "connect_ports: \"443,6650-6700\"\n",
        "records.config:7:1: note: skipped, as ATS does",
    ] {
        assert!(written.contains(part), "{part:?} is not in\n{written}");
    }
    assert!(
        fs::read_to_string(out.join("sni.yaml"))
            .unwrap()
            .ends_with(SNI)
    );
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let dir = TempDir::new();
    let ats = dir.path().join("etc");
    let note = "CONFIG proxy.config.exec_thread.autoconfig.enabled INT 1\n".repeat(40);
    let records = records(8443, &(servername("sni.yaml") + &note));
    lay(
        &ats,
        &[("records.config", &records), ("sni.yaml", "sni: []\n")],
    );
    let out = dir.path().join("new");
    // dash(1): ulimit -f counts blocks of 512 bytes. sni.yaml fits, hub.yaml does not.
    let run = "trap '' XFSZ; ulimit -f 2; exec \"$@\"";
    let import = |prefix: &[&str]| {
        let mut words = prefix.to_vec();
        let program = env!("CARGO_BIN_EXE_snihub");
        let (ats, out) = (ats.to_str().unwrap(), out.to_str().unwrap());
        words.extend([program, "import", "--ats", ats, "--out", out]);
        Command::new(words[0]).args(&words[1..]).output().unwrap()
    };
    let output = import(&["sh", "-c", run, "sh"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(71), "{stderr}");
    assert!(
        stderr.contains("snihub: cannot write ") && stderr.contains("hub.yaml: "),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    let output = import(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// Names that meet each entry, and none; with and without where they come from.
fn names() -> impl Iterator<Item = Vec<&'static str>> {
    [
        &["9999.fate.org"][..],
        &["a.pulsar.org"],
        &["a.pulsar.org", "--from", "10.1.1.1"],
        &["a.pulsar.org", "--from", "11.1.1.1"],
        &["6660.ports.org"],
        &["7000.ports.org"],
        &["low.org"],
        &["here.org"],
        &["here.org", "--port", "6651"],
        &["nobody.org"],
        &["--no-sni"],
    ]
    .into_iter()
    .map(<[_]>::to_vec)
}

#[test]
fn nothing_is_overwritten_without_a_word() {
    let dir = TempDir::new();
    let folder = |name: &str| dir.path().join(name).display().to_string();
    let (ats, out) = (folder("etc"), folder("out"));
    lay(Path::new(&ats), &[("records.config", &records(443, ""))]);
    lay(Path::new(&out), &[("sni.yaml", "mine\n")]);
    let import = |words: &[&str]| snihub(&[&["import", "--ats", &ats], words].concat());
    let output = import(&["--out", &out]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("out/sni.yaml is there already; nothing was written"),
        "{stderr}"
    );
    assert!(!Path::new(&out).join("hub.yaml").exists());
    // There is no routes file yet: a table without routes.
    assert_eq!(import(&["--out", &out, "--force"]).status.code(), Some(0));
    let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
    assert_eq!(read("sni.yaml.bak"), "mine\n");
    assert!(read("sni.yaml").ends_with("sni:\n"));
    let hub = format!("{out}/hub.yaml");
    assert_eq!(snihub(&["check", "--config", &hub]).status.code(), Some(0));

    let printed = said(&import(&[]));
    assert!(
        printed.contains("# ==> hub.yaml <==") && printed.contains("connect_ports: "),
        "{printed}"
    );
}

#[test]
fn what_is_wrong_is_told_and_not_written() {
    let dir = TempDir::new();
    let folder = |name: &str| dir.path().join(name).display().to_string();
    let (ats, out) = (folder("etc"), folder("out"));
    let import = || {
        let output = snihub(&["import", "--ats", &ats, "--out", &out]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(!Path::new(&out).exists());
        stderr
    };
    lay(
        Path::new(&ats),
        &[
            ("records.config", &records(443, "")),
            ("sni.yaml", "sni: [{fqdn: a, tunnel_route: h:70000}]\n"),
        ],
    );
    assert!(import().contains(": tunnel_route: port \"70000\""));
    lay(dir.path(), &[("allowed", "10.0.0.0/8\n")]);
    let out_of_it = "sni: [{fqdn: a, tunnel_route: h:6651, ip_allow: '@../allowed'}]\n";
    lay(Path::new(&ats), &[("sni.yaml", out_of_it)]);
    assert!(import().contains("\"@../allowed\" leads out of its folder"));
}
