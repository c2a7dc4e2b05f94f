//! What the certificates of upstreams say: when they end, and for whom they are good.

use super::{TLS, failing, get, hub, in_one, probe, say, table, up, wait_probe};
use crate::admin::http::wait_for;
use crate::support::certs::{Authority, Identity};
use crate::support::tls_server::{self, Service};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn serve(identity: &Identity) -> SocketAddr {
    tls_server::start(identity, Service::Echo)
}

#[test]
fn one_that_clients_refuse_fails() {
    let star = Authority::new("star");
    let over = serve(&star.lasting(&["over.example"], [-30, -3]));
    let ahead = serve(&star.lasting(&["ahead.example"], [3, 30]));
    let other = serve(&star.identity(&["pulsar.example", "localhost"]));
    let entries = [
        ("over.example", over),
        ("ahead.example", ahead),
        ("other.example", other),
    ];
    let hub = hub(table(&entries), TLS);
    let found = failing(&hub, "over.example", "its certificate is over since 20");
    assert!(found["certificate"]["not_after_unix_ms"].as_i64().unwrap() > 1_600_000_000_000);
    failing(&hub, "ahead.example", "begins only at 20");
    let words = "its certificate is for pulsar.example, localhost, not for other.example";
    failing(&hub, "other.example", words);
}

#[test]
fn one_that_ends_soon_is_told_once() {
    let star = Authority::new("star");
    let soon = serve(&star.lasting(&["soon.example"], [-30, 12]));
    let later = serve(&star.lasting(&["later.example"], [-30, 40]));
    let hub = hub(
        table(&[("soon.example", soon), ("later.example", later)]),
        TLS,
    );
    let found = up(&hub, "soon.example");
    // 11 or 12 days: a certificate ends at a whole second.
    let said = found["troubles"][0].as_str().unwrap();
    assert!(
        said.contains("ends in 1") && said.contains("snihub pki renew"),
        "{said}"
    );
    let status = in_one(&say(&hub, &["status"]));
    assert!(
        status.contains("the certificate of soon.example ends in 1"),
        "{status}"
    );
    let asked = |probe: &Value| probe["asked_unix_ms"].as_u64().unwrap();
    wait_probe(&hub, "soon.example", |probe| asked(probe) > asked(&found));
    up(&hub, "later.example");
    let told = |line: &&Value| {
        let text = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && text.starts_with("the certificate of")
    };
    assert_eq!(
        hub.lines().iter().filter(told).count(),
        1,
        "{:?}",
        hub.lines()
    );
}

#[test]
fn names_that_are_no_hosts_are_left_out() {
    let names = [
        "a.example",
        "\u{1b}[2J.example",
        "10.0.0.1",
        "a b.example",
        "*.A.example",
    ];
    let identity = Authority::new("star").identity(&names);
    let hub = hub(table(&[("a.example", serve(&identity))]), TLS);
    let found = up(&hub, "a.example");
    assert_eq!(
        found["certificate"]["names"],
        json!(["a.example", "*.a.example"])
    );
}

#[test]
fn a_wildcard_of_two_parties_is_told_with_what_comes_of_it() {
    let wild = Authority::new("star").identity(&["*.star.example"]);
    let (a, b) = (serve(&wild), serve(&wild));
    let own = serve(&Authority::new("star").identity(&["b.star.example"]));
    let hub = hub(table(&[("a.star.example", a), ("b.star.example", b)]), TLS);
    for (id, other) in [
        ("a.star.example", "b.star.example"),
        ("b.star.example", "a.star.example"),
    ] {
        let found = wait_probe(&hub, id, |probe| !probe["certificate"].is_null());
        assert_eq!(
            (&found["state"], &found["certificate"]["good_for"]),
            (&"up".into(), &json!([other]))
        );
        hub.wait_line(id, |line| {
            let text = line["message"].as_str().unwrap_or_default();
            let said =
                format!("the certificate of {id} is good for {other}, too (by its name *.star");
            text.starts_with(&said) && text.contains("RFC 9113 section 9.1.1")
        });
        let series = format!("snihub_upstream_certificate_shared{{route=\"{id}\"}}");
        assert_eq!(get(&hub, "/metrics").samples()[&series], 1.0);
    }
    let status = in_one(&say(&hub, &["status"]));
    assert!(status.contains("good for b.star.example, too"), "{status}");
    let shared = |id: &str| probe(&hub, id)["certificate"]["good_for_in_all"].clone();
    // One of them gets its own: the other's is still good for it, and not the other way round.
    hub.edit_routes(&table(&[("a.star.example", a), ("b.star.example", own)]));
    wait_for("b has its own", || {
        match (shared("a.star.example"), shared("b.star.example")) {
            (a, b) if a == 1 && b == 0 => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    });
    // Without the other there is nobody to be taken for.
    hub.edit_routes(&table(&[("a.star.example", a)]));
    wait_for("a is alone", || match shared("a.star.example") {
        alone if alone == 0 => Ok(()),
        seen => Err(seen.to_string()),
    });
}
