//! An authority in a folder of its own, driven as an operator would.

use crate::support::dir::TempDir;
use crate::support::program::which;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A temporary folder with `pki/` in it; commands run there.
pub(crate) struct Ca {
    pub(crate) dir: TempDir,
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ca {
    /// A folder without an authority yet.
    pub(crate) fn none() -> Ca {
        Ca {
            dir: TempDir::new(),
        }
    }

    /// One with a plain key, and the domain fate.org.
    pub(crate) fn plain() -> Ca {
        let ca = Ca::none();
        ca.ok(&["init", "--plain-key", "--domain", "fate.org"]);
        ca
    }

    /// The same, over in so many days.
    pub(crate) fn lasting(days: &str) -> Ca {
        let ca = Ca::none();
        let domain = ["--domain", "fate.org", "--days", days];
        ca.ok(&[&["init", "--plain-key"], &domain[..]].concat());
        ca
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command
            .arg("pki")
            .args(arguments)
            .current_dir(self.dir.path())
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
        said.out
    }

    /// Runs what has to fail so, with all of these in its words.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let said = self.run(arguments);
        said.failed(arguments, code, words);
        assert!(said.out.is_empty(), "{arguments:?}: {}", said.out);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The list, as JSON.
    pub(crate) fn list(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["list", "--format", "json"])).expect("JSON")
    }

    /// Takes one certificate back, and no other that was made with it; its list is not made anew.
    pub(crate) fn takes_back(&self, serial: &str) {
        let line = format!(
            "{{\"event\":\"revoke\",\"serial\":\"{serial}\",\"time\":1,\"reason\":\"unspecified\"}}\n"
        );
        self.dir
            .write("pki/index.jsonl", self.read("pki/index.jsonl") + &line);
    }

    /// As if everything that was issued so far had ended a minute ago.
    pub(crate) fn all_ends(&self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ended = now.unwrap().as_secs() - 60;
        let mut index = String::new();
        for line in self.read("pki/index.jsonl").lines() {
            let mut event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            for certified in event["certificates"].as_array_mut().into_iter().flatten() {
                certified["not_after"] = ended.into();
            }
            index += &format!("{event}\n");
        }
        self.dir.write("pki/index.jsonl", index);
    }

    /// Every serial number that the index gave, in order.
    pub(crate) fn serials(&self) -> Vec<String> {
        let index = self.read("pki/index.jsonl");
        let mut serials = Vec::new();
        for line in index.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            for certified in event["certificates"].as_array().into_iter().flatten() {
                serials.push(certified["serial"].as_str().expect("a serial").to_owned());
            }
        }
        serials
    }
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout.clone()).expect("text"),
            err: String::from_utf8(output.stderr.clone()).expect("text"),
        }
    }

    /// It has to have.
    pub(crate) fn succeeded(&self, arguments: &[&str]) {
        let Said { code, out, err } = self;
        assert_eq!(*code, Some(0), "{arguments:?}: {out}{err}");
    }

    /// It has to have failed so, with all of these in its words.
    pub(crate) fn failed(&self, arguments: &[&str], wanted: i32, words: &[&str]) {
        let Said { code, out, err } = self;
        assert_eq!(*code, Some(wanted), "{arguments:?}: {out}{err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: {word:?} in {err}");
        }
        assert!(!err.contains("panicked"), "{err}");
    }
}

/// Days that are left are whole ones: a second of the first has to be over.
pub(crate) fn a_second_later() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

/// Whether a program is there. In CI it has to be.
pub(crate) fn have(program: &str) -> bool {
    let there = which(program).is_some();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "no {program} in PATH");
        println!("{program} is not installed: not asked");
    }
    there
}

/// Runs another program, which has to succeed; gives its stdout.
pub(crate) fn does<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> String {
    let said = tries(&program, arguments);
    let name = program.as_ref().display();
    assert_eq!(said.code, Some(0), "{name}: {}{}", said.out, said.err);
    said.out
}

/// Runs another program.
pub(crate) fn tries<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> Said {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().expect("the program runs");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What openssl says to a certificate for a purpose and a name.
pub(crate) fn verify(authority: &Path, leaf: &Path, purpose: &str, name: &str) -> Said {
    let kind = match name.parse::<std::net::IpAddr>() {
        Ok(_) => "-verify_ip",
        Err(_) => "-verify_hostname",
    };
    let fixed = [
        "verify",
        "-x509_strict",
        "-purpose",
        purpose,
        kind,
        name,
        "-CAfile",
    ];
    let mut arguments: Vec<&OsStr> = fixed.iter().map(OsStr::new).collect();
    arguments.extend([authority.as_os_str(), leaf.as_os_str()]);
    tries("openssl", &arguments)
}
