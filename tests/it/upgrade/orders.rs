//! What the new process has done by the old one: kill, drain, removed routes, the end.

use super::late::{hear, say, succeed};
use super::{
    Late, Said, ask, ended, ends, pid, run, samples, signal, start, status, tunnels, upgrade,
};
use crate::admin::http::{Half, unix, wait_for};
use crate::support::hub::Hub;
use crate::support::party::{Link, Party};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const NAMES: [&str; 3] = ["a.example", "b.example", "c.example"];

fn links(hub: &Hub, party: Party) -> [Link; 3] {
    NAMES.map(|name| Link::open(hub.addr(), name, party).unwrap())
}

/// The tunnel's id.
fn id(hub: &Hub, name: &str) -> String {
    let all = tunnels(hub);
    let one = all.iter().find(|tunnel| tunnel["name"] == name).unwrap();
    one["id"].as_str().unwrap().to_owned()
}

/// Two upgrades: the first two processes are both before the third, and each is spoken to.
#[test]
fn kill_and_drain_reach_what_the_processes_before_hold() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let [mut a, mut b, mut c] = links(&hub, party);
    let first = upgrade(&hub);
    let mut later = links(&hub, party);
    let second = upgrade(&hub);
    let mut new = Link::open(hub.addr(), "b.example", party).unwrap();
    assert_eq!(tunnels(&hub).len(), 7);
    let status = status(&hub);
    let before = status["predecessors"].as_array().unwrap();
    // Until when each said that its tunnels stand.
    for (one, done) in before.iter().zip([second, first]) {
        assert_eq!(one["pid"], done["old_pid"], "{status}");
        assert_eq!(one["until_unix_ms"], done["until_unix_ms"], "{status}");
    }
    assert_eq!(before.len(), 2);
    let unlucky = id(&hub, "a.example");
    assert_eq!(
        ask(&hub, &["kill", &unlucky]),
        format!("{unlucky} is ended\n")
    );
    let both = [&mut a, &mut later[0]].map(|link| link.exchange(10).is_ok());
    assert_eq!(both.iter().filter(|alive| **alive).count(), 1);
    let said = ask(&hub, &["drain", "--route", "c.example", "--over", "0"]);
    assert_eq!(said, "to be ended over 0 s: 2 tunnels\n");
    c.was_reset();
    later[2].was_reset();
    for link in [&mut b, &mut later[1], &mut new] {
        link.exchange(10).unwrap();
    }
    let said = ask(&hub, &["drain", "--party", "b.example", "--over", "0"]);
    assert_eq!(said, "to be ended over 0 s: 3 tunnels\n");
    for link in [&mut b, &mut later[1], &mut new] {
        link.was_reset();
    }
    ended(&hub, "killed", 1);
    ended(&hub, "drained", 5);
    assert_eq!(
        samples(&hub)["snihub_tunnels_ended_total{reason=\"drained\"}"],
        5.0
    );
    assert_eq!(run(&hub, &["kill", "ffffffff"]).code, Some(1));
    for none in ["zz", "+1", "10000000000000000"] {
        let said = run(&hub, &["kill", none]);
        assert_eq!(said.code, Some(64), "{none}: {said:?}");
        assert!(said.out.contains("no id of a tunnel"), "{said:?}");
        let path = format!("/api/tunnels/{none}/end");
        let answer = unix(&super::socket(&hub), "POST", &path);
        assert_eq!(answer.status, 400, "{none}: {answer:?}");
    }
}

/// Who is inside its door yet is not told by the old process what it knows no more: how many tunnels
/// there are, and that there is none of this id.
#[test]
fn who_asks_a_process_that_is_the_hub_no_more_is_sent_to_its_successor() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let mut first = links(&hub, party);
    let unlucky = id(&hub, "a.example");
    upgrade(&hub);
    let mut second = Link::open(hub.addr(), "b.example", party).unwrap();
    let asked = [
        "GET /api/tunnels".to_owned(),
        "POST /api/drain?party=b.example&over_ms=0".to_owned(),
        format!("POST /api/tunnels/{unlucky}/end"),
    ]
    .map(|line| Half::begin(&super::socket(&hub), &line));
    upgrade(&hub);
    for half in asked {
        let answer = half.end();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.json()["again"], true, "{answer:?}");
    }
    for link in first.iter_mut().chain([&mut second]) {
        link.exchange(10).unwrap();
    }
}

/// An order that was under way to a process before when the successor came is given again.
#[test]
fn a_drain_in_the_middle_of_an_upgrade_counts_what_every_process_has() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let old = pid(&hub);
    let _links = links(&hub, party);
    upgrade(&hub);
    signal(old, Signal::STOP);
    let line = "POST /api/drain?party=b.example&over_ms=3600000";
    let half = Half::begin(&super::socket(&hub), line);
    let asked = std::thread::spawn(move || half.end());
    upgrade(&hub);
    signal(old, Signal::CONT);
    let answer = asked.join().unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    let said = ask(&hub, &["drain", "--party", "b.example"]);
    assert!(said.ends_with(": 1 tunnel\n"), "{said}");
}

#[test]
fn a_route_that_is_removed_is_gone_in_every_process() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "on_route_removed: close");
    let [mut a, mut b, mut c] = links(&hub, party);
    upgrade(&hub);
    let elsewhere = Party::start(b'z');
    let (stays, moves) = (party.entry("a.example"), elsewhere.entry("b.example"));
    hub.edit_routes(&format!("sni:\n{stays}{moves}"));
    ask(&hub, &["reload"]);
    b.was_reset();
    c.was_reset();
    a.exchange(1000).unwrap();
    assert_eq!(tunnels(&hub).len(), 1);
    hub.edit_routes("sni: []\n");
    ask(&hub, &["upgrade", "--allow-shrink"]);
    a.was_reset();
    ended(&hub, "route_removed", 3);
}

/// For longer than a client may be in the middle of its hello and dial.
#[test]
fn a_route_that_is_removed_is_gone_in_a_process_that_was_stopped() {
    let party = Party::start(b'a');
    let short = "hello_timeout: 1s\ndial_timeout: 1s\ndial_timeout_total: 1s";
    let settings = format!("on_route_removed: close\n{short}");
    let hub = start(&NAMES, party, &settings);
    let [mut a, mut b, _c] = links(&hub, party);
    let old = pid(&hub);
    upgrade(&hub);
    signal(old, Signal::STOP);
    hub.edit_routes(&format!("sni:\n{}", party.entry("a.example")));
    ask(&hub, &["reload", "--allow-shrink"]);
    std::thread::sleep(Duration::from_secs(20));
    signal(old, Signal::CONT);
    b.was_reset();
    a.exchange(1000).unwrap();
    hub.wait_line("it was told", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with(&format!("process {old}, with 3 tunnels, does not answer"))
    });
}

/// What was removed while tunnels of removed routes were closed is closed when it goes on; what was
/// removed when they were kept, or has come back, is not. However often the routes change, it is told
/// once.
#[test]
fn a_process_that_was_stopped_closes_what_each_generation_has_removed() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "on_route_removed: close");
    let [mut a, mut b, mut c] = links(&hub, party);
    let old = pid(&hub);
    upgrade(&hub);
    let settings = std::fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    let kept = settings.replace("on_route_removed: close", "on_route_removed: keep");
    signal(old, Signal::STOP);
    let reload = |names: &[&str]| {
        let entries: String = names.iter().map(|name| party.entry(name)).collect();
        hub.edit_routes(&format!("sni:\n{entries}"));
        ask(&hub, &["reload", "--allow-shrink"]);
    };
    reload(&["b.example", "c.example"]);
    reload(&["c.example"]);
    hub.replace("hub.yaml", &kept);
    reload(&["a.example", "c.example"]);
    reload(&["a.example"]);
    // By then each of them would have been told.
    std::thread::sleep(Duration::from_secs(12));
    signal(old, Signal::CONT);
    b.was_reset();
    ended(&hub, "route_removed", 1);
    // Once more they are looked through.
    std::thread::sleep(Duration::from_secs(4));
    a.exchange(1000).unwrap();
    c.exchange(1000).unwrap();
    let mut told = hub.lines();
    told.retain(|line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with(&format!("process {old}, with 3 tunnels, does not answer"))
    });
    assert_eq!(told.len(), 1, "{told:?}");
}

/// A hub that is succeeded asks nobody any more, and knows of nobody that he does not answer.
#[test]
fn a_process_that_answers_is_not_called_silent_by_a_hub_that_is_succeeded() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let _first = links(&hub, party);
    let answers = pid(&hub);
    upgrade(&hub);
    let stopped = pid(&hub);
    let _second = links(&hub, party);
    upgrade(&hub);
    signal(stopped, Signal::STOP);
    hub.edit_routes(&format!(
        "sni:\n{}",
        NAMES[..2]
            .iter()
            .map(|name| party.entry(name))
            .collect::<String>()
    ));
    // From now on it waits a second for the one that is stopped.
    ask(&hub, &["reload"]);
    upgrade(&hub);
    std::thread::sleep(Duration::from_secs(2));
    signal(stopped, Signal::CONT);
    let words = format!("process {answers}, with");
    let mut lines = hub.lines();
    lines.retain(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with(&words))
    });
    assert_eq!(lines, Vec::<Value>::new());
}

/// The processes before do not read the files again: they ask the one that does.
#[test]
fn who_was_in_the_middle_of_its_hello_is_let_in_by_the_routes_of_today() {
    for on_route_removed in ["close", "keep"] {
        middle_of_its_hello(on_route_removed);
    }
}

fn middle_of_its_hello(on_route_removed: &str) {
    let (party, elsewhere) = (Party::start(b'a'), Party::start(b'z'));
    let settings = format!("on_route_removed: {on_route_removed}\nhello_timeout: 60s");
    let hub = start(&NAMES, party, &settings);
    let mut before = Link::open(hub.addr(), "b.example", party).unwrap();
    let of_the_first = NAMES.map(|name| Late::begin(&hub, name));
    upgrade(&hub);
    let of_the_second = NAMES.map(|name| Late::begin(&hub, name));
    upgrade(&hub);
    let (stays, moves) = (party.entry("a.example"), elsewhere.entry("c.example"));
    hub.edit_routes(&format!("sni:\n{stays}{moves}"));
    ask(&hub, &["reload"]);
    for [mut stays, removed, moved] in [of_the_first, of_the_second] {
        removed.end_declined();
        moved.end_declined();
        assert_eq!(stays.end(), b'a');
    }
    ended(&hub, "unknown_server_name", 4);
    // Nobody was let in to be cut a little later.
    if on_route_removed == "keep" {
        before.exchange(1000).unwrap();
        ended(&hub, "route_removed", 0);
    } else {
        before.was_reset();
        ended(&hub, "route_removed", 1);
    }
}

/// A client waits for its word once, before the dial, and not once more after it.
#[test]
fn a_hub_that_says_nothing_of_a_client_is_not_asked_twice() {
    let hub = start(&NAMES, Party::start(b'a'), "hello_timeout: 60s");
    let mut late = Late::begin(&hub, "a.example");
    let wire = succeed(&super::socket(&hub));
    say(&wire, json!("taken"), &[]);
    assert!(hear(&wire)["legacy"].is_object());
    let id = u64::from(std::process::id()) << 32;
    let count = || say(&wire, json!({"order": {"id": id, "order": "count"}}), &[]);
    // It asks as soon as it has heard one order.
    count();
    assert_eq!(hear(&wire)["reply"]["id"], id);
    assert_eq!(late.end(), b'a');
    assert!(hear(&wire)["undecided"].is_object());
    count();
    let next = hear(&wire);
    assert_eq!(next["reply"]["id"], id, "{next}");
}

/// Three processes, each the successor of the one before.
#[test]
fn all_processes_before_notice_that_the_hub_is_gone() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let _first = links(&hub, party);
    upgrade(&hub);
    let _second = links(&hub, party);
    upgrade(&hub);
    signal(pid(&hub), Signal::KILL);
    wait_for("both say so", || {
        let mut lines = hub.lines();
        lines.retain(|line| {
            let text = line["message"].as_str();
            text.is_some_and(|text| text.starts_with("the successor has ended"))
        });
        match lines.len() {
            2 => Ok(()),
            n => Err(format!("{n} do")),
        }
    });
}

fn remove_party(hub: &Hub, name: &str) -> Said {
    let [routes, ca] = ["sni.yaml", "pki"].map(|file| hub.folder().join(file));
    let [routes, ca] = [&routes, &ca].map(|path| path.to_str().unwrap());
    let files = ["--routes", routes, "--ca", ca];
    run(
        hub,
        &[&["party", "remove", name, "--end-tunnels"][..], &files].concat(),
    )
}

#[test]
fn party_remove_ends_the_tunnels_that_the_process_before_holds() {
    let party = Party::start(b'a');
    let hub = start(&["a.example", "keep.example"], party, "drain: 1s");
    let mut gone = Link::open(hub.addr(), "a.example", party).unwrap();
    let mut stays = Link::open(hub.addr(), "keep.example", party).unwrap();
    upgrade(&hub);
    let said = remove_party(&hub, "a.example");
    assert_eq!(said.code, Some(0), "{said:?}");
    gone.was_reset();
    stays.exchange(1000).unwrap();
}

#[test]
fn a_process_before_that_is_killed_leaves_its_counts() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let mut links = links(&hub, party);
    for link in &mut links {
        link.exchange(100_000).unwrap();
    }
    let old = pid(&hub);
    upgrade(&hub);
    let bytes = "snihub_bytes_total{direction=\"client_to_upstream\"}";
    let before = samples(&hub);
    assert!(before[bytes] > 300_000.0);
    signal(old, Signal::KILL);
    wait_for(
        "it is missed",
        || match samples(&hub)["snihub_predecessors"] {
            0.0 => Ok(()),
            n => Err(n.to_string()),
        },
    );
    let after = samples(&hub);
    assert_eq!(after[bytes], before[bytes]);
    assert_eq!(
        (
            after["snihub_tunnels_open"],
            after["snihub_tunnels_opened_total"]
        ),
        (0.0, 3.0)
    );
    assert_eq!(after["snihub_tunnels_ended_total{reason=\"killed\"}"], 3.0);
    assert_eq!(after["snihub_route_tunnels_open{route=\"a.example\"}"], 0.0);
    Link::open(hub.addr(), "a.example", party).unwrap();
}

/// As it is read on a terminal, whatever says it.
fn aloud(hub: &Hub, arguments: &[&str]) -> Said {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>&1", "sh", env!("CARGO_BIN_EXE_snihub")]);
    let command = command.args(arguments).arg("--admin");
    let output = command.arg(super::socket(hub)).output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
    }
}

#[test]
fn one_that_hangs_keeps_nobody_waiting_for_long() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let mut links = links(&hub, party);
    let old = pid(&hub);
    upgrade(&hub);
    let unlucky = id(&hub, "a.example");
    signal(old, Signal::STOP);
    let mut new = Link::open(hub.addr(), "a.example", party).unwrap();
    // Told without it, and that it is; or by what it said last.
    assert_eq!(status(&hub)["tunnels_opened"], 4);
    let list = || unix(&super::socket(&hub), "GET", "/api/tunnels").json();
    let silent = json!([{ "pid": old, "tunnels": 3 }]);
    let listed = list();
    assert_eq!(
        (&listed["all"], &listed["silent"]),
        (&1.into(), &silent),
        "{listed}"
    );
    let who = format!("process {old}, with 3 tunnels, does not answer");
    for (command, told) in [
        (&["tunnels"][..], "\n1 tunnel\n"),
        (&["kill", &unlucky], ""),
        (
            &["drain", "--route", "c.example", "--over", "0"],
            ": 0 tunnels\n",
        ),
    ] {
        let said = aloud(&hub, command);
        assert_eq!(said.code, Some(71), "{command:?}: {said:?}");
        // A number that is not the whole is not read before that is said.
        let (_, after) = said.out.split_once(&who).unwrap();
        assert!(after.contains(told), "{command:?}: {said:?}");
    }
    let said = remove_party(&hub, "b.example");
    assert_eq!(said.code, Some(71), "{said:?}");
    assert!(
        said.out.contains("0 to be ended") && said.out.contains(&who),
        "{said:?}"
    );
    new.exchange(1000).unwrap();
    signal(old, Signal::CONT);
    wait_for("it is heard again", || match &list()["all"] {
        all if *all == 4 => Ok(()),
        all => Err(all.to_string()),
    });
    // What could not be done then is not done now.
    for link in &mut links {
        link.exchange(1000).unwrap();
    }
    assert_eq!(list()["silent"], json!([]));
    ended(&hub, "killed", 0);
    ended(&hub, "drained", 0);
}

/// Who gave it was told that there is no answer.
#[test]
fn an_order_that_is_heard_too_late_is_not_carried_out() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "");
    let mut link = Link::open(hub.addr(), "a.example", party).unwrap();
    let session = u64::from_str_radix(&id(&hub, "a.example"), 16).unwrap();
    let wire = succeed(&super::socket(&hub));
    say(&wire, json!("taken"), &[]);
    assert!(hear(&wire)["legacy"].is_object());
    let order = |number: u64, order: Value, until: Option<u64>| {
        let id = u64::from(std::process::id()) << 32 | number;
        let order = json!({"order": {"id": id, "order": order, "until": until}});
        say(&wire, order, &[]);
        id
    };
    let end = json!({"end": {"session": session}});
    order(1, end.clone(), Some(1));
    // By its answer the hub hears that this process goes on.
    let counted = order(4, json!("count"), Some(1));
    let reply = hear(&wire);
    assert_eq!(reply["reply"]["id"], counted, "{reply}");
    // As a hub gives it that knows of no deadline.
    let listed = order(2, json!("tunnels"), None);
    let reply = hear(&wire);
    assert_eq!(reply["reply"]["id"], listed, "{reply}");
    link.exchange(1000).unwrap();
    let ended = order(3, end, Some(u64::MAX));
    assert_eq!(
        hear(&wire),
        json!({"reply": {"id": ended, "reply": {"ended": true}}})
    );
    link.was_reset();
}

#[test]
fn a_stop_is_the_end_of_all() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "drain: 2s");
    let old = pid(&hub);
    let mut first = links(&hub, party);
    upgrade(&hub);
    let new = pid(&hub);
    let mut second = links(&hub, party);
    signal(new, Signal::TERM);
    first
        .iter_mut()
        .chain(&mut second)
        .for_each(Link::was_reset);
    ends(old);
    ends(new);
    ended(&hub, "drained", 6);
    assert!(!super::socket(&hub).exists());
}

/// It is told past the counts that it is asked for and does not tell; and the operator, its number.
#[test]
fn a_stop_reaches_a_process_before_that_is_stopped() {
    for asked_twice in [false, true] {
        let party = Party::start(b'a');
        let drain = if asked_twice { "1h" } else { "1s" };
        let hub = start(&NAMES, party, &format!("drain: {drain}"));
        let old = pid(&hub);
        let mut links = links(&hub, party);
        upgrade(&hub);
        let new = pid(&hub);
        signal(old, Signal::STOP);
        // From now on it is being asked for its counts.
        assert_eq!(status(&hub)["predecessors"][0]["pid"], old);
        signal(new, Signal::TERM);
        if asked_twice {
            let draining = |line: &Value| line["message"].as_str().is_some_and(is_draining);
            hub.wait_line("it is draining", draining);
            signal(new, Signal::TERM);
        }
        ends(new);
        let left = |line: &Value| {
            let text = line["message"].as_str().unwrap_or_default();
            text.starts_with("a process before this one does not end, and is left")
        };
        assert_eq!(hub.wait_line("it is left", left)["pid"], old);
        signal(old, Signal::CONT);
        links.iter_mut().for_each(Link::was_reset);
        ends(old);
    }
}

fn is_draining(text: &str) -> bool {
    text.starts_with("draining: no new connections")
}

/// A service manager signals all processes of a service, and the new one orders the old one to stop as
/// well: whichever comes first, the tunnels have `drain`. Only who asks twice has them cut.
#[test]
fn a_stop_of_all_processes_is_one_stop() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "drain: 6s");
    let old = pid(&hub);
    let mut first: Vec<_> = (0..3).flat_map(|_| links(&hub, party)).collect();
    upgrade(&hub);
    signal(pid(&hub), Signal::TERM);
    hub.wait_record("the order has come to the old one", |record| {
        record["ended"] == "drained"
    });
    signal(old, Signal::TERM);
    first.iter_mut().for_each(Link::was_reset);
    ends(old);
    ended(&hub, "drained", 9);
    ended(&hub, "killed", 0);
}

/// A service manager that has lost the new process waits for the old one before it starts the next.
#[test]
fn an_orphan_that_is_told_to_stop_ends_at_once() {
    let party = Party::start(b'a');
    let hub = start(&NAMES, party, "drain: 1h");
    let old = pid(&hub);
    let mut links = links(&hub, party);
    upgrade(&hub);
    signal(pid(&hub), Signal::KILL);
    hub.wait_line("it is told", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("the successor has ended"))
    });
    links[0].exchange(1000).unwrap();
    signal(old, Signal::TERM);
    links.iter_mut().for_each(Link::was_reset);
    ends(old);
}
