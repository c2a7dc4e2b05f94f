//! `snihub explain` tells what the table decides, and `snihub check` warns of what will surprise.

use crate::support::dir::TempDir;
use snihub::config::{self, Sources};
use std::process::{Command, Output, Stdio};

const TABLE: &str = "\
sni:
- fqdn: 10000.fate.org
  tunnel_route: 192.168.0.2:6651
  ip_allow: 10.0.0.0/8
- fqdn: '*.pulsar.org'
  tunnel_route: $1.svc.local:6651
  inbound_port_ranges: 443
- fqdn: closed.org
- fqdn: '*.dollar.org'
  tunnel_route: $2.h:1
- fqdn: '*.bare.org'
  tunnel_route: '$1:1'
  allow_private: true
  half_open_timeout: off
  dial_timeout: 2s
- fqdn: '*.fenced.org'
  tunnel_route: '$1:1'
- fqdn: '*.port.org'
  tunnel_route: h:$1
- fqdn: proxy.org
  tunnel_route: h:{proxy_protocol_port}
- fqdn: ''
  tunnel_route: 192.168.0.9
";

fn snihub(dir: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(args)
        .args(["--config".as_ref(), dir.write("hub.yaml", "").as_os_str()])
        .args(["--routes".as_ref(), dir.path().as_os_str()])
        .output()
        .expect("snihub runs")
}

#[test]
fn each_question_has_its_answer() {
    let dir = TempDir::new();
    dir.write("sni.yaml", TABLE);
    for (args, code, texts) in [
        (
            &["10000.FATE.org."][..],
            0,
            &[
                "name      10000.fate.org",
                "sni.yaml:2: fqdn",
                "target    192.168.0.2:6651",
                "only from 10.",
            ][..],
        ),
        (
            &["10000.fate.org", "--from", "10.1.2.3"],
            0,
            &["party other", "fence     open"],
        ),
        (
            &["10000.fate.org", "--from", "11.1.2.3"],
            1,
            &["ip_allow (TLS alert 49)"],
        ),
        // IPv4 in IPv6 is judged, and told, as IPv4.
        (
            &["10000.fate.org", "--from", "::ffff:10.1.2.3"],
            0,
            &["from      10.1.2.3, party other"],
        ),
        (
            &["10000.fate.org", "--from", "::ffff:192.168.0.2"],
            1,
            &["from      192.168.0.2, party 10000.fate.org", "ip_allow"],
        ),
        (
            &["a.dollar.org"],
            1,
            &[
                "target    $2.h:1",
                "nowhere   no host of this name can be resolved",
            ],
        ),
        (
            &["127.0.0.1.bare.org"],
            1,
            &["target    127.0.0.1:1", "outside the fence"],
        ),
        (&["10.0.0.1.bare.org"], 0, &["target    10.0.0.1:1"]),
        (&["10.0.0.1.fenced.org"], 1, &["outside the fence"]),
        (&["192.0.2.1.fenced.org"], 0, &["target    192.0.2.1:1"]),
        (
            &["x.port.org"],
            1,
            &["no destination port can be formed", "TLS alert 80"],
        ),
        (
            &["80.port.org"],
            1,
            &["destination port 80 is not in connect_ports"],
        ),
        (&["proxy.org"], 1, &["no destination port can be formed"]),
        (
            &["b.pulsar.org"],
            0,
            &[
                "$1        \"b\"",
                "target    b.svc.local:6651",
                "no loopback",
            ],
        ),
        (
            &["b.pulsar.org", "--port", "444"],
            1,
            &["no route", "TLS alert 112"],
        ),
        (&["closed.org"], 1, &["action    none", "TLS alert 112"]),
        (
            &["nobody.org"],
            1,
            &["refused   no route for this server name"],
        ),
        (
            &["--no-sni", "--port", "6651"],
            0,
            &["name      none", "target    192.168.0.9:6651"],
        ),
        (&["10.0.0.7"], 0, &["RFC 6066", "192.168.0.9:443"]),
        (&["a..b"], 1, &["malformed", "TLS alert 50"]),
        (&["a\u{1b}b"], 1, &["malformed", "TLS alert 50"]),
    ] {
        let output = snihub(&dir, &[&["explain"], args].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{text}");
        for wanted in texts {
            assert!(text.contains(wanted), "{args:?}: {wanted:?} not in\n{text}");
        }
    }
}

#[test]
fn json_says_the_same() {
    let dir = TempDir::new();
    dir.write("sni.yaml", TABLE);
    let answer = |args: &[&str]| {
        let output = snihub(&dir, &[&["explain", "--format", "json"], args].concat());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    };
    let routed = answer(&["b.pulsar.org"]);
    assert_eq!(routed["entry"]["line"], 5);
    assert_eq!(routed["entry"]["captures"], serde_json::json!(["b"]));
    assert_eq!(routed["target"]["address"], "b.svc.local:6651");
    assert_eq!(
        (&routed["routed"], &routed["refusal"]),
        (&true.into(), &().into())
    );
    let timeouts = &answer(&["10.0.0.1.bare.org"])["entry"]["timeouts_ms"];
    assert_eq!(
        timeouts,
        &serde_json::json!({"dial_timeout": 2000, "half_open_timeout": 0})
    );
    let nowhere = answer(&["a.dollar.org"]);
    assert_eq!(
        (&nowhere["routed"], nowhere["note"].is_string()),
        (&false.into(), true)
    );
    let refused = answer(&["nobody.org"]);
    assert_eq!(refused["refusal"]["label"], "unknown_server_name");
    assert_eq!(
        (&refused["refusal"]["alert"], &refused["entry"]),
        (&112.into(), &().into())
    );
}

#[test]
fn files_that_are_wrong_are_json_too() {
    let dir = TempDir::new();
    dir.write("sni.yaml", "sni:\n- fqdn: a\n  tunnel_route: h:70000\n");
    let [explained, checked] = [&["explain", "a"][..], &["check"]].map(|command| {
        let output = snihub(&dir, &[command, &["--format", "json"]].concat());
        assert_eq!((output.status.code(), output.stderr.len()), (Some(78), 0));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
    });
    assert_eq!(explained, checked);
    assert_eq!(explained["usable"], false);
    assert_eq!(explained["problems"][0]["line"], 3);
}

#[test]
fn a_reader_that_leaves_is_no_fault() {
    let dir = TempDir::new();
    let entry = |n: u32| format!("- {{fqdn: h{n}.org, tunnel_route: h:1, note: x}}\n");
    let table = format!("sni:\n{}", (0..900).map(entry).collect::<String>());
    let routes = dir.write("sni.yaml", table);
    let mut child = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["check".as_ref(), "--routes".as_ref(), routes.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("snihub runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

/// (content, line, key, text) of each warning.
const WARNINGS: &[(&str, u32, &str, &str)] = &[
    (
        "- {fqdn: a, tunnel_route: h:1}\n- {fqdn: A, tunnel_route: h:2}",
        3,
        "fqdn",
        "stands in line 2",
    ),
    (
        "- {fqdn: '*.b', tunnel_route: h:1}\n- {fqdn: a.b, tunnel_route: h:2}",
        3,
        "fqdn",
        "\"*.b\" in line 2",
    ),
    (
        "- {fqdn: 10.0.0.7, tunnel_route: h:1}",
        2,
        "fqdn",
        "an IP address is never",
    ),
    (
        "- {fqdn: '(x|y).org', tunnel_route: h:1}",
        2,
        "fqdn",
        "regular expressions are not",
    ),
    (
        "- {fqdn: a.org., tunnel_route: h:1}",
        2,
        "fqdn",
        "the dot at the end is ignored",
    ),
    (
        "- {fqdn: '*.b', tunnel_route: '$1-x.org:1'}",
        2,
        "tunnel_route",
        "stays as it is",
    ),
    (
        "- {fqdn: '*.b', tunnel_route: '$1:1'}",
        2,
        "tunnel_route",
        "the client chooses this host",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, allow_private: true}",
        2,
        "allow_private",
        "no effect",
    ),
    ("- {fqdn: a}", 2, "fqdn", "no tunnel_route"),
    (
        "- {fqdn: a, tunnel_route: h:1, idle_timeout: 30s}",
        2,
        "idle_timeout",
        "cuts Pulsar links",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, verify_client: STRICT}",
        2,
        "verify_client",
        "as in ATS",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, http2: off}",
        2,
        "http2",
        "no effect",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, tunnel_prewarm: true}",
        2,
        "tunnel_prewarm",
        "no effect",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, colour: red}",
        2,
        "",
        "ignored (as in ATS)",
    ),
    (
        "- {fqdn: '*.a.org', tunnel_route: h:1}\n- {fqdn: x.a.org.b, tunnel_route: h:1}",
        3,
        "fqdn",
        "ATS before 9.2.15",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, dial_timeout: 16s}",
        2,
        "dial_timeout",
        "16s has no effect: dial_timeout_total of hub.yaml, 15s,",
    ),
    (
        "- {fqdn: a, tunnel_route: h:1, inbound_port_ranges: [80, 444-8443]}",
        2,
        "inbound_port_ranges",
        "never taken: the hub listens on port 443 ",
    ),
    (
        "- {fqdn: a, tunnel_route: 'h:{proxy_protocol_port}'}",
        2,
        "tunnel_route",
        "no listener has proxy_protocol: required",
    ),
];

#[test]
fn each_surprise_is_a_warning_and_the_table_loads() {
    for (entries, line, key, text) in WARNINGS {
        let dir = TempDir::new();
        let config = Some(dir.write("hub.yaml", "connect_ports: 1-100\n"));
        let routes = Some(dir.write("sni.yaml", format!("sni:\n{entries}\n")));
        let load = config::load(&Sources {
            config,
            routes,
            ..Sources::default()
        });
        let seen: Vec<String> = load.problems.iter().map(ToString::to_string).collect();
        assert!(
            load.loaded.is_some() && load.warnings == 1,
            "{entries}\n{}",
            seen.join("\n")
        );
        let problem = &load.problems[0];
        assert_eq!(
            (problem.line, problem.key.as_str()),
            (*line, *key),
            "{problem}"
        );
        assert!(problem.text.contains(text), "{problem}");
    }
}

#[test]
fn hub_yaml_warns_of_what_does_not_suit_pulsar() {
    for (hub, text) in [
        ("connect_ports: 443\n", "port 1 is not in connect_ports"),
        ("idle_timeout: 60s\n", "cuts Pulsar links"),
        ("hello_timeout: 20s\n", "a Pulsar broker gives up after 30s"),
        (
            "listen: [{address: 443, trusted: 10.0.0.0/8}]\n",
            "no effect without",
        ),
        (
            "reload: {allow_shrink: true}\n",
            "lets a half-written file take all routes away",
        ),
    ] {
        let dir = TempDir::new();
        let config = Some(dir.write("hub.yaml", hub));
        let routes = Some(dir.write("sni.yaml", "sni: [{fqdn: a, tunnel_route: 'h:1'}]\n"));
        let load = config::load(&Sources {
            config,
            routes,
            ..Sources::default()
        });
        assert!(
            load.loaded.is_some() && load.problems.len() == 1,
            "{:?}",
            load.problems
        );
        assert!(load.problems[0].text.contains(text), "{}", load.problems[0]);
    }
}

#[test]
fn a_key_that_the_settings_give_an_effect_is_no_surprise() {
    for (hub, entry, warned) in [
        ("", "dial_timeout: 15s", None),
        ("dial_timeout_total: 18s\n", "dial_timeout: 16s", None),
        ("", "inbound_port_ranges: [443, 8443]", None),
        ("listen: [443, 8443]\n", "inbound_port_ranges: 8443", None),
        ("listen: 0\n", "inbound_port_ranges: 8443", None),
        (
            "listen: [8444, 444]\n",
            "inbound_port_ranges: 443",
            Some("listens on port 444, 8444 ("),
        ),
        (
            "listen: [{address: 443, proxy_protocol: required, trusted: 10.0.0.0/8}]\n",
            "tunnel_route: 'h:{proxy_protocol_port}'",
            None,
        ),
        ("", "tunnel_route: 'h:$1'", Some("(ATS permits 443 only)")),
        ("connect_ports: 443 80\n", "tunnel_route: 'h:$1'", None),
    ] {
        let dir = TempDir::new();
        let config = Some(dir.write("hub.yaml", hub));
        let route = match entry.starts_with("tunnel_route") {
            true => "",
            false => "  tunnel_route: h\n",
        };
        let table = format!("sni:\n- fqdn: '*.a'\n{route}  {entry}\n");
        let routes = Some(dir.write("sni.yaml", table));
        let load = config::load(&Sources {
            config,
            routes,
            ..Sources::default()
        });
        let texts: Vec<&str> = load.problems.iter().map(|p| p.text.as_str()).collect();
        assert!(load.loaded.is_some(), "{hub}{entry}: {texts:?}");
        match warned {
            None => assert_eq!(texts, [""; 0], "{hub}{entry}"),
            Some(text) => assert!(
                texts.len() == 1 && texts[0].contains(text),
                "{hub}{entry}: {texts:?}"
            ),
        }
    }
}
