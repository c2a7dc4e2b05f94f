//! Each connection's record: in the format and at the place that `access_log` says, whatever
//! becomes of that place.

use crate::support::dir::TempDir;
use crate::support::hub::PATIENCE;
use crate::support::party::{Link, Party};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A hub of which the test chooses the whole hub.yaml.
struct Hub {
    child: Child,
    folder: TempDir,
    addr: SocketAddr,
    said: Arc<Mutex<String>>,
}

impl Hub {
    fn start(party: Party, settings: &str, level: &str) -> Hub {
        let folder = TempDir::new();
        let (reader, writer) = std::io::pipe().unwrap();
        let stat = rustix::fs::fstat(&writer).unwrap();
        let journal = format!("{}:{}", stat.st_dev, stat.st_ino);
        let mut command = command(&folder, party, settings);
        command.args(["--log-level", level]);
        if settings.contains("# journal") {
            command.env("JOURNAL_STREAM", journal);
        }
        let child = command.stdout(writer).spawn().unwrap();
        drop(command);
        let said = Arc::<Mutex<String>>::default();
        let (heard, mut lines) = (Arc::clone(&said), BufReader::new(reader));
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
                heard.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let unknown = ([0, 0, 0, 0], 0).into();
        let mut hub = Hub {
            child,
            folder,
            addr: unknown,
            said,
        };
        // `listening on` is at info; the kernel knows at any level.
        hub.addr = wait("where it listens", || hub.port().ok_or_else(|| hub.said()));
        hub
    }

    /// By the admin socket, whatever is logged.
    fn port(&self) -> Option<SocketAddr> {
        let status = self.ask("/api/status")?;
        let status: Value = serde_json::from_str(&status).ok()?;
        status["listen"][0].as_str()?.parse().ok()
    }

    fn ask(&self, path: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A tunnel that is closed, and a client that is refused.
    fn visit(&self, party: Party) {
        let mut link = Link::open(self.addr, "a.example", party).unwrap();
        link.exchange(1_000).unwrap();
        drop(link);
        assert!(Link::open(self.addr, "unknown.example", party).is_err());
    }

    /// Visits until the file has the end of one, which may be an earlier visit.
    fn visit_until(&self, party: Party, name: &str) {
        wait(name, || {
            self.visit(party);
            match self.file(name) {
                text if text.contains(" closed ") && text.ends_with('\n') => Ok(()),
                text => Err(text),
            }
        });
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn command(folder: &TempDir, party: Party, settings: &str) -> Command {
    let hub = folder.write("hub.yaml", format!("admin: admin.sock\n{settings}\n"));
    let routes = format!("sni:\n{}", party.entry("a.example"));
    let routes = folder.write("sni.yaml", &routes);
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(hub).arg("--routes").arg(routes);
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM");
    command
}

fn wait<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "{what}: still {seen}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// The text, once it has both.
fn both(what: &str, text: impl Fn() -> String, wanted: [&str; 2]) -> String {
    wait(what, || {
        let text = text();
        match wanted.iter().all(|part| text.contains(part)) && text.ends_with('\n') {
            true => Ok(text),
            false => Err(text),
        }
    })
}

const ENDS: [&str; 2] = ["both_closed", "unknown_server_name"];

#[test]
fn records_are_in_the_file_alone_whatever_the_level() {
    let party = Party::start(b'a');
    for format in ["text", "json"] {
        let settings = format!("access_log: {{format: {format}, to: access.log}}");
        let hub = Hub::start(party, &settings, "error");
        hub.visit(party);
        let text = both(format, || hub.file("access.log"), ENDS);
        let path = hub.folder.path().join("access.log");
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(text.lines().count(), 3, "opened, closed, closed: {text}");
        if format == "text" {
            assert!(
                text.contains(&format!("target=\"{}\"", party.addr)),
                "{text}"
            );
        }
        if format == "json" {
            let lines = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            let ended: Vec<Value> = lines.map(|line| line["ended"].clone()).collect();
            // The two connections end in any order.
            for end in [Value::Null, ENDS[0].into(), ENDS[1].into()] {
                assert!(ended.contains(&end), "{end} in {text}");
            }
        }
        assert_eq!(hub.said(), "", "nothing at this level");
    }
    let hub = Hub::start(party, "access_log: {to: access.log}", "info");
    hub.visit(party);
    both("text", || hub.file("access.log"), ENDS);
    assert!(hub.said().contains("listening on"), "{}", hub.said());
    assert!(!hub.said().contains("session="), "{}", hub.said());
}

#[test]
fn squid_is_one_line_a_connection_with_the_true_result() {
    let party = Party::start(b'a');
    for to in ["stdout", "squid.log"] {
        let hub = Hub::start(
            party,
            &format!("access_log: {{format: squid, to: {to}}}"),
            "info",
        );
        hub.visit(party);
        let text = || match to {
            "stdout" => hub.said(),
            file => hub.file(file),
        };
        let text = both(to, text, ENDS);
        let mut lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .filter(|words| words.get(5).is_some_and(|word| *word == "CONNECT"))
            .collect();
        // The tunnel's end may be told after the refusal of who came later.
        lines.sort_by_key(|words| words[9] != ENDS[0]);
        let [tunnel, refused] = &lines[..] else {
            panic!("{text}")
        };
        let target = party.addr;
        // The party sends its mark before it echoes, hello and all.
        let sent: u64 = tunnel[4].parse().unwrap();
        assert!(sent > 1_000 && sent < 3_000, "{text}");
        assert_eq!(tunnel[2..4], ["127.0.0.1", "TCP_MISS/200"]);
        let url = format!("tunnel://{target}/");
        assert_eq!(tunnel[6..], [&url, "-", "DIRECT/127.0.0.1", ENDS[0]]);
        assert_eq!(refused[3..5], ["ERR_INVALID_URL/404", "0"]);
        assert_eq!(
            refused[6..],
            ["tunnel://unknown.example/", "-", "NONE/-", ENDS[1]]
        );
        assert!(!text.contains("session="), "{text}");
    }
}

#[test]
fn a_renamed_file_is_followed_by_a_new_one() {
    let party = Party::start(b'a');
    let hub = Hub::start(party, "access_log: {to: access.log}", "info");
    hub.visit_until(party, "access.log");
    for (old, signal) in [("access.log.1", None), ("access.log.2", Some(Signal::USR1))] {
        let folder = hub.folder.path();
        fs::rename(folder.join("access.log"), folder.join(old)).unwrap();
        if let Some(signal) = signal {
            hub.signal(signal);
        }
        hub.visit_until(party, "access.log");
        let (before, after) = (hub.file(old), hub.file("access.log"));
        assert!(
            before.contains(" closed ") && before.ends_with('\n'),
            "{before}"
        );
        assert!(after.contains("session="), "{after}");
    }
    assert!(
        hub.ask("/livez").unwrap().contains("alive"),
        "after SIGUSR1"
    );
    // As `copytruncate` leaves it.
    let path = hub.folder.path().join("access.log");
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .unwrap();
    hub.visit_until(party, "access.log");
    assert!(
        !hub.file("access.log").contains('\0'),
        "written behind a hole"
    );
}

#[test]
fn a_full_disk_is_said_once_and_costs_its_lines_alone() {
    let party = Party::start(b'a');
    let hub = {
        let settings = "access_log: {format: json, to: full.log}";
        let folder = TempDir::new();
        let full = folder.path().join("elsewhere");
        std::os::unix::fs::symlink("/dev/full", &full).unwrap();
        let settings = settings.replace("full.log", full.to_str().unwrap());
        (Hub::start(party, &settings, "info"), folder, full)
    };
    let (hub, _folder, full) = hub;
    for _ in 0..20 {
        hub.visit(party);
    }
    let lost = |hub: &Hub| -> u64 {
        let page = hub.ask("/metrics").unwrap();
        let series = "snihub_log_lines_lost_total{log=\"access\"} ";
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(series))
            .unwrap();
        line.parse().unwrap()
    };
    wait("every line is counted", || match lost(&hub) {
        60 => Ok(()),
        other => Err(other.to_string()),
    });
    let complaints = |said: &str| said.matches("No space left on device").count();
    assert_eq!(complaints(&hub.said()), 1, "{}", hub.said());
    fs::remove_file(&full).unwrap();
    wait("the file is written again", || {
        hub.visit(party);
        let said = hub.said();
        match said.contains("is written again; ") {
            true => Ok(()),
            false => Err(said),
        }
    });
    let text = fs::read_to_string(&full).unwrap();
    assert!(
        text.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok()),
        "{text}"
    );
    assert_eq!(complaints(&hub.said()), 1, "{}", hub.said());
}

#[test]
fn the_journal_gets_severities_and_keeps_the_time_itself() {
    let party = Party::start(b'a');
    let hub = Hub::start(party, "workers: 1 # journal", "info");
    hub.visit(party);
    let text = both("the log", || hub.said(), ENDS);
    for line in text.lines() {
        assert!(
            line.starts_with("<6> INFO ") || line.starts_with("<4> WARN "),
            "{line}"
        );
    }
    let other = Hub::start(party, "workers: 1", "info");
    let text = both("the log", || other.said(), ["listening on", "\n"]);
    assert!(text.starts_with("20"), "{text}");
}

#[test]
fn the_format_changes_with_a_reload() {
    let party = Party::start(b'a');
    let hub = Hub::start(party, "access_log: {to: access.log}", "info");
    hub.visit(party);
    both("text", || hub.file("access.log"), ENDS);
    let settings = "admin: admin.sock\naccess_log: {format: squid, to: access.log}\n";
    hub.folder.write("hub.yaml", settings);
    hub.signal(Signal::HUP);
    wait("a line of the new format", || {
        hub.visit(party);
        match hub.file("access.log") {
            text if text.contains(" TCP_MISS/200 ") => Ok(()),
            text => Err(text),
        }
    });
}

#[test]
fn a_file_that_cannot_be_had_stops_the_start() {
    let party = Party::start(b'a');
    let folder = TempDir::new();
    let mut start = command(&folder, party, "access_log: {to: no/such/folder.log}");
    let output = start.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(
        said.contains("access_log: ") && said.contains("folder.log: "),
        "{said}"
    );
    let pipe = |folder: &TempDir| {
        let pipe = folder.path().join("pipe.log");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        pipe
    };
    pipe(&folder);
    let mut start = command(&folder, party, "access_log: {to: pipe.log}");
    let output = start.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(
        said.contains("pipe.log: it is a named pipe that nobody reads"),
        "{said}"
    );
}

#[test]
fn a_named_pipe_that_somebody_reads_takes_lines() {
    let party = Party::start(b'a');
    let folder = TempDir::new();
    let pipe = folder.path().join("pipe.log");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let (told, heard) = std::sync::mpsc::channel();
    let reads = pipe.clone();
    std::thread::spawn(move || {
        let mut line = String::new();
        let mut lines = BufReader::new(fs::File::open(reads).unwrap());
        while lines.read_line(&mut line).is_ok_and(|n| n > 0) {
            drop(told.send(std::mem::take(&mut line)));
        }
    });
    // Open for reading before the hub starts: both ends wait for each other.
    let writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let settings = format!("access_log: {{to: {}}}", pipe.display());
    let hub = Hub::start(party, &settings, "info");
    hub.visit(party);
    let line = heard.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains(" opened "), "{line}");
    drop(writer);
}
