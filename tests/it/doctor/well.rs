//! Where nothing is wrong, nothing is said to be.

use super::rig::{Rig, hub};
use serde_json::Value;

#[test]
fn all_is_well_directly_and_through_the_hub() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well())]);
    let said = rig.doctor(&hub, &[]);
    assert_eq!(said.code, Some(0), "{:#}", said.body);
    let direct = [
        "ok tcp",
        "ok tls",
        "ok certificate",
        "ok pulsar",
        "ok pulsar.advertised",
    ];
    assert_eq!(said.found("directly"), direct);
    let through = ["ok tcp", "ok tls", "ok certificate", "ok pulsar"];
    assert_eq!(said.found("through the hub"), through);
    let seen = |section, check| said.finding(section, check)["seen"].as_str().unwrap();
    assert!(seen("directly", "certificate").contains("of our authority, "));
    assert!(seen("directly", "tls").starts_with("TLS 1.3, also 1.2"));
    assert!(seen("directly", "pulsar").contains("Pulsar Server3.0.2, protocol 19, round trip"));
    let same = seen("through the hub", "certificate");
    assert_eq!(same, "the same certificate as directly");
    assert!(seen("through the hub", "pulsar").contains("more than directly"));
    let records = seen("the hub's records", "records.tunnels");
    assert!(records.contains("(0 since the hub's start)"), "{records}");
}

#[test]
fn the_text_fits_80_columns_and_says_the_same() {
    let rig = Rig::new();
    let hub = hub(&[("9998.fate.org", rig.well()), ("9999.fate.org", rig.well())]);
    let (table, admin) = (
        hub.folder().join("sni.yaml"),
        hub.folder().join("admin.sock"),
    );
    let files = [
        "--routes",
        table.to_str().unwrap(),
        "--admin",
        admin.to_str().unwrap(),
    ];
    let said = rig.say(&files);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    for line in said.out.lines() {
        // A path, or a command line, which stays whole.
        let rest = line.split('`').step_by(2).flat_map(str::split_whitespace);
        let one_word = rest.count() <= 3;
        assert!(line.chars().count() <= 80 || one_word, "{line:?}");
    }
    for wanted in [
        "9998.fate.org\n  configuration\n",
        "    ERROR    ",
        "why: ",
        "do:  ",
        "1 error, 0 warnings\n",
    ] {
        assert!(said.out.contains(wanted), "{wanted:?} in {}", said.out);
    }
    let alone = rig.say(&[&["9998"][..], &files].concat());
    assert_eq!(alone.code, Some(0), "{}", alone.out);
    assert!(alone.out.ends_with("\nall is well\n"), "{}", alone.out);
    assert!(!alone.out.contains("9999.fate.org\n"), "{}", alone.out);
}

#[test]
fn a_certificate_that_is_soon_over_is_a_warning_with_its_own_exit_code() {
    let rig = Rig::new();
    let broker = rig.broker(&rig.lasting("9998.fate.org", [-1, 20]), "9998.fate.org");
    let hub = hub(&[("9998.fate.org", broker)]);
    let said = rig.doctor(&hub, &["9998"]);
    assert_eq!(said.code, Some(1), "{:#}", said.body);
    let finding: &Value = said.finding("directly", "certificate.due");
    assert!(
        finding["fix"]
            .as_str()
            .unwrap()
            .contains("snihub pki issue pulsar 9998.fate.org")
    );
}

#[test]
fn the_list_has_each_partys_health_if_it_is_asked_for() {
    let rig = Rig::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let table = super::rig::table(&[("9998.fate.org", rig.well()), ("9999.fate.org", closed)]);
    rig.ca.dir.write("sni.yaml", table);
    let list = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_snihub"));
        let files = ["--routes", "sni.yaml", "--admin", "admin.sock"];
        command.args(["party", "list"]).args(files).args(more);
        let output = command.current_dir(rig.ca.dir.path()).output().unwrap();
        crate::pki::rig::Said::of(&output)
    };
    let said = list(&["--probe"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].ends_with("  health"), "{}{}", said.out, said.err);
    assert!(lines[1].ends_with("  ok"), "{}", said.out);
    assert!(lines[2].ends_with("  tcp.refused"), "{}", said.out);
    assert!(!list(&[]).out.contains("health"));
    let body: Value = serde_json::from_str(&list(&["--probe", "--format", "json"]).out).unwrap();
    assert_eq!(body["parties"][1]["health"]["severity"], "error");
}
