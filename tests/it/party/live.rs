//! The hub that runs: it has the route when the command says so.

use super::rig::Star;
use crate::pki::rig::Said;
use crate::support::hub::{Hub, Options};
use crate::support::party::{Link, Party};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// Runs a command on the hub's own file and socket.
fn run(star: &Star, hub: &Hub, arguments: &[&str]) -> Said {
    Said::of(&command(star, hub, arguments).output().unwrap())
}

fn command(star: &Star, hub: &Hub, arguments: &[&str]) -> Command {
    let (routes, admin) = (
        hub.folder().join("sni.yaml"),
        hub.folder().join("admin.sock"),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command
        .arg("party")
        .args(arguments)
        .current_dir(star.ca.dir.path());
    command
        .arg("--routes")
        .arg(routes)
        .arg("--admin")
        .arg(admin);
    command
}

fn ok(star: &Star, hub: &Hub, arguments: &[&str]) -> String {
    let said = run(star, hub, arguments);
    said.succeeded(arguments);
    said.out
}

fn hub(table: &str) -> Hub {
    Hub::start(Options::routes(table).settings("drain: 1s\n").with_admin())
}

#[test]
fn a_party_comes_moves_and_leaves() {
    let (star, hub) = (Star::new(), hub("sni:\n"));
    let (old, new) = (Party::start(b'a'), Party::start(b'b'));
    let add = |party: Party| {
        [
            "add".into(),
            "9998".into(),
            "--route".into(),
            party.addr.to_string(),
        ]
    };
    let first: [String; 4] = add(old);
    let said = ok(&star, &hub, &first.each_ref().map(|word| &**word));
    assert!(said.contains("has the route (generation 2)"), "{said}");
    // At once: not soon.
    let mut standing = Link::open(hub.addr(), "9998.fate.org", old).unwrap();
    standing.exchange(1000).unwrap();
    let said = ok(&star, &hub, &first.each_ref().map(|word| &**word));
    assert!(
        said.contains("generation 2"),
        "a repeat made a generation: {said}"
    );

    let list: Value =
        serde_json::from_str(&ok(&star, &hub, &["list", "--format", "json"])).unwrap();
    let party = &list["parties"][0];
    assert_eq!(
        (&party["name"], &party["tunnels_open"]),
        (&"9998.fate.org".into(), &1.into())
    );
    assert!(
        party["client_to_upstream"].as_u64().unwrap() >= 1000,
        "{party}"
    );
    let list = ok(&star, &hub, &["list"]);
    let (heading, last) = (list.lines().next().unwrap(), list.lines().last().unwrap());
    assert!(heading.ends_with("bytes to it  bytes from it"), "{list}");
    assert!(last.contains("since the hub's start"), "{list}");
    let shown = ok(&star, &hub, &["show", "9998"]);
    assert!(
        shown.contains("1 tunnel open") && shown.contains("-> 9998.fate.org: 1 open"),
        "{shown}"
    );

    let target = new.addr.to_string();
    let said = ok(&star, &hub, &["reroute", "9998", "--route", &target]);
    assert!(said.contains("has the route"), "{said}");
    let mut moved = Link::open(hub.addr(), "9998.fate.org", new).unwrap();
    standing.exchange(1000).unwrap();

    // The last one: a plain reload would refuse an empty table.
    let said = ok(&star, &hub, &["remove", "9998", "--end-tunnels"]);
    assert!(
        said.contains("has it no more") && said.contains("2 to be ended over 1 s"),
        "{said}"
    );
    assert!(Link::open(hub.addr(), "9998.fate.org", new).is_err());
    standing.was_reset();
    moved.was_reset();
    // The hub still counts it: a removal that was cut short is completed.
    let said = ok(&star, &hub, &["remove", "9998"]);
    assert!(said.contains("was out of"), "{said}");
}

#[test]
fn a_change_that_waits_for_an_upgrade_keeps_no_party_out() {
    let (star, hub) = (Star::new(), hub("sni:\n"));
    let written = std::fs::read_to_string(hub.folder().join("hub.yaml")).unwrap();
    hub.replace("hub.yaml", &format!("{written}workers: 7\n"));
    let target = Party::start(b'a').addr.to_string();
    let said = ok(&star, &hub, &["add", "9998", "--route", &target]);
    assert!(said.contains("has the route (generation 2)"), "{said}");
}

#[test]
fn without_the_flag_tunnels_stay() {
    let party = Party::start(b'a');
    let (star, hub) = (
        Star::new(),
        hub(&format!("sni:\n{}", party.entry("9998.fate.org"))),
    );
    let mut link = Link::open(hub.addr(), "9998.fate.org", party).unwrap();
    ok(&star, &hub, &["remove", "9998"]);
    link.exchange(1000).unwrap();
}

#[test]
fn a_hub_with_other_files_is_told() {
    let party = Party::start(b'a');
    let (star, hub) = (Star::new(), hub(&format!("sni:\n{}", party.entry("a.org"))));
    star.write("sni:\n");
    let admin = hub.folder().join("admin.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command.args([
        "party", "add", "9998", "--route", "h.org:1", "--routes", "sni.yaml", "--admin",
    ]);
    command.arg(admin).current_dir(star.ca.dir.path());
    let said = Said::of(&command.output().unwrap());
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(said.out.contains("runs with other files"), "{}", said.out);
    assert!(star.table().contains("9998.fate.org"));
}

#[test]
fn a_hub_that_refuses_its_files_is_told_with_its_words() {
    let party = Party::start(b'a');
    let (star, hub) = (Star::new(), hub(&format!("sni:\n{}", party.entry("a.org"))));
    // Only the hub reads this hub.yaml.
    hub.replace("hub.yaml", "admin: admin.sock\nhello_timeout: never\n");
    let said = run(&star, &hub, &["add", "9998", "--route", "h.org:1"]);
    assert_eq!(said.code, Some(78), "{}{}", said.out, said.err);
    assert!(
        said.out.contains("REFUSED") && said.out.contains("hello_timeout"),
        "{}",
        said.out
    );
}

#[test]
fn a_socket_that_a_dead_hub_left_is_no_hub() {
    let star = Star::new();
    drop(std::os::unix::net::UnixListener::bind(star.ca.path("admin.sock")).unwrap());
    let said = star.ok(&super::rig::ADD);
    assert!(said.contains("none runs behind admin.sock"), "{said}");
    let said = star.ok(&["list"]);
    assert!(
        said.contains("no hub runs behind admin.sock") && said.contains("9998.fate.org"),
        "{said}"
    );
}

#[test]
fn a_hub_that_cannot_be_asked_is_told() {
    let star = Star::new();
    star.ca
        .dir
        .write("hub.yaml", "admin: off\nroutes: sni.yaml\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
    command
        .arg("party")
        .args(super::rig::ADD)
        .args(["--config", "hub.yaml"]);
    let said = Said::of(&command.current_dir(star.ca.dir.path()).output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("admin: off"), "{}", said.out);
}

#[test]
fn the_list_does_not_wait_for_a_hub_that_hangs() {
    let party = Party::start(b'a');
    let (star, hub) = (
        Star::new(),
        hub(&format!("sni:\n{}", party.entry("9998.fate.org"))),
    );
    hub.signal(Signal::STOP);
    let list = run(&star, &hub, &["list"]);
    let shown = run(&star, &hub, &["show", "9998"]);
    let gone = run(&star, &hub, &["remove", "9997"]);
    hub.signal(Signal::CONT);
    list.succeeded(&["list"]);
    shown.succeeded(&["show"]);
    assert_eq!(gone.code, Some(1), "{}", gone.err);
    let why = "has not answered within 3 s: it is stopped or overloaded";
    for said in [&list.out, &shown.out] {
        assert!(said.contains("9998.fate.org"), "{said}");
        let words: Vec<&str> = said.split_whitespace().collect();
        assert!(words.join(" ").contains(why), "{said}");
    }
}

/// Thirty parties, and the hub that has them all.
fn thirty() -> (String, Hub) {
    let party = Party::start(b'a');
    let entries = (1..=30).map(|n| party.entry(&format!("{n}.fate.org")));
    let table = format!("sni:\n{}", entries.collect::<String>());
    let hub = hub(&table);
    (table, hub)
}

fn routes(hub: &Hub) -> usize {
    let asked = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["status", "--format", "json", "--admin"])
        .arg(hub.folder().join("admin.sock"))
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&asked.stdout).unwrap();
    status["routes"].as_u64().unwrap() as usize
}

#[test]
fn a_removal_does_not_take_the_other_routes_of_a_hub_that_refused_a_cut_file() {
    let star = Star::new();
    let (table, hub) = thirty();
    ok(&star, &hub, &["remove", "7"]);
    assert_eq!(routes(&hub), 29);
    let foreign = table.split_once("sni:\n").unwrap().1;
    let foreign = foreign.replace("1.fate.org", "x.example");
    let one = foreign.find("- ").unwrap();
    let two = foreign[one + 2..].find("- ").unwrap() + one + 2;
    // Cut behind its first entry, cut before it, and cut behind one that is then removed itself.
    for (text, name) in [
        (format!("sni:\n{}", &foreign[..two]), "7"),
        ("sni:\n".to_owned(), "7"),
        (format!("sni:\n{}", &table["sni:\n".len()..][..two]), "1"),
    ] {
        hub.replace("sni.yaml", &text);
        let said = run(&star, &hub, &["remove", name]);
        assert_eq!(said.code, Some(78), "{text}: {}{}", said.out, said.err);
        assert!(said.out.contains("routes would be gone"), "{}", said.out);
        assert_eq!(routes(&hub), 29, "{text}");
    }
}

#[test]
fn a_removal_from_another_file_takes_nothing_from_the_hub() {
    let (_, hub) = thirty();
    let star = Star::with("sni:\n- {fqdn: 2.fate.org, tunnel_route: h.org:1}\n");
    hub.replace("sni.yaml", "sni:\n");
    let admin = hub.folder().join("admin.sock");
    let remove = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snihub"));
        command.args(["party", "remove", name, "--routes", "sni.yaml", "--admin"]);
        command.arg(&admin).current_dir(star.ca.dir.path());
        Said::of(&command.output().unwrap())
    };
    let said = remove("2");
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let file = hub.folder().join("sni.yaml");
    let words = |said: &Said| said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in ["runs with other files", file.to_str().unwrap()] {
        assert!(words(&said).contains(word), "{}", said.out);
    }
    assert_eq!(routes(&hub), 30);
    // Nor does one that takes its files, and never had that party.
    let twenty: Vec<String> = (1..=20)
        .map(|n| format!("- {{fqdn: {n}.fate.org, tunnel_route: h.org:1}}\n"))
        .collect();
    hub.replace("sni.yaml", &format!("sni:\n{}", twenty.concat()));
    star.write("sni:\n- {fqdn: 99.fate.org, tunnel_route: h.org:1}\n");
    let said = remove("99");
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    assert!(
        words(&said).contains("runs with other files"),
        "{}",
        said.out
    );
}

#[test]
fn tunnels_that_are_not_ended_are_told() {
    let party = Party::start(b'a');
    let (star, hub) = (
        Star::new(),
        hub(&format!("sni:\n{}", party.entry("9998.fate.org"))),
    );
    let mut link = Link::open(hub.addr(), "9998.fate.org", party).unwrap();
    hub.replace("hub.yaml", "admin: admin.sock\nhello_timeout: never\n");
    let said = run(&star, &hub, &["remove", "9998", "--end-tunnels"]);
    assert_eq!(said.code, Some(78), "{}{}", said.out, said.err);
    for word in ["not ended", "snihub drain --party 9998.fate.org"] {
        assert!(said.out.contains(word), "{word}: {}", said.out);
    }
    link.exchange(1000).unwrap();
}

#[test]
fn what_is_done_is_said_before_a_hub_that_hangs_is_asked() {
    let party = Party::start(b'a');
    let (star, hub) = (
        Star::new(),
        hub(&format!("sni:\n{}", party.entry("9998.fate.org"))),
    );
    let target = party.addr.to_string();
    for (arguments, word) in [
        (
            &["add", "9997", "--route", &target][..],
            "has 9997.fate.org",
        ),
        (
            &["reroute", "9997", "--route", "h.org:1"],
            "has 9997.fate.org",
        ),
        (&["remove", "9997"], "9997.fate.org is out of"),
    ] {
        hub.signal(Signal::STOP);
        let mut command = command(&star, &hub, arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        // It would not be done before this.
        hub.signal(Signal::CONT);
        out.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}: {said}");
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains(word) && words.contains("generation"),
            "{said}"
        );
    }
}
