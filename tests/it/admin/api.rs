//! The API: what stands, what is in force, and what can be done to it.

use super::http::{tcp, unix, wait_for};
use super::{door, hub, socket, table};
use crate::support::hub::Hub;
use crate::support::party::{Link, Party};
use serde_json::{Value, json};
use snihub::admin::{ENDPOINTS, OPENAPI};
use std::time::{Duration, Instant};

fn tunnels(hub: &Hub, query: &str) -> Vec<Value> {
    let answer = unix(&socket(hub), "GET", &format!("/api/tunnels{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["tunnels"].as_array().unwrap().clone()
}

fn post(hub: &Hub, path: &str) -> (u16, Value) {
    let answer = unix(&socket(hub), "POST", path);
    (answer.status, answer.json())
}

#[test]
fn a_tunnel_is_listed_as_it_is() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example", "'*.b.example'"], party), "");
    let mut link = Link::open(hub.addr(), "x.b.example", party).unwrap();
    link.exchange(50_000).unwrap();
    let [tunnel] = &tunnels(&hub, "")[..] else {
        panic!("one tunnel")
    };
    let opened = hub.wait_line("opened", |line| line["message"] == "opened");
    for key in ["source", "name", "route", "target", "upstream", "inbound"] {
        assert_eq!(tunnel[key], opened[key], "{key}");
    }
    assert_eq!(tunnel["id"], opened["session"]);
    assert_eq!(
        tunnel["source"],
        link.stream().local_addr().unwrap().to_string()
    );
    assert_eq!(tunnel["relay"], "copy");
    assert!(tunnel["age_ms"].as_u64().unwrap() < 20_000);
    let [up, down] =
        ["client_to_upstream", "upstream_to_client"].map(|key| tunnel[key].as_u64().unwrap());
    assert!(up > 50_000 && down == up + 1, "{tunnel}");
    let rtt = ["client_rtt_us", "upstream_rtt_us"].map(|key| tunnel["tcp"][key].as_u64().unwrap());
    assert!(rtt.iter().all(|us| (1..1_000_000).contains(us)), "{tunnel}");
    assert_eq!(tunnel["tcp"]["client_retransmits"], 0);
    assert_eq!(tunnels(&hub, "?route=*.b.example").len(), 1);
    assert_eq!(tunnels(&hub, "?route=a.example").len(), 0);
    let busy = Instant::now();
    while busy.elapsed() < Duration::from_millis(2_500) {
        link.exchange(10_000).unwrap();
    }
    let rate = tunnels(&hub, "")[0]["client_to_upstream_per_second"]
        .as_u64()
        .unwrap();
    assert!(rate > 10_000, "{rate}");
    wait_for("an idle tunnel", || {
        let tunnel = tunnels(&hub, "").remove(0);
        let idle = tunnel["idle_ms"].as_u64().unwrap() > 2_500;
        let still = tunnel["client_to_upstream_per_second"] == 0;
        if idle && still {
            Ok(())
        } else {
            Err(tunnel.to_string())
        }
    });
}

#[test]
fn many_tunnels_are_listed_and_hold_nobody_up() {
    const MANY: usize = 1_500;
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let _links: Vec<Link> = (0..MANY)
        .map(|_| Link::open(hub.addr(), "a.example", party).unwrap())
        .collect();
    let answer = unix(&socket(&hub), "GET", "/api/tunnels?limit=10").json();
    assert_eq!(answer["all"], MANY);
    assert_eq!(answer["tunnels"].as_array().unwrap().len(), 10);
    let all = tunnels(&hub, "");
    let mut ids: Vec<&str> = all
        .iter()
        .map(|tunnel| tunnel["id"].as_str().unwrap())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), MANY);
    assert!(ids.is_sorted());
}

#[test]
fn one_tunnel_is_ended_and_no_other() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let mut links = [0, 1].map(|_| Link::open(hub.addr(), "a.example", party).unwrap());
    let source = links[0].stream().local_addr().unwrap().to_string();
    let all = tunnels(&hub, "");
    let unlucky = all
        .iter()
        .find(|tunnel| tunnel["source"] == source)
        .unwrap();
    let path = format!("/api/tunnels/{}/end", unlucky["id"].as_str().unwrap());
    assert_eq!(post(&hub, &path), (200, json!({ "ended": unlucky["id"] })));
    links[0].was_reset();
    links[1].exchange(10).unwrap();
    let record = hub.wait_record("killed", |record| record["ended"] == "killed");
    assert_eq!(record["session"], unlucky["id"]);
    wait_for("it is gone", || match post(&hub, &path).0 {
        404 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(post(&hub, "/api/tunnels/xyz/end").0, 400);
}

#[test]
fn a_drain_takes_what_stood_then_and_lets_others_be() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example", "b.example"], party), "");
    let mut old: Vec<Link> = (0..5)
        .map(|_| Link::open(hub.addr(), "a.example", party).unwrap())
        .collect();
    let mut other = Link::open(hub.addr(), "b.example", party).unwrap();
    let drained = post(&hub, "/api/drain?route=a.example&over_ms=1500");
    assert_eq!(
        drained,
        (200, json!({ "tunnels": 5, "over_ms": 1500, "silent": [] }))
    );
    let mut new = Link::open(hub.addr(), "a.example", party).unwrap();
    old.iter_mut().for_each(Link::was_reset);
    std::thread::sleep(Duration::from_secs(2));
    new.exchange(10).unwrap();
    other.exchange(10).unwrap();
    let all = tunnels(&hub, "?route=a.example");
    assert_eq!(all.len(), 1, "{all:?}");
    // A party is both ways: here where it is called.
    assert_eq!(
        post(&hub, "/api/drain?party=b.example&over_ms=0").1["tunnels"],
        1
    );
    other.was_reset();
    for (wrong, status) in [
        ("", 400),
        ("?route=a.example&party=a.example", 400),
        ("?route=none.example", 404),
        ("?route=a.example&over_ms=3600001", 400),
        ("?route=a.example&over=1", 400),
    ] {
        assert_eq!(
            post(&hub, &format!("/api/drain{wrong}")).0,
            status,
            "{wrong}"
        );
    }
    new.exchange(10).unwrap();
}

#[test]
fn what_no_route_has_is_no_empty_list_of_tunnels() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example", "b.example"], party), "");
    let mut old = Link::open(hub.addr(), "b.example", party).unwrap();
    hub.edit_routes(&table(&["a.example"], party));
    assert_eq!(post(&hub, "/api/reload?allow_shrink=true").1["routes"], 1);
    let listed = |query: &str| {
        let answer = unix(&socket(&hub), "GET", &format!("/api/tunnels{query}"));
        (answer.status, answer.json())
    };
    for query in ["?route=a.example", "?party=a.example"] {
        assert_eq!(listed(query).1["all"], 0, "{query}");
    }
    // What stands goes on with its route, which is no more.
    assert_eq!(listed("?route=b.example").1["all"], 1);
    let id = listed("").1["tunnels"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(post(&hub, &format!("/api/tunnels/{id}/end")).0, 200);
    old.was_reset();
    wait_for("its end", || match listed("").1["all"].as_u64() {
        Some(0) => Ok(()),
        all => Err(format!("{all:?}")),
    });
    let none = post(&hub, "/api/drain?route=b.example");
    assert_eq!(none.0, 404);
    for query in [
        "?route=b.example",
        "?party=b.example",
        "?route=a.example&party=b.example",
    ] {
        assert_eq!(listed(query), none, "{query}");
    }
}

#[test]
fn a_reload_answers_with_the_verdict() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let status = || unix(&socket(&hub), "GET", "/api/status").json();
    let hash = status()["config_hash"].clone();
    assert_eq!(post(&hub, "/api/reload").1["result"], "unchanged");
    hub.edit_routes("sni:\n- fqdn: a.example\n  tunnel_route: h:70000\n");
    let (code, verdict) = post(&hub, "/api/reload");
    assert_eq!(
        (code, &verdict["result"], &verdict["in_force"]),
        (422, &"refused".into(), &false.into())
    );
    assert_eq!(
        (&verdict["generation"], &verdict["routes"]),
        (&1.into(), &1.into())
    );
    assert_eq!(verdict["problems"][0]["line"], 3, "{verdict}");
    assert!(
        verdict["text"][0].as_str().unwrap().contains("70000"),
        "{verdict}"
    );
    let refused = status();
    assert_eq!(refused["last_reload"]["result"], "refused");
    assert_eq!(refused["config_hash"], hash, "of what is in force");
    hub.edit_routes(&table(&["a.example", "b.example"], party));
    let (code, verdict) = post(&hub, "/api/reload");
    // The watcher may have been faster.
    assert!(
        code == 200 && ["live", "unchanged"].contains(&verdict["result"].as_str().unwrap()),
        "{verdict}"
    );
    assert_eq!(verdict["routes"], 2);
    Link::open(hub.addr(), "b.example", party).unwrap();
    assert_ne!(status()["config_hash"], hash);
    let samples = unix(&socket(&hub), "GET", "/metrics").samples();
    assert_eq!(samples["snihub_config_generation"], 2.0);
    assert_eq!(samples["snihub_reloads_total{result=\"live\"}"], 1.0);
    assert!(samples["snihub_reloads_total{result=\"refused\"}"] >= 1.0);
    assert_eq!(samples["snihub_last_reload_successful"], 1.0);
}

#[test]
fn a_shrunken_table_is_taken_once_when_told_so() {
    let party = Party::start(b'a');
    let names: Vec<String> = (0..10).map(|n| format!("{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hub = hub(table(&names, party), "");
    hub.edit_routes(&table(&names[..1], party));
    let (code, verdict) = post(&hub, "/api/reload");
    assert_eq!(code, 422, "{verdict}");
    assert!(
        verdict["text"][0]
            .as_str()
            .unwrap()
            .contains("--allow-shrink"),
        "{verdict}"
    );
    assert_eq!(post(&hub, "/api/reload?allow_shrink=true").1["routes"], 1);
    hub.edit_routes(&table(&names, party));
    assert_eq!(post(&hub, "/api/reload").1["routes"], 10);
    hub.edit_routes(&table(&names[..1], party));
    assert_eq!(post(&hub, "/api/reload").0, 422, "once");
}

#[test]
fn readiness_ends_where_draining_begins() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "drain: 3s");
    let _link = Link::open(hub.addr(), "a.example", party).unwrap();
    let ops = door(&hub, "ops_listen");
    let ask = |path| tcp(ops, "GET", path, "Host: a\r\n");
    assert_eq!((ask("/livez").status, ask("/readyz").status), (200, 200));
    hub.signal(rustix::process::Signal::TERM);
    hub.wait_line("draining", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("draining"))
    });
    let ready = ask("/readyz");
    assert_eq!(
        (ask("/livez").status, ready.status),
        (200, 503),
        "{ready:?}"
    );
    assert!(ready.body.contains("draining"));
}

#[test]
fn without_routes_the_hub_is_not_ready() {
    let party = Party::start(b'a');
    let hub = hub("sni: []\n".into(), "");
    let ready = || unix(&socket(&hub), "GET", "/readyz");
    assert_eq!(ready().status, 503);
    assert!(ready().body.contains("no routes"));
    hub.edit_routes(&table(&["a.example"], party));
    assert_eq!(post(&hub, "/api/reload").0, 200);
    assert_eq!(ready().status, 200);
}

#[test]
fn the_log_level_changes_while_the_hub_runs() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let level = |hub: &Hub| unix(&socket(hub), "GET", "/api/log-level").json()["level"].clone();
    assert_eq!(level(&hub), "info");
    // A balancer's check is told at debug.
    let check = || drop(std::net::TcpStream::connect(hub.addr()).unwrap());
    check();
    assert_eq!(post(&hub, "/api/log-level?level=debug").0, 200);
    assert_eq!(level(&hub), "debug");
    wait_for("a line at debug", || {
        check();
        std::thread::sleep(Duration::from_millis(50));
        let told = hub
            .records()
            .iter()
            .any(|record| record["level"] == "DEBUG");
        if told { Ok(()) } else { Err("none".into()) }
    });
    assert_eq!(post(&hub, "/api/log-level?level=error").0, 200);
    drop(Link::open(hub.addr(), "a.example", party));
    std::thread::sleep(Duration::from_millis(300));
    let opened = |line: &Value| line["message"] == "opened";
    assert!(!hub.lines().iter().any(opened), "a line at info");
    assert_eq!(post(&hub, "/api/log-level?level=loud").0, 400);
}

#[test]
fn the_configuration_in_force_has_every_key() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "hello_timeout: 7s");
    let config = unix(&socket(&hub), "GET", "/api/config").json();
    let settings = config["settings"].as_object().unwrap();
    assert_eq!(settings["hello_timeout_ms"], 7_000);
    let routes = hub.folder().join("sni.yaml");
    assert_eq!(settings["routes"], routes.to_str().unwrap());
    let keys: Vec<String> = snihub::config::hub_keys();
    let top = keys.iter().filter(|key| !key.contains('.'));
    for key in top {
        let in_ms = format!("{key}_ms");
        assert!(
            settings.contains_key(key) || settings.contains_key(&in_ms),
            "{key}"
        );
    }
}

#[test]
fn the_description_has_what_the_code_has() {
    let described: Value = serde_json::from_str(OPENAPI).unwrap();
    let mut written: Vec<String> = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters")
        {
            written.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let mut built: Vec<String> = ENDPOINTS
        .iter()
        .map(|e| format!("{} {}", e.method, e.path))
        .collect();
    written.sort();
    built.sort();
    assert_eq!(written, built);
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let _link = Link::open(hub.addr(), "a.example", party).unwrap();
    assert!(Link::open(hub.addr(), "unknown.example", party).is_err());
    wait_for("a refusal", || {
        match unix(&socket(&hub), "GET", "/api/refusals").json()["refusals"][0].clone() {
            Value::Null => Err("none".into()),
            _ => Ok(()),
        }
    });
    // What is answered has the keys that are described, and no other.
    let answer = |path: &str| unix(&socket(&hub), "GET", path).json();
    for (schema, value) in [
        ("Status", answer("/api/status")),
        ("Tunnel", answer("/api/tunnels")["tunnels"][0].clone()),
        ("Route", answer("/api/routes")["routes"][0].clone()),
        ("Link", answer("/api/routes")["links"][0].clone()),
        ("Refusal", answer("/api/refusals")["refusals"][0].clone()),
        ("Level", answer("/api/log-level")),
        ("Verdict", post(&hub, "/api/reload").1),
        ("Problem", post(&hub, "/api/reload?x=1").1),
    ] {
        let keys = |value: &Value| -> Vec<String> {
            let mut keys: Vec<_> = value
                .as_object()
                .unwrap_or_else(|| panic!("{schema}"))
                .keys()
                .cloned()
                .collect();
            keys.sort();
            keys
        };
        let described = &described["components"]["schemas"][schema]["properties"];
        assert_eq!(keys(&value), keys(described), "{schema}");
    }
}
