//! A command that is killed at any moment leaves a folder that the next one completes: no number is
//! given twice, nothing is there by halves, and the same command works again.

use super::rig::{Ca, have, verify};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const ISSUE: [&str; 3] = ["issue", "hub", "proxy.fate.org"];
const FOLDER: &str = "pki/issued/hub/proxy.fate.org";
const BESIDE: &str = "pki/issued/hub/.proxy.fate.org.snihub-new";

/// What the last lines of the index say.
fn events(ca: &Ca) -> Vec<String> {
    let event = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).expect("a whole line");
        event["event"].as_str().expect("an event").to_owned()
    };
    ca.read("pki/index.jsonl").lines().map(event).collect()
}

/// Takes the last line away, as if the process had ended before it.
fn without_last_line(ca: &Ca) -> String {
    let index = ca.read("pki/index.jsonl");
    let end = index.trim_end().rfind('\n').unwrap() + 1;
    ca.dir.write("pki/index.jsonl", &index[..end]);
    index[end..].to_owned()
}

/// Whatever happened: the pair that is there is whole and verifies, and nothing lies beside it.
fn is_whole(ca: &Ca) {
    let beside = |path: &Path| {
        let entries = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        entries
            .filter(|name| name.to_str().unwrap().starts_with('.'))
            .count()
    };
    assert_eq!((beside(ca.dir.path()), beside(&ca.path("pki"))), (0, 0));
    assert_eq!(beside(&ca.path("pki/issued/hub")), 0);
    let folder = ca.path(FOLDER);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    if have("openssl") {
        let authority = ca.path("pki/ca.cert.pem");
        let leaf = folder.join("proxy.cert.pem");
        let said = verify(&authority, &leaf, "sslserver", "proxy.fate.org");
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
}

/// Issues, or finds that it is issued: either is a folder in order.
fn completes(ca: &Ca) {
    let said = ca.run(&ISSUE);
    match said.code {
        Some(0) => {}
        Some(1) => assert!(said.err.contains("has a certificate"), "{}", said.err),
        _ => panic!("{}", said.err),
    }
    is_whole(ca);
    let serials = ca.serials();
    let different: BTreeSet<_> = serials.iter().collect();
    assert_eq!(different.len(), serials.len());
    let list = ca.list();
    let valid = list["certificates"].as_array().unwrap().iter();
    assert_eq!(
        valid.filter(|one| one["standing"] == "valid").count(),
        1,
        "{list}"
    );
}

fn kill_after(ca: &Ca, arguments: &[&str], time: Duration) {
    let mut command = ca.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(time);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_at_any_moment_of_issue() {
    let measured = Ca::plain();
    let began = Instant::now();
    measured.ok(&ISSUE);
    let mut whole = began.elapsed();
    let (mut before, mut after) = (0, 0);
    // A machine that is busy by now takes longer than what was measured.
    for _ in 0..4 {
        for step in 0..24 {
            let ca = Ca::plain();
            kill_after(&ca, &ISSUE, whole * step / 20);
            match ca.serials().len() {
                0 => before += 1,
                _ => after += 1,
            }
            completes(&ca);
        }
        if before > 0 && after > 0 {
            return;
        }
        whole *= 2;
    }
    panic!("all kills were at one end: {before} before the index, {after} after it, {whole:?}");
}

#[test]
fn killed_at_any_moment_of_init() {
    let measured = Ca::none();
    let began = Instant::now();
    measured.ok(&["init", "--plain-key"]);
    let whole = began.elapsed();
    for step in 0..20 {
        let ca = Ca::none();
        kill_after(&ca, &["init", "--plain-key"], whole * step / 16);
        if ca.path("pki").exists() {
            ca.fails(&["init", "--plain-key"], 1, &["is there already"]);
        } else {
            ca.ok(&["init", "--plain-key"]);
        }
        completes(&ca);
    }
}

#[test]
fn in_the_index_and_nothing_written() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    assert!(without_last_line(&ca).contains(r#""done""#));
    std::fs::remove_dir_all(ca.path(FOLDER)).unwrap();
    completes(&ca);
    assert_eq!(
        events(&ca),
        ["init", "crl", "issue", "lost", "issue", "done"]
    );
    // What was lost is not forgotten: its number is used.
    let list = ca.list();
    assert_eq!(list["certificates"][0]["standing"], "lost");
}

#[test]
fn written_beside_its_place() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    without_last_line(&ca);
    std::fs::rename(ca.path(FOLDER), ca.path(BESIDE)).unwrap();
    std::fs::remove_file(ca.path(BESIDE).join("proxy.key.pem")).unwrap();
    completes(&ca);
    assert_eq!(
        events(&ca),
        ["init", "crl", "issue", "lost", "issue", "done"]
    );
}

#[test]
fn in_its_place_and_not_yet_said() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    without_last_line(&ca);
    let key = ca.read(&format!("{FOLDER}/proxy.key.pem"));
    completes(&ca);
    assert_eq!(events(&ca), ["init", "crl", "issue", "done"]);
    assert_eq!(
        ca.read(&format!("{FOLDER}/proxy.key.pem")),
        key,
        "a delivered key was replaced"
    );
}

#[test]
fn a_renewal_between_the_exchange_and_its_end() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    let old_key = ca.read(&format!("{FOLDER}/proxy.key.pem"));
    ca.ok(&["renew", "proxy.fate.org"]);
    let new_key = ca.read(&format!("{FOLDER}/proxy.key.pem"));
    without_last_line(&ca);
    let kept = format!("{FOLDER}.before-{}", &ca.serials()[1][..8]);
    std::fs::rename(ca.path(&kept), ca.path(BESIDE)).unwrap();
    ca.ok(&["issue", "hub", "other.fate.org"]);
    assert_eq!(ca.read(&format!("{FOLDER}/proxy.key.pem")), new_key);
    assert_eq!(ca.read(&format!("{kept}/proxy.key.pem")), old_key);
    is_whole(&ca);
}

#[test]
fn a_line_cut_short_is_as_if_it_had_never_been() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    without_last_line(&ca);
    let cut = without_last_line(&ca);
    std::fs::remove_dir_all(ca.path(FOLDER)).unwrap();
    let whole = ca.read("pki/index.jsonl");
    for length in [1, 20, cut.len() / 2, cut.len() - 1] {
        ca.dir
            .write("pki/index.jsonl", format!("{whole}{}", &cut[..length]));
        // Reading takes it, too.
        assert_eq!(ca.list()["certificates"].as_array().unwrap().len(), 0);
        completes(&ca);
        assert_eq!(events(&ca), ["init", "crl", "issue", "done"]);
        std::fs::remove_dir_all(ca.path(FOLDER)).unwrap();
    }
}

#[test]
fn what_was_moved_away_before_it_was_said_can_be_taken_back() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    without_last_line(&ca);
    std::fs::rename(ca.path(FOLDER), ca.path("moved")).unwrap();
    let serial = ca.serials().remove(0);
    // Whoever locks the folder looks for it.
    ca.ok(&["issue", "hub", "other.org"]);
    let list = ca.ok(&["list", "--all"]);
    assert!(list.contains("not found where it was to go"), "{list}");
    let said = ca.ok(&["revoke", "proxy.fate.org"]);
    assert!(said.contains(&format!("revoked {serial}")), "{said}");
    assert!(
        !ca.ok(&["list", "--all"]).contains("not found where"),
        "revoked"
    );
}

#[test]
fn what_was_moved_away_is_taken_back_before_and_after_it_was_looked_for() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    without_last_line(&ca);
    std::fs::rename(ca.path(FOLDER), ca.path("moved")).unwrap();
    // Not looked for yet.
    let said = ca.ok(&["revoke", "proxy.fate.org"]);
    assert!(said.contains(&ca.serials()[0]), "{said}");
    ca.ok(&ISSUE);
    without_last_line(&ca);
    std::fs::rename(ca.path(FOLDER), ca.path("moved again")).unwrap();
    // Looked for, and there is another one by now.
    ca.ok(&ISSUE);
    let serials = ca.serials();
    ca.fails(
        &["revoke", "proxy.fate.org"],
        1,
        &[&serials[1], &serials[2]],
    );
    let said = ca.ok(&["revoke", "proxy.fate.org", "--all"]);
    for serial in &ca.serials()[1..] {
        assert!(said.contains(&format!("revoked {serial}")), "{said}");
    }
}

#[test]
fn a_line_cut_in_a_character_is_left_out_too() {
    let ca = Ca::plain();
    let issue = [&ISSUE[..], &["--org", "Universität Zürich"]].concat();
    ca.ok(&issue);
    without_last_line(&ca);
    let cut = without_last_line(&ca);
    std::fs::remove_dir_all(ca.path(FOLDER)).unwrap();
    let whole = ca.read("pki/index.jsonl");
    let inside = cut.find('ä').unwrap() + 1;
    let torn = [whole.as_bytes(), &cut.as_bytes()[..inside]].concat();
    ca.dir.write("pki/index.jsonl", torn);
    assert_eq!(ca.list()["certificates"].as_array().unwrap().len(), 0);
    ca.ok(&issue);
    assert_eq!(events(&ca), ["init", "crl", "issue", "done"]);
}

#[test]
fn a_line_that_somebody_changed_is_told_with_its_number() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    let index = ca
        .read("pki/index.jsonl")
        .replace(r#""event":"crl""#, r#""event":"crk""#);
    ca.dir.write("pki/index.jsonl", index);
    for command in [&ISSUE[..], &["list"]] {
        ca.fails(command, 78, &["pki/index.jsonl: line 2: ", "backup"]);
    }
}

#[test]
fn a_list_that_was_not_written_is_completed_by_the_next_command() {
    let ca = Ca::plain();
    ca.ok(&ISSUE);
    let before = ca.read("pki/crl.pem");
    ca.ok(&["revoke", "proxy.fate.org"]);
    ca.dir.write("pki/crl.pem", before);
    assert!(ca.ok(&["list"]).contains("NOT ALL that was revoked"));
    ca.ok(&["issue", "hub", "other.fate.org"]);
    assert_eq!(ca.list()["revocation_list"]["complete"], true);
    // A number stands for one list only.
    assert_eq!(ca.list()["revocation_list"]["number"], 3);
}

#[test]
fn a_place_that_cannot_be_written_is_told_and_tried_again() {
    let ca = Ca::plain();
    ca.dir.write("file", "");
    let issue = ["issue", "hub", "proxy.fate.org", "--out", "file/below"];
    let said = ca.run(&issue);
    assert_eq!(said.code, Some(71), "{}", said.err);
    assert!(
        said.err.contains("file: cannot make the folder"),
        "{}",
        said.err
    );
    assert_eq!(events(&ca).last().unwrap(), "lost");
    completes(&ca);
}

#[test]
fn what_stdout_did_not_take_is_not_delivered() {
    let ca = Ca::plain();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let issue = ["issue", "pulsar", "9998", "--as", "tar", "--out", "-"];
    let mut command = ca.command(&issue);
    let output = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(said.contains("stdout: cannot write to it"), "{said}");
    assert_eq!(events(&ca).last().unwrap(), "lost");
    // Not in the way of the next one.
    ca.ok(&["issue", "pulsar", "9998"]);
}
