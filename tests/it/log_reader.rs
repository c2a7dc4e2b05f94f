//! Whoever reads the log may be slow and still gets every record; one that stands still keeps
//! neither a connection nor the end of the process.

use crate::support::hub::{PATIENCE, new_folder};
use crate::support::wire::{End, call, read_to_end};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Some 300 KB of records: more than a pipe holds.
const CLIENTS: usize = 1_000;

/// A hub that has declined [`CLIENTS`] while nobody read its log.
fn unread() -> (Child, BufReader<ChildStdout>) {
    let folder = new_folder("unread");
    let routes = folder.join("sni.yaml");
    std::fs::write(&routes, "sni: []\n").unwrap();
    let hub_yaml = folder.join("hub.yaml");
    std::fs::write(&hub_yaml, "access_log: text\nadmin: off\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(&hub_yaml).arg("--routes").arg(&routes);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stdout.take().unwrap());
    let addr = listening_on(&mut log);
    for _ in 0..CLIENTS {
        let client = call(addr, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(read_to_end(&client), (Vec::new(), End::Fin));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    (child, log)
}

fn listening_on(log: &mut impl BufRead) -> SocketAddr {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the hub ended");
        if let Some((_, rest)) = line.split_once("listening on ") {
            return rest.split_whitespace().next().unwrap().parse().unwrap();
        }
    }
}

#[test]
fn a_slow_reader_gets_every_record() {
    let (mut child, mut log) = unread();
    let (mut all, mut piece) = (Vec::new(), vec![0; 3 * 1024]);
    loop {
        thread::sleep(Duration::from_millis(20));
        match log.read(&mut piece).unwrap() {
            0 => break,
            n => all.extend(&piece[..n]),
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = String::from_utf8(all).unwrap();
    assert_eq!(text.matches(" closed session=").count(), CLIENTS);
    assert!(
        text.contains(" stopped accepted=1000 "),
        "{}",
        &text[text.len() - 500..]
    );
}

#[test]
fn a_reader_that_stands_still_does_not_keep_the_process() {
    let (mut child, log) = unread();
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("still there after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    drop(log);
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(said.contains("log lines are lost"), "{said:?}");
}
