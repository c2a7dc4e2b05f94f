//! `snihub run --takeover`: a process that finds the running hub by itself; and what a service manager
//! hears of an upgrade.

use super::{ask, ended, ends, pid, run, runs, signal, socket, start, status, upgrade};
use crate::admin::http::{unix, wait_for};
use crate::support::hub::{Hub, Options};
use crate::support::manager::{Manager, STORED, Told};
use crate::support::party::{Link, Party};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NAME: &str = "a.example";
/// What the old process says when another one is the hub.
const SUCCEEDED: &str = "a successor is the hub: no new connections; tunnels are closed evenly over \
                         upgrade_drain";
/// What it says when that is gone.
const GONE: &str = "the successor has ended: nobody accepts";

/// The same command line as the hub's, and one flag more; not one of its family.
fn another(hub: &Hub, notify: Option<&str>) -> Child {
    let folder = hub.folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command.args(["run", "--takeover", "--listen", "127.0.0.1:0", "--config"]);
    command
        .arg(folder.join("hub.yaml"))
        .arg("--routes")
        .arg(folder.join("sni.yaml"));
    command
        .env_remove("NOTIFY_SOCKET")
        .envs(notify.map(|path| ("NOTIFY_SOCKET", path)));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_process_finds_the_hub_and_takes_over() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    let old = pid(&hub);
    let mut child = another(&hub, None);
    let new = u64::from(child.id());
    wait_for("the new process is the hub", || {
        match status(&hub)["pid"].as_u64() {
            Some(pid) if pid == new => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    link.exchange(1000).unwrap();
    Link::open(hub.addr(), NAME, party)
        .unwrap()
        .exchange(1000)
        .unwrap();
    assert_eq!(status(&hub)["predecessors"][0]["pid"], old);
    // It is a hub like any other.
    let done = upgrade(&hub);
    assert_eq!(done["old_pid"], new);
    assert_eq!(status(&hub)["predecessors"][0]["pid"], old);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(link);
    ends(old);
}

#[test]
fn after_a_crash_another_hub_starts_beside_one_that_still_has_tunnels() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    let old = pid(&hub);
    let new = upgrade(&hub)["new_pid"].as_u64().unwrap();
    signal(new, Signal::KILL);
    ends(new);
    let mut child = another(&hub, None);
    let third = u64::from(child.id());
    wait_for("another hub", || {
        let said = run(&hub, &["status", "--format", "json"]);
        let status = serde_json::from_str(&said.out).unwrap_or(Value::Null);
        match status["pid"].as_u64() {
            Some(pid) if pid == third => Ok(()),
            other => Err(format!("{other:?}: {said:?}")),
        }
    });
    link.exchange(1000).unwrap();
    assert!(runs(old));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(link);
    ends(old);
}

#[test]
fn a_door_that_the_new_hub_has_elsewhere_is_gone() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    let settings = std::fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    let moved = settings.replace("admin: admin.sock", "admin: other.sock");
    assert_ne!(moved, settings);
    hub.replace("hub.yaml", &moved);
    ask(&hub, &["upgrade"]);
    let door = hub.folder().join("admin.sock");
    wait_for("the file of the old door", || match door.exists() {
        true => Err("it is there".into()),
        false => Ok(()),
    });
    assert_eq!(run(&hub, &["status"]).code, Some(71));
    link.exchange(1000).unwrap();
    let new = hub.folder().join("other.sock");
    assert!(unix(&new, "GET", "/api/status").status == 200);
}

#[test]
fn where_no_hub_runs_it_starts_as_usual() {
    let party = Party::start(b'a');
    let hub = Hub::start(
        Options::routes(format!("sni:\n{}", party.entry(NAME)))
            .argument("--takeover")
            .with_admin(),
    );
    Link::open(hub.addr(), NAME, party).unwrap();
    assert_eq!(pid(&hub), u64::from(hub.pid()));
    assert!(hub.lines().iter().any(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("--takeover: no hub runs behind"))
    }));
    upgrade(&hub);
    Link::open(hub.addr(), NAME, party).unwrap();
}

/// A process that is the hub no more has let it in, and goes: there is another hub, or none.
#[test]
fn a_door_that_closes_while_the_hub_is_looked_for_is_asked_again() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    hub.signal(Signal::KILL);
    hub.wait_exit();
    let door = socket(&hub);
    drop(fs::remove_file(&door));
    let closing = UnixListener::bind(&door).unwrap();
    let mut child = another(&hub, None);
    let (stream, _) = closing.accept().unwrap();
    drop(closing);
    drop(stream);
    wait_for("it is the hub", || {
        let said = run(&hub, &["status", "--format", "json"]);
        let status = serde_json::from_str(&said.out).unwrap_or(Value::Null);
        match status["pid"].as_u64() {
            Some(pid) if pid == u64::from(child.id()) => Ok(()),
            _ => Err(format!("{said:?}, {:?}", child.try_wait())),
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A hub with one party, run by a service manager; `settings`: lines of hub.yaml.
fn managed(settings: &str) -> (Party, Manager, Hub) {
    let (party, manager) = (Party::start(b'a'), Manager::start());
    let options = Options::routes(format!("sni:\n{}", party.entry(NAME)));
    let options = options.settings(settings).with_admin();
    let hub = Hub::start(options.notify(manager.address()));
    (party, manager, hub)
}

/// In this order: of another process than its main one systemd hears nothing.
#[test]
fn a_service_manager_hears_the_number_before_the_new_process() {
    let (_, manager, hub) = managed("");
    manager.wait(STORED);
    upgrade(&hub);
    let mainpid = format!("MAINPID={}\n", pid(&hub));
    loop {
        let message = manager.next().text;
        if message == mainpid {
            break;
        }
        // A status may have been on its way.
        assert!(message.starts_with("STATUS="), "{message}");
    }
    // So the old process knows that it was heard.
    assert_eq!(manager.next().text, "BARRIER=1");
    assert!(manager.next().text.starts_with("READY=1\nSTATUS="));
    assert!(manager.next().text.starts_with("FDSTOREREMOVE=1\n"));
    assert_eq!(manager.next().text, STORED);
    let said = another(&hub, Some(&manager.address()))
        .wait_with_output()
        .unwrap();
    let words = String::from_utf8(said.stderr).unwrap();
    assert!(words.contains("run by a service manager"), "{words}");
    assert_eq!(said.status.code(), Some(71));
    assert_eq!(status(&hub)["ready"], true);
}

/// One that is stopped, or overloaded: it does not know who is the hub, and clients do.
#[test]
fn a_service_manager_that_does_not_read_keeps_nobody_from_taking_over() {
    let (party, manager, hub) = managed("");
    manager.wait(STORED);
    manager.stand_still();
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    let old = pid(&hub);
    upgrade(&hub);
    assert_ne!(pid(&hub), old);
    link.exchange(1000).unwrap();
    let mut new = Link::open(hub.addr(), NAME, party).unwrap();
    new.exchange(1000).unwrap();
    assert_eq!(status(&hub)["predecessors"][0]["pid"], old);
    // It is told as soon as it reads; before that the end of the old process would be the service's.
    drop(link);
    ended(&hub, "both_closed", 1);
    let mainpid = format!("MAINPID={}\n", pid(&hub));
    while manager.next().text != mainpid {
        assert!(runs(old));
    }
    manager.wait("BARRIER=1");
    ends(old);
    let later = manager.told_by_now();
    assert!(later.iter().all(|told| !told.text.contains("STOPPING")));
}

/// What a manager makes of what it hears: only its main process can name another one
/// (NotifyAccess=main), and a barrier is passed whoever asks.
struct Heard {
    main: u64,
    barriers: usize,
}

impl Heard {
    fn hear(&mut self, told: Told) {
        let named = told.text.strip_prefix("MAINPID=");
        if let Some(pid) = named.filter(|_| u64::from(told.by) == self.main) {
            self.main = pid.trim_end().parse().unwrap();
        }
        self.barriers += usize::from(told.text == "BARRIER=1");
    }
}

/// Of another process than its main one systemd hears nothing: each may name the next one only when it
/// is known itself.
#[test]
fn after_two_upgrades_a_service_manager_that_stood_still_knows_the_last_process() {
    let (party, manager, hub) = managed("upgrade_drain: 1d");
    manager.wait(STORED);
    manager.stand_still();
    let of_the_first = Link::open(hub.addr(), NAME, party).unwrap();
    let first = pid(&hub);
    upgrade(&hub);
    let of_the_second = Link::open(hub.addr(), NAME, party).unwrap();
    let second = pid(&hub);
    upgrade(&hub);
    let third = pid(&hub);
    // The first one is the last to find room in the queue.
    signal(first, Signal::STOP);
    let mut heard = Heard {
        main: first,
        barriers: 0,
    };
    while let Some(told) = manager.hear(Duration::from_millis(500)) {
        heard.hear(told);
    }
    assert!(runs(second));
    signal(first, Signal::CONT);
    while heard.barriers < 2 {
        heard.hear(manager.next());
    }
    assert_eq!(heard.main, third, "of {first}, {second}, {third}");
    // What the last one has to say comes after that, and is heard.
    let ready = manager.wait("READY=1\n");
    assert_eq!(u64::from(ready.by), third);
    drop(of_the_first);
    ends(first);
    assert!(runs(second));
    drop(of_the_second);
    ends(second);
}

/// It is the main process yet, and the last one is the hub: its end would be that of both.
#[test]
fn one_that_a_service_manager_does_not_give_up_stays_as_long_as_there_is_a_hub() {
    let (party, _manager, hub) = managed("upgrade_drain: 1d");
    let first = pid(&hub);
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    upgrade(&hub);
    let second = pid(&hub);
    upgrade(&hub);
    signal(second, Signal::KILL);
    wait_for("it is missed", || match &status(&hub)["predecessors"] {
        Value::Array(all) if all.len() == 1 && all[0]["pid"] == first => Ok(()),
        other => Err(other.to_string()),
    });
    link.exchange(1000).unwrap();
    drop(link);
    ended(&hub, "both_closed", 1);
    assert!(runs(first));
    signal(pid(&hub), Signal::KILL);
    assert_eq!(hub.wait_exit().code(), Some(71));
}

/// What the old process would tell of itself, the manager would take for the service's.
#[test]
fn who_is_succeeded_tells_the_service_manager_nothing_of_its_own_end() {
    let (party, manager, hub) = managed("drain: 1h\nupgrade_drain: 1d");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    upgrade(&hub);
    manager.wait("BARRIER=1");
    hub.signal(Signal::TERM);
    hub.signal(Signal::TERM);
    wait_for("the end", || {
        // One of two signals at once may be lost.
        hub.signal(Signal::TERM);
        match runs(u64::from(hub.pid())) {
            true => Err("it runs".into()),
            false => Ok(()),
        }
    });
    link.was_reset();
    for told in manager.told_by_now() {
        let of_the_end = ["STOPPING", "EXTEND"].map(|word| told.text.contains(word));
        assert_eq!(of_the_end, [false; 2], "{told:?}");
    }
    assert_eq!(status(&hub)["ready"], true);
}

/// The one that is the main process has nothing to drain itself.
#[test]
fn more_time_is_asked_for_what_the_process_before_drains() {
    let (party, manager, hub) = managed("drain: 12s\nupgrade_drain: 1d");
    // The last of them is closed near the end of the 12 s.
    let links: Vec<_> = (0..12)
        .map(|_| Link::open(hub.addr(), NAME, party).unwrap())
        .collect();
    upgrade(&hub);
    manager.wait(STORED);
    manager.wait(STORED);
    let new = pid(&hub);
    signal(new, Signal::TERM);
    for part in ["STOPPING=1\n", "STATUS=draining: "] {
        let told = manager.wait(part);
        assert_eq!(u64::from(told.by), new);
        assert!(told.text.contains("EXTEND_TIMEOUT_USEC="), "{told:?}");
    }
    drop(links);
    ends(new);
}

/// MAINPID of a process that has ended is not believed: the old one is the service's main process yet,
/// and only its failure has the manager start another hub.
#[test]
fn what_a_service_manager_does_not_notice_is_told_by_a_failure() {
    let (party, _manager, hub) = managed("upgrade_drain: 1d");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    let new = upgrade(&hub)["new_pid"].as_u64().unwrap();
    link.exchange(1000).unwrap();
    signal(new, Signal::KILL);
    link.was_reset();
    assert_eq!(hub.wait_exit().code(), Some(71));
}

/// The same where no tunnel stands: it waits for nothing else.
#[test]
fn the_last_tunnel_is_not_the_end_before_the_service_manager_knows_the_new_process() {
    let (_, _manager, hub) = managed("");
    let new = upgrade(&hub)["new_pid"].as_u64().unwrap();
    hub.wait_line("it accepts no more", |line| line["message"] == SUCCEEDED);
    signal(new, Signal::KILL);
    assert_eq!(hub.wait_exit().code(), Some(71));
}

/// It starts the next hub itself, and ends what is left of this one.
#[test]
fn the_end_of_a_process_that_the_service_manager_knows_is_left_to_it() {
    let (party, manager, hub) = managed("upgrade_drain: 1d");
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    let new = upgrade(&hub)["new_pid"].as_u64().unwrap();
    manager.wait("BARRIER=1");
    signal(new, Signal::KILL);
    hub.wait_line("it is alone", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with(GONE))
    });
    link.exchange(1000).unwrap();
    hub.signal(Signal::TERM);
    link.was_reset();
    assert_eq!(hub.wait_exit().code(), Some(0));
}

/// It knows the process that it has started, and no successor: that process ends, with an error, for
/// it to start the next.
#[test]
fn a_supervisor_does_not_wait_for_the_tunnels_of_a_hub_that_is_gone() {
    let party = Party::start(b'a');
    let options = Options::routes(format!("sni:\n{}", party.entry(NAME)));
    let options = options.settings("upgrade_drain: 1d").argument("--takeover");
    let hub = Hub::start(options.with_admin());
    let mut link = Link::open(hub.addr(), NAME, party).unwrap();
    // The first has gone by the time that the second crashes.
    for _ in 0..2 {
        upgrade(&hub);
    }
    let new = pid(&hub);
    let first = hub.pid();
    link.exchange(1000).unwrap();
    wait_for(
        "one process before",
        || match &status(&hub)["predecessors"] {
            Value::Array(all) if all.len() == 1 && all[0]["pid"] == first => Ok(()),
            other => Err(other.to_string()),
        },
    );
    signal(new, Signal::KILL);
    link.was_reset();
    assert_eq!(hub.wait_exit().code(), Some(71));
}

/// It is ended by itself, not by the hub that runs.
#[test]
fn one_that_does_not_take_over_says_why_and_ends_as_it_would() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let good = std::fs::read_to_string(hub.folder().join("sni.yaml")).unwrap();
    hub.edit_routes("sni:\n");
    for _ in 0..5 {
        let said = another(&hub, None).wait_with_output().unwrap();
        let words = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(78), "{:?}: {words}", said.status);
        assert!(words.contains("would be gone"), "{words}");
    }
    hub.edit_routes(&good);
    let told = "upgrade failed, nothing has changed: the successor (run --takeover, process ";
    let line = hub.wait_line(told, |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with(told))
    });
    assert!(
        line["message"]
            .as_str()
            .unwrap()
            .ends_with("(exit code 78)"),
        "{line}"
    );
    assert_eq!(pid(&hub), u64::from(hub.pid()));
    upgrade(&hub);
}

/// As one that is ended while the hub is slow to answer: an upgrade is not kept waiting.
#[test]
fn one_that_has_asked_to_take_over_and_does_not_come_is_given_up() {
    let hub = start(&[NAME], Party::start(b'a'), "");
    let answer = unix(&super::socket(&hub), "POST", "/api/takeover");
    assert!(answer.json()["socket"].is_string(), "{answer:?}");
    hub.wait_line("it waits", |line| {
        line["message"] == "a process has asked to take over: it is waited for"
    });
    wait_for("an upgrade", || {
        let said = run(&hub, &["upgrade"]);
        match said.code {
            Some(0) => Ok(()),
            _ => Err(format!("{said:?}")),
        }
    });
}

#[test]
fn sockets_of_a_socket_unit_go_on_as_they_came() {
    let (party, socket) = (
        Party::start(b'a'),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let options = Options::routes(format!("sni:\n{}", party.entry(NAME)))
        .settings("workers: 2\nlisten:\n- 127.0.0.1:0\n- {address: ':1', name: web}")
        .with_admin();
    let hub = Hub::start(options.passed(&socket, "web"));
    let at = socket.local_addr().unwrap();
    let before = status(&hub)["listen"].clone();
    assert_eq!(before.as_array().unwrap().len(), 2);
    for _ in 0..3 {
        upgrade(&hub);
        let mut now: Vec<String> = serde_json::from_value(status(&hub)["listen"].clone()).unwrap();
        let mut then: Vec<String> = serde_json::from_value(before.clone()).unwrap();
        now.sort();
        then.sort();
        assert_eq!(now, then);
        for one in then {
            Link::open(one.parse().unwrap(), NAME, party)
                .unwrap()
                .exchange(1000)
                .unwrap();
        }
        Link::open(at, NAME, party).unwrap();
    }
    assert!(ask(&hub, &["status"]).contains("ready"));
}
