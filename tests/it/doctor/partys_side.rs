//! On a party's machine: no sni.yaml, the hub's address, and a broker.conf.

use super::rig::{Rig, hub};
use std::net::TcpListener;

/// What `party add` gives, for a broker that listens at `port`.
fn given(rig: &Rig, port: u16) -> String {
    let said = rig.ca.path("sni.yaml");
    assert!(!said.exists());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snihub"));
    let route = format!("127.0.0.1:{port}");
    let words = [
        "party", "add", "9998", "--route", &route, "--routes", ".", "--admin", "no.sock",
    ];
    let done = command
        .args(words)
        .current_dir(rig.ca.dir.path())
        .output()
        .unwrap();
    assert!(done.status.success());
    let certificates = rig.ca.path("parties/9998/certs");
    let settings = rig.ca.read("parties/9998/broker.conf");
    settings
        .replace("/pulsar/certs", certificates.to_str().unwrap())
        .replace(
            "brokerServicePortTls=6651",
            &format!("brokerServicePortTls={port}"),
        )
        .replace("bindAddress=0.0.0.0", "bindAddress=127.0.0.1")
}

fn with_broker(rig: &Rig, change: impl Fn(String) -> String) -> (crate::support::hub::Hub, String) {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = given(rig, free.port());
    // The broker with the very certificate that the file names.
    let identity = crate::support::certs::Identity {
        certificate_pem: rig.ca.read("parties/9998/certs/broker.cert.pem"),
        key_pem: rig.ca.read("parties/9998/certs/broker.key-pk8.pem"),
    };
    let broker = rig.broker(&identity, "9998.fate.org");
    let settings = settings.replace(&free.port().to_string(), &broker.port().to_string());
    rig.ca.dir.write("standalone.conf", change(settings));
    let other = rig.broker(&rig.identity(&["10000.fate.org"]), "10000.fate.org");
    let hub = hub(&[("9998.fate.org", broker), ("10000.fate.org", other)]);
    let via = hub.addr().to_string();
    (hub, via)
}

#[test]
fn what_party_add_gave_is_well_and_others_are_reached() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |settings| settings);
    let said = rig.run(&["10000", "--via", &via, "--broker-conf", "standalone.conf"]);
    assert_eq!(said.code, Some(0), "{:#}", said.body);
    assert_eq!(said.found("settings"), ["ok settings"]);
    assert_eq!(said.found("its broker")[4], "ok pulsar.advertised");
    said.finding("through the hub", "hub.here");
    let subjects: Vec<_> = said.body["reports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["subject"].clone())
        .collect();
    assert_eq!(
        subjects[1..],
        ["this party", "9998.fate.org", "10000.fate.org"]
    );
}

#[test]
fn settings_that_go_past_the_hub_are_told_with_their_lines() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |settings| {
        settings
            .replace(
                "brokerClientTlsEnabled=true",
                "brokerClientTlsEnabled=false",
            )
            .replace(
                "replicatorPrefix=pulsar.repl.9998",
                "replicatorPrefix=pulsar.repl",
            )
            .replace("tlsHostnameVerificationEnabled=true", "# nothing")
    });
    let said = rig.run(&["--via", &via, "--broker-conf", "standalone.conf"]);
    let line = rig
        .ca
        .read("standalone.conf")
        .lines()
        .position(|line| line == "brokerClientTlsEnabled=false");
    let place = format!(
        "standalone.conf:{}: brokerClientTlsEnabled=false",
        line.unwrap() + 1
    );
    said.error(
        "settings",
        "settings.bypass",
        &place,
        "brokerClientTlsEnabled=true",
    );
    let prefix = said.finding("settings", "settings.prefix");
    assert_eq!(
        (&prefix["severity"], &prefix["fix"]),
        (
            &"warning".into(),
            &"replicatorPrefix=pulsar.repl.9998".into()
        )
    );
    assert_eq!(
        said.finding("settings", "settings.unchecked")["severity"],
        "warning"
    );
}

#[test]
fn values_that_are_none_are_findings_and_stop_nothing() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |settings| settings);
    let written = rig.ca.read("standalone.conf");
    for (line, check, fix) in [
        (
            "advertisedAddress=*.fate.org",
            "settings.advertised",
            "advertisedAddress=",
        ),
        (
            "advertisedAddress=a_x!.fate..org",
            "settings.advertised",
            "advertisedAddress=",
        ),
        ("brokerServicePortTls=abc", "settings.no_tls", "=6651"),
        ("brokerServicePortTls=0", "settings.no_tls", "=6651"),
        ("webServicePortTls=65536", "settings.web", "=8081"),
    ] {
        // The last line of a key counts.
        rig.ca
            .dir
            .write("other.conf", format!("{written}\n{line}\n"));
        let said = rig.run(&[
            "10000.fate.org",
            "--via",
            &via,
            "--broker-conf",
            "other.conf",
        ]);
        said.error("settings", check, line, fix);
    }
}

#[test]
fn advertised_listeners_are_known() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |settings| settings);
    let written = rig.ca.read("standalone.conf");
    let says = |address: &str, listeners: &str| {
        let lines = format!("advertisedAddress={address}\nadvertisedListeners={listeners}\n");
        rig.ca
            .dir
            .write("other.conf", format!("{written}\n{lines}"));
        rig.run(&[
            "10000.fate.org",
            "--via",
            &via,
            "--broker-conf",
            "other.conf",
        ])
    };
    let plain = "a:pulsar://10.0.0.1:6650";
    let good = format!("{plain},a:pulsar+ssl://9998.fate.org:6651");
    let said = says("", &good);
    assert_eq!(said.found("settings"), ["ok settings"]);
    said.finding("through the hub", "hub.here");
    // They count before the address, and any of them with TLS before none.
    for (address, listeners) in [
        ("10.0.0.1", &*good),
        (
            "10.0.0.1",
            "a:pulsar://h:6650, b:PULSAR+SSL://9998.fate.org:6651",
        ),
        ("9998.fate.org", plain),
    ] {
        let said = says(address, listeners);
        assert_eq!(said.found("settings"), ["ok settings"], "{listeners}");
    }
    let own = format!("b:pulsar+ssl://9998.fate.org:6651,{plain},a:pulsar+ssl://10.0.0.1:6651");
    assert_eq!(says("", &own).found("settings"), ["ok settings"]);
    let said = says("9998.fate.org", &format!("{own}\ninternalListenerName=a"));
    said.error(
        "settings",
        "settings.advertised",
        "advertisedListeners=b:",
        "pulsar+ssl://PARTY.DOMAIN:6651",
    );
}

#[test]
fn what_the_file_names_is_read_if_it_is_a_file_and_bounded() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |settings| {
        format!("{settings}\ntlsCertificateFilePath=/dev/zero\ntlsKeyFilePath=fifo\n")
    });
    rustix::fs::mkfifoat(rustix::fs::CWD, rig.ca.path("fifo"), rustix::fs::Mode::RUSR).unwrap();
    let said = rig.run(&["--via", &via, "--broker-conf", "standalone.conf"]);
    let found = said.found("settings");
    assert_eq!(found, ["note settings.file", "note settings.file"]);
}

#[test]
fn a_route_table_that_leads_past_the_hub() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |settings| settings);
    let given = rig.ca.read("parties/9998/pulsar_route_table.yaml");
    let given = given.replace("proxy.fate.org:443", &via);
    assert!(given.contains(&via), "{given}");
    let says = |table: &str| {
        rig.ca.dir.write("table.yaml", table);
        let files = [
            "--broker-conf",
            "standalone.conf",
            "--route-table",
            "table.yaml",
        ];
        rig.run(&[&["--via", &via], &files[..]].concat())
    };
    assert_eq!(says(&given).found("route table"), ["ok route_table"]);
    let last = given.lines().count() + 1;
    let own = format!("proxy: {via}");
    for (table, check, seen, fix) in [
        (
            format!("{given}10000:\n  host: 10.0.0.7\n  proxy: \"\"\n"),
            "route_table.bypass",
            format!("table.yaml:{last}: 10000: 10.0.0.7:6651 without a proxy"),
            "pulsar-admin clusters delete 10000",
        ),
        (
            format!("{given}10000: {{host: 10.0.0.7, proxy: \"{via}\"}}\n"),
            "route_table.address",
            format!("table.yaml:{last}: 10000: 10.0.0.7 by way of"),
            "take the entry out",
        ),
        (
            given.replace(&own, "proxy: \"\""),
            "route_table.bypass",
            "default: no proxy".to_owned(),
            "proxy: \"127.0.0.1:",
        ),
        (
            given.replace(&own, "proxy: https://127.0.0.1:1"),
            "route_table.proxy",
            "proxy: https://127.0.0.1:1".to_owned(),
            "proxy: \"127.0.0.1:",
        ),
        (
            given.replace("domain: fate.org", ""),
            "route_table.domain",
            "default: no domain".to_owned(),
            "domain: fate.org",
        ),
        (
            given.replace("default:", "10001:"),
            "route_table.default",
            "table.yaml has no `default`".to_owned(),
            "domain: fate.org}",
        ),
    ] {
        says(&table).error("route table", check, &seen, fix);
    }
    for (table, check) in [
        (
            format!("{given}\"10000\":\n  host: h\n"),
            "route_table.unseen",
        ),
        (
            given.replace(&own, "proxy: 127.0.0.1:1"),
            "route_table.proxy",
        ),
        (given.replace("fate.org", "other.org"), "route_table.domain"),
        (format!("{given}  no mapping"), "route_table"),
    ] {
        let said = says(&table);
        let finding = said.finding("route table", check);
        assert_eq!(finding["severity"], "warning", "{table}: {finding:#}");
    }
}

#[test]
fn an_empty_file_has_every_fault() {
    let rig = Rig::new();
    let (_hub, via) = with_broker(&rig, |_| String::new());
    let said = rig.run(&[
        "10000.fate.org",
        "--via",
        &via,
        "--broker-conf",
        "standalone.conf",
    ]);
    let wanted = [
        "error settings.bypass",
        "error settings.trust",
        "error settings.no_tls",
        "error settings.advertised",
        "warning settings.unchecked",
        "warning settings.prefix",
    ];
    assert_eq!(said.found("settings"), wanted);
}

#[test]
fn a_party_that_the_hub_does_not_know() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    let via = hub.addr().to_string();
    let said = rig.run(&["9999", "--via", &via]);
    said.error(
        "through the hub",
        "hub.unknown_name",
        "does not know 9999.fate.org",
        "snihub party add 9999",
    );
}

#[test]
fn a_hub_that_is_not_there() {
    let rig = Rig::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for asked in [&["9999", "--via", &closed][..], &["--via", &closed]] {
        rig.run(asked).error(
            "from here",
            "tcp.refused",
            "refuses connections",
            "snihub status",
        );
    }
}

#[test]
fn a_hub_whose_name_is_not_known_here() {
    let rig = Rig::new();
    let said = rig.run(&["9999", "--via", "hub.invalid:8443"]);
    said.error(
        "from here",
        "resolve",
        "hub.invalid",
        "HUB_ADDRESS hub.invalid",
    );
    let fix = said.finding("from here", "resolve")["fix"].to_string();
    assert!(!fix.contains("8443"), "a line of hosts has no port: {fix}");
}

#[test]
fn a_hub_that_leads_to_another_broker_than_this() {
    let rig = Rig::new();
    let (_hub, _) = with_broker(&rig, |settings| settings);
    let elsewhere = hub(&[("9998.fate.org", rig.well())]);
    let via = elsewhere.addr().to_string();
    let said = rig.run(&["--via", &via, "--broker-conf", "standalone.conf"]);
    said.error("through the hub", "hub.here", "elsewhere", "snihub doctor");
}
