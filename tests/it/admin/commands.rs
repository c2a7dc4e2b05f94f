//! The commands that talk to a running hub: for people, at night.

use super::http::wait_for;
use super::{OpenFolder, as_nobody, hub, socket, sockets, table};
use crate::support::hub::{Hub, new_folder};
use crate::support::party::{Link, Party};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn snihub(socket: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(arguments)
        .arg("--admin")
        .arg(socket)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn ask(hub: &Hub, arguments: &[&str]) -> String {
    let said = snihub(&socket(hub), arguments);
    assert_eq!(
        said.code,
        Some(0),
        "{arguments:?}: {}{}",
        said.out,
        said.err
    );
    assert_eq!(said.err, "");
    said.out
}

#[test]
fn every_command_says_what_is() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example", "b.example"], party), "");
    let mut link = Link::open(hub.addr(), "a.example", party).unwrap();
    assert!(Link::open(hub.addr(), "unknown.example", party).is_err());
    hub.closed("unknown.example");
    let status = ask(&hub, &["status"]);
    for want in [
        "state        ready",
        "1 open, 1 opened",
        "2, generation 1",
        "1 refused",
    ] {
        assert!(status.contains(want), "{want:?} in\n{status}");
    }
    let tunnels = ask(&hub, &["tunnels"]);
    assert!(
        tunnels.starts_with("id ") && tunnels.ends_with("1 tunnel\n"),
        "{tunnels}"
    );
    assert!(tunnels.contains(&party.addr.to_string()), "{tunnels}");
    // Under each other: every line but the last begins its second column at the same place.
    let lines: Vec<&str> = tunnels.lines().collect();
    assert_eq!(
        lines[0].find("source"),
        lines[1].find("127.0.0.1"),
        "{tunnels}"
    );
    let routes = ask(&hub, &["routes"]);
    let open: Vec<&str> = routes.lines().nth(1).unwrap().split_whitespace().collect();
    let target = party.addr.to_string();
    assert_eq!(open[..5], ["a.example", "2", &target, "1", "1"], "{routes}");
    assert!(ask(&hub, &["routes", "--links"]).contains("a.example"));
    let refusals = ask(&hub, &["refusals"]);
    assert!(
        refusals.contains("unknown.example") && refusals.contains("no route for"),
        "{refusals}"
    );
    assert_eq!(ask(&hub, &["log-level"]), "info\n");
    assert_eq!(ask(&hub, &["log-level", "debug"]), "debug\n");
    assert_eq!(
        ask(&hub, &["reload"]),
        "nothing changed; generation 1, 2 routes\n"
    );
    assert_eq!(
        ask(&hub, &["drain", "--route", "b.example", "--over", "1"]),
        "to be ended over 1 s: 0 tunnels\n"
    );
    let id = lines[1].split_whitespace().next().unwrap();
    assert_eq!(ask(&hub, &["kill", id]), format!("{id} is ended\n"));
    link.was_reset();
}

#[test]
fn every_command_has_json() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    for command in [
        "status",
        "routes",
        "tunnels",
        "refusals",
        "reload",
        "log-level",
    ] {
        let out = ask(&hub, &[command, "--format", "json"]);
        let value: Value = serde_json::from_str(&out).unwrap();
        assert!(value.is_object(), "{command}: {out}");
    }
}

#[test]
fn a_refused_reload_is_78_and_shows_the_line() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    hub.edit_routes("sni:\n- fqdn: a.example\n  tunnel_rout: h:1\n");
    let said = snihub(&socket(&hub), &["reload"]);
    assert_eq!(said.code, Some(78), "{}", said.out);
    for want in [
        ":3:",
        "tunnel_rout",
        "refused: the old configuration stays in force",
    ] {
        assert!(said.out.contains(want), "{want:?} in\n{}", said.out);
    }
    let status = ask(&hub, &["status"]);
    assert!(
        status.contains("REFUSED") && status.contains("tunnel_rout"),
        "{status}"
    );
}

#[test]
fn what_waits_for_an_upgrade_is_told_as_long_as_it_does() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let written = fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    let lines = written.lines().count();
    let changed = format!("{written}workers: 7\naccess_log: {{format: json, to: a.log}}\n");
    hub.replace("hub.yaml", &changed.replacen("access_log: json\n", "", 1));
    let places = [
        format!("hub.yaml:{lines}:10: warning: workers: "),
        format!("hub.yaml:{}:", lines + 1),
    ];
    let said = ask(&hub, &["reload"]);
    for want in [
        &places[0],
        &places[1],
        "`snihub upgrade --admin ",
        "nothing else changed; generation 1, 1 route; 2 changes wait for `snihub upgrade --admin ",
    ] {
        assert!(said.contains(want), "{want:?} in\n{said}");
    }
    let verdict: Value = serde_json::from_str(&ask(&hub, &["reload", "--format", "json"])).unwrap();
    assert_eq!(
        (&verdict["result"], &verdict["in_force"]),
        (&"unchanged".into(), &false.into()),
        "{verdict}"
    );
    assert_eq!(verdict["problems"][0]["key"], "workers", "{verdict}");
    let waits = |hub: &Hub| {
        let status = ask(hub, &["status", "--format", "json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        (status["waits_for_upgrade"].clone(), ask(hub, &["status"]))
    };
    let (told, text) = waits(&hub);
    assert_eq!(told, verdict["waits_for_upgrade"]);
    for (n, place) in places.iter().enumerate() {
        assert!(told[n].as_str().unwrap().contains(place), "{told}");
        assert!(text.contains(place), "{place:?} in\n{text}");
    }
    // Files that are refused do not make it forgotten, and what else is changed is in force.
    hub.edit_routes("sni:\n- fqdn: a.example\n  tunnel_rout: h:1\n");
    assert_eq!(snihub(&socket(&hub), &["reload"]).code, Some(78));
    assert_eq!(waits(&hub).0, told);
    hub.edit_routes(&table(&["a.example", "b.example"], party));
    assert!(ask(&hub, &["reload"]).contains(", 2 routes; 2 changes wait for "));
    assert_eq!(waits(&hub).0, told);
    hub.replace("hub.yaml", &written);
    let said = ask(&hub, &["reload"]);
    assert!(said.ends_with(", 2 routes\n"), "{said}");
    let (told, text) = waits(&hub);
    assert_eq!(told, serde_json::json!([]));
    assert!(!text.contains("upgrade"), "{text}");
}

#[test]
fn what_is_doubtful_in_an_accepted_file_is_told() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    hub.edit_routes(&(table(&["a.example"], party) + "- fqdn: norte.example\n"));
    // The second time, too, when nothing changes.
    for _ in 0..2 {
        let said = ask(&hub, &["reload"]);
        assert!(
            said.contains("sni.yaml:4:9: warning: ") && said.contains("no tunnel_route"),
            "{said}"
        );
    }
    let verdict: Value = serde_json::from_str(&ask(&hub, &["reload", "--format", "json"])).unwrap();
    assert_eq!(verdict["problems"][0]["severity"], "warning", "{verdict}");
    assert_eq!(verdict["in_force"], true, "{verdict}");
}

#[test]
fn errors_say_what_to_do() {
    let folder = new_folder("nohub");
    let nobody = folder.join("admin.sock");
    let said = snihub(&nobody, &["status"]);
    assert_eq!(said.code, Some(71));
    assert!(
        said.err.contains("no hub runs") && said.err.contains("--admin"),
        "{}",
        said.err
    );
    // The socket is not all that it was started with.
    assert!(
        said.err.contains("start it by `snihub run`"),
        "{}",
        said.err
    );
    // Left behind by a hub that was killed.
    drop(UnixListener::bind(&nobody).unwrap());
    assert!(snihub(&nobody, &["status"]).err.contains("no hub runs"));
    let config = folder.join("hub.yaml");
    fs::write(&config, "admin: off\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["status", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    fs::remove_dir_all(folder).unwrap();
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let said = snihub(&socket(&hub), &["kill", "ffffffff"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no tunnel has this id"), "{}", said.err);
    for command in ["drain", "tunnels"] {
        for what in ["--route", "--party"] {
            let said = snihub(&socket(&hub), &[command, what, "none.example"]);
            assert_eq!(said.code, Some(1), "{command} {what}: {}", said.out);
            assert_eq!(
                said.err,
                "snihub: no route and no party has the id \"none.example\"\n"
            );
        }
    }
    assert_eq!(snihub(&socket(&hub), &["kill", "nonsense"]).code, Some(64));
    assert_eq!(snihub(&socket(&hub), &["drain"]).code, Some(64));
}

#[test]
fn who_is_interrupted_hears_that_the_hub_goes_on() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    hub.signal(Signal::STOP);
    let asking = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["upgrade", "--admin"])
        .arg(socket(&hub))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // proc(5): a mask of signals that are caught; SIGINT is 2, the second bit.
    let status = format!("/proc/{}/status", asking.id());
    wait_for("it has an ear for Ctrl-C", || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        match caught & 2 {
            0 => Err(format!("{caught:x}")),
            _ => Ok(()),
        }
    });
    kill_process(Pid::from_child(&asking), Signal::INT).unwrap();
    let output = asking.wait_with_output().unwrap();
    hub.signal(Signal::CONT);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("goes on with"), "{said}");
}

#[test]
fn an_interrupt_that_is_ignored_stays_ignored() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    hub.signal(Signal::STOP);
    let asking = Command::new("sh")
        .args([
            "-c",
            "trap '' INT; exec \"$0\" log-level debug --admin \"$1\"",
        ])
        .arg(env!("CARGO_BIN_EXE_snihub"))
        .arg(socket(&hub))
        .spawn()
        .unwrap();
    // It stands in its question.
    wait_for("it has asked", || match sockets(asking.id()) {
        0 => Err("no socket".to_owned()),
        _ => Ok(()),
    });
    kill_process(Pid::from_child(&asking), Signal::INT).unwrap();
    hub.signal(Signal::CONT);
    let output = asking.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn another_user_is_told_to_use_sudo() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let folder = OpenFolder::new("sudo");
    let (program, path) = (folder.path("snihub"), folder.path("admin.sock"));
    fs::rename(socket(&hub), &path).unwrap();
    for mode in [0o600, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let output = as_nobody(&program)
            .args(["reload", "--admin"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(77), "{mode:o}: {said}");
        assert!(said.contains("try sudo"), "{said}");
    }
}

/// Something behind a socket that answers every command with `status` and `body`.
fn impostor(what: &str, status: &str, body: &str, arguments: &[&str]) -> Said {
    let folder = new_folder(what);
    let path = folder.join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    let hub = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let said = snihub(&path, arguments);
    hub.join().unwrap();
    fs::remove_dir_all(folder).unwrap();
    said
}

#[test]
fn an_old_hub_is_named_as_such() {
    let body = r#"{"error":"no such endpoint; /api/openapi.json lists them"}"#;
    let said = impostor("oldhub", "404 Not Found", body, &["refusals"]);
    assert_eq!(said.code, Some(71));
    assert!(said.err.contains("older than this program"), "{}", said.err);
}

/// A terminal obeys what it is shown, and the socket may be anybody's.
#[test]
fn no_control_character_reaches_the_terminal() {
    const EVIL: &str = r"\u001b]0;x\u0007\u009b2J\nroot# ";
    let rows = format!(
        r#"{{"all":1,"tunnels":[{{"id":"{EVIL}","name":"{EVIL}"}}],"routes":[{{"id":"{EVIL}"}}],
        "refusals":[{{"name":"{EVIL}","why":"{EVIL}"}}],"version":"{EVIL}","listen":["{EVIL}"],
        "last_reload":{{"result":"refused","problems":["{EVIL}"]}},"level":"{EVIL}"}}"#
    );
    for command in ["tunnels", "routes", "refusals", "status", "log-level"] {
        let said = impostor("evil", "200 OK", &rows, &[command]);
        assert!(said.out.contains("root#"), "{command}: {}", said.out);
        let evil = said.out.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(evil, None, "{command}: {:?}", said.out);
        assert!(!said.out.contains("\nroot#"), "{command}: {}", said.out);
    }
    let words = format!(r#"{{"error":"{EVIL}"}}"#);
    for (status, code) in [("400 Bad Request", 1), ("503 Service Unavailable", 71)] {
        let said = impostor("evil", status, &words, &["status"]);
        assert_eq!(said.code, Some(code), "{}", said.err);
        let lines: Vec<&str> = said.err.lines().collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].chars().any(char::is_control), "{lines:?}");
    }
}

#[test]
fn the_hub_of_a_broken_file_is_still_found() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let config = hub.folder().join("hub.yaml");
    let with = |config: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_snihub"))
            .args(["reload", "--config"])
            .arg(config)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let written = fs::read_to_string(&config).unwrap();
    hub.replace("hub.yaml", &format!("{written}hello_timeout: [\n"));
    let (code, said) = with(&config);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("refused: the old configuration"), "{said}");
    // Another file than was meant is not another hub than was meant.
    let (code, said) = with(&hub.folder().join("hub.yml"));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("hub.yml cannot be read"), "{said}");
}
