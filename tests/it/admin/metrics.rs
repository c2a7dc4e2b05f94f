//! `/metrics` says what the traffic did.

use super::http::{tcp, unix, wait_for};
use super::{door, hub, socket, table};
use crate::support::hello::Hello;
use crate::support::party::{Link, Party};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

type Samples = BTreeMap<String, f64>;

fn get(samples: &Samples, series: &str) -> f64 {
    *samples
        .get(series)
        .unwrap_or_else(|| panic!("no {series} in {samples:#?}"))
}

fn bytes_of(samples: &Samples) -> [f64; 2] {
    ["client_to_upstream", "upstream_to_client"].map(|way| {
        get(
            samples,
            &format!("snihub_bytes_total{{direction=\"{way}\"}}"),
        )
    })
}

#[test]
fn bytes_are_counted_while_the_tunnel_stands_and_by_link() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example", "b.example"], party), "");
    let hello = Hello::named("a.example").wire().len() as f64;
    let mut link = Link::open(hub.addr(), "a.example", party).unwrap();
    link.exchange(100_000).unwrap();
    let page = unix(&socket(&hub), "GET", "/metrics");
    assert_eq!(page.status, 200);
    let samples = page.samples();
    // The party sends its mark before it echoes.
    assert_eq!(bytes_of(&samples), [hello + 1e5, hello + 1e5 + 1.0]);
    let series =
        |name: &str, more: &str| format!("snihub_route_{name}{{route=\"a.example\"{more}}}");
    let way = ",direction=\"upstream_to_client\"";
    assert_eq!(
        get(&samples, &series("bytes_total", way)),
        hello + 1e5 + 1.0
    );
    assert_eq!(get(&samples, &series("tunnels_open", "")), 1.0);
    assert_eq!(get(&samples, "snihub_tunnels_open"), 1.0);
    assert_eq!(get(&samples, "snihub_tunnels_opened_total"), 1.0);
    assert!(!page.body.contains("b.example"), "a series without a count");
    // Both routes lead to 127.0.0.1: of which party the client is cannot be told.
    assert_eq!(
        get(
            &samples,
            "snihub_link_tunnels_opened_total{party=\"\",route=\"a.example\"}"
        ),
        1.0
    );
    drop(link);
    let ended = "snihub_tunnels_ended_total{reason=\"both_closed\"}";
    let samples = wait_for("the end of the tunnel", || {
        let samples = unix(&socket(&hub), "GET", "/metrics").samples();
        match get(&samples, ended) {
            1.0 => Ok(samples),
            seen => Err(seen.to_string()),
        }
    });
    assert_eq!(
        bytes_of(&samples),
        [hello + 1e5, hello + 1e5 + 1.0],
        "counted twice"
    );
    // A scrape never disagrees with itself.
    assert_eq!(get(&samples, "snihub_tunnels_open"), 0.0);
    assert_eq!(get(&samples, &series("tunnels_open", "")), 0.0);
}

#[test]
fn a_client_has_the_party_that_dials_out_from_its_address() {
    let party = Party::start(b'a');
    let hub = hub(table(&["only.example"], party), "");
    let _link = Link::open(hub.addr(), "only.example", party).unwrap();
    let samples = unix(&socket(&hub), "GET", "/metrics").samples();
    let series = "snihub_link_tunnels_open{party=\"only.example\",route=\"only.example\"}";
    assert_eq!(get(&samples, series), 1.0);
}

#[test]
fn every_refusal_and_failure_counts_under_its_reason() {
    let party = Party::start(b'a');
    // A port that nobody listens at.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let routes = format!(
        "{}- fqdn: gone.example\n  tunnel_route: {gone}\n- fqdn: shut.example\n  tunnel_route: {}\n  ip_allow: 192.0.2.1\n",
        table(&["a.example"], party),
        party.addr
    );
    let hub = hub(routes, "hello_timeout: 1s");
    for name in [
        "unknown.example",
        "gone.example",
        "gone.example",
        "shut.example",
    ] {
        assert!(Link::open(hub.addr(), name, party).is_err());
    }
    let mut http = TcpStream::connect(hub.addr()).unwrap();
    http.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut slow = TcpStream::connect(hub.addr()).unwrap();
    slow.write_all(&[22]).unwrap();
    let want = [
        ("refused", "unknown_server_name", 1.0),
        ("refused", "not_allowed", 1.0),
        ("refused", "not_tls", 1.0),
        ("refused", "too_slow", 1.0),
        ("refused", "malformed", 0.0),
        ("dial_errors", "refused", 2.0),
        ("dial_errors", "resolve", 0.0),
    ];
    let samples = wait_for("all counts", || {
        let samples = unix(&socket(&hub), "GET", "/metrics").samples();
        let series = |what, reason| format!("snihub_{what}_total{{reason=\"{reason}\"}}");
        let differs = want
            .iter()
            .find(|(what, reason, n)| get(&samples, &series(what, reason)) != *n);
        differs.map_or(Ok(samples), |differs| Err(format!("{differs:?}")))
    });
    let of_route = |what: &str, route: &str| {
        get(
            &samples,
            &format!("snihub_route_{what}_total{{route=\"{route}\"}}"),
        )
    };
    assert_eq!(of_route("dial_errors", "gone.example"), 2.0);
    assert_eq!(of_route("refused", "shut.example"), 1.0);
    assert_eq!(get(&samples, "snihub_accepted_total"), 6.0);
    let refusals = unix(&socket(&hub), "GET", "/api/refusals").json();
    let refusals = refusals["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 6, "{refusals:#?}");
    let shut = refusals
        .iter()
        .find(|one| one["name"] == "shut.example")
        .unwrap();
    assert_eq!(
        (&shut["reason"], &shut["by"]),
        (&"not_allowed".into(), &"hub".into())
    );
    assert!(shut["why"].as_str().unwrap().contains("ip_allow"));
    assert_eq!(refusals[0]["reason"], "too_slow", "the latest is first");
}

#[test]
fn histograms_are_whole() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    for _ in 0..5 {
        Link::open(hub.addr(), "a.example", party).unwrap();
    }
    // A client has its first byte a moment before that is counted.
    let samples = wait_for("all first bytes", || {
        let samples = unix(&socket(&hub), "GET", "/metrics").samples();
        match get(&samples, "snihub_first_byte_seconds_count") {
            5.0 => Ok(samples),
            seen => Err(seen.to_string()),
        }
    });
    for name in ["hello", "dial", "first_byte"] {
        let name = format!("snihub_{name}_seconds");
        assert_eq!(get(&samples, &format!("{name}_count")), 5.0);
        assert_eq!(get(&samples, &format!("{name}_bucket{{le=\"+Inf\"}}")), 5.0);
        let sum = get(&samples, &format!("{name}_sum"));
        assert!(sum > 0.0 && sum < 50.0, "{name}: {sum}");
        let buckets: Vec<f64> = samples
            .iter()
            .filter(|(series, _)| series.starts_with(&format!("{name}_bucket")))
            .map(|(_, n)| *n)
            .collect();
        assert_eq!(buckets.len(), 16, "{name}");
        assert!(get(&samples, &format!("{name}_bucket{{le=\"15\"}}")) == 5.0);
    }
}

#[test]
fn bulk_is_spliced_and_said_so() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "");
    let mut link = Link::open(hub.addr(), "a.example", party).unwrap();
    link.exchange(32 << 20).unwrap();
    drop(link);
    let by = "snihub_tunnels_ended_by_relay_total{relay=\"splice\"}";
    let samples = wait_for("the end of the tunnel", || {
        let samples = unix(&socket(&hub), "GET", "/metrics").samples();
        if get(&samples, by) == 1.0 {
            Ok(samples)
        } else {
            Err("open".into())
        }
    });
    let relayed = ["splice", "copy"].map(|relay| {
        get(
            &samples,
            &format!("snihub_relayed_bytes_total{{relay=\"{relay}\"}}"),
        )
    });
    assert!(relayed[0] > f64::from(16 << 20), "{relayed:?}");
    assert_eq!(
        relayed.iter().sum::<f64>(),
        bytes_of(&samples).iter().sum::<f64>()
    );
    assert!(get(&samples, "snihub_workers{relay=\"splice\",why=\"\"}") >= 1.0);
    assert!(get(&samples, "snihub_wake_ups_total") > get(&samples, "snihub_empty_wake_ups_total"));
    assert!(get(&samples, "snihub_memory_bytes{what=\"slabs\"}") >= 65_536.0);
    assert!(get(&samples, "process_resident_memory_bytes") > 1e6);
    assert!(get(&samples, "process_open_fds") > 10.0);
}

#[test]
fn beyond_max_routes_the_rest_is_other() {
    let party = Party::start(b'a');
    let names = ["a.example", "b.example", "c.example"];
    let hub = hub(table(&names, party), "workers: 3\nmetrics: {max_routes: 1}");
    let _links: Vec<Link> = names
        .iter()
        .chain(&names)
        .map(|name| Link::open(hub.addr(), name, party).unwrap())
        .collect();
    let samples = unix(&socket(&hub), "GET", "/metrics").samples();
    let open = |route: &str| {
        get(
            &samples,
            &format!("snihub_route_tunnels_open{{route=\"{route}\"}}"),
        )
    };
    assert_eq!((open("a.example"), open("other")), (2.0, 4.0));
}

#[test]
fn the_ops_door_has_totals_and_health_alone() {
    let party = Party::start(b'a');
    let hub = hub(table(&["secret.example"], party), "");
    let ops = door(&hub, "ops_listen");
    let _link = Link::open(hub.addr(), "secret.example", party).unwrap();
    assert!(Link::open(hub.addr(), "asked.example", party).is_err());
    let page = tcp(ops, "GET", "/metrics", "Host: anything\r\n");
    assert_eq!(get(&page.samples(), "snihub_tunnels_open"), 1.0);
    let party_addr = party.addr.to_string();
    let admin = unix(&socket(&hub), "GET", "/metrics").body;
    assert!(admin.contains("secret.example"), "the admin door has it");
    let health = ["/livez", "/readyz"].map(|path| tcp(ops, "GET", path, "Host: a\r\n"));
    assert_eq!(health.each_ref().map(|answer| answer.status), [200; 2]);
    for text in [&page.body, &health[0].body, &health[1].body] {
        for secret in ["secret", "asked", &party_addr, "route=", "party="] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    for endpoint in snihub::admin::ENDPOINTS {
        let path = endpoint.path.replace("{id}", "0");
        let answer = tcp(ops, endpoint.method, &path, "Host: localhost\r\n");
        let want = if endpoint.ops { 200 } else { 404 };
        assert_eq!(answer.status, want, "{path}");
    }
    assert_eq!(tcp(ops, "POST", "/metrics", "Host: a\r\n").status, 405);
}

#[test]
fn routes_on_ops_is_a_choice() {
    let party = Party::start(b'a');
    let hub = hub(
        table(&["a.example"], party),
        "metrics: {routes_on_ops: true}",
    );
    let _link = Link::open(hub.addr(), "a.example", party).unwrap();
    let page = tcp(door(&hub, "ops_listen"), "GET", "/metrics", "Host: a\r\n");
    assert_eq!(
        get(
            &page.samples(),
            "snihub_route_tunnels_open{route=\"a.example\"}"
        ),
        1.0
    );
}

#[test]
fn the_readme_names_metrics_that_exist() {
    let party = Party::start(b'a');
    let hub = hub(table(&["a.example"], party), "probe: tcp");
    let _link = Link::open(hub.addr(), "a.example", party).unwrap();
    let page = wait_for("a probe", || {
        let page = unix(&socket(&hub), "GET", "/metrics").body;
        match page.contains("snihub_upstream_up{") {
            true => Ok(page),
            false => Err("none".into()),
        }
    });
    let readme = include_str!("../../../README.md");
    let named: Vec<&str> = readme
        .split('`')
        .filter(|word| word.starts_with("snihub_"))
        .collect();
    assert!(named.len() >= 10, "{named:?}");
    for word in named {
        let (name, label) = word.split_once('{').unwrap_or((word, ""));
        let found = page.lines().any(|line| {
            line.starts_with(name.trim_end_matches('*'))
                && label
                    .trim_end_matches('}')
                    .split(',')
                    .all(|label| line.contains(label))
        });
        assert!(found, "{word} is not in\n{page}");
    }
}
