//! What the old process says late, to a successor that is the hub already.

use crate::admin::http::{unix, wait_for};
use crate::support::hub::{PATIENCE, new_folder};
use serde_json::{Value, json};
use snihub::net::PacketSocket;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

/// The first packet of a message, and its last.
const WHOLE: u8 = 3;

pub(super) fn say(to: &PacketSocket, what: Value, with: &[BorrowedFd<'_>]) {
    let text = serde_json::to_vec(&what).unwrap();
    to.send(WHOLE, &text, with).unwrap();
}

pub(super) fn hear(from: &PacketSocket) -> Value {
    let packet = from.recv().unwrap().expect("a message");
    assert_eq!(packet.bytes[0], WHOLE);
    serde_json::from_slice(&packet.bytes[1..]).unwrap()
}

/// With it come the connections to the processes before that, which would else take their successor
/// for gone.
#[test]
fn processes_that_are_handed_on_late_are_given_orders() {
    let folder = new_folder("late");
    fs::write(folder.join("sni.yaml"), "sni: []\n").unwrap();
    fs::write(folder.join("hub.yaml"), "admin: admin.sock\n").unwrap();
    let [old, its] = PacketSocket::pair().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command.args(["run", "--successor", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(folder.join("hub.yaml")).arg("--routes");
    command.arg(folder.join("sni.yaml"));
    command.env_remove("NOTIFY_SOCKET").stdout(Stdio::null());
    let mut hub = command.stdin(OwnedFd::from(its)).spawn().unwrap();
    // Its stdin is no copy of ours any more.
    drop(command);
    old.set_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(hear(&old)["hello"]["pid"], hub.id());
    say(&old, json!({"estate": {"pid": 4711}}), &[]);
    assert!(hear(&old)["ready"].is_object());
    say(&old, json!("go"), &[]);
    assert_eq!(hear(&old), "taken");
    // Its doors open when it waits no longer.
    let status = || {
        fs::metadata(folder.join("admin.sock")).map_err(|error| error.to_string())?;
        Ok(unix(&folder.join("admin.sock"), "GET", "/api/status").json())
    };
    let before = wait_for("the hub", status)["predecessors"].clone();
    assert_eq!(
        (&before[0]["pid"], before.as_array().unwrap().len()),
        (&4711.into(), 1)
    );
    let [before_that, with] = PacketSocket::pair().unwrap();
    let one = json!({"pid": 815, "until_unix_ms": 0, "image": {}});
    let legacy = json!({"legacy": {"predecessors": [one]}});
    say(&old, legacy, &[with.as_fd()]);
    drop(with);
    before_that.set_timeout(Some(PATIENCE)).unwrap();
    let order = hear(&before_that);
    assert!(order["order"]["order"].is_string(), "{order}");
    // Until when, in milliseconds of the machine's clock.
    assert!(order["order"]["until"].is_u64(), "{order}");
    // Whose orders they are.
    assert_eq!(
        order["order"]["id"].as_u64().unwrap() >> 32,
        u64::from(hub.id())
    );
    wait_for("both", || {
        let status = status()?;
        let all = status["predecessors"].as_array().unwrap();
        let pids: Vec<_> = all.iter().map(|one| &one["pid"]).collect();
        match pids[..] == [&4711, &815] {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
    hub.kill().unwrap();
    hub.wait().unwrap();
    fs::remove_dir_all(folder).unwrap();
}
