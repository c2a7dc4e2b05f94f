//! README's section on certificates: its commands run as they stand, its table is the code's.

use super::rig::{Ca, does, have};
use snihub::pki::Layout;

const README: &str = include_str!("../../../README.md");

fn section() -> &'static str {
    let (_, rest) = README
        .split_once("\n## Certificates\n")
        .expect("the section");
    rest.split("\n## ").next().unwrap()
}

#[test]
fn its_commands_run_as_they_stand() {
    if !have("openssl") {
        return;
    }
    let ca = Ca::none();
    let csr = ca.path("10000.csr");
    let key = ca.path("10000.key");
    let (csr, key) = (csr.to_str().unwrap(), key.to_str().unwrap());
    let subject = [
        "-subj",
        "/O=Ten/CN=10000.fate.org",
        "-keyout",
        key,
        "-out",
        csr,
    ];
    does(
        "openssl",
        &[
            &["req", "-new", "-nodes", "-newkey", "rsa:2048"],
            &subject[..],
        ]
        .concat(),
    );
    let block = section().split("```sh\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let mut ran = 0;
    for line in block.lines() {
        let line = line.split('#').next().unwrap().trim();
        let arguments: Vec<&str> = line
            .strip_prefix("snihub pki ")
            .expect(line)
            .split(' ')
            .collect();
        let mut command = ca.command(&arguments);
        let output = command
            .env("SNIHUB_PKI_PASSPHRASE", "correct horse")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        ran += 1;
    }
    assert_eq!(ran, 7);
}

#[test]
fn its_table_has_every_layout_with_its_files() {
    for layout in Layout::ALL {
        let spec = layout.spec();
        let row = section()
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", spec.name)));
        let files: Vec<_> = spec
            .files
            .iter()
            .map(|file| format!("`{}`", file.name))
            .collect();
        let row = row.unwrap_or_else(|| panic!("no row for {}", spec.name));
        assert!(row.ends_with(&format!("| {} |", files.join(" "))), "{row}");
    }
}
