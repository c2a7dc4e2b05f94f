//! A line that is advised does its work where the command did that advises it.

use super::rig::{ADD, Star};
use crate::pki::rig::Said;
use std::process::Command;

/// A folder that a shell takes in quotes alone.
const ELSEWHERE: [&str; 4] = ["--ca", "pki 2", "--parties", "bundles 2"];

/// With a second authority of the same names.
fn two_authorities() -> Star {
    let star = Star::new();
    let init = ["init", "--plain-key", "--domain", "fate.org"];
    star.ca.ok(&[&init[..], &ELSEWHERE[..2]].concat());
    star.ok(&[&ADD[..], &ELSEWHERE].concat());
    star.ca.ok(&["issue", "pulsar", "9998"]);
    star
}

/// The first command line that begins so, as it is printed: whoever pastes half of one runs that.
fn advised(said: &str, begins: &str) -> String {
    let mut quoted = said.split('`').skip(1).step_by(2);
    let line = quoted.find(|line| line.starts_with(begins));
    line.unwrap_or_else(|| panic!("no {begins}: {said}"))
        .to_owned()
}

/// As an operator who copies it.
fn runs(star: &Star, line: &str) {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_snihub"));
    let path = format!("{}:/usr/bin:/bin", folder.parent().unwrap().display());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).env("PATH", path);
    let said = Said::of(&shell.current_dir(star.ca.dir.path()).output().unwrap());
    assert_eq!(said.code, Some(0), "{line}: {}", said.err);
}

fn standings(star: &Star, authority: &[&str]) -> Vec<String> {
    let list = ["list", "--all", "--format", "json"];
    let list = star.ca.ok(&[&list[..], authority].concat());
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let all = list["certificates"].as_array().unwrap().iter();
    all.map(|one| one["standing"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_removal_has_the_certificate_taken_back_by_who_gave_it() {
    let star = two_authorities();
    let said = star.ok(&[&["remove", "9998"][..], &ELSEWHERE].concat());
    runs(&star, &advised(&said, "snihub pki revoke"));
    assert_eq!(standings(&star, &[]), ["valid"]);
    assert_eq!(standings(&star, &ELSEWHERE[..2]), ["revoked"]);
}

#[test]
fn a_renewal_has_the_one_before_taken_back_by_who_gave_it() {
    let star = two_authorities();
    let said = star
        .ca
        .ok(&[&["renew", "9998"][..], &ELSEWHERE[..2]].concat());
    runs(&star, &advised(&said, "snihub pki revoke"));
    assert_eq!(standings(&star, &[]), ["valid"]);
    let own = standings(&star, &ELSEWHERE[..2]);
    assert!(own.contains(&"revoked".to_owned()), "{own:?}");
    assert!(own.contains(&"valid".to_owned()), "{own:?}");
}

#[test]
fn what_was_taken_back_is_shown_as_that() {
    let star = two_authorities();
    let show = ["show", "9998"];
    assert!(!star.ok(&show).contains("REVOKED"));
    star.ca.ok(&["revoke", "9998"]);
    let said = star.ok(&show);
    assert!(said.contains("pulsar, REVOKED, serial"), "{said}");
    // A newer one is there.
    star.ok(&[&ADD[..], &["--parties", "bundles 3"]].concat());
    let said = star.ok(&show);
    assert!(!said.contains("REVOKED"), "{said}");
}

/// To programs, too; and what a command does not take is not said to it.
#[test]
fn the_doctor_advises_for_the_same_files() {
    let star = two_authorities();
    star.ca
        .ok(&[&["revoke", "9998", "--all"][..], &ELSEWHERE[..2]].concat());
    for format in ["json", "text"] {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_snihub"));
        doctor
            .args(["doctor", "9998", "--routes", "sni.yaml"])
            .args(["--admin", "admin.sock", "--timeout", "0.1"])
            .args(["--format", format])
            .args(&ELSEWHERE[..2])
            .current_dir(star.ca.dir.path());
        let said = Said::of(&doctor.output().unwrap());
        let line = advised(&said.out, "snihub party add");
        for place in [" --ca 'pki 2'", " --routes sni.yaml", " --admin admin.sock"] {
            assert!(line.contains(place), "{line}");
        }
        assert!(!line.contains("--timeout"), "{line}");
    }
}

/// What it advises there is for the hub's machine.
#[test]
fn on_a_partys_machine_the_doctor_says_no_places_of_that() {
    let star = two_authorities();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_snihub"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let via = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    doctor
        .args(["doctor", "9998", "--via", &via, "--timeout", "0.1"])
        .args(&ELSEWHERE[..2])
        .current_dir(star.ca.dir.path());
    let said = Said::of(&doctor.output().unwrap());
    assert!(said.out.contains("snihub status"), "{}", said.out);
    assert!(!said.out.contains("--ca"), "{}", said.out);
}
