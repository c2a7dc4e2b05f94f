//! An upstream that cannot be had: alert 80, FIN, and a record that says what was tried.

use super::rig::{NAME, Star, counts, hello, holds};
use crate::support::hub::{Hub, Options, PATIENCE};
use crate::support::wire::{BlackHole, End, call, read_to_end, reset};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// internal_error (80).
const INTERNAL_ERROR: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// The record of a client whose route leads to `target`.
fn client_of(target: &str, settings: &str) -> Value {
    let hub = Hub::start(
        Options::routes(format!("sni:\n- fqdn: {NAME}\n  tunnel_route: {target}\n"))
            .settings(settings),
    );
    let client = call(hub.addr(), &hello());
    assert_eq!(read_to_end(&client), (INTERNAL_ERROR.to_vec(), End::Fin));
    let record = hub.closed(NAME);
    holds(
        &record,
        &json!({
            "name": NAME, "route": NAME, "target": target, "upstream": null, "relay": null,
            "level": "WARN", "source": client.local_addr().unwrap().to_string(),
        }),
    );
    counts(&record, 0, 0);
    assert_eq!(hub.records().len(), 1);
    record
}

#[test]
fn refused() {
    // Bound and never listening: nobody else gets the port meanwhile, and connecting is refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let addr = socket
        .local_addr()
        .unwrap()
        .as_socket()
        .unwrap()
        .to_string();
    let record = client_of(&addr, "");
    holds(&record, &json!({"ended": "refused", "by": "upstream"}));
    let why =
        format!("{addr} refused the connection: is the upstream running, and is the port right?");
    assert_eq!(record["why"], why);
}

#[test]
fn a_black_hole() {
    let hole = BlackHole::dig();
    let addr = hole.addr().to_string();
    let record = client_of(&addr, "dial_timeout: 300ms\ndial_timeout_total: 2s");
    holds(&record, &json!({"ended": "timed_out", "by": "upstream"}));
    let why = record["why"].as_str().unwrap();
    assert!(why.contains("did not answer within dial_timeout"), "{why}");
    let total = record["total_ms"].as_f64().unwrap();
    assert!(total >= 300.0, "{total} ms");
}

#[test]
fn a_black_hole_by_the_routes_own_timeout() {
    let hole = BlackHole::dig();
    let target = format!("{}\n  dial_timeout: 300ms", hole.addr());
    let hub = Hub::start(Options::routes(format!(
        "sni:\n- fqdn: {NAME}\n  tunnel_route: {target}\n"
    )));
    let client = call(hub.addr(), &hello());
    assert_eq!(read_to_end(&client), (INTERNAL_ERROR.to_vec(), End::Fin));
    let record = hub.closed(NAME);
    assert_eq!(record["ended"], "timed_out");
    // hub.yaml's default is 5 s.
    let why = record["why"].as_str().unwrap();
    assert!(why.contains("did not answer within dial_timeout:"), "{why}");
}

#[test]
fn a_name_that_is_none() {
    // RFC 6761 section 6.4: no name server knows a name below `invalid`; where none answers, that
    // is the reason.
    let record = client_of(
        "broker.party.invalid:6651",
        "dial_timeout: 500ms\ndial_timeout_total: 1s",
    );
    assert_eq!(record["ended"], "resolve");
    let why = record["why"].as_str().unwrap();
    assert!(why.contains("broker.party.invalid"), "{why}");
}

/// A destination without a port has the inbound one: here the hub's own listener.
#[test]
fn the_hub_itself() {
    let hub = Hub::start(Options::routes(format!(
        "sni:\n- fqdn: {NAME}\n  tunnel_route: 127.0.0.1\n"
    )));
    let client = call(hub.addr(), &hello());
    assert_eq!(read_to_end(&client), (INTERNAL_ERROR.to_vec(), End::Fin));
    let record = hub.closed(NAME);
    holds(
        &record,
        &json!({
            "ended": "loop", "by": "hub", "target": hub.addr().to_string(), "upstream": null,
        }),
    );
    assert_eq!(hub.records().len(), 1, "the hub did not call itself");
}

/// The upstream's queue takes the connection, and it is gone before it read a byte.
#[test]
fn an_upstream_that_closes_at_once_is_a_tunnel_that_ended() {
    let star = Star::new(&[], "");
    let client = call(star.hub.addr(), &hello());
    let source = client.local_addr().unwrap();
    crate::support::wire::reset(star.upstream.accept());
    assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));
    let record = star.record_of(source);
    holds(
        &record,
        &json!({"ended": "upstream_reset", "by": "upstream"}),
    );
}

/// One source and one party that is down must not take up what the hub can dial for everybody.
#[test]
fn who_waits_for_a_dial_counts_by_source_and_who_resets_is_let_go() {
    let hole = BlackHole::dig();
    let routes = format!("sni:\n- fqdn: {NAME}\n  tunnel_route: {}\n", hole.addr());
    let settings = "workers: 1\ndial_timeout_total: 60s\ndial_timeout: 60s\nlimits: {pending_hellos_per_source: 2}";
    let hub = Hub::start(Options::routes(routes).settings(settings));
    let waiting = [call(hub.addr(), &hello()), call(hub.addr(), &hello())];
    let over = loop {
        // Until both are counted. (One worker accepts in the order of coming.)
        let third = call(hub.addr(), &hello());
        if is_declined(&third) {
            break third;
        }
        reset(third);
    };
    assert_eq!(read_to_end(&over), (INTERNAL_ERROR.to_vec(), End::Fin));
    let over = over.local_addr().unwrap().to_string();
    let record = hub.wait_record("the third", |record| record["source"] == over);
    assert_eq!(record["ended"], "over_limit");

    let [first, second] = waiting;
    let source = first.local_addr().unwrap().to_string();
    reset(first);
    let record = hub.wait_record("the first", |record| record["source"] == source);
    let wanted = json!({
        "ended": "client_left", "by": "client", "level": "INFO", "name": NAME, "route": NAME,
    });
    holds(&record, &wanted);
    // Its place is free again, while the second still waits.
    let until = Instant::now() + PATIENCE;
    while is_declined(&call(hub.addr(), &hello())) {
        assert!(Instant::now() < until, "no place becomes free");
    }
    assert!(!is_declined(&second));
}

/// Whether it hears something within 300 ms; who waits for a dial does not.
fn is_declined(client: &TcpStream) -> bool {
    client
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    client.peek(&mut [0]).is_ok()
}
