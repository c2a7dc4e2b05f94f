//! What the old process says late, to a successor that is the hub already.

use crate::admin::http::{unix, wait_for};
use crate::support::hub::{PATIENCE, new_folder};
use serde_json::{Value, json};
use snihub::net::PacketSocket;
use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

/// This test is the successor of the hub behind this door: it accepts, and is to be the hub.
pub(super) fn succeed(door: &Path) -> PacketSocket {
    let met = unix(door, "POST", "/api/takeover").json();
    let wire = PacketSocket::connect(met["socket"].as_str().unwrap()).unwrap();
    wire.set_timeout(Some(PATIENCE)).unwrap();
    let me = std::process::id();
    let hello = json!({"hello": {"protocol": 2, "version": "9", "pid": me}});
    say(&wire, hello, &[]);
    assert!(hear(&wire)["estate"].is_object());
    let ready = json!({"ready": {"version": "9", "adopted": false}});
    say(&wire, ready, &[]);
    assert_eq!(hear(&wire), "go");
    wire
}

/// A successor that this test is the old process of.
struct New {
    folder: PathBuf,
    process: Child,
    /// A copy of its end of the connection.
    its: PacketSocket,
}

impl New {
    /// It has said hello.
    fn start(what: &str) -> (New, PacketSocket) {
        let folder = new_folder(what);
        fs::write(folder.join("sni.yaml"), "sni: []\n").unwrap();
        fs::write(folder.join("hub.yaml"), "admin: admin.sock\n").unwrap();
        let [old, its] = PacketSocket::pair().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command.args(["run", "--successor", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(folder.join("hub.yaml")).arg("--routes");
        command.arg(folder.join("sni.yaml"));
        command.env_remove("NOTIFY_SOCKET").stdout(Stdio::null());
        let stdin = its.as_fd().try_clone_to_owned().unwrap();
        let process = command.stdin(stdin).spawn().unwrap();
        old.set_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(hear(&old)["hello"]["pid"], process.id());
        let new = New {
            folder,
            process,
            its,
        };
        (new, old)
    }

    /// It is the hub, and has not heard what it is left.
    fn take_over(what: &str) -> (New, PacketSocket) {
        let (new, old) = New::start(what);
        say(&old, json!({"estate": {"pid": 4711}}), &[]);
        assert!(hear(&old)["ready"].is_object());
        say(&old, json!("go"), &[]);
        assert_eq!(hear(&old), "taken");
        (new, old)
    }

    /// What it says at its door.
    fn status(&self) -> Value {
        unix(&self.door(), "GET", "/api/status").json()
    }

    /// It opens when it is the hub.
    fn door(&self) -> PathBuf {
        let door = self.folder.join("admin.sock");
        wait_for("the hub", || match fs::metadata(&door) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        });
        door
    }
}

/// Its answer is on its way when the successor comes: who asks that would hear that there is no such tunnel.
#[test]
fn a_kill_that_is_being_done_is_told_as_done_whoever_is_the_hub_by_then() {
    let (new, old) = New::take_over("kill");
    say(&old, json!({"legacy": {}}), &[]);
    let door = new.door();
    let killing = {
        let door = door.clone();
        std::thread::spawn(move || unix(&door, "POST", "/api/tunnels/4711/end"))
    };
    let reply = |id: &Value, reply: Value| {
        say(&old, json!({"reply": {"id": id, "reply": reply}}), &[]);
    };
    let end = loop {
        let order = hear(&old)["order"].take();
        if order["order"]["end"].is_object() {
            break order["id"].clone();
        }
        let counted = json!({"counted": {"image": {}, "sessions": 0}});
        reply(&order["id"], counted);
    };
    let next = succeed(&door);
    say(&next, json!("taken"), &[]);
    // The last that it does before it lets go of whom it asks.
    wait_for("its door is closed", || match door.exists() {
        true => Err("it is there".into()),
        false => Ok(()),
    });
    reply(&end, json!({"ended": true}));
    assert!(hear(&next)["legacy"].is_object());
    let answer = killing.join().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Else its socket's queue would be full when it is to stop. What it says at last, however late, has it
/// asked again.
#[test]
fn a_process_that_reads_nothing_is_asked_no_more_than_a_few_times() {
    let (new, old) = New::take_over("full");
    say(&old, json!({"legacy": {}}), &[]);
    // Each is told after a second without it.
    for _ in 0..40 {
        new.status();
        std::thread::sleep(Duration::from_millis(500));
    }
    old.set_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut asked = Vec::new();
    while let Ok(Some(packet)) = old.recv() {
        asked.push(serde_json::from_slice::<Value>(&packet.bytes[1..]).unwrap());
    }
    assert!((1..=4).contains(&asked.len()), "{asked:?}");
    old.set_timeout(Some(PATIENCE)).unwrap();
    let id = &asked[0]["order"]["id"];
    let counted = json!({"counted": {"image": {}, "sessions": 0}});
    say(&old, json!({"reply": {"id": id, "reply": counted}}), &[]);
    assert_eq!(hear(&old)["order"]["order"], "count");
}

/// What was not even written is not what it leaves unanswered.
#[test]
fn a_process_that_had_no_room_for_questions_is_asked_when_it_has() {
    let (new, old) = New::take_over("no_room");
    while new.its.send(WHOLE, b"null", &[]).is_ok() {}
    say(&old, json!({"legacy": {}}), &[]);
    // In this time one question after the other is given up, more than may stand unanswered.
    std::thread::sleep(Duration::from_secs(28));
    new.status();
    let question = loop {
        match hear(&old) {
            Value::Null => {}
            other => break other,
        }
    };
    assert_eq!(question["order"]["order"], "count");
}

/// Sockets of SOCK_SEQPACKET, type 5 of /proc/net/unix, that the process has open.
fn connections(pid: u32) -> usize {
    let all = fs::read_to_string("/proc/net/unix").unwrap();
    let packets = all.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (fields.get(4) == Some(&"0005")).then(|| format!("socket:[{}]", fields[6]))
    });
    let packets: HashSet<_> = packets.collect();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open = open.filter_map(|one| fs::read_link(one.ok()?.path()).ok());
    open.filter(|one| packets.contains(one.to_str().unwrap_or_default()))
        .count()
}

impl Drop for New {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Else nobody would accept.
#[test]
fn an_old_process_that_ends_in_the_middle_leaves_a_hub() {
    for ready in [false, true] {
        let (new, old) = New::start("left");
        if !ready {
            // What it says from now on has nobody to go to.
            rustix::net::shutdown(&old, rustix::net::Shutdown::Read).unwrap();
        }
        say(&old, json!({"estate": {"pid": 4711}}), &[]);
        if ready {
            assert!(hear(&old)["ready"].is_object());
        }
        drop(old);
        let status = new.status();
        assert_eq!(status["pid"], new.process.id(), "{status}");
        assert_eq!(status["predecessors"], json!([]));
    }
}

/// With it come the connections to the processes before that, which would else take their successor
/// for gone; and what was counted.
#[test]
fn processes_that_are_handed_on_late_are_given_orders() {
    let (new, old) = New::take_over("late");
    // Its doors open when it waits no longer.
    let before = new.status()["predecessors"].clone();
    assert_eq!(
        (&before[0]["pid"], before.as_array().unwrap().len()),
        (&4711.into(), 1)
    );
    let [before_that, with] = PacketSocket::pair().unwrap();
    let one = json!({"pid": 815, "until_unix_ms": 0, "image": {}});
    let image = json!({"counts": {"accepted": 12345}});
    let legacy = json!({"legacy": {"predecessors": [one], "image": image}});
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
        u64::from(new.process.id())
    );
    wait_for("both", || {
        let status = new.status();
        let all = status["predecessors"].as_array().unwrap();
        let pids: Vec<_> = all.iter().map(|one| &one["pid"]).collect();
        match pids[..] == [&4711, &815] {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
    // What was counted is noted before that.
    assert_eq!(new.status()["accepted"], 12345);
    // Of one that is gone nothing is kept: each had a connection, and a copy of it to hand on.
    let pid = new.process.id();
    assert_eq!(connections(pid), 4);
    drop(old);
    wait_for("one is let go", || match connections(pid) {
        2 => Ok(()),
        other => Err(other.to_string()),
    });
}
