//! README's five lines, word by word, from an empty folder.

use super::rig::Star;
use crate::pki::rig::{Ca, Said};
use std::process::Command;

const README: &str = include_str!("../../../README.md");

#[test]
fn five_lines_add_two_parties() {
    let (_, section) = README
        .split_once("\n## Add a party\n")
        .expect("the section");
    let block = section.split("```sh\n").nth(1).unwrap();
    let lines: Vec<&str> = block.split("```").next().unwrap().lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    let star = Star { ca: Ca::none() };
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_snihub"))
        .parent()
        .unwrap();
    for line in &lines {
        // A hub that runs on this machine is nobody's to touch here.
        let elsewhere = if line.starts_with("snihub party") {
            " --admin admin.sock"
        } else {
            ""
        };
        let line = line.split('#').next().unwrap().trim_end();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{line}{elsewhere}"));
        command
            .env("PATH", folder)
            .env("SNIHUB_PKI_PASSPHRASE", "correct horse");
        let output = command.current_dir(star.ca.dir.path()).output();
        let said = Said::of(&output.unwrap());
        assert_eq!(said.code, Some(0), "{line}: {}{}", said.out, said.err);
    }
    let want = "sni:\n  - fqdn: 9999.fate.org\n    tunnel_route: 192.168.0.1:6651\n  \
                - fqdn: 10000.fate.org\n    tunnel_route: 192.168.0.2:6651\n";
    assert_eq!(star.table(), want);
    for party in ["9999", "10000"] {
        assert!(star.ca.path(&format!("parties/{party}/README.md")).exists());
    }
}
