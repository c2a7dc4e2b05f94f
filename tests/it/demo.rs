//! `snihub demo` shows the hub at work to somebody who has nothing but the binary: it ends well,
//! says what it saw, and leaves nothing behind, however it ends.

use crate::support::hub::new_folder;
use crate::support::program::which;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// For a line or an exit: generous, since two cores may be shared by every test at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running demo with a temporary directory of its own; killed when dropped.
struct Demo {
    child: Child,
    lines: mpsc::Receiver<String>,
    steps: mpsc::Receiver<String>,
    temp: PathBuf,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let (mut child, temp) = spawn(arguments);
        let lines = by_line(child.stdout.take().unwrap());
        let steps = by_line(child.stderr.take().unwrap());
        Demo {
            child,
            lines,
            steps,
            temp,
        }
    }

    /// One whose output nobody reads: both pipes are closed.
    fn unheard() -> Demo {
        let (mut child, temp) = spawn(&[]);
        drop((child.stdout.take(), child.stderr.take()));
        let nothing = || mpsc::channel().1;
        Demo {
            child,
            lines: nothing(),
            steps: nothing(),
            temp,
        }
    }

    /// Reads stdout up to the line that `wanted` takes.
    fn read_until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let mut read = Vec::new();
        while !read.last().is_some_and(|line: &String| wanted(line)) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => read.push(line),
                Err(error) => panic!("{what}: {error}, after:\n{}", read.join("\n")),
            }
        }
        read
    }

    fn wait_step(&self, wanted: &str) {
        loop {
            let step = self.steps.recv_timeout(PATIENCE).expect(wanted);
            if step.contains(wanted) {
                return;
            }
        }
    }

    fn interrupt(&self) {
        // Not reaped before `ended` or `drop`: the pid is still its own.
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for the end; gives the exit status and what was left in the temporary directory.
    fn ended(mut self) -> (ExitStatus, Vec<PathBuf>) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "no end within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(5));
        };
        (status, self.left())
    }

    fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.temp)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.temp));
    }
}

fn spawn(arguments: &[&str]) -> (Child, PathBuf) {
    let temp = new_folder("demo");
    let child = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", &temp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child, temp)
}

fn by_line(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            // The test may have seen enough.
            drop(tell.send(line.unwrap()));
        }
    });
    lines
}

/// Runs a command line, its stdin open, until it prints `wanted`; gives what it printed.
fn try_out(command: &str, wanted: &str) -> String {
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {} 2>&1", command.trim())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = by_line(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(wanted) {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => said.push_str(&format!("{line}\n")),
            Err(error) => {
                drop(child.kill());
                panic!("{command}: wanted {wanted:?}: {error}, after:\n{said}");
            }
        }
    }
    drop(child.kill());
    child.wait().unwrap();
    said
}

/// The row of the report that begins so.
fn row<'r>(report: &'r [String], begins: &str) -> Vec<&'r str> {
    let line = report.iter().find(|line| line.starts_with(begins));
    let line = line.unwrap_or_else(|| panic!("no row {begins:?} in:\n{}", report.join("\n")));
    line.strip_prefix(begins)
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .collect()
}

fn assert_report(report: &[String]) {
    let text = report.join("\n");
    for line in report {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    for link in [
        "9999 -> 10000",
        "10000 -> 9999",
        "9999 -> 10001",
        "10001 -> 10000",
    ] {
        let cells = row(report, link);
        let [
            sent,
            received,
            speed,
            handshake,
            round_trip,
            relay,
            hashes,
            verdict,
        ] = cells[..]
        else {
            panic!("{cells:?}")
        };
        assert_eq!(
            (relay, hashes, verdict),
            ("splice", "2 of 2", "ok"),
            "{text}"
        );
        assert!(sent.ends_with(" MB") && received.ends_with(" MB"), "{text}");
        assert!(speed.parse::<u32>().unwrap() > 0, "{text}");
        let late = link.contains("10001");
        for time in [handshake, round_trip] {
            assert_eq!(time.ends_with("ms*"), late, "{text}");
            assert!(late || time.ends_with("ms"), "{text}");
        }
    }
    assert!(
        text.contains("Party 10001 joined by an edit of sni.yaml"),
        "{text}"
    );
    let alert = "TLS alert 112, unrecognized_name";
    for (begins, wanted) in [
        (
            "10001, before it joined",
            [alert, "unknown_server_name", "ok"],
        ),
        ("name without a route", [alert, "unknown_server_name", "ok"]),
        (
            "plain HTTP",
            [
                "closed, not one byte",
                "not TLS: looks like plain HTTP",
                "ok",
            ],
        ),
    ] {
        assert_eq!(row(report, begins), wanted, "{text}");
    }
    let two = row(report, "hello in two segments");
    assert!(
        two[0].starts_with("1448 + ") && two[0].ends_with("hashes 2 of 2"),
        "{text}"
    );
    assert!(
        two[1].starts_with("routed; ") && two[1].ends_with("both_closed"),
        "{text}"
    );
    assert_eq!(two[2], "ok", "{text}");
    assert!(
        report.last().unwrap().starts_with("All right: 9 of 9; "),
        "{text}"
    );
}

#[test]
fn all_is_right_and_nothing_is_left() {
    let demo = Demo::start(&[]);
    let report = demo.read_until("the report", |line| line.starts_with("All right"));
    assert_report(&report);
    let (status, left) = demo.ended();
    assert_eq!((status.code(), left), (Some(0), vec![]));
}

#[test]
fn an_interrupt_in_the_middle_leaves_nothing() {
    let demo = Demo::start(&[]);
    demo.wait_step("both send hashed data");
    let during = demo.left();
    assert_eq!(during.len(), 1, "{during:?}");
    demo.interrupt();
    let (status, left) = demo.ended();
    assert_eq!((status.code(), left), (Some(130), vec![]));
}

#[test]
fn a_reader_that_leaves_early_leaves_nothing_behind_either() {
    let demo = Demo::unheard();
    let (status, left) = demo.ended();
    assert_eq!((status.code(), left), (Some(0), vec![]));
}

#[test]
fn a_temporary_directory_that_cannot_be_had_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .arg("demo")
        .env("TMPDIR", "/nonexistent/snihub")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{text}");
    assert!(
        text.contains("no directory under /nonexistent/snihub"),
        "{text}"
    );
}

#[test]
fn with_hold_the_star_stays_up_and_its_commands_work() {
    let demo = Demo::start(&["--hold"]);
    let report = demo.read_until("the report", |line| line.starts_with("All right"));
    assert_report(&report);
    let invitation = demo.read_until("the commands", |line| line.contains("what the hub makes"));
    let invitation = invitation.join("\n").replace("\\\n", "");
    let commands: Vec<_> = invitation
        .lines()
        .filter(|line| line.contains("openssl s_client"))
        .collect();
    assert_eq!(commands.len(), 4, "{invitation}");
    if which("openssl").is_some() {
        let said = try_out(commands[2], "This is 10001.fate.test");
        assert!(said.contains("Verification: OK"), "{said}");
        try_out(commands[3], "unrecognized name");
        demo.read_until("the hub's own line", |line| {
            line.starts_with("hub: INFO closed") && line.contains("unknown_server_name")
        });
    } else {
        println!("openssl is not installed: the commands are not tried");
    }
    assert_eq!(demo.left().len(), 1);
    demo.interrupt();
    let (status, left) = demo.ended();
    assert_eq!((status.code(), left), (Some(0), vec![]));
}
