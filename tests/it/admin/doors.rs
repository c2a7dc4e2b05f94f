//! Where the doors are: the socket's file, its folder, and hubs that want the same.

use super::http::unix;
use super::{OpenFolder, ended, hub, socket, table, unprivileged};
use crate::support::hub::{Hub, Options, new_folder};
use crate::support::party::Party;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

fn one_route() -> String {
    table(&["a.example"], Party::start(b'a'))
}

#[test]
fn the_socket_is_0600_and_goes_with_the_hub() {
    let hub = hub(one_route(), "drain: 1s");
    let path = socket(&hub);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    hub.signal(rustix::process::Signal::TERM);
    assert!(hub.wait_exit().success());
    assert!(!path.exists());
}

#[test]
fn a_second_hub_does_not_take_the_socket() {
    let first = hub(one_route(), "");
    let path = socket(&first);
    let mut second = Command::new(env!("CARGO_BIN_EXE_snihub"));
    second
        .args(["run", "--listen", "127.0.0.1:0", "--admin"])
        .arg(&path)
        .arg("--config")
        .arg(first.folder().join("hub.yaml"))
        .arg("--routes")
        .arg(first.folder().join("sni.yaml"));
    let said = refused(second, 71);
    assert!(said.contains("another hub runs there"), "{said}");
    assert_eq!(unix(&path, "GET", "/livez").status, 200);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let first = hub(one_route(), "");
    let path = socket(&first);
    first.signal(rustix::process::Signal::KILL);
    first.wait_exit();
    assert!(path.exists(), "left behind");
    let again = Options::routes(one_route()).argument(format!("--admin={}", path.display()));
    let second = Hub::start(again);
    assert_eq!(unix(&path, "GET", "/livez").status, 200);
    drop(second);
}

#[test]
fn a_missing_folder_is_made_for_the_hubs_own_user() {
    let hub = Hub::start(Options {
        admin: Some("run/deep/admin.sock"),
        ..Options::routes(one_route())
    });
    let folder = hub.folder().join("run/deep");
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o007, 0, "others");
    assert_eq!(
        unix(&folder.join("admin.sock"), "GET", "/livez").status,
        200
    );
}

/// A hub in an open folder, as somebody who is not root: its command, not yet started.
fn run_unprivileged(folder: &OpenFolder, settings: &str) -> Command {
    fs::write(folder.path("hub.yaml"), settings).unwrap();
    fs::write(folder.path("sni.yaml"), one_route()).unwrap();
    let mut command = unprivileged(folder.path("snihub"));
    command
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(folder.path("hub.yaml"))
        .arg("--routes")
        .arg(folder.path("sni.yaml"));
    command
}

/// Tunnels matter more than who watches them: nobody has asked for the socket.
#[test]
fn without_the_built_in_socket_the_hub_runs_and_says_so() {
    let folder = OpenFolder::new("nodoor");
    let mut hub = run_unprivileged(&folder, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    // A hub that does not start ends, and so does its log.
    for line in BufReader::new(hub.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        said.push_str(&format!("{line}\n"));
        if line.contains("listening on") {
            break;
        }
    }
    hub.kill().unwrap();
    hub.wait().unwrap();
    for want in [
        "runs without its admin door: admin: /run/snihub/admin.sock: ",
        "give `admin` (or --admin) a path that this user may write, or off",
        "listening on 127.0.0.1",
    ] {
        assert!(said.contains(want), "{want:?} in\n{said}");
    }
}

/// What a start that must fail with this code says.
fn refused(command: Command, code: i32) -> String {
    let output = ended(command);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_that_was_asked_for_and_cannot_be_had_stops_the_start() {
    let folder = OpenFolder::new("asked");
    let start = run_unprivileged(&folder, "admin: /snihub-no-such/admin.sock\n");
    let said = refused(start, 77);
    assert!(said.contains("/snihub-no-such/admin.sock"), "{said}");
    assert!(said.contains("a path that this user may write"), "{said}");
    let deep = new_folder(&"deep".repeat(20));
    fs::write(deep.join("hub.yaml"), "admin: admin.sock\n").unwrap();
    fs::write(deep.join("sni.yaml"), one_route()).unwrap();
    let mut long = Command::new(env!("CARGO_BIN_EXE_snihub"));
    long.args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(deep.join("hub.yaml"))
        .arg("--routes")
        .arg(deep.join("sni.yaml"));
    let said = refused(long, 71);
    assert!(said.contains("admin.sock: "), "{said}");
    fs::remove_dir_all(deep).unwrap();
}

/// Who may not connect cannot tell a hub that runs from one that is gone.
#[test]
fn the_socket_of_another_users_hub_stays_his() {
    let folder = OpenFolder::new("others");
    let shared = folder.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let path = shared.join("admin.sock");
    let _his = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    let settings = format!("admin: {}\n", path.display());
    let said = refused(run_unprivileged(&folder, &settings), 77);
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
}

/// Of a thread of the hub, by its name: the nice value (proc(5), field 19).
fn nice(hub: &Hub, name: &str) -> i32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", hub.pid())).unwrap();
    let read = |task: &Path, file: &str| fs::read_to_string(task.join(file)).unwrap();
    let task = tasks
        .map(|task| task.unwrap().path())
        .find(|task| read(task, "comm").trim() == name)
        .unwrap_or_else(|| panic!("no thread {name}"));
    let stat = read(&task, "stat");
    let after = &stat[stat.rfind(')').unwrap() + 2..];
    after.split(' ').nth(16).unwrap().parse().unwrap()
}

#[test]
fn the_doors_yield_to_the_workers() {
    let hub = hub(one_route(), "workers: 1");
    assert_eq!(unix(&socket(&hub), "GET", "/livez").status, 200);
    let worker = nice(&hub, "worker-0");
    assert_eq!(nice(&hub, "admin"), 19.min(worker + 5));
}
