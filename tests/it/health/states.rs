//! Up, and every way to fail; what is told of it, and that clients get through all the same.

use super::{TLS, failing, get, hub, in_one, probe, say, table, up, wait_probe};
use crate::admin::http::{tcp, wait_for};
use crate::support::black_hole::black_hole;
use crate::support::certs::Authority;
use crate::support::hub::PATIENCE;
use crate::support::party::{Link, Party};
use crate::support::tls_server::{self, Service};
use rustix::process::Signal;
use serde_json::Value;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

fn well(name: &str) -> SocketAddr {
    let identity = Authority::new("star").lasting(&[name], [-1, 90]);
    tls_server::start(&identity, Service::Echo)
}

#[test]
fn one_that_is_well_is_up_everywhere() {
    let hub = hub(table(&[("a.example", well("a.example"))]), TLS);
    let found = up(&hub, "a.example");
    assert_eq!(found["kind"], "tls");
    assert_eq!(
        found["certificate"]["names"],
        serde_json::json!(["a.example"])
    );
    assert!(found["took_ms"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!(found["troubles"], serde_json::json!([]));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let samples = get(&hub, "/metrics").samples();
    let of = |name: &str| samples[&format!("snihub_upstream_{name}{{route=\"a.example\"}}")];
    assert_eq!((of("up"), of("certificate_shared")), (1.0, 0.0));
    assert!(of("probe_seconds") > 0.0);
    let days = (of("certificate_not_after_timestamp_seconds") - now.as_secs_f64()) / 86_400.0;
    assert!((89.0..=90.1).contains(&days), "{days}");
    assert_eq!(samples["snihub_upstreams{state=\"up\"}"], 1.0);
    // Who there is stays inside.
    let line = hub.wait_line("ops_listen", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("ops_listen: ")
    });
    let address = line["message"].as_str().unwrap();
    let address = address
        .trim_start_matches("ops_listen: http://")
        .trim_end_matches('/');
    let ops = tcp(address.parse().unwrap(), "GET", "/metrics", "Host: a\r\n");
    assert!(
        ops.body.contains("snihub_upstreams{state=\"up\"} 1\n"),
        "{}",
        ops.body
    );
    assert!(!ops.body.contains("a.example"), "{}", ops.body);
    assert!(say(&hub, &["status"]).contains("\nupstreams    1 up, 0 failing\n"));
    let routes = say(&hub, &["routes"]);
    let words: Vec<&str> = routes.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(matches!(words[..], [.., "89" | "90", "up"]), "{routes}");
}

#[test]
fn a_closed_port_fails_until_it_opens() {
    let free = TcpListener::bind("127.93.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let hub = hub(
        table(&[("a.example", address)]),
        "probe: {kind: tcp, interval: 1s}\n",
    );
    let first = failing(&hub, "a.example", "refused the connection");
    let line = hub.wait_line("it fails", |line| {
        line["message"] == "an upstream fails its probe"
    });
    assert_eq!(
        (&line["level"], &line["route"]),
        (&"WARN".into(), &"a.example".into())
    );
    let asked = |probe: &Value| probe["asked_unix_ms"].as_u64().unwrap();
    let again = wait_probe(&hub, "a.example", |probe| asked(probe) > asked(&first));
    assert_eq!(again["since_unix_ms"], first["since_unix_ms"]);
    let status = in_one(&say(&hub, &["status"]));
    for want in [
        "upstreams 0 up, 1 failing",
        "a.example fails its probe since",
        "refused the",
    ] {
        assert!(status.contains(want), "{want:?} in {status}");
    }
    let samples = get(&hub, "/metrics").samples();
    assert_eq!(samples["snihub_upstream_up{route=\"a.example\"}"], 0.0);
    assert_eq!(samples["snihub_upstreams{state=\"failing\"}"], 1.0);
    let open = TcpListener::bind(address).unwrap();
    let well = up(&hub, "a.example");
    assert!(well["since_unix_ms"].as_u64() > first["since_unix_ms"].as_u64());
    assert_eq!(
        (&well["why"], &well["certificate"]),
        (&Value::Null, &Value::Null)
    );
    hub.wait_line("it is up", |line| {
        line["message"] == "an upstream is well again"
    });
    let told = hub.lines().into_iter();
    let told = told.filter(|line| line["message"] == "an upstream fails its probe");
    assert_eq!(told.count(), 1, "once");
    drop(open);
}

#[test]
fn a_black_hole_takes_its_time_and_nobody_elses() {
    let hole = black_hole("127.93.0.2", 0);
    // It takes the connection, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let entries = [
        ("hole.example", hole.address),
        ("silent.example", silent.local_addr().unwrap()),
        ("well.example", well("well.example")),
    ];
    let settings = "probe: {kind: tls, interval: 1s, timeout: 2s}\ndial_timeout: 300s\n\
                    dial_timeout_total: 300s\nhello_timeout: 1s\n";
    let hub = hub(table(&entries), settings);
    up(&hub, "well.example");
    failing(&hub, "hole.example", "does not answer within 2 s");
    failing(&hub, "silent.example", "no answer to the hello in time");
}

#[test]
fn what_is_no_tls_fails_and_its_clients_get_through() {
    let party = Party::start(b'a');
    let hub = hub(table(&[("a.example", party.addr)]), TLS);
    failing(&hub, "a.example", "speaks no TLS");
    Link::open(hub.addr(), "a.example", party)
        .unwrap()
        .exchange(1_000)
        .unwrap();
    // It failed all the while, and that is told beside how its clients do.
    failing(&hub, "a.example", "speaks no TLS");
    let routes = get(&hub, "/api/routes").json();
    assert_ne!(routes["routes"][0]["state"], "failing", "{routes}");
}

#[test]
fn the_hub_itself_is_not_dialled() {
    let routes = "sni:\n- fqdn: a.example\n  tunnel_route: 127.0.0.1\n".to_owned();
    let hub = hub(routes, TLS);
    failing(&hub, "a.example", "the route leads back to the hub");
    let accepted = get(&hub, "/metrics").samples()["snihub_accepted_total"];
    assert_eq!(accepted, 0.0);
}

const NAME: &[u8] = b"asked.example";

/// The first bytes that come to a listener of this route, to the name in the hello.
fn first_bytes(more: &str) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let table = table(&[("asked.example", listener.local_addr().unwrap())]);
    let _hub = hub(format!("{table}{more}"), TLS);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    while !bytes.windows(NAME.len()).any(|some| some == NAME) {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "{bytes:?}");
        bytes.extend(&buffer[..n]);
    }
    bytes
}

#[test]
fn it_asks_with_the_routes_name_and_after_the_header_that_the_route_has() {
    let plain = first_bytes("");
    assert!(plain.starts_with(&[22, 3, 1]), "{plain:?}");
    let proxied = first_bytes("  send_proxy: v2\n");
    assert!(
        proxied.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0\x16\x03\x01"),
        "{proxied:?}"
    );
    let text = first_bytes("  send_proxy: v1\n");
    assert!(
        text.starts_with(b"PROXY UNKNOWN\r\n\x16\x03\x01"),
        "{text:?}"
    );
}

#[test]
fn a_probe_leaves_by_a_fin() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = thread::spawn({
        let listener = listener.try_clone().unwrap();
        move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read(&mut [0; 100])
        }
    });
    let address = listener.local_addr().unwrap();
    let _hub = hub(table(&[("a.example", address)]), "probe: tcp\n");
    assert_eq!(ended.join().unwrap().unwrap(), 0);
    let identity = Authority::new("star").identity(&["a.example"]);
    let ends = tls_server::ends(&identity, Service::Echo);
    let hub = hub(table(&[("a.example", ends.address)]), TLS);
    for _ in 0..3 {
        let end = ends.next();
        assert!(end.is_ok(), "{end:?}");
    }
    up(&hub, "a.example");
}

#[test]
fn a_reload_takes_up_who_comes_and_forgets_who_goes() {
    let (a, b) = (well("a.example"), well("b.example"));
    // Those that are asked already have their turn in an hour.
    let hub = hub(
        table(&[("a.example", a)]),
        "probe: {kind: tls, interval: 1h}\n",
    );
    let first = up(&hub, "a.example");
    hub.edit_routes(&table(&[("a.example", a), ("b.example", b)]));
    up(&hub, "b.example");
    assert_eq!(
        probe(&hub, "a.example")["asked_unix_ms"],
        first["asked_unix_ms"]
    );
    let series = |name: &str| {
        let page = get(&hub, "/metrics").body;
        page.contains(&format!("snihub_upstream_up{{route=\"{name}\"}}"))
    };
    assert!(series("a.example") && series("b.example"));
    // Another destination is another question.
    hub.edit_routes(&table(&[("a.example", b)]));
    failing(
        &hub,
        "a.example",
        "its certificate is for b.example, not for a.example",
    );
    wait_for("b is gone", || match series("b.example") {
        false => Ok(()),
        true => Err("there".into()),
    });
    assert_eq!(probe(&hub, "b.example"), Value::Null);
    hub.replace(
        "hub.yaml",
        "access_log: json\nadmin: admin.sock\nops_listen: 127.0.0.1:0\n",
    );
    wait_for("nobody is asked", || {
        let status = get(&hub, "/api/status").json();
        match status["upstreams"].is_null() && !series("a.example") {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
}

#[test]
fn a_hub_that_drains_asks_nobody() {
    let party = Party::start(b'a');
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let asked = listener.local_addr().unwrap();
    let routes = format!(
        "{}{}",
        table(&[("asked.example", asked)]),
        party.entry("a.example")
    );
    let hub = hub(routes, "probe: {kind: tcp, interval: 1s}\ndrain: 30s\n");
    let _link = Link::open(hub.addr(), "a.example", party).unwrap();
    up(&hub, "asked.example");
    hub.signal(Signal::TERM);
    wait_for("it drains", || {
        let status = get(&hub, "/api/status").json();
        match status["draining"] == true && status["upstreams"].is_null() {
            true => Ok(()),
            false => Err(status.to_string()),
        }
    });
}
