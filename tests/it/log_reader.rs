//! Whoever reads the log may be slow and still gets every record; one that stands still keeps
//! neither a connection nor the end of the process, and no upgrade from its verdict.

use crate::admin::http::wait_for;
use crate::support::hub::{known_to_go_on, new_folder};
use crate::support::wire::{End, call, read_to_end};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

/// Some 300 KB of records: more than a pipe holds.
const CLIENTS: usize = 1_000;

/// A hub whose log nobody reads.
struct Unread {
    child: Child,
    log: BufReader<PipeReader>,
    folder: PathBuf,
}

impl Unread {
    /// One with this stderr, that has declined [`CLIENTS`].
    fn start(stderr: impl FnOnce(&PipeWriter) -> Stdio) -> Unread {
        known_to_go_on();
        let folder = new_folder("unread");
        let (routes, hub_yaml) = (folder.join("sni.yaml"), folder.join("hub.yaml"));
        fs::write(&routes, "sni: []\n").unwrap();
        fs::write(&hub_yaml, "access_log: text\nadmin: admin.sock\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command.args(["run", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(&hub_yaml).arg("--routes").arg(&routes);
        let (log, stdout) = io::pipe().unwrap();
        command.stderr(stderr(&stdout)).stdout(stdout);
        let child = command.env_remove("NOTIFY_SOCKET").spawn().unwrap();
        // It holds the other ends, which would keep the log from ending.
        drop(command);
        let mut log = BufReader::new(log);
        let addr = listening_on(&mut log);
        for _ in 0..CLIENTS {
            let client = call(addr, b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(read_to_end(&client), (Vec::new(), End::Fin));
        }
        Unread { child, log, folder }
    }

    /// One that has only one stream for both.
    fn start_together() -> Unread {
        Unread::start(|stdout| stdout.try_clone().unwrap().into())
    }

    fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn exit(&mut self) -> ExitStatus {
        wait_for("its end", || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err("it runs".to_owned()),
        })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
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
    let mut hub = Unread::start(|_| Stdio::piped());
    hub.stop();
    let (mut all, mut piece) = (Vec::new(), vec![0; 3 * 1024]);
    loop {
        thread::sleep(Duration::from_millis(20));
        match hub.log.read(&mut piece).unwrap() {
            0 => break,
            n => all.extend(&piece[..n]),
        }
    }
    assert_eq!(hub.exit().code(), Some(0));
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
    let mut hub = Unread::start(|_| Stdio::piped());
    hub.stop();
    assert_eq!(hub.exit().code(), Some(0));
    let mut said = String::new();
    let mut stderr = hub.child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert!(said.contains("log lines are lost"), "{said:?}");
}

/// As svlogd, the journal and `2>&1 |` have it.
#[test]
fn one_that_is_to_read_stderr_too_does_not_keep_it_either() {
    let mut hub = Unread::start_together();
    hub.stop();
    assert_eq!(hub.exit().code(), Some(0));
}

/// More of them than there is room on the way: they are heard all the same.
#[test]
fn nor_does_it_keep_an_upgrade_from_failing_with_the_words_of_the_successor() {
    let hub = Unread::start_together();
    let wrong = "- fqdn: a.example\n  tunnel_rote: 127.0.0.1:1\n".repeat(1_500);
    fs::write(hub.folder.join("sni.yaml"), format!("sni:\n{wrong}")).unwrap();
    for _ in 0..2 {
        let mut upgrade = Command::new(env!("CARGO_BIN_EXE_snihub"));
        upgrade.arg("upgrade").arg("--admin");
        let said = upgrade.arg(hub.folder.join("admin.sock")).output().unwrap();
        assert_eq!(said.status.code(), Some(78), "{said:?}");
        let words = String::from_utf8(said.stdout).unwrap();
        assert!(words.contains("(exit code 78)"), "{words}");
        assert!(words.contains("did you mean tunnel_route?"), "{words}");
    }
    // What has heard them goes with them.
    let tasks = format!("/proc/{}/task", hub.child.id());
    wait_for("nobody listens any more", || {
        let all = fs::read_dir(&tasks).unwrap().filter_map(Result::ok);
        let names = all.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        match names.filter(|name| name == "successor\n").count() {
            0 => Ok(()),
            some => Err(format!("{some} threads")),
        }
    });
}
