//! Clients whose hello does not come, or does not come whole.

use super::rig::{Star, counts, hello, holds};
use crate::support::wire::{End, call, connect, read_to_end, reset};
use serde_json::{Value, json};

const ONE_SECOND: &str = "hello_timeout: 1s";

#[test]
fn silence_ends_with_fin_at_the_deadline() {
    let star = Star::new(&[], ONE_SECOND);
    let client = connect(star.hub.addr());
    ends_too_slow(&star, &client);
}

#[test]
fn half_a_hello_and_silence_end_with_fin_at_the_deadline() {
    let star = Star::new(&[], ONE_SECOND);
    let clients =
        [1, 4, 5, 40, hello().len() - 1].map(|len| call(star.hub.addr(), &hello()[..len]));
    for client in &clients {
        ends_too_slow(&star, client);
    }
}

fn ends_too_slow(star: &Star, client: &std::net::TcpStream) {
    assert_eq!(read_to_end(client), (Vec::new(), End::Fin));
    let record = star.record_of(client.local_addr().unwrap());
    holds(
        &record,
        &json!({
            "ended": "too_slow", "by": "hub", "why": "no whole ClientHello within hello_timeout",
            "level": "INFO", "name": null, "route": null, "upstream": null, "hello_ms": null,
        }),
    );
    counts(&record, 0, 0);
    let total = record["total_ms"].as_f64().unwrap();
    assert!(total >= 990.0, "{total} ms of 1 s");
    star.upstream.nobody_came();
}

#[test]
fn a_client_that_leaves_within_its_hello_is_told_of() {
    let star = Star::new(&[], "");
    let ways: [fn(std::net::TcpStream); 2] = [drop, reset];
    for leave in ways {
        let client = call(star.hub.addr(), &hello()[..40]);
        let source = client.local_addr().unwrap();
        leave(client);
        let record = star.record_of(source);
        holds(
            &record,
            &json!({
                "ended": "client_left", "by": "client", "level": "INFO", "name": null,
                "why": "client left before its tunnel stood",
            }),
        );
        star.upstream.nobody_came();
    }
}

/// A balancer's health check: counted, and told at debug level only.
#[test]
fn a_client_that_leaves_at_once_is_no_news() {
    let star = Star::new(&[], "");
    let ways: [fn(std::net::TcpStream); 2] = [drop, reset];
    for leave in ways {
        let client = connect(star.hub.addr());
        let source = client.local_addr().unwrap();
        leave(client);
        let record = star.record_of(source);
        holds(&record, &json!({"ended": "client_left", "level": "DEBUG"}));
    }
    star.hub.signal(rustix::process::Signal::TERM);
    assert!(star.hub.wait_exit().success());
    let stopped = star
        .hub
        .wait_line("stopped", |line: &Value| line["message"] == "stopped");
    holds(
        &stopped,
        &json!({"accepted": 2, "left": 2, "refused": 0, "opened": 0}),
    );
}
