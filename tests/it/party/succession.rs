//! From one authority to the next, as README tells it: nobody is cut off in between.

use super::rig::{ADD, Star};
use crate::pki::rig::{Said, have, verify};
use std::process::Command;

const README: &str = include_str!("../../../README.md");

/// `ADD` with these words behind.
fn add(star: &Star, more: &[&str]) -> Said {
    star.run(&[&ADD[..], more].concat())
}

#[test]
fn its_readme_runs_and_both_verify_till_the_old_one_is_taken_out() {
    let star = Star::new();
    star.ok(&ADD);
    let section = README
        .split_once("gets a successor")
        .expect("the section")
        .1;
    let block = section.split("```sh\n").nth(1).unwrap();
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_snihub"));
    let path = format!("{}:/usr/bin:/bin", folder.parent().unwrap().display());
    let old = star.ca.path("parties/9998/certs/broker.cert.pem");
    let new = star.ca.path("parties-2/9998/certs/broker.cert.pem");
    let mut ran = 0;
    for line in block.split("```").next().unwrap().lines() {
        let elsewhere = match line.starts_with("snihub party") {
            true => " --routes sni.yaml --admin admin.sock",
            false => "",
        };
        let line = line.split('#').next().unwrap().trim_end();
        if line.starts_with("rm ") {
            let trusted = star.ca.path("parties-2/9998/certs/ca.cert.pem");
            let both = star.ca.read("parties-2/9998/certs/ca.cert.pem");
            assert_eq!(both, star.ca.read("pki-2/trust.pem"));
            assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
            for leaf in [&old, &new] {
                if have("openssl") {
                    let said = verify(&trusted, leaf, "sslserver", "9998.fate.org");
                    assert_eq!(said.code, Some(0), "{}", said.err);
                }
            }
            let list = star.ca.ok(&["list", "--ca", "pki-2"]);
            assert!(list.contains("bundles hold pki-2/trust.pem"), "{list}");
        }
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{line}{elsewhere}"));
        command
            .env("PATH", &path)
            .env("SNIHUB_PKI_PASSPHRASE", "correct horse")
            .current_dir(star.ca.dir.path());
        let said = Said::of(&command.output().unwrap());
        assert_eq!(said.code, Some(0), "{line}: {}{}", said.out, said.err);
        ran += usize::from(!line.is_empty());
    }
    assert_eq!(ran, 4);
    // Two authorities of one name are hard to tell apart.
    let subject = |file: &str| {
        let said = star.ca.ok(&["show", file]);
        let line = said.lines().find(|line| line.contains("subject"));
        line.unwrap().to_owned()
    };
    assert_ne!(subject("pki/ca.cert.pem"), subject("pki-2/ca.cert.pem"));
    let mut renew = star.ca.command(&["renew", "9998", "--ca", "pki-2"]);
    let said = Said::of(
        &renew
            .env("SNIHUB_PKI_PASSPHRASE", "correct horse")
            .output()
            .unwrap(),
    );
    said.succeeded(&["renew"]);
    let (own, bundle) = ("pki-2/ca.cert.pem", "parties-2/9998/certs/ca.cert.pem");
    assert_eq!(star.ca.read(own), star.ca.read(bundle));
}

#[test]
fn what_is_in_the_way_is_called_what_it_is() {
    let star = Star::new();
    star.ok(&ADD);
    star.ca
        .ok(&["init", "--plain-key", "--ca", "pki-2", "--succeed", "pki"]);
    let words = [
        "a certificate for 9998.fate.org of another authority",
        "--parties",
    ];
    add(&star, &["--ca", "pki-2"]).failed(&ADD, 1, &words);
}

#[test]
fn what_goes_to_every_party_holds_certificates_and_the_own_one() {
    let star = Star::new();
    star.ca
        .ok(&["init", "--plain-key", "--ca", "pki-2", "--succeed", "pki"]);
    let [both, key, other] =
        ["pki-2/trust.pem", "pki-2/ca.key.pem", "pki/ca.cert.pem"].map(|file| star.ca.read(file));
    for (text, what) in [
        (both + &key, "holds PRIVATE KEY, no certificate"),
        (other, "does not hold this authority's certificate"),
    ] {
        star.ca.dir.write("pki-2/trust.pem", text);
        star.ca
            .fails(&["list", "--ca", "pki-2"], 78, &["pki-2/trust.pem", what]);
    }
}
