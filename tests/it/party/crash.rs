//! A command that is killed at any moment leaves an authority and a sni.yaml that the same command
//! completes.

use super::rig::Star;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

const OLD: &str = "# the star\r\nsni:\r\n- fqdn: a.org\r\n  tunnel_route: b:1\r\n# the end";
const NEW: &str = "# the star\r\nsni:\r\n- fqdn: a.org\r\n  tunnel_route: b:1\r\n\
                   - fqdn: 9998.fate.org\r\n  tunnel_route: 192.168.0.4:6651\r\n# the end";
/// P-256: always the same time.
const ADD: [&str; 6] = [
    "add",
    "9998",
    "--route",
    "192.168.0.4:6651",
    "--layout",
    "eggroll",
];
const REMOVE: [&str; 2] = ["remove", "9998"];

fn kill_after(star: &Star, arguments: &[&str], time: Duration) {
    let mut command = star.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(time);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whole before, whole after, and nothing left beside.
fn completes(star: &Star) {
    let table = star.table();
    assert!(table == OLD || table == NEW, "half a file: {table:?}");
    star.ok(&ADD);
    assert_eq!(star.table(), NEW);
    assert_eq!(star.ca.read("sni.yaml.bak"), OLD);
    let tree = star.tree();
    let beside: Vec<_> = tree
        .keys()
        .filter(|name| name.contains("snihub-new"))
        .collect();
    assert_eq!(beside, [""; 0]);
    for file in [
        "certs/server.key",
        "certs/client.crt",
        "route_table.json",
        "secret.yaml",
        "README.md",
    ] {
        assert!(tree.contains_key(&format!("parties/9998/{file}")), "{file}");
    }
    let serials = star.ca.serials();
    let different: BTreeSet<_> = serials.iter().collect();
    assert_eq!(different.len(), serials.len());
    let list = star.ca.list();
    let valid = list["certificates"].as_array().unwrap().iter();
    let valid = valid.filter(|one| one["standing"] == "valid").count();
    assert_eq!(valid, 2, "{list}");
}

#[test]
fn killed_at_any_moment_of_add() {
    let measured = Star::with(OLD);
    let began = Instant::now();
    measured.ok(&ADD);
    let mut whole = began.elapsed();
    let (mut before, mut between, mut after) = (0, 0, 0);
    // A machine that is busy by now takes longer than what was measured.
    for _ in 0..4 {
        for step in 0..30 {
            let star = Star::with(OLD);
            kill_after(&star, &ADD, whole * step / 25);
            match (star.ca.serials().is_empty(), star.table() == OLD) {
                (true, _) => before += 1,
                (false, true) => between += 1,
                (false, false) => after += 1,
            }
            completes(&star);
        }
        if before > 0 && between > 0 && after > 0 {
            return;
        }
        whole = whole * 3 / 2;
    }
    panic!("not every stage was met: {before} before, {between} between, {after} after, {whole:?}");
}

/// The steps one by one, whatever the clock says: certificate, bundle, route.
#[test]
fn what_is_there_is_kept_and_what_is_missing_is_made() {
    let done = Star::with(OLD);
    done.ok(&ADD);
    let whole = done.tree();
    for missing in [
        &["sni.yaml"][..],
        &["sni.yaml", "parties/9998/README.md"],
        &[
            "sni.yaml",
            "parties/9998/README.md",
            "parties/9998/secret.yaml",
            "parties/9998/route_table.json",
        ],
    ] {
        for file in missing {
            match *file {
                "sni.yaml" => done.write(OLD),
                file => std::fs::remove_file(done.ca.path(file)).unwrap(),
            }
        }
        // What a command that was killed had written beside.
        done.ca
            .dir
            .write(".sni.yaml.snihub-new", "sni:\n- fqdn: hal");
        done.ca.dir.write("parties/9998/.README.md.snihub-new", "");
        done.ok(&ADD);
        let mut tree = done.tree();
        // A file that was there is not written again, and so nothing beside it is.
        tree.remove("parties/9998/.README.md.snihub-new");
        assert!(tree == whole, "{missing:?}: {:?}", tree.keys());
    }
}

/// The certificate has left and the index does not know yet.
#[test]
fn a_certificate_that_left_is_the_one_that_stays() {
    let star = Star::with(OLD);
    star.ok(&ADD);
    let index = star.ca.read("pki/index.jsonl");
    let end = index.trim_end().rfind('\n').unwrap() + 1;
    assert!(index[end..].contains(r#""done""#));
    star.ca.dir.write("pki/index.jsonl", &index[..end]);
    star.write(OLD);
    let key = star.ca.read("parties/9998/certs/server.key");
    completes(&star);
    assert_eq!(star.ca.serials().len(), 2);
    assert_eq!(
        star.ca.read("parties/9998/certs/server.key"),
        key,
        "a delivered key was replaced"
    );
}

/// The certificate's files have left, and the Secret of them has not: whoever locks the folder next
/// brings it along.
#[test]
fn a_renewal_that_was_cut_short_leaves_no_old_key_in_the_secret() {
    let star = Star::with(OLD);
    star.ok(&ADD);
    let secret = "parties/9998/secret.yaml";
    let old = star.ca.read(secret);
    star.ca.ok(&["renew", "9998"]);
    let new = star.ca.read(secret);
    assert_ne!(new, old);
    let index = star.ca.read("pki/index.jsonl");
    let end = index.trim_end().rfind('\n').unwrap() + 1;
    assert!(index[end..].contains(r#""done""#));
    star.ca.dir.write("pki/index.jsonl", &index[..end]);
    star.ca.dir.write(secret, old);
    star.ca.ok(&["issue", "hub", "proxy.fate.org"]);
    assert_eq!(star.ca.read(secret), new);
}

/// What is in the way of the Secret keeps nobody from working, and is tried again.
#[test]
fn a_secret_that_could_not_be_brought_along_is_brought_by_a_later_command() {
    let star = Star::with(OLD);
    star.ok(&ADD);
    let secret = "parties/9998/secret.yaml";
    std::fs::remove_file(star.ca.path(secret)).unwrap();
    std::fs::create_dir(star.ca.path(secret)).unwrap();
    let said = star.ca.run(&["renew", "9998"]);
    assert_eq!(said.code, Some(71), "{}", said.err);
    assert!(
        said.out.contains("has the certificate before"),
        "{}",
        said.out
    );
    star.ca.ok(&["crl"]);
    std::fs::remove_dir(star.ca.path(secret)).unwrap();
    star.ca.dir.write(secret, "the key before");
    star.ca.ok(&["crl"]);
    let brought = star.ca.read(secret);
    star.ok(&ADD);
    assert_eq!(star.ca.read(secret), brought);
    let beside = star
        .tree()
        .into_keys()
        .find(|name| name.contains("snihub-new"));
    assert_eq!(beside, None);
}

#[test]
fn killed_at_any_moment_of_remove() {
    let measured = Star::with(NEW);
    let began = Instant::now();
    measured.ok(&REMOVE);
    let whole = began.elapsed();
    assert_eq!(measured.table(), OLD);
    for step in 0..12 {
        let star = Star::with(NEW);
        kill_after(&star, &REMOVE, whole * step / 10);
        let table = star.table();
        assert!(table == OLD || table == NEW, "half a file: {table:?}");
        // Done already or not: the file before the change knows the party.
        star.ok(&REMOVE);
        assert_eq!(star.table(), OLD);
    }
}
