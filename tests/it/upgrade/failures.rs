//! A successor that does not come up: nothing has changed, and the command says why.

use super::{
    Said, ask, ends, json, pid, run, runs, samples, signal, start, status, tunnels, upgrade,
};
use crate::admin::http::{tcp, wait_for};
use crate::support::hub::{Hub, Options, PATIENCE};
use crate::support::party::{Link, Party};
use crate::support::program;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const NAME: &str = "a.example";

/// A program in the hub's folder.
fn script(hub: &Hub, name: &str, text: &str) -> String {
    let path: PathBuf = hub.folder().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn with(hub: &Hub, binary: &str, within: &str) -> Said {
    run(hub, &["upgrade", "--binary", binary, "--within", within])
}

/// A hub and a link that have to be there as before, whatever is tried.
struct Before {
    hub: Hub,
    link: Link,
    party: Party,
}

impl Before {
    fn start() -> Before {
        let party = Party::start(b'a');
        let hub = start(&[NAME], party, "workers: 2\ndrain: 1h");
        let link = Link::open(hub.addr(), NAME, party).unwrap();
        Before { hub, link, party }
    }

    fn nothing_has_changed(&mut self) {
        let hub = &self.hub;
        assert_eq!(pid(hub), u64::from(hub.pid()));
        self.link.exchange(1000).unwrap();
        let mut new = Link::open(hub.addr(), NAME, self.party).unwrap();
        new.exchange(1000).unwrap();
        assert!(
            tunnels(hub)
                .iter()
                .all(|tunnel| tunnel["draining"] == false)
        );
        let status = status(hub);
        assert_eq!(
            (&status["ready"], &status["draining"]),
            (&true.into(), &false.into())
        );
        assert_eq!(status["predecessors"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn one_that_ends_is_told_with_its_own_words() {
    let mut before = Before::start();
    let hub = &before.hub;
    let few = format!("ulimit -n 20\nexec {} \"$@\"", env!("CARGO_BIN_EXE_snihub"));
    let few = script(hub, "few", &few);
    let crash = "echo 'libfoo.so.9: not found' >&2\nkill -SEGV $$";
    let crash = script(hub, "crash", crash);
    for (binary, words) in [
        (
            "/nonexistent/snihub",
            "cannot run /nonexistent/snihub: No such file",
        ),
        ("/etc/passwd", "cannot run /etc/passwd: Permission denied"),
        ("/bin/true", "ended before it accepted"),
        (crash.as_str(), "  libfoo.so.9: not found\n"),
        (few.as_str(), "for want of descriptors"),
    ] {
        let said = with(hub, binary, "30");
        assert_eq!(said.code, Some(1), "{binary}: {said:?}");
        assert!(
            said.out.starts_with("not upgraded, nothing has changed: "),
            "{said:?}"
        );
        assert!(
            said.out.contains(words),
            "{binary}: {words:?} in {}",
            said.out
        );
    }
    before.nothing_has_changed();
    // And then it can be done.
    upgrade(&before.hub);
    before.link.exchange(1000).unwrap();
}

/// As of one that complains of each entry.
#[test]
fn of_many_words_the_last_are_told_from_the_beginning_of_a_line() {
    let before = Before::start();
    let wordy = script(&before.hub, "wordy", "seq 1000 9999 >&2");
    let said = with(&before.hub, &wordy, "30");
    assert_eq!(said.code, Some(1), "{said:?}");
    let mut lines = said.out.lines().skip(1);
    let more = lines.next().unwrap();
    assert!(more.contains("it said more before"), "{said:?}");
    let last: Vec<u32> = lines.map(|line| line.trim().parse().unwrap()).collect();
    assert!(last.len() > 1000, "{said:?}");
    assert!(last.iter().copied().eq(last[0]..=9999), "{said:?}");
}

/// Says what a successor says, until it does something else: `{}` comes after it was handed the sockets.
const FAKE: &str = r#"#!/usr/bin/env python3
import json, os, socket, sys, time
hub = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=os.dup(0))
say = lambda what: hub.send(b"\x03" + json.dumps(what).encode())
hear = lambda: hub.recvmsg(65536, 65536)
ready = {"ready": {"version": "9", "adopted": False}}
hello = {"hello": {"protocol": 2, "version": "9"}}
"#;

fn fake(hub: &Hub, name: &str, text: &str) -> String {
    let path = hub.folder().join(name);
    fs::write(&path, format!("{FAKE}{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Until it has said that it is the hub the old process has given up nothing.
#[test]
fn one_that_accepts_and_then_fails_changes_nothing() {
    let mut before = Before::start();
    for (name, text, words) in [
        ("early", "say(ready); hear()", "makes no sense"),
        ("early_taken", "say('taken'); hear()", "makes no sense"),
        (
            "dies",
            "say(hello); hear(); say(ready); os._exit(1)",
            "ended before it was the hub",
        ),
        (
            "dies_at_go",
            "say(hello); hear(); say(ready); hear(); os._exit(1)",
            "ended before it was the hub",
        ),
        (
            "silent",
            "say(hello); hear(); say(ready); time.sleep(1000)",
            "does not answer, and was ended",
        ),
        (
            "talks",
            "say(hello); hear(); say(ready); say(ready); time.sleep(1000)",
            "makes no sense",
        ),
    ] {
        let binary = fake(&before.hub, name, text);
        let said = with(&before.hub, &binary, "30");
        assert_eq!(said.code, Some(1), "{name}: {said:?}");
        assert!(
            said.out.starts_with("not upgraded, nothing has changed: "),
            "{name}: {said:?}"
        );
        assert!(said.out.contains(words), "{name}: {said:?}");
        before.nothing_has_changed();
    }
    // And then it can be done.
    upgrade(&before.hub);
    before.link.exchange(1000).unwrap();
}

/// There is no way back then: at least nobody is told that all is well.
#[test]
fn one_that_ends_as_soon_as_it_is_the_hub_is_told_as_an_outage() {
    for last in [
        "hub.shutdown(socket.SHUT_RD); say('taken')",
        "say('taken')",
        "say('taken'); hear()",
    ] {
        let mut before = Before::start();
        let text = format!("say(hello); hear(); say(ready); hear(); {last}");
        let said = with(&before.hub, &fake(&before.hub, "gone", &text), "30");
        assert_eq!(said.code, Some(1), "{last}: {said:?}");
        assert!(
            said.out.starts_with("not upgraded: ") && said.out.contains("NOBODY ACCEPTS"),
            "{last}: {said:?}"
        );
        before.link.exchange(1000).unwrap();
    }
}

/// It accepts, and is told as what it is.
#[test]
fn a_hub_that_has_lost_the_connection_is_a_hub() {
    let mut before = Before::start();
    let lost = "hub.shutdown(socket.SHUT_RD); say('taken'); time.sleep(15)";
    let text = format!("say(hello); hear(); say(ready); hear(); {lost}");
    let said = with(&before.hub, &fake(&before.hub, "lost", &text), "30");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("upgraded: process "), "{said:?}");
    before.hub.wait_line("what is missing", |line| {
        let text = line["message"].as_str();
        text.is_some_and(|text| text.starts_with("the successor is the hub, but does not hear"))
    });
    before.link.exchange(1000).unwrap();
}

/// A supervisor knows the first of three processes: the second, which lives, is not what that waits for.
#[test]
fn a_supervised_process_hears_of_a_hub_that_ends_before_its_first_order() {
    let party = Party::start(b'a');
    let options = Options::routes(format!("sni:\n{}", party.entry(NAME)));
    let options = options.settings("upgrade_drain: 1d").argument("--takeover");
    let hub = Hub::start(options.with_admin());
    let mut of_the_first = Link::open(hub.addr(), NAME, party).unwrap();
    let second = upgrade(&hub)["new_pid"].as_u64().unwrap();
    let mut of_the_second = Link::open(hub.addr(), NAME, party).unwrap();
    let text = "say(hello); hear(); say(ready); hear(); say('taken')";
    with(&hub, &fake(&hub, "gone", text), "30");
    of_the_first.was_reset();
    ends(u64::from(hub.pid()));
    of_the_second.exchange(1000).unwrap();
    // It has the log that the exit code waits for.
    signal(second, Signal::KILL);
    assert_eq!(hub.wait_exit().code(), Some(71));
}

/// A newer one may have more to say; and a connection is no process.
#[test]
fn what_a_successor_says_and_is_not_understood_is_no_end_of_it() {
    let mut before = Before::start();
    let folder = before.hub.folder().to_owned();
    let text = format!(
        r#"os.chdir({folder:?})
def tell(name, what):
    with open(name + '.new', 'wb') as file: file.write(what)
    os.rename(name + '.new', name)
say(hello); hear(); say(ready); hear(); say('taken'); hear()
say({{"hint": {{"x": 1}}}}); say({{"order": {{"id": os.getpid() << 32, "order": "count"}}}})
tell('reply', hub.recv(1 << 20))
hub.close(); os.close(0)
tell('closed', b'')
while not os.path.exists('go'): time.sleep(.01)
"#
    );
    let binary = fake(&before.hub, "newer", &text);
    let said = with(&before.hub, &binary, "30");
    assert_eq!(said.code, Some(0), "{said:?}");
    let comes = |name: &str| {
        wait_for(name, || {
            fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())
        })
    };
    let reply = comes("reply");
    assert!(reply.contains("counted"), "{reply}");
    comes("closed");
    // Asked once while it has a successor it closes what it has over `drain`.
    before.hub.signal(Signal::TERM);
    before.link.exchange(1000).unwrap();
    let gone = |line: &Value| {
        let text = line["message"].as_str();
        text.is_some_and(|text| text.starts_with("the successor has ended"))
    };
    assert!(!before.hub.lines().iter().any(gone));
    fs::write(folder.join("go"), "").unwrap();
    before.hub.wait_line("its end", gone);
    before.link.was_reset();
}

/// As one that is stopped in the middle of a long list: who signals the old process is heard, and the
/// end of its last tunnel is its own.
#[test]
fn a_successor_that_reads_no_answers_does_not_keep_the_old_process() {
    let text = r#"say(hello); hear(); say(ready); hear(); say('taken'); hear()
for n in range(1, 2000): say({"order": {"id": (os.getpid() << 32) + n, "order": "count"}})
time.sleep(1000)
"#;
    for signalled in [true, false] {
        let mut before = Before::start();
        let binary = fake(&before.hub, "deaf", text);
        let said = with(&before.hub, &binary, "30");
        assert_eq!(said.code, Some(0), "{said:?}");
        before.link.exchange(1000).unwrap();
        match signalled {
            // The second one ends what the first has an hour for.
            true => wait_for("the end of the tunnel", || {
                before.hub.signal(Signal::TERM);
                match before.link.exchange(1) {
                    Err(_) => Ok(()),
                    Ok(_) => Err("it stands".to_owned()),
                }
            }),
            false => drop(before.link),
        }
        assert_eq!(before.hub.wait_exit().code(), Some(0));
    }
}

/// A hub as it is started by hand, in a folder of its own, by `command`.
struct ByHand {
    folder: PathBuf,
    child: Child,
}

impl ByHand {
    /// `command`, given the folder: how it is started whose program is put there by `install`.
    fn start(install: impl FnOnce(&Path), command: impl FnOnce(&Path) -> Command) -> ByHand {
        crate::support::hub::known_to_go_on();
        let folder = crate::support::hub::new_folder("by_hand");
        install(&folder);
        let routes = format!("sni:\n{}", Party::start(b'a').entry(NAME));
        fs::write(folder.join("sni.yaml"), routes).unwrap();
        fs::write(folder.join("hub.yaml"), "admin: admin.sock\n").unwrap();
        let mut command = command(&folder);
        command.current_dir(&folder).env_remove("NOTIFY_SOCKET");
        command.args(["run", "--listen", "127.0.0.1:0", "--config", "hub.yaml"]);
        command.args(["--routes", "sni.yaml"]).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let hub = ByHand { folder, child };
        wait_for("the hub", || match hub.ask("status").status.code() {
            Some(0) => Ok(()),
            code => Err(format!("{code:?}")),
        });
        hub
    }

    fn ask(&self, what: &str) -> Output {
        snihub_in(&self.folder, &[what, "--admin", "admin.sock"])
    }

    /// What an upgrade comes to, in vain.
    fn upgrade(&self) -> String {
        String::from_utf8(self.ask("upgrade").stdout).unwrap()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// One that is not snihub, and says so.
fn put_another(path: &Path) {
    fs::write(path, "#!/bin/sh\necho the new one >&2\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn by_name(path: &Path) -> Command {
    let mut command = Command::new("snihub");
    command.env("PATH", path);
    command
}

/// Started by its name alone.
#[test]
fn what_is_started_is_what_stands_where_this_one_was_started_from() {
    let install = |folder: &Path| {
        program::copy(env!("CARGO_BIN_EXE_snihub"), &folder.join("snihub"));
    };
    let hub = ByHand::start(install, by_name);
    let program = hub.folder.join("snihub");
    fs::rename(&program, hub.folder.join("snihub.old")).unwrap();
    put_another(&program);
    let said = hub.upgrade();
    assert!(said.contains("  the new one\n"), "{said}");
}

/// As versions are kept side by side: what a link leads to by now is meant, however it was named.
#[test]
fn a_link_is_followed_when_the_successor_starts() {
    let by_path: fn(&Path) -> Command = |folder| by_name(&folder.join("bin"));
    for command in [
        by_path,
        |_| Command::new("bin/snihub"),
        |folder| Command::new(folder.join("bin/snihub")),
    ] {
        let install = |folder: &Path| {
            for one in ["v1", "v2", "bin"] {
                fs::create_dir(folder.join(one)).unwrap();
            }
            program::copy(env!("CARGO_BIN_EXE_snihub"), &folder.join("v1/snihub"));
            put_another(&folder.join("v2/snihub"));
            symlink("../v1/snihub", folder.join("bin/snihub")).unwrap();
        };
        let hub = ByHand::start(install, command);
        let link = hub.folder.join("bin/snihub");
        fs::remove_file(&link).unwrap();
        symlink("../v2/snihub", &link).unwrap();
        let said = hub.upgrade();
        assert!(said.contains("  the new one\n"), "{said}");
        fs::remove_file(&link).unwrap();
        let said = hub.upgrade();
        let gone = format!("cannot run {}: No such file", link.display());
        assert!(said.contains(&gone), "{said}");
    }
}

/// The service manager would be told the script's number, and end the hub with it.
#[test]
fn a_script_that_does_not_become_snihub_is_refused() {
    let mut before = Before::start();
    let hub = env!("CARGO_BIN_EXE_snihub");
    let wrapper = script(&before.hub, "wrapper", &format!("{hub} \"$@\"\nexit $?"));
    let said = with(&before.hub, &wrapper, "30");
    assert_eq!(said.code, Some(1), "{said:?}");
    for words in ["nothing has changed", "`exec snihub \"$@\"`"] {
        assert!(said.out.contains(words), "{words:?} in {}", said.out);
    }
    before.nothing_has_changed();
    upgrade(&before.hub);
}

/// As `systemctl kill -s USR1` does it with all processes of a service.
#[test]
fn a_signal_while_it_starts_is_heard_when_it_is_there() {
    let before = Before::start();
    let hub = &before.hub;
    let hub_now = env!("CARGO_BIN_EXE_snihub");
    let early = script(
        hub,
        "early",
        &format!("kill -HUP $$\nkill -USR1 $$\nexec {hub_now} \"$@\""),
    );
    let said = with(hub, &early, "30");
    assert_eq!(said.code, Some(0), "{said:?}");
    // Bit 0 is signal 1 (proc(5)).
    const BOTH: u64 = 1 | 1 << 9;
    let new = pid(hub);
    let masks = || {
        let status = fs::read_to_string(format!("/proc/{new}/status")).unwrap();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap() & BOTH
        };
        ["SigBlk:", "SigPnd:", "ShdPnd:"].map(mask)
    };
    assert_eq!(masks(), [0; 3], "a signal is held back in process {new}");
}

/// The door has room for some: whoever says nothing makes room, and not who waits for the verdict.
#[test]
fn who_waits_for_an_upgrade_is_not_put_out_of_the_door() {
    let before = Before::start();
    let hub = &before.hub;
    let go = hub.folder().join("go");
    let wait = format!(
        "until [ -e {} ]; do sleep 0.1; done\nexec {} \"$@\"",
        go.display(),
        env!("CARGO_BIN_EXE_snihub")
    );
    let wait = script(hub, "wait", &wait);
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| with(hub, &wait, "30"));
        hub.wait_line("it is under way", |line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("upgrade: starts"))
        });
        let connect = || UnixStream::connect(super::socket(hub)).unwrap();
        let mut first = connect();
        let _others: Vec<_> = (0..40).map(|_| connect()).collect();
        // Somebody has been put out.
        first.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(first.read(&mut [0]).unwrap(), 0);
        fs::write(&go, "").unwrap();
        let said = upgrading.join().unwrap();
        assert_eq!(said.code, Some(0), "{said:?}");
    });
}

#[test]
fn one_that_hangs_is_ended() {
    let mut before = Before::start();
    let hub = &before.hub;
    let file = hub.folder().join("pid");
    let hang = format!("echo $$ >{}\nexec sleep 1000", file.display());
    let hang = script(hub, "hang", &hang);
    let said = with(hub, &hang, "1");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .contains("does not accept within 1 s, and was ended"),
        "{said:?}"
    );
    let hung: u64 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
    wait_for("its end", || {
        if runs(hung) {
            Err(hung.to_string())
        } else {
            Ok(())
        }
    });
    before.nothing_has_changed();
}

#[test]
fn a_broken_configuration_is_told_as_check_tells_it() {
    let mut before = Before::start();
    let hub = &before.hub;
    let good = fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    hub.replace("hub.yaml", &format!("{good}workerz: 3\n"));
    let said = run(hub, &["upgrade"]);
    assert_eq!(said.code, Some(78), "{said:?}");
    for words in [
        "(exit code 78)",
        "hub.yaml:",
        "workerz",
        "did you mean workers?",
    ] {
        assert!(said.out.contains(words), "{words:?} in {}", said.out);
    }
    // Files that are right, and a door that cannot be had.
    let elsewhere = good.replace("admin: admin.sock", "admin: sni.yaml");
    hub.replace("hub.yaml", &elsewhere);
    let said = run(hub, &["upgrade"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("snihub: admin: "), "{said:?}");
    hub.replace("hub.yaml", &good);
    before.nothing_has_changed();
}

/// It is the hub itself that has the address, and goes on to listen there.
#[test]
fn an_address_that_overlaps_an_old_one_needs_a_restart() {
    let party = Party::start(b'a');
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let old = free.local_addr().unwrap();
    drop(free);
    let options = Options::routes(format!("sni:\n{}", party.entry(NAME)))
        .settings(format!("workers: 2\nlisten: ['{old}']"));
    let hub = Hub::start(options.listen_of_file().with_admin());
    let settings = fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    let listen = |address: &str| {
        let new = settings.replace(&old.to_string(), address);
        hub.replace("hub.yaml", &new);
    };
    let left = |line: &Value| {
        let text = line["message"].as_str();
        text.is_some_and(|text| text.starts_with("no longer listening on "))
    };
    listen(&format!("0.0.0.0:{}", old.port()));
    let said = run(&hub, &["upgrade"]);
    assert_eq!(said.code, Some(69), "{said:?}");
    let why = format!("overlaps {old}, on which the hub listens until now: that needs a restart");
    assert!(said.out.contains(&why), "{said:?}");
    Link::open(old, NAME, party).unwrap();
    // One that becomes the hub says so, once.
    listen("127.0.0.1:0");
    upgrade(&hub);
    hub.wait_line("what it no longer has", left);
    assert_eq!(hub.lines().iter().filter(|line| left(line)).count(), 1);
}

/// A file that somebody has put where the admin socket was is his.
#[test]
fn another_file_in_the_place_of_the_admin_socket_is_not_taken_for_it() {
    let before = Before::start();
    let hub = &before.hub;
    let (socket, moved) = (super::socket(hub), hub.folder().join("moved.sock"));
    fs::rename(&socket, &moved).unwrap();
    fs::write(&socket, "of somebody else").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["upgrade", "--admin", moved.to_str().unwrap()])
        .output()
        .unwrap();
    let words = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("snihub: admin: "), "{words}");
    // Where it is free the successor has one of its own, and the old one leaves it there.
    fs::remove_file(&socket).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["upgrade", "--admin", moved.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let new = pid(hub);
    assert_ne!(new, u64::from(hub.pid()));
    drop(before.link);
    ends(u64::from(hub.pid()));
    assert_eq!(pid(hub), new);
}

#[test]
fn what_reload_refuses_is_not_upgraded_to() {
    let mut before = Before::start();
    let hub = &before.hub;
    let good = fs::read_to_string(hub.folder().join("sni.yaml")).unwrap();
    hub.edit_routes("sni: []\n");
    let said = run(hub, &["reload"]);
    assert_eq!(said.code, Some(78), "{said:?}");
    let said = run(hub, &["upgrade"]);
    assert_eq!(said.code, Some(78), "{said:?}");
    for words in [
        "nothing has changed",
        "sni.yaml: ",
        "would be gone",
        "`snihub upgrade --allow-shrink",
    ] {
        assert!(said.out.contains(words), "{words:?} in {}", said.out);
    }
    hub.edit_routes(&good);
    before.nothing_has_changed();
    let hub = &before.hub;
    let settings = fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    hub.edit_routes("sni: []\n");
    hub.replace(
        "hub.yaml",
        &format!("{settings}reload: {{allow_shrink: true}}\n"),
    );
    ask(hub, &["upgrade"]);
    assert_eq!(samples(hub)["snihub_routes"], 0.0);
}

#[test]
fn a_table_is_upgraded_to_that_an_operator_wants_to_shrink() {
    let before = Before::start();
    let hub = &before.hub;
    hub.edit_routes("sni: []\n");
    ask(hub, &["upgrade", "--allow-shrink"]);
    assert_eq!(samples(hub)["snihub_routes"], 0.0);
    ask(hub, &["upgrade"]);
}

#[test]
fn a_hub_that_cannot_be_upgraded_needs_a_restart() {
    let hub = start(&["a.example"], Party::start(b'a'), "");
    let snihub = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        let output = command.args(arguments).current_dir(hub.folder()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = snihub(&["upgrade", "--admin", "nobody.sock"]);
    assert!(code == Some(69) && said.contains("no hub runs"), "{said}");
    hub.replace("off.yaml", "admin: off\n");
    let (code, said) = snihub(&["upgrade", "--config", "off.yaml"]);
    assert!(code == Some(69) && said.contains("admin: off"), "{said}");
    // Which hub is meant is not known: there is nothing to restart.
    let (code, said) = snihub(&["upgrade", "--config", "missing.yaml"]);
    assert!(code == Some(78), "{code:?}: {said}");
}

#[test]
fn two_at_once_are_one() {
    let before = Before::start();
    let hub = &before.hub;
    let hang = script(hub, "hang", "exec sleep 1000");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| with(hub, &hang, "8"));
        hub.wait_line("the first", |line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("upgrade: starts"))
        });
        let second = run(hub, &["upgrade"]);
        assert_eq!(second.code, Some(1), "{second:?}");
        assert!(second.out.contains("an upgrade is under way"), "{second:?}");
        assert!(first.join().unwrap().out.contains("was ended"));
    });
    upgrade(hub);
}

#[test]
fn as_process_1_it_is_refused() {
    let said = in_a_container(&["$HUB"], upgrade_in_vain);
    tells_of_a_rolling_update(&said);
}

/// What is started in a container right below its process 1, and what is below that.
const BELOW: &str = "\"$@\"; exit";

/// As `docker run --init` has it, or an entrypoint that does not exec; or one below the other.
#[test]
fn below_a_process_1_that_ends_with_it_it_is_refused() {
    let [script, twice] = [
        &["sh", "-c", BELOW, "sh"][..],
        &["sh", "-c", BELOW, "sh"].repeat(2),
    ];
    for above in [script, twice] {
        let said = in_a_container(&[above, &["$HUB"]].concat(), upgrade_in_vain);
        tells_of_a_rolling_update(&said);
    }
}

/// One whose name says so, or one that is said to be there.
#[test]
fn below_a_supervisor_that_is_not_process_1_it_is_not_refused() {
    let folder = crate::support::hub::new_folder("supervisor");
    let runsv = folder.join("runsv");
    fs::write(&runsv, "#!/bin/sh\n\"$@\"\nexit\n").unwrap();
    fs::set_permissions(&runsv, fs::Permissions::from_mode(0o755)).unwrap();
    for above in [
        &[runsv.to_str().unwrap()][..],
        &["sh", "-c", "\"$@\" --takeover; exit", "sh"],
    ] {
        let entrypoint = [&["sh", "-c", BELOW, "sh"], above, &["$HUB"]].concat();
        let said = in_a_container(&entrypoint, upgrade_in_vain);
        assert_eq!(said.status.code(), Some(0), "{above:?}: {said:?}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// As in a chroot: it is no file of the operator's that is missing.
#[test]
fn without_proc_it_is_told_what_is_missing() {
    let bare = "mount -t tmpfs none /proc && \"$@\"; exit";
    let said = in_a_container(&["sh", "-c", bare, "sh", "$HUB"], upgrade_in_vain);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let words = String::from_utf8_lossy(&said.stdout);
    assert!(
        words.contains(": /proc/self/exe is not there") && words.contains("mount /proc"),
        "{words}"
    );
}

/// As in a pod that shares its process namespace, whose process 1 is another container's.
#[test]
fn beside_a_process_1_that_is_not_its_own_it_is_refused() {
    let beside = "unshare --map-root-user --pid --fork --kill-child --mount-proc sleep 1000 & \
                  until init=$(pgrep --parent $!); do sleep 0.01; done; \
                  nsenter --target \"$init\" --user --preserve-credentials --mount --pid -- \"$@\" & wait";
    let said = in_a_container(&["sh", "-c", beside, "sh", "$HUB"], upgrade_in_vain);
    tells_of_a_rolling_update(&said);
}

fn upgrade_in_vain(folder: &Path) -> Output {
    snihub_in(folder, &["upgrade", "--admin", "admin.sock"])
}

fn tells_of_a_rolling_update(said: &Output) {
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let words = String::from_utf8_lossy(&said.stdout);
    assert!(
        words.contains("process 1") && words.contains("rolling update"),
        "{words}"
    );
}

/// An entrypoint that does not exec: process 1 is named as the script is.
#[test]
fn below_a_script_that_is_process_1_it_is_refused_and_below_an_init_it_is_not() {
    let said = below_process_1("docker-entrypoint.sh", upgrade_in_vain);
    tells_of_a_rolling_update(&said);
    let said = below_process_1("runit", upgrade_in_vain);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
}

/// The same as [`in_a_container`], below a script of this name.
fn below_process_1(name: &str, ask: impl Fn(&Path) -> Output) -> Output {
    let folder = crate::support::hub::new_folder("entrypoint");
    let path = folder.join(name);
    fs::write(&path, "#!/bin/sh\n\"$@\" & wait $!\nexit $?\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let said = in_a_container(&[path.to_str().unwrap(), "$HUB"], ask);
    fs::remove_dir_all(folder).unwrap();
    said
}

/// The hub's kernel has no number for such a process: it could not be ended.
#[test]
fn a_process_that_the_hub_cannot_see_does_not_take_over() {
    // Below anything else it is refused for another reason.
    let said = below_process_1("runit", |folder| snihub_in(folder, &TAKEOVER));
    is_apart(&said, "pid namespace");
}

/// The hub would be told numbers that are other processes for it.
#[test]
fn a_process_that_knows_itself_by_another_number_does_not_take_over() {
    does_not_take_over_from(&["--pid", "--kill-child"], "pid namespace");
}

/// Its orders would all be late, or none.
#[test]
fn a_process_that_has_another_clock_does_not_take_over() {
    does_not_take_over_from(&["--time", "--monotonic", "1000"], "time namespace");
}

fn does_not_take_over_from(namespace: &[&str], words: &str) {
    let mut before = Before::start();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--fork"]).args(namespace);
    command.arg(env!("CARGO_BIN_EXE_snihub")).args(TAKEOVER);
    let said = command
        .current_dir(before.hub.folder())
        .env_remove("NOTIFY_SOCKET")
        .output();
    is_apart(&said.unwrap(), words);
    before.nothing_has_changed();
}

/// In the folder of a hub.
const TAKEOVER: [&str; 8] = [
    "run",
    "--takeover",
    "--listen",
    "127.0.0.1:0",
    "--config",
    "hub.yaml",
    "--routes",
    "sni.yaml",
];

fn is_apart(said: &Output, how: &str) {
    assert_eq!(said.status.code(), Some(71), "{said:?}");
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(words.contains(how) && words.contains("nsenter"), "{words}");
}

fn snihub_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("NOTIFY_SOCKET");
    command.output().unwrap()
}

/// What `ask` comes to in the folder of a hub that runs in a pid namespace of its own.
fn in_a_container(entrypoint: &[&str], ask: impl Fn(&Path) -> Output) -> Output {
    let party = Party::start(b'a');
    let folder = crate::support::hub::new_folder("pid1");
    fs::write(
        folder.join("sni.yaml"),
        format!("sni:\n{}", party.entry(NAME)),
    )
    .unwrap();
    fs::write(folder.join("hub.yaml"), "admin: admin.sock\n").unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--map-root-user",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    let hub = env!("CARGO_BIN_EXE_snihub");
    command.args(entrypoint.iter().map(|word| word.replace("$HUB", hub)));
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]);
    command
        .arg(folder.join("hub.yaml"))
        .arg("--routes")
        .arg(folder.join("sni.yaml"));
    let mut container = command.stdout(Stdio::null()).spawn().unwrap();
    wait_for("the hub", || {
        let output = snihub_in(&folder, &["status", "--admin", "admin.sock"]);
        match output.status.code() {
            Some(0) => Ok(()),
            _ => Err(format!("{output:?}")),
        }
    });
    let said = ask(&folder);
    drop(container.kill());
    drop(container.wait());
    fs::remove_dir_all(folder).unwrap();
    said
}

/// Who may upgrade may not by that choose what runs, unless he is on the machine.
#[test]
fn which_program_runs_is_not_said_over_tcp() {
    const TOKEN: &str = "a-token-of-some-length";
    let party = Party::start(b'a');
    let options = Options::routes(format!("sni:\n{}", party.entry(NAME)))
        .settings("admin_listen: 127.0.0.1:0\nadmin_token_file: token")
        .file("token", TOKEN)
        .with_admin();
    let hub = Hub::start(options);
    let line = hub.wait_line("admin_listen", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("admin_listen: "))
    });
    let door = line["message"].as_str().unwrap();
    let door = door
        .trim_start_matches("admin_listen: http://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let head = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    for path in ["/api/upgrade?binary=/bin/true", "/api/takeover"] {
        let answer = tcp(door, "POST", path, &head);
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(
            answer.body.contains("only taken from the unix socket"),
            "{answer:?}"
        );
    }
    // The token is enough for the program that is installed, and the door goes along.
    let answer = tcp(door, "POST", "/api/upgrade", &head);
    assert_eq!(
        (answer.status, answer.json()["new_pid"].clone()),
        (200, pid(&hub).into())
    );
    assert_eq!(
        tcp(door, "GET", "/api/status", "Host: localhost\r\n").json()["pid"],
        pid(&hub)
    );
    assert_eq!(
        tcp(door, "POST", "/api/upgrade?within_ms=0", &head).status,
        400
    );
    let relative = run(&hub, &["upgrade", "--binary", "true"]);
    assert!(relative.out.contains("cannot run /"), "{relative:?}");
    assert_eq!(json(&hub, &["status"])["ready"], true);
}
