//! The dashboard and the alerts ask for what the hub tells: every metric exists, with those labels,
//! and every value of a label that is of a closed set.

use crate::support::certs::Authority;
use crate::support::hub::{Hub, Options};
use crate::support::party::{Link, Party};
use crate::support::tls_server::{self, Service};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const DASHBOARD: &str = include_str!("../../config/grafana/snihub.json");
const ALERTS: &str = include_str!("../../config/prometheus/alerts.yaml");

/// What Prometheus adds to each series.
const ADDED: [&str; 2] = ["instance", "job"];

/// By metric: its labels, and the values of each.
type Told = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Of a hub that has had a tunnel, a client that was refused by its route, and a dial that failed, and
/// that has asked its upstreams.
fn told() -> Told {
    let party = Party::start(b'a');
    let gone = {
        let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        down.local_addr().unwrap()
    };
    let identity = Authority::new("star").identity(&["tls.example", "a.example"]);
    let tls = tls_server::start(&identity, Service::Echo);
    let routes = format!(
        "sni:\n{}- fqdn: tls.example\n  tunnel_route: {tls}\n  probe: tls\n- fqdn: gone.example\n  tunnel_route: {gone}\n- fqdn: shut.example\n  tunnel_route: {}\n  ip_allow: 192.0.2.1\n",
        party.entry("a.example"),
        party.addr
    );
    let options = Options::routes(routes).settings("probe: tcp");
    let hub = Hub::start(options.with_admin());
    drop(Link::open(hub.addr(), "a.example", party).unwrap());
    for name in ["gone.example", "shut.example"] {
        assert!(Link::open(hub.addr(), name, party).is_err());
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let told = read(&metrics(&hub));
        let all = ["ended", "opened"].map(|what| format!("snihub_route_tunnels_{what}_total"));
        let more = ["dial_errors", "refused"].map(|what| format!("snihub_route_{what}_total"));
        let probed = "snihub_upstream_certificate_shared".to_owned();
        if all
            .iter()
            .chain(&more)
            .chain([&probed])
            .all(|name| told.contains_key(name))
        {
            return told;
        }
        assert!(Instant::now() < deadline, "{told:#?}");
    }
}

fn metrics(hub: &Hub) -> String {
    let mut stream = UnixStream::connect(hub.folder().join("admin.sock")).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

fn read(page: &str) -> Told {
    let mut told = Told::new();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| line.starts_with("snihub_") || line.starts_with("process_")) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = told.entry(name.to_owned()).or_default();
        for (label, value) in pairs(labels.trim_end_matches('}')) {
            known.entry(label).or_default().insert(value);
        }
    }
    told
}

/// `a="b",c=~"d"`: name and value; of a pattern, or another than `=`, without the value.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('"')?;
        let exact = name.strip_suffix('=').filter(|name| !name.ends_with('!'));
        let name = name.trim_end_matches(['=', '~', '!']).trim();
        let value = exact.map_or("", |_| value.trim_end_matches('"'));
        Some((name.to_owned(), value.to_owned()))
    };
    text.split("\",").filter_map(pair).collect()
}

/// Every expression, and what is written beside it with names of labels.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    targets
        .map(|target| (text(&target["expr"]), text(&target["legendFormat"])))
        .collect()
}

fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_yaml::from_str(ALERTS).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let text = |rule: &Value| {
        for key in ["alert", "labels", "annotations"] {
            assert!(!rule[key].is_null(), "{key} of {rule}");
        }
        let labels = rule["annotations"].to_string().replace("$labels.", "");
        (rule["expr"].as_str().unwrap().to_owned(), labels)
    };
    rules.iter().map(text).collect()
}

/// The metrics of an expression, each with what stands in its braces.
fn asked(expression: &str) -> Vec<(String, String)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    let next = |text: &str| {
        let starts = ["snihub_", "process_"].map(|start| text.find(start));
        starts.into_iter().flatten().min()
    };
    while let Some(at) = next(rest) {
        let from = &rest[at..];
        let (name, behind) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        let inside = behind
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'));
        let inside = inside.map_or("", |(inside, _)| inside);
        found.push((name.to_owned(), inside.to_owned()));
        rest = behind;
    }
    found
}

/// What `by (...)`, `on (...)` and `{{...}}` name.
fn labels_named(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (open, close) in [("by (", ")"), ("on (", ")"), ("{{", "}}")] {
        for part in text.split(open).skip(1) {
            let inside = part.split(close).next().unwrap();
            named.extend(inside.split(',').map(|label| label.trim().to_owned()));
        }
    }
    named
}

fn check(told: &Told, (expression, beside): &(String, String)) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut known: BTreeSet<&str> = ADDED.into();
    for (name, inside) in asked(expression) {
        let Some(labels) = told.get(&name) else {
            wrong.push(format!("no metric {name}"));
            continue;
        };
        known.extend(labels.keys().map(String::as_str));
        for (label, value) in pairs(&inside) {
            match labels.get(&label) {
                None if ADDED.contains(&label.as_str()) => {}
                None => wrong.push(format!("{name} has no label {label}")),
                // What a hub that is well does not have: how it would carry bytes otherwise.
                Some(_) if (label.as_str(), value.as_str()) == ("relay", "copy") => {}
                Some(values) if !value.is_empty() && !values.contains(&value) => {
                    wrong.push(format!("{name} never has {label}={value}"));
                }
                Some(_) => {}
            }
        }
    }
    let named = labels_named(expression)
        .into_iter()
        .chain(labels_named(beside));
    let unknown = named.filter(|label| !known.contains(label.as_str()));
    wrong.extend(unknown.map(|label| format!("no metric there has the label {label}")));
    wrong
}

#[test]
fn the_dashboard_and_the_alerts_name_what_there_is() {
    let told = told();
    let (dashboard, alerts) = (dashboard(), alerts());
    assert!(dashboard.len() >= 20 && alerts.len() >= 10, "read too few");
    let mut metrics = 0;
    for asked_for in dashboard.iter().chain(&alerts) {
        let many = asked(&asked_for.0).len();
        assert!(many > 0 || asked_for.0.starts_with("up{"), "{asked_for:?}");
        metrics += many;
        // What every exporter tells is asked of the hub alone.
        let of_all = asked_for.0.matches("process_").count() + asked_for.0.matches("up{").count();
        if alerts.contains(asked_for) {
            let of_the_hub = asked_for.0.matches("{job=\"snihub\"}").count();
            assert_eq!(of_the_hub, of_all, "{}", asked_for.0);
        }
        let wrong = check(&told, asked_for);
        assert!(wrong.is_empty(), "{}: {wrong:?}", asked_for.0);
    }
    assert!(metrics >= 35, "read only {metrics}");
    let list = "label_values(snihub_ready, instance)";
    assert!(DASHBOARD.contains(list) && told.contains_key("snihub_ready"));
}

#[test]
fn a_wrong_name_is_found() {
    let told = read("snihub_a_total{reason=\"x\"} 1\nsnihub_b 2\n");
    let wrong = |expression: &str, beside: &str| {
        check(&told, &(expression.to_owned(), beside.to_owned())).len()
    };
    assert_eq!(
        wrong(
            "sum by (reason) (rate(snihub_a_total{reason=\"x\"}[5m])) / snihub_b",
            "{{reason}}"
        ),
        0
    );
    assert_eq!(
        wrong(
            "snihub_a_total{reason=~\"y.*\", instance=\"i\"}",
            "{{ instance }}"
        ),
        0
    );
    assert_eq!(wrong("snihub_a_totl", ""), 1);
    assert_eq!(wrong("snihub_b / snihub_c", ""), 1);
    assert_eq!(wrong("snihub_a_total{raeson=\"x\"}", ""), 1);
    assert_eq!(wrong("snihub_a_total{reason=\"y\"}", ""), 1);
    assert_eq!(wrong("sum by (why) (snihub_a_total)", "{{what}}"), 2);
}
