//! What is refused leaves every file as it was.

use super::rig::{ADD, Star};

#[test]
fn a_file_that_check_refuses_is_told_as_check_tells_it() {
    for table in [
        "sni:\n- fqdn: a.org\n  tunnel_route: b:70000\n",
        "sni:\n- fqdn: a.org\n  tunel_route: b:1\n",
        "sni: [\n",
        "sni: &a\n- fqdn: b.org\n",
        "",
        "sni:\n- fqdn: a.org\n  tunnel_route: b:1\n  ip_allow: \"@gone\"\n",
    ] {
        let star = Star::with(table);
        let check = star.check();
        assert_eq!(check.code, Some(78), "{table:?}");
        for command in [&ADD[..], &["remove", "a.org"], &["list"]] {
            let said = star.fails(command, 78, &[]);
            let mut lines = check
                .out
                .lines()
                .filter(|line| line.starts_with("sni.yaml:"));
            let first = lines.next().unwrap();
            assert!(said.contains(first), "{table:?}: {first:?} in {said}");
        }
    }
}

#[test]
fn names_and_routes_that_are_none() {
    let star = Star::new();
    for (name, word) in [
        ("*.fate.org", "wildcard"),
        ("10.0.0.1", "cannot be a certificate's name"),
        ("a b", "cannot be a certificate's name"),
        ("a..b", "cannot be a certificate's name"),
        ("../x", "cannot be a certificate's name"),
        ("proxy", "cannot be the hub and a party"),
    ] {
        star.fails(&["add", name, "--route", "h:1"], 64, &[word]);
    }
    star.fails(
        &["add", "--route", "h:1", "--", "-x.org"],
        64,
        &["\"-x.org\" cannot be a certificate's name", "hyphen"],
    );
    for (route, word) in [
        ("h", "say the port"),
        ("h:0", "say the port"),
        ("h:70000", "not in 0..=65535"),
        ("$1:6651", "no HOST:PORT"),
        ("h:{inbound_local_port}", "no HOST:PORT"),
        ("http://h:1", "no HOST:PORT"),
        ("::1:6651", "no HOST:PORT"),
    ] {
        star.fails(&["add", "9998", "--route", route], 64, &[word]);
    }
    star.fails(
        &[&ADD[..], &["--source", "10.0.0.0/33"]].concat(),
        64,
        &["--source"],
    );
    star.fails(
        &[&ADD[..], &["--allow-from", "x"]].concat(),
        64,
        &["--allow-from"],
    );
    star.fails(&[&ADD[..], &["--hub", "a b"]].concat(), 64, &["of a hub"]);
    star.fails(
        &["add", "9998", "--route", "h:1", "--ca", "none"],
        78,
        &["no authority here"],
    );
}

#[test]
fn a_name_that_goes_elsewhere_already() {
    let star = Star::new();
    star.ok(&ADD);
    let words = [
        "sni.yaml:2",
        "192.168.0.4:6651 already",
        "snihub party reroute 9998",
    ];
    star.fails(&["add", "9998", "--route", "192.168.0.5:6651"], 1, &words);
    let said = star.ok(&["add", "9997", "--route", "192.168.0.4:6651"]);
    assert!(
        said.contains("also where 9998.fate.org goes (sni.yaml:2)"),
        "{said}"
    );
    star.fails(&["remove", "9996"], 1, &["no entry for 9996.fate.org"]);
    star.fails(&["show", "9996"], 1, &["no entry for 9996.fate.org"]);
    star.fails(
        &["reroute", "9996", "--route", "h:1"],
        1,
        &["no entry for 9996.fate.org"],
    );
}

#[test]
fn a_party_of_no_file_is_told_of_the_file() {
    let star = Star::new();
    for asked in [&["show", "9998"][..], &["show", "9998", "--ca", "none"]] {
        star.fails(asked, 1, &["sni.yaml is not there", "--routes"]);
    }
    star.write("sni:\n- fqdn: 9998.fate.org\n  tunnel_route: h:1\n- fqdn: 9998.other.org\n  tunnel_route: h:1\n");
    let without = |party| ["show", party, "--ca", "none"];
    star.fails(&without("9997"), 1, &["no entry for 9997", "party list"]);
    star.fails(&without("9998"), 64, &["2 names that begin with 9998"]);
}

#[test]
fn a_name_that_another_party_holds_leaves_no_route() {
    let star = Star::new();
    star.ca.ok(&["issue", "hub", "9998.fate.org"]);
    star.fails(&ADD, 1, &["is the hub's name"]);
    assert!(!star.ca.path("sni.yaml").exists());
}

#[test]
fn a_name_above_another_partys_leaves_no_route() {
    let star = Star::new();
    star.ok(&["add", "9998.x.fate.org", "--route", "192.168.0.4:6651"]);
    let words = [
        "x.fate.org would have every name below it",
        "snihub pki revoke",
    ];
    star.fails(&["add", "x", "--route", "192.168.0.5:6651"], 1, &words);
}

#[test]
fn a_file_that_is_written_in_a_way_of_its_own() {
    let star = Star::with("{\"sni\": }\n");
    let said = star.fails(&ADD, 1, &["not edited here", "fqdn: 9998.fate.org"]);
    assert!(said.contains("tunnel_route: 192.168.0.4:6651"), "{said}");
}

#[test]
fn a_port_that_the_hub_would_not_dial_is_told() {
    let star = Star::new();
    star.ca
        .dir
        .write("hub.yaml", "routes: sni.yaml\nconnect_ports: 443\n");
    let said = star.ok(&[&ADD[..], &["--config", "hub.yaml"]].concat());
    assert!(said.contains("connect_ports"), "{said}");
}

#[test]
fn a_dry_run_refuses_what_would_be_refused() {
    let star = Star::new();
    let add = |party, more: &[&'static str]| [&["add", party, "--route", "h:1"], more].concat();
    for (arguments, code, word) in [
        (add("fate.org", &[]), 64, "the authority's domain"),
        (
            add("proxy.fate.org", &["--hub", "h.fate.org:443"]),
            1,
            "proxy.fate.org",
        ),
    ] {
        star.fails(&arguments, code, &[word]);
        star.fails(&[&arguments[..], &["--dry-run"]].concat(), code, &[word]);
    }
    star.ok(&add("9997", &[]));
    let over = crate::doctor::rig::authority_until(&star.ca, -6);
    star.ca.dir.write("pki/ca.cert.pem", &over);
    star.fails(&add("9998", &["--dry-run"]), 78, &["ended"]);
    // What was issued before is there.
    let said = star.ok(&add("9997", &["--dry-run"]));
    assert!(said.contains("9997.fate.org has stays"), "{said}");
}

#[test]
fn a_hub_without_a_port_that_anybody_can_reach() {
    let star = Star::new();
    for hub in ["h.org:0", "[fd00::1]:0"] {
        let arguments = ["add", "9998", "--route", "h:1", "--hub", hub];
        star.fails(&arguments, 64, &["1..=65535"]);
    }
}
