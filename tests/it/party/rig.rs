//! A folder with an authority and a sni.yaml, and the command as an operator types it.

use crate::pki::rig::{Ca, Said};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// `pki/` with the domain fate.org; sni.yaml is made by the first party.
pub(crate) struct Star {
    pub(crate) ca: Ca,
}

pub(crate) const ADD: [&str; 4] = ["add", "9998", "--route", "192.168.0.4:6651"];
pub(crate) const TABLE: &str =
    "sni:\n  - fqdn: 9998.fate.org\n    tunnel_route: 192.168.0.4:6651\n";

impl Star {
    pub(crate) fn new() -> Star {
        Star { ca: Ca::plain() }
    }

    /// With this sni.yaml.
    pub(crate) fn with(table: &str) -> Star {
        let star = Star::new();
        star.write(table);
        star
    }

    pub(crate) fn write(&self, table: &str) {
        self.ca.dir.write("sni.yaml", table);
    }

    pub(crate) fn table(&self) -> String {
        self.ca.read("sni.yaml")
    }

    /// No hub listens on its socket.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command
            .arg("party")
            .args(&arguments[..1])
            .args(["--routes", "sni.yaml", "--admin", "admin.sock"])
            // Behind: there may be a `--` among them.
            .args(&arguments[1..])
            .current_dir(self.ca.dir.path())
            .env_remove("SNIHUB_PKI_PASSPHRASE")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().expect("snihub runs"))
    }

    /// Runs what has to succeed; gives its stdout.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        said.succeeded(arguments);
        assert_eq!(said.err, "", "{arguments:?}");
        said.out
    }

    /// Runs what has to fail so, with all of these in its words, and to change nothing.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let before = self.tree();
        let said = self.run(arguments);
        said.failed(arguments, code, words);
        assert!(
            self.tree() == before,
            "{arguments:?}: something was changed"
        );
        said.err
    }

    /// Every file below, with its bytes.
    pub(crate) fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        walk(self.ca.dir.path(), self.ca.dir.path(), &mut tree);
        tree
    }

    /// What `snihub check` says of the file.
    pub(crate) fn check(&self) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command
            .args(["check", "--routes", "sni.yaml"])
            .current_dir(self.ca.dir.path());
        Said::of(&command.output().unwrap())
    }
}

fn walk(root: &Path, folder: &Path, tree: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, tree);
        } else {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            tree.insert(name, fs::read(&path).unwrap_or_default());
        }
    }
}
