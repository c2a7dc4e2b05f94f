//! Clients that speak TLS and are declined: the exact alert, FIN, a record with the name, and no
//! connection anywhere.

use super::rig::{NAME, counts, hello, holds};
use crate::support::hello::{Hello, record};
use crate::support::hub::{Hub, Options};
use crate::support::wire::{End, Upstream, call, read_to_end};
use serde_json::{Value, json};

const SETTINGS: &str = "connect_ports: 443 1024-65535\nmax_client_hello: 4KiB\n";

struct Case {
    bytes: Vec<u8>,
    /// The alert's code.
    alert: u8,
    record: Value,
}

#[test]
fn each_gets_its_alert_and_its_record() {
    let upstream = Upstream::listen();
    let hub = Hub::start(Options::routes(routes(&upstream)).settings(SETTINGS));
    for Case {
        bytes,
        alert,
        record,
    } in cases()
    {
        let client = call(hub.addr(), &bytes);
        let source = client.local_addr().unwrap().to_string();
        let (got, end) = read_to_end(&client);
        assert_eq!(got, [0x15, 3, 3, 0, 2, 2, alert], "{record}");
        assert_eq!(end, End::Fin, "{record}");
        let told = hub.wait_record(&source, |line| line["source"] == source);
        holds(&told, &record);
        holds(
            &told,
            &json!({"by": "hub", "upstream": null, "relay": null}),
        );
        counts(&told, 0, 0);
        upstream.nobody_came();
    }
    assert_eq!(hub.records().len(), cases().len());
    // The same table does route.
    let client = call(hub.addr(), &hello());
    drop(upstream.accept());
    drop(client);
}

fn routes(upstream: &Upstream) -> String {
    let addr = upstream.addr();
    format!(
        "sni:\n\
         - fqdn: {NAME}\n  tunnel_route: {addr}\n\
         - fqdn: elsewhere.example.com\n  tunnel_route: {addr}\n  ip_allow: 10.0.0.0/8\n\
         - fqdn: web.example.com\n  tunnel_route: 127.0.0.1:80\n"
    )
}

fn cases() -> Vec<Case> {
    let unknown = "b.example.com";
    let truncated_extensions = Hello::named(NAME).tail(&[0]).wire();
    let too_large = Hello::named(NAME).padded_to(5000).wire();
    let many_records = Hello::named(NAME).padded_to(3000).wire_in_records_of(1);
    let name_of_bad_bytes = Hello::named(b"a\x01\n.example.com").wire();
    vec![
        Case {
            bytes: Hello::named(unknown).wire(),
            alert: 112,
            record: json!({
                "ended": "unknown_server_name", "name": unknown, "route": null, "level": "INFO",
                "why": "no route for this server name",
            }),
        },
        Case {
            bytes: Hello::nameless().wire(),
            alert: 112,
            record: json!({"ended": "no_server_name", "name": null, "route": null, "level": "INFO"}),
        },
        Case {
            bytes: Hello::named("elsewhere.example.com").wire(),
            alert: 49,
            record: json!({
                "ended": "not_allowed", "name": "elsewhere.example.com",
                "route": "elsewhere.example.com", "level": "WARN",
            }),
        },
        Case {
            bytes: Hello::named("web.example.com").wire(),
            alert: 80,
            record: json!({
                "ended": "port_not_permitted", "name": "web.example.com",
                "route": "web.example.com", "level": "WARN",
                "why": "destination port 80 is not in connect_ports",
            }),
        },
        Case {
            bytes: truncated_extensions,
            alert: 50,
            record: json!({"ended": "malformed", "name": null, "level": "INFO"}),
        },
        Case {
            bytes: name_of_bad_bytes,
            alert: 50,
            record: json!({"ended": "malformed", "name": null}),
        },
        Case {
            // A record of another type in the middle of the hello.
            bytes: [
                record(22, 0x0301, &Hello::named(NAME).message()[..40]),
                record(23, 0x0303, b"x"),
            ]
            .concat(),
            alert: 50,
            record: json!({"ended": "malformed"}),
        },
        Case {
            bytes: too_large,
            alert: 22,
            record: json!({"ended": "too_large", "name": null, "level": "INFO"}),
        },
        Case {
            // 5 + 1 bytes each: above twice max_client_hello.
            bytes: many_records,
            alert: 22,
            record: json!({"ended": "too_large"}),
        },
    ]
}
