//! What one command does, and that the same again does nothing.

use super::rig::{ADD, Star, TABLE};
use crate::pki::rig::{Ca, does, have};
use serde_json::Value;

const OTHER: [&str; 4] = ["add", "10000", "--route", "192.168.0.2:6651"];

#[test]
fn an_authority_that_ends_first_is_told() {
    let star = Star {
        ca: Ca::lasting("20"),
    };
    for more in [&["--dry-run"][..], &[]] {
        let said = star.ok(&[&ADD[..], more].concat());
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("not 365: the authority itself ends"),
            "{said}"
        );
    }
    // Not of the one that stands.
    let said = star.ok(&ADD);
    assert!(!said.contains("authority itself"), "{said}");
}

#[test]
fn the_same_again_changes_nothing() {
    let star = Star::new();
    let said = star.ok(&ADD);
    assert!(said.contains("none runs behind admin.sock"), "{said}");
    assert_eq!(star.table(), TABLE);
    let before = star.tree();
    assert!(before.len() >= 14, "{:?}", before.keys());
    for _ in 0..2 {
        let said = star.ok(&ADD);
        assert!(
            said.contains("already") && said.contains("as it was"),
            "{said}"
        );
        assert!(star.tree() == before);
    }
    star.ok(&OTHER);
    assert!(star.table().starts_with(TABLE));
    assert_eq!(star.ca.read("sni.yaml.bak"), TABLE);
    assert_eq!(star.check().code, Some(0));
    let one: Vec<_> = star
        .tree()
        .into_keys()
        .filter(|name| name.contains("snihub-new"))
        .collect();
    assert_eq!(one, [""; 0]);
}

#[test]
fn a_bundle_that_lost_files_is_completed() {
    let star = Star::new();
    star.ok(&ADD);
    let whole = star.tree();
    std::fs::remove_file(star.ca.path("parties/9998/broker.conf")).unwrap();
    star.ca.dir.write("parties/9998/secret.yaml", "");
    let said = star.ok(&[&ADD[..], &["--format", "json"]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        said["written"],
        serde_json::json!(["broker.conf", "secret.yaml"])
    );
    assert_eq!(
        (&said["changed"], &said["certificate"]["issued"]),
        (&false.into(), &false.into())
    );
    assert!(star.tree() == whole);
    std::fs::remove_dir_all(star.ca.path("parties/9998/certs")).unwrap();
    star.fails(
        &ADD,
        1,
        &["snihub pki renew 9998.fate.org", "--out parties/9998/certs"],
    );
}

#[test]
fn dry_run_shows_the_difference_and_does_nothing() {
    let star = Star::with("sni:\n- fqdn: a.org\n  tunnel_route: b:1\n");
    let before = star.tree();
    let said = star.ok(&[&ADD[..], &["--dry-run"]].concat());
    let diff = "--- sni.yaml\n+++ sni.yaml\n@@ -1,3 +1,5 @@\n sni:\n - fqdn: a.org\n   tunnel_route: b:1\n\
                +- fqdn: 9998.fate.org\n+  tunnel_route: 192.168.0.4:6651\n";
    assert!(said.starts_with(diff), "{said}");
    for command in [
        &["remove", "a.org", "--dry-run"][..],
        &["reroute", "a.org", "--route", "c:2", "--dry-run"],
    ] {
        let said = star.ok(command);
        assert!(said.contains("-  tunnel_route: b:1\n"), "{said}");
    }
    assert!(star.tree() == before);
}

#[test]
fn a_wildcard_above_does_not_keep_the_name() {
    let star = Star::with("sni:\n- fqdn: '*.fate.org'\n  tunnel_route: $1.svc:6651\n");
    let said = star.ok(&ADD);
    assert!(
        said.contains("until now sni.yaml:2 (*.fate.org) took this name"),
        "{said}"
    );
    let want =
        "sni:\n- fqdn: '9998.fate.org'\n  tunnel_route: 192.168.0.4:6651\n- fqdn: '*.fate.org'\n";
    assert!(star.table().starts_with(want), "{}", star.table());
    let said = star.ok(&["remove", "9998"]);
    assert!(said.contains("takes this name from now on"), "{said}");
    removed_again(&star);
    // By the authority, by its bundle, or by the file from before alone.
    std::fs::remove_file(star.ca.path("sni.yaml.bak")).unwrap();
    removed_again(&star);
    std::fs::rename(star.ca.path("pki"), star.ca.path("away")).unwrap();
    star.fails(&["remove", "9998.fate.org"], 1, &["no entry"]);
    std::fs::rename(
        star.ca.path("parties/9998"),
        star.ca.path("parties/9998.fate.org"),
    )
    .unwrap();
    removed_again(&star);
    std::fs::remove_dir_all(star.ca.path("parties")).unwrap();
    star.fails(&["remove", "9998.fate.org"], 1, &["no entry"]);
    star.ca.dir.write("sni.yaml.bak", TABLE);
    removed_again(&star);
}

#[test]
fn an_address_of_ipv6_is_quoted_where_yaml_needs_it() {
    let star = Star::new();
    star.ok(&[
        "add",
        "9998",
        "--route",
        "[fd00::4]:6651",
        "--hub",
        "[fd00::1]:443",
    ]);
    assert!(star.table().contains("tunnel_route: \"[fd00::4]:6651\"\n"));
    assert_eq!(star.check().code, Some(0));
    let table: Value =
        serde_yaml::from_str(&star.ca.read("parties/9998/pulsar_route_table.yaml")).unwrap();
    assert_eq!(table["9998"]["host"], "fd00::4");
    assert_eq!(table["default"]["proxy"], "[fd00::1]:443");
    // An address needs no line.
    assert!(!star.ca.path("parties/9998/hosts").exists());
}

#[test]
fn who_calls_and_who_may_call() {
    let star = Star::new();
    let more = [
        "--source",
        "10.0.0.0/8",
        "--source",
        "fd00::/8",
        "--allow-from",
        "192.168.0.0/16",
    ];
    star.ok(&[&ADD[..], &more].concat());
    let want = format!("{TABLE}    ip_allow: 192.168.0.0/16\n    sources: 10.0.0.0/8,fd00::/8\n");
    assert_eq!(star.table(), want);
    // Not said counts as said so; said otherwise does not.
    star.ok(&ADD);
    star.fails(
        &[&ADD[..], &["--allow-from", "10.0.0.1"]].concat(),
        1,
        &["another ip_allow"],
    );
    let shown = star.ok(&["show", "9998"]);
    assert!(
        shown.contains("10.0.0.0/8,fd00::/8") && shown.contains("days left"),
        "{shown}"
    );
}

#[test]
fn a_request_is_signed_and_its_key_stays_where_it_is() {
    if !have("openssl") {
        return;
    }
    let star = Star::new();
    let request = |name: &str| {
        let (csr, key) = (star.ca.path(name), star.ca.path("key"));
        let (csr, key) = (csr.to_str().unwrap(), key.to_str().unwrap());
        let fixed = [
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-subj",
            "/CN=9998.fate.org",
        ];
        does(
            "openssl",
            &[&fixed[..], &["-keyout", key, "-out", csr]].concat(),
        );
    };
    request("a.csr");
    request("b.csr");
    let add = [&ADD[..], &["--csr", "a.csr"]].concat();
    star.ok(&add);
    let files = ["broker.key-pk8.pem", "../secret.yaml"];
    assert!(
        files
            .iter()
            .all(|file| !star.ca.path("parties/9998/certs").join(file).exists())
    );
    let before = star.tree();
    star.ok(&add);
    star.ok(&ADD);
    assert!(star.tree() == before);
    star.fails(
        &[&ADD[..], &["--csr", "b.csr"]].concat(),
        1,
        &["another key", "pki revoke"],
    );
}

#[test]
fn what_a_request_asks_for_and_does_not_get_is_told() {
    if !have("openssl") {
        return;
    }
    let star = Star::new();
    let (csr, key) = (star.ca.path("a.csr"), star.ca.path("key"));
    let fixed = ["req", "-new", "-nodes", "-newkey", "rsa:2048"];
    let wish = ["-subj", "/CN=9998.fate.org/O=X", "-addext"];
    let names = ["subjectAltName=DNS:9998.fate.org,DNS:evil.org"];
    let out = [
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        csr.to_str().unwrap(),
    ];
    does("openssl", &[&fixed[..], &wish, &names, &out].concat());
    let add = [&ADD[..], &["--csr", "a.csr"]].concat();
    for said in [star.ok(&[&add[..], &["--dry-run"]].concat()), star.ok(&add)] {
        for word in ["asks for evil.org: not given", "O=X"] {
            assert!(said.contains(word), "{word:?} in {said}");
        }
    }
}

#[test]
fn what_was_said_once_is_kept() {
    let star = Star::new();
    star.ok(&[&ADD[..], &["--hub", "hub2.org:8443"]].concat());
    let before = star.tree();
    let said = star.ok(&ADD);
    assert!(star.tree() == before, "{said}");
    let osx = ["add", "9997", "--route", "10.0.0.2:9371", "--layout", "osx"];
    star.ok(&osx);
    let cpp = ["add", "9996", "--route", "10.0.0.3:6651", "--cpp-clients"];
    star.ok(&cpp);
    for (party, flag) in [("9997", " --layout osx"), ("9996", " --cpp-clients")] {
        let said = star.ok(&["reroute", party, "--route", "10.0.0.9:6651"]);
        let words: Vec<_> = said.split_whitespace().collect();
        let line = format!("add {party}.fate.org --route 10.0.0.9:6651{flag} --routes sni.yaml");
        assert!(words.join(" ").contains(&line), "{said}");
    }
    let add = ["add", "9996", "--route", "10.0.0.9:6651"];
    star.fails(&add, 1, &["say --cpp-clients as before"]);
}

/// Files of one layout may be called as those of another.
#[test]
fn the_same_again_changes_nothing_and_completes_in_every_layout() {
    for layout in ["pulsar", "eggroll", "osx"] {
        let star = Star::new();
        let add = [&ADD[..], &["--layout", layout]].concat();
        star.ok(&add);
        let before = star.tree();
        star.ok(&add);
        assert!(star.tree() == before, "{layout}");
        // Cut short before the rest of the bundle and the route.
        std::fs::remove_file(star.ca.path("parties/9998/README.md")).unwrap();
        std::fs::remove_file(star.ca.path("sni.yaml")).unwrap();
        star.ok(&add);
        assert!(star.tree() == before, "{layout}");
        star.ca.ok(&["revoke", "9998", "--all"]);
        let said = star.ok(&add);
        assert!(
            said.contains("cert    for 9998.fate.org"),
            "{layout}: {said}"
        );
    }
}

/// The party that had a key from here makes its own: the Secret in its bundle is of the old one.
#[test]
fn a_request_takes_the_key_before_out_of_the_bundle() {
    if !have("openssl") {
        return;
    }
    let star = Star::new();
    star.ok(&ADD);
    let old = star.ca.read("parties/9998/secret.yaml");
    star.ca.ok(&["revoke", "9998", "--all"]);
    let key = star.ca.path("own.key");
    let request = star.ca.path("own.csr");
    let fixed = [
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=9998.fate.org",
    ];
    let files = [
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        request.to_str().unwrap(),
    ];
    does("openssl", &[&fixed[..], &files].concat());
    let said = star.ok(&[&ADD[..], &["--csr", "own.csr"]].concat());
    assert!(said.contains("had the key before"), "{said}");
    let tree = star.tree();
    assert!(!tree.contains_key("parties/9998/secret.yaml"));
    let kept = tree.iter().find(|(name, _)| name.ends_with("secret.yaml"));
    let (name, kept) = kept.expect("it is kept");
    assert!(name.starts_with("parties/9998.before-"), "{name}");
    assert_eq!(*kept, old.into_bytes());
}

#[test]
fn one_of_two_that_was_revoked_is_no_certificate() {
    let star = Star::new();
    let add = [&ADD[..], &["--layout", "eggroll"]].concat();
    star.ok(&add);
    star.ca.takes_back(&star.ca.serials()[0]);
    let list = star.ok(&["list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["parties"][0]["days_left"], serde_json::Value::Null);
    let before = star.ca.read("parties/9998/certs/server.key");
    let said = star.ok(&add);
    assert!(said.contains("cert    for 9998.fate.org"), "{said}");
    assert_ne!(star.ca.read("parties/9998/certs/server.key"), before);
    // By its serial number, as it is told to.
    star.ca.ok(&["revoke", &star.ca.serials()[3]]);
    let said = star.ok(&add);
    assert!(said.contains("cert    for 9998.fate.org"), "{said}");
}

#[test]
fn the_hubs_name_only_where_it_is_asked_for() {
    let star = Star::new();
    let cpp = [&ADD[..], &["--cpp-clients"]].concat();
    let said = star.ok(&cpp);
    assert!(said.contains("can pose as"), "{said}");
    let list = star.ca.list();
    let names = &list["certificates"][0]["names"];
    assert_eq!(
        *names,
        serde_json::json!(["9998.fate.org", "proxy.fate.org"])
    );
    star.fails(
        &ADD,
        1,
        &["is for 9998.fate.org, proxy.fate.org, not for 9998.fate.org"],
    );
}

#[test]
fn a_certificate_that_was_issued_before_is_taken() {
    let star = Star::new();
    star.ca.ok(&["issue", "pulsar", "9998"]);
    let said = star.ok(&ADD);
    assert!(
        said.contains("the one that 9998.fate.org has stays"),
        "{said}"
    );
    for file in ["ca.cert.pem", "broker.cert.pem", "broker.key-pk8.pem"] {
        let issued = star
            .ca
            .read(&format!("pki/issued/pulsar/9998.fate.org/{file}"));
        assert_eq!(star.ca.read(&format!("parties/9998/certs/{file}")), issued);
    }
    assert_eq!(star.ca.serials().len(), 1);
    let before = star.tree();
    star.ok(&ADD);
    assert!(star.tree() == before);
}

#[test]
fn a_passphrase_is_asked_for_only_to_issue() {
    let star = Star { ca: Ca::none() };
    let sealed = |command: &mut std::process::Command| {
        let output = command
            .env("SNIHUB_PKI_PASSPHRASE", "correct horse")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    sealed(&mut star.ca.command(&["init", "--domain", "fate.org"]));
    star.fails(&ADD, 64, &["--passphrase-file"]);
    sealed(&mut star.command(&ADD));
    star.ok(&ADD);
    star.ok(&["reroute", "9998", "--route", "192.168.0.5:6651"]);
    star.ok(&["remove", "9998"]);
}

#[test]
fn a_renewed_certificate_is_in_the_bundle_after_the_next_call() {
    let star = Star::new();
    star.ok(&ADD);
    let before = star.ca.read("parties/9998/secret.yaml");
    star.ca.ok(&["renew", "9998"]);
    star.ok(&ADD);
    let after = star.ca.read("parties/9998/secret.yaml");
    assert_ne!(before, after);
    assert_eq!(star.ca.serials().len(), 2);
}

#[test]
fn a_renewal_brings_all_of_the_bundle_and_leaves_no_old_key_in_it() {
    for layout in ["pulsar", "eggroll"] {
        let star = Star::new();
        star.ok(&[&ADD[..], &["--layout", layout]].concat());
        let files = || -> Vec<String> {
            let tree = star.tree().into_keys();
            tree.filter(|file| file.starts_with("parties/9998/"))
                .collect()
        };
        let there = files();
        let said = star.ca.ok(&["renew", "9998"]);
        assert!(said.contains("send it to the party again"), "{said}");
        assert_eq!(files(), there, "{layout}");
        let renewed = star.tree();
        // What was there before is beside the bundle.
        let serials = star.ca.serials();
        let kept = format!("parties/9998.before-{}", &serials[serials.len() / 2][..8]);
        assert!(said.contains(&kept), "{said}");
        let key = there
            .iter()
            .find(|file| file.ends_with(".key") || file.contains("key-pk8"));
        let key = key.unwrap();
        let old = star.ca.read(&key.replace("parties/9998/certs", &kept));
        assert_ne!(renewed[key], old.into_bytes());
        // There is nothing left to do for `party add`.
        star.ok(&[&ADD[..], &["--layout", layout]].concat());
        let now = star.tree();
        for file in &there {
            assert!(now[file] == renewed[file], "{file}");
        }
        // After a revocation, too.
        star.ca.ok(&["revoke", "9998", "--all"]);
        star.ok(&[&ADD[..], &["--layout", layout]].concat());
        assert_eq!(files(), there, "{layout}");
    }
}

/// A removal that is said once more is done already.
fn removed_again(star: &Star) {
    let said = star.ok(&["remove", "9998.fate.org"]);
    assert!(said.contains("was out of"), "{said}");
}
