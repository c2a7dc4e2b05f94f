//! The bundle is read by those it is for: openssl, a YAML reader, and the suite that runs the same
//! settings with real brokers.

use super::rig::{ADD, Star};
use crate::pki::rig::{does, have, verify};
use base64::Engine;
use serde_json::Value;
use std::path::Path;

#[test]
fn its_certificate_verifies_for_the_partys_name_and_no_other() {
    if !have("openssl") {
        return;
    }
    let star = Star::new();
    star.ok(&ADD);
    let authority = star.ca.path("parties/9998/certs/ca.cert.pem");
    let leaf = star.ca.path("parties/9998/certs/broker.cert.pem");
    for purpose in ["sslserver", "sslclient"] {
        let said = verify(&authority, &leaf, purpose, "9998.fate.org");
        assert_eq!(said.code, Some(0), "{purpose}: {}", said.err);
    }
    for other in ["proxy.fate.org", "9997.fate.org"] {
        assert_ne!(
            verify(&authority, &leaf, "sslserver", other).code,
            Some(0),
            "{other}"
        );
    }
    let key = star.ca.path("parties/9998/certs/broker.key-pk8.pem");
    let modulus = |kind: &str, file: &Path| {
        does(
            "openssl",
            &[kind, "-noout", "-modulus", "-in", file.to_str().unwrap()],
        )
    };
    assert_eq!(modulus("rsa", &key), modulus("x509", &leaf));
}

#[test]
fn its_secret_has_the_files() {
    let star = Star::new();
    for (party, layout, secret, files) in [
        ("9998", "pulsar", "pulsar-cert", 3),
        ("9997", "eggroll", "eggroll-certs", 5),
        ("9996", "osx", "osx-certs", 3),
    ] {
        star.ok(&["add", party, "--route", "h.org:1", "--layout", layout]);
        let text = star.ca.read(&format!("parties/{party}/secret.yaml"));
        let manifest: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(manifest["kind"], "Secret");
        assert_eq!(manifest["metadata"]["name"], secret);
        let data = manifest["data"].as_object().unwrap();
        assert_eq!(data.len(), files);
        for (name, value) in data {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap());
            let file = star.ca.read(&format!("parties/{party}/certs/{name}"));
            assert_eq!(bytes.unwrap(), file.as_bytes(), "{name}");
        }
    }
}

#[test]
fn its_settings_are_those_that_the_suite_runs() {
    if !have("python3") {
        return;
    }
    let star = Star::new();
    star.ok(&ADD);
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let rendered = |file: &str, values: &str| {
        let script = format!(
            "import sys; sys.path.insert(0, {suite:?}); from suite.paths import render; \
             sys.stdout.write(render({file:?}, {values}))"
        );
        does("python3", &["-B", "-c", &script])
    };
    let certs = "certificate='/pulsar/certs/broker.cert.pem', key='/pulsar/certs/broker.key-pk8.pem', \
                 authority='/pulsar/certs/ca.cert.pem'";
    let hub = "hub='proxy.fate.org:443'";
    for (file, values) in [
        (
            "broker.conf",
            format!("party='9998', name='9998.fate.org', address='0.0.0.0', {certs}"),
        ),
        (
            "pulsar_route_table.yaml",
            format!("party='9998', address='192.168.0.4', domain='fate.org', {hub}"),
        ),
        ("cluster.json", format!("name='9998.fate.org', {hub}")),
    ] {
        let ours = star.ca.read(&format!("parties/9998/{file}"));
        assert_eq!(rendered(file, &values), ours, "{file}");
        assert!(
            !ours.contains('{') || file == "cluster.json",
            "{file}: {ours}"
        );
    }
    let conf = star.ca.read("parties/9998/broker.conf");
    for line in [
        "advertisedAddress=9998.fate.org",
        "brokerServicePortTls=6651",
        "webServicePortTls=8081",
        "brokerClientTlsEnabled=true",
        "tlsAllowInsecureConnection=false",
        "tlsHostnameVerificationEnabled=true",
        "replicatorPrefix=pulsar.repl.9998",
    ] {
        assert!(conf.lines().any(|own| own == line), "{line}");
    }
    let cluster: Value = serde_json::from_str(&star.ca.read("parties/9998/cluster.json")).unwrap();
    assert_eq!(
        cluster["brokerServiceUrlTls"],
        "pulsar+ssl://9998.fate.org:6651"
    );
}

#[test]
fn what_others_need_of_a_router_is_a_name_and_tls() {
    let star = Star::new();
    for (party, layout, secure) in [("9998", "eggroll", "is_secure"), ("9997", "osx", "useSSL")] {
        star.ok(&[
            "add",
            party,
            "--route",
            "h.org:9380",
            "--layout",
            layout,
            "--hub",
            "10.0.0.9:8443",
        ]);
        let table = star.ca.read(&format!("parties/{party}/route_table.json"));
        let table: Value = serde_json::from_str(&table).unwrap();
        let entry = &table[party]["default"][0];
        assert_eq!(entry["ip"], format!("{party}.fate.org"));
        assert_eq!(
            (&entry["port"], &entry[secure]),
            (&8443.into(), &true.into())
        );
        let hosts = star.ca.read(&format!("parties/{party}/hosts"));
        assert_eq!(hosts, format!("10.0.0.9 {party}.fate.org\n"));
        assert!(
            !star
                .ca
                .path(&format!("parties/{party}/broker.conf"))
                .exists()
        );
    }
}

#[test]
fn its_readme_speaks_of_every_file_and_leaves_no_blank() {
    let star = Star::new();
    for (party, layout) in [("9998", "pulsar"), ("9997", "eggroll"), ("9996", "osx")] {
        star.ok(&["add", party, "--route", "h.org:1", "--layout", layout]);
        let readme = star.ca.read(&format!("parties/{party}/README.md"));
        assert!(!readme.contains(['{', '}']), "{readme}");
        let folder = star.ca.path(&format!("parties/{party}"));
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                name == "README.md" || readme.contains(&name),
                "{name} in {readme}"
            );
        }
    }
}
