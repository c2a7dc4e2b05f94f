//! Routes and hubs that are wrong: what the hub's machine knows.

use super::rig::{Diagnosis, Rig, hub, table};
use crate::support::hub::{Hub, Options};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

#[test]
fn a_closed_port() {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let hub = hub(&[("9998.fate.org", closed)]);
    // Nothing of Pulsar to who does not run it.
    let said = rig.doctor(&hub, &["9998", "--layout", "eggroll"]);
    said.error("directly", "tcp.refused", "nobody listens", "does it run");
    let said = rig.doctor(&hub, &["9998"]);
    said.error(
        "directly",
        "tcp.refused",
        "nobody listens",
        "brokerServicePortTls=",
    );
    said.error(
        "through the hub",
        "hub.not_reached",
        "TLS alert 80",
        "directly",
    );
    // By now the hub has a record of it.
    let said = rig.doctor(&hub, &["9998"]);
    let record = said.finding("the hub's records", "records.refused");
    assert!(
        record["seen"].as_str().unwrap().contains("(refused)"),
        "{record:#}"
    );
}

#[test]
fn a_black_hole_ends_with_the_time_that_was_said() {
    let rig = Rig::new();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let hole = listener.local_addr().unwrap().as_socket().unwrap();
    // Its accept queue is full: the kernel drops every further SYN.
    let _queued: Vec<Socket> = (0..4)
        .map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&hole.into());
            client
        })
        .collect();
    let hub = hub(&[("9998.fate.org", hole)]);
    let said = rig.doctor(&hub, &["9998", "--timeout", "0.3"]);
    said.error(
        "directly",
        "tcp.silent",
        "does not answer within 0.3 s",
        "firewall",
    );
    said.error("through the hub", "hub.no_answer", "in 0.3 s", "directly");
}

#[test]
fn a_name_that_nobody_resolves() {
    let rig = Rig::new();
    let routes = "sni:\n- fqdn: 9998.fate.org\n  tunnel_route: no-such-host.invalid:6651\n";
    let hub = Hub::start(Options::routes(routes).with_admin());
    let said = rig.doctor(&hub, &["9998", "--timeout", "3"]);
    said.error(
        "directly",
        "resolve",
        "no-such-host.invalid",
        "snihub party reroute 9998",
    );
}

#[test]
fn a_route_to_the_wrong_party() {
    let rig = Rig::new();
    let (a, b) = (
        rig.well(),
        rig.broker(&rig.identity(&["9999.fate.org"]), "9999.fate.org"),
    );
    let hub = hub(&[("9998.fate.org", b), ("9999.fate.org", a)]);
    let said = rig.doctor(&hub, &["9998"]);
    let words = "9999.fate.org answers where 9998.fate.org should";
    said.error(
        "directly",
        "route.wrong_party",
        words,
        "snihub party reroute 9998",
    );
}

#[test]
fn a_hub_that_does_not_know_the_party() {
    let rig = Rig::new();
    let broker = rig.well();
    let hub = hub(&[("9999.fate.org", broker)]);
    let table = rig
        .ca
        .dir
        .write("sni.yaml", table(&[("9998.fate.org", broker)]));
    let said = rig.doctor_by(&hub, table.to_str().unwrap(), &["9998"]);
    said.error(
        "configuration",
        "hub.route",
        "no route for 9998.fate.org",
        "snihub reload",
    );
    said.error(
        "through the hub",
        "hub.unknown_name",
        "TLS alert 112",
        "snihub reload",
    );
    assert_eq!(said.found("directly")[0], "ok tcp");
}

#[test]
fn a_hub_that_leads_elsewhere_than_the_file_says() {
    let rig = Rig::new();
    let other = rig.broker(&rig.identity(&["9999.fate.org"]), "9999.fate.org");
    let hub = hub(&[("9998.fate.org", other)]);
    let table = rig
        .ca
        .dir
        .write("sni.yaml", table(&[("9998.fate.org", rig.well())]));
    let said = rig.doctor_by(&hub, table.to_str().unwrap(), &["9998"]);
    said.error("configuration", "hub.route", "leads to", "snihub reload");
    said.error(
        "through the hub",
        "hub.elsewhere",
        "another server",
        "snihub reload",
    );
}

/// As with two brokers of a party behind one name.
#[test]
fn a_hub_that_leads_to_another_good_certificate() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    let table = rig
        .ca
        .dir
        .write("sni.yaml", table(&[("9998.fate.org", rig.well())]));
    let said = rig.doctor_by(&hub, table.to_str().unwrap(), &["9998"]);
    let finding = said.finding("through the hub", "hub.elsewhere");
    assert_eq!(finding["severity"], "warning", "{finding:#}");
}

#[test]
fn a_party_without_a_route() {
    let rig = Rig::new();
    let hub = hub(&[("9999.fate.org", rig.well())]);
    let said = rig.doctor(&hub, &["9998"]);
    said.error(
        "configuration",
        "route",
        "no entry takes 9998.fate.org",
        "snihub party add 9998",
    );
}

#[test]
fn an_entry_that_is_never_asked() {
    let rig = Rig::new();
    let broker = rig.well();
    let hub = hub(&[("*.fate.org", broker), ("9998.fate.org", broker)]);
    let said = rig.doctor(&hub, &["9998"]);
    let finding = said.finding("configuration", "route.shadowed");
    assert_eq!(
        (said.code, &finding["severity"]),
        (Some(1), &"warning".into())
    );
    assert!(
        finding["fix"]
            .as_str()
            .unwrap()
            .contains("move line 4 above line 2"),
        "{finding:#}"
    );
}

#[test]
fn a_hub_that_lets_others_in_is_no_fault() {
    let rig = Rig::new();
    let routes = table(&[("9998.fate.org", rig.well())]) + "  ip_allow: 192.0.2.1\n";
    let hub = Hub::start(Options::routes(routes).with_admin());
    let said = rig.doctor(&hub, &["9998"]);
    assert_eq!(said.code, Some(0), "{:#}", said.body);
    said.finding("through the hub", "hub.not_allowed");
}

#[test]
fn no_hub_at_all() {
    let rig = Rig::new();
    let table = rig
        .ca
        .dir
        .write("sni.yaml", table(&[("9998.fate.org", rig.well())]));
    let said = rig.run(&["--routes", table.to_str().unwrap(), "--admin", "admin.sock"]);
    said.error(
        "on this machine",
        "hub.running",
        "no hub runs behind admin.sock",
        "systemctl start",
    );
    assert_eq!(said.found("directly")[0], "ok tcp");
}

#[test]
fn a_hub_that_hangs_is_an_error_and_is_asked_where_its_file_says() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    let settings = format!("listen: [\"{}\"]\n", hub.addr());
    let settings = rig.ca.dir.write("hub.yaml", settings);
    hub.signal(Signal::STOP);
    let asked = [
        "9998",
        "--timeout",
        "4",
        "--config",
        settings.to_str().unwrap(),
    ];
    let said = rig.doctor(&hub, &asked);
    hub.signal(Signal::CONT);
    said.error(
        "on this machine",
        "hub.running",
        "has not answered within 4 s",
        "journalctl",
    );
    said.error(
        "through the hub",
        "hub.no_answer",
        "no answer to the hello came in 4 s",
        "snihub status",
    );
    let why = &said.finding("through the hub", "hub.no_answer")["why"];
    let why = why.as_str().unwrap();
    assert!(
        why.contains("the hub hangs") && !why.contains("Pulsar"),
        "{why}"
    );
}

#[test]
fn a_hub_that_hangs_is_not_asked_at_a_guess() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    hub.signal(Signal::STOP);
    let said = rig.doctor(&hub, &["9998", "--timeout", "4"]);
    hub.signal(Signal::CONT);
    let seen = "has not answered within 4 s";
    said.error("on this machine", "hub.running", seen, "journalctl");
    let body = said.body.to_string();
    assert!(!body.contains("through the hub"), "{:#}", said.body);
    assert!(said.found("directly").contains(&"ok pulsar".to_owned()));
}

#[test]
fn an_authority_that_cannot_be_read_is_told() {
    let (rig, broker) = (Rig::new(), Rig::new().well());
    let hub = hub(&[("9998.fate.org", broker)]);
    std::fs::remove_file(rig.ca.path("pki/index.jsonl")).unwrap();
    std::fs::create_dir(rig.ca.path("pki/index.jsonl")).unwrap();
    let said = rig.doctor(&hub, &["9998.fate.org"]);
    let told = said.finding("on this machine", "authority");
    let seen = told["seen"].as_str().unwrap();
    assert!(seen.contains("pki/index.jsonl"), "{told}");
}

#[test]
fn a_party_that_is_named_twice_is_asked_once() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    let subjects = |said: &Diagnosis| {
        let reports = said.body["reports"].as_array().unwrap().iter();
        reports
            .map(|one| one["subject"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let twice = ["9998", "9998.FATE.org"];
    let said = rig.doctor(&hub, &twice);
    assert_eq!(subjects(&said), ["the hub", "9998.fate.org"]);
    let via = hub.addr().to_string();
    let said = rig.run(&[&twice[..], &["--via", &via]].concat());
    assert_eq!(subjects(&said)[1..], ["9998.fate.org"]);
}

#[test]
fn a_broker_that_advertises_another_name() {
    let rig = Rig::new();
    let (alone, both) = (
        &["9998.fate.org"][..],
        &["9998.fate.org", "b.9998.fate.org"][..],
    );
    for (advertised, certified, well) in [
        ("10.0.0.1", alone, false),
        ("broker-0.pulsar", alone, false),
        // Another party's.
        ("b.fate.org", alone, false),
        // One of several brokers of the party, with a certificate of one.
        ("b.9998.fate.org", alone, false),
        ("b.9998.fate.org", both, true),
    ] {
        let broker = rig.broker(&rig.identity(certified), advertised);
        let hub = hub(&[
            ("9998.fate.org", broker),
            ("b.fate.org", broker),
            ("*.9998.fate.org", broker),
        ]);
        let said = rig.doctor(&hub, &["9998"]);
        match well {
            true => assert_eq!(
                said.finding("directly", "pulsar.advertised")["severity"],
                "note"
            ),
            false => said.error(
                "directly",
                "pulsar.advertised",
                advertised,
                "advertisedAddress=9998.fate.org",
            ),
        }
    }
}

#[test]
fn what_the_hub_refused_is_remembered() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    // Only the party itself is known by its address: this one comes from there.
    let mut client = TcpStream::connect(hub.addr()).unwrap();
    client
        .write_all(b"\0\0\0\x29\0\0\0\x25\x08\x02\x12\x0512345")
        .unwrap();
    drop(client.read(&mut [0]));
    hub.wait_record("not_tls", |record| record["ended"] == "not_tls");
    let said = rig.doctor(&hub, &["9998"]);
    let record = said.finding("the hub's records", "records.refused");
    let words = record["seen"].as_str().unwrap();
    assert!(
        words.contains("its own calls got no tunnel 1 time (not_tls)"),
        "{words}"
    );
    assert!(
        record["fix"]
            .as_str()
            .unwrap()
            .contains("brokerClientTlsEnabled=true")
    );
    assert_eq!(said.code, Some(1));
}

#[test]
fn a_door_that_says_nothing_is_not_called_a_hub() {
    let rig = Rig::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let via = silent.local_addr().unwrap().to_string();
    let said = rig.run(&["9998.fate.org", "--via", &via, "--timeout", "0.3"]);
    let seen = format!("{via} takes connections, and no answer to the hello");
    said.error(
        "through the hub",
        "hub.no_answer",
        &seen,
        "on the hub's machine",
    );
    let why = &said.finding("through the hub", "hub.no_answer")["why"];
    assert!(why.as_str().unwrap().contains("no door of a hub"), "{why}");
}

#[test]
fn one_is_one() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    let said = rig.doctor(&hub, &["9998"]);
    let seen = |check| said.finding("on this machine", check)["seen"].to_string();
    assert!(
        seen("file").contains("sni.yaml: 1 entry\""),
        "{}",
        seen("file")
    );
    assert!(
        seen("hub.running").contains(", 1 route, "),
        "{}",
        seen("hub.running")
    );
}

#[test]
fn files_that_are_named_are_regular_and_bounded() {
    let rig = Rig::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, rig.ca.path("fifo"), rustix::fs::Mode::RUSR).unwrap();
    rig.ca
        .dir
        .write("well.conf", "advertisedAddress=9998.fate.org\n");
    rig.ca.dir.write("long", "#".repeat(5 << 20));
    for (file, words) in [
        ("fifo", "fifo: is a FIFO, not a regular file"),
        ("/dev/zero", "/dev/zero: is a device, not a regular file"),
        ("long", "long: has 5242880 bytes; at most 4194304 are read"),
        ("missing", "missing: cannot be read: No such file"),
    ] {
        let conf = ["--broker-conf", "well.conf"];
        for named in [
            &["--broker-conf", file][..],
            &[&conf[..], &["--trust", file]].concat(),
            &[&conf[..], &["--route-table", file]].concat(),
            &["--cert", file, "--key", file],
        ] {
            let said = rig.say(&[&["--via", "127.0.0.1:1"], named].concat());
            assert_eq!(said.code, Some(78), "{named:?}: {}{}", said.out, said.err);
            assert!(said.err.contains(words), "{named:?}: {}", said.err);
        }
    }
}

#[test]
fn wrong_usage_and_wrong_files_have_their_own_codes() {
    let rig = Rig::new();
    rig.ca
        .dir
        .write("sni.yaml", "sni:\n- fqdn: a.org\n  tunnel_route: h:70000\n");
    let said = rig.say(&["--routes", "sni.yaml", "--admin", "admin.sock"]);
    assert_eq!(said.code, Some(78), "{}", said.err);
    for (wrong, words) in [
        (&["--timeout", "0"][..], "0.05 to 60"),
        (&["--layout", "podvm"], "no party of a star"),
        (&["--via", "a b"], "\"a b\" is no HOST:PORT of a hub"),
        (&["--cert", "a"], "--key"),
        (&["--broker-conf", "a"], "--via"),
        (
            &["--via", "h", "--broker-conf", "a", "--routes", "b"],
            "cannot be used with",
        ),
    ] {
        let said = rig.say(wrong);
        assert_eq!(said.code, Some(64), "{wrong:?}: {}", said.err);
        assert!(said.err.contains(words), "{wrong:?}: {}", said.err);
    }
}
