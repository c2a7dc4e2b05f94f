//! The admin door: what it tells is what happened, and who may not come in does not.

mod api;
mod commands;
mod doors;
mod hostile;
pub(crate) mod http;
mod metrics;
mod page;
mod strangers;

use crate::support::hub::{Hub, Options, PATIENCE};
use crate::support::party::Party;
use crate::support::program;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A hub with its admin socket in its folder and both TCP doors on ports of their own.
fn hub(routes: String, settings: &str) -> Hub {
    let settings = format!("admin_listen: 127.0.0.1:0\nops_listen: '[::]:0'\n{settings}");
    Hub::start(Options::routes(routes).settings(settings).with_admin())
}

/// How many sockets a process has open.
fn sockets(pid: u32) -> usize {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

fn socket(hub: &Hub) -> PathBuf {
    hub.folder().join("admin.sock")
}

/// Where the door of this key listens.
fn door(hub: &Hub, key: &str) -> std::net::SocketAddr {
    let start = format!("{key}: http://");
    let line = hub.wait_line(key, |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with(&start))
    });
    let text = line["message"].as_str().unwrap();
    text[start.len()..].trim_end_matches('/').parse().unwrap()
}

/// `program` as the user nobody: root may become that, others by sudo, as on a machine for CI.
fn as_nobody(program: impl AsRef<OsStr>) -> Command {
    const NOBODY: [&str; 4] = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(NOBODY[0]),
        false => {
            let mut command = Command::new("sudo");
            command.args(["-n", NOBODY[0]]);
            command
        }
    };
    command.args(&NOBODY[1..]).arg(program);
    command
}

/// `program` as somebody who is not root: nobody if that is who we are, else ourselves.
pub(crate) fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    match rustix::process::geteuid().is_root() {
        true => as_nobody(program),
        false => Command::new(program),
    }
}

/// A start that must fail: a hub that runs instead is ended, and its exit code is none.
fn ended(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// A folder that everyone may enter, with a copy of the binary: the target directory need not be
/// such a place.
pub(crate) struct OpenFolder(PathBuf);

impl OpenFolder {
    pub(crate) fn new(what: &str) -> OpenFolder {
        let name = format!("snihub-{what}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // Left by a process of the same pid, long ago.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        program::copy(env!("CARGO_BIN_EXE_snihub"), &folder.join("snihub"));
        OpenFolder(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for OpenFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A table with these names, all of one party.
fn table(names: &[&str], party: Party) -> String {
    let entries: Vec<String> = names.iter().map(|name| party.entry(name)).collect();
    format!("sni:\n{}", entries.concat())
}
