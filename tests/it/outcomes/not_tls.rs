//! Clients that do not speak TLS: FIN without one byte, a record that says what they seem to
//! speak, and no connection anywhere.

use super::rig::{Star, counts, holds};
use crate::support::wire::{End, call, read_to_end};
use serde_json::json;

const OPENINGS: [(&[u8], &str); 9] = [
    (
        b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n",
        "looks like plain HTTP",
    ),
    (b"POST /x HTTP/1.1\r\n\r\n", "looks like plain HTTP"),
    (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        "looks like cleartext HTTP/2 (gRPC without TLS)",
    ),
    (
        b"\0\0\0\x29\0\0\0\x25\x08\x02\x12\x0512345",
        "looks like plain Pulsar (pulsar:// instead of pulsar+ssl://)",
    ),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "looks like SSH"),
    (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "looks like a PROXY header; set proxy_protocol: required on this listener",
    ),
    (
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10",
        "looks like an SSLv2 hello",
    ),
    (
        b"\x17\x03\x03\0\x05hello",
        "a TLS record that is no handshake",
    ),
    (b"\0", "unknown protocol"),
];

#[test]
fn gets_a_clean_end_without_a_byte() {
    let star = Star::new(&[], "");
    for (opening, looks) in OPENINGS {
        let client = call(star.hub.addr(), opening);
        let source = client.local_addr().unwrap();
        assert_eq!(read_to_end(&client), (Vec::new(), End::Fin), "{looks}");
        let record = star.record_of(source);
        holds(
            &record,
            &json!({
                "ended": "not_tls", "by": "hub", "why": format!("not TLS: {looks}"),
                "level": "INFO", "name": null, "route": null, "upstream": null,
            }),
        );
        counts(&record, 0, 0);
        star.upstream.nobody_came();
    }
    assert_eq!(star.hub.records().len(), OPENINGS.len());
}

/// A client that goes on sending while it is declined sees FIN, not RST, as long as what it sends
/// is bounded.
#[test]
fn gets_a_clean_end_also_while_it_sends_on() {
    let star = Star::new(&[], "");
    let request = [b"POST / HTTP/1.1\r\n\r\n".as_slice(), &[b'x'; 60_000]].concat();
    let client = call(star.hub.addr(), &request);
    let source = client.local_addr().unwrap();
    assert_eq!(read_to_end(&client), (Vec::new(), End::Fin));
    assert_eq!(star.record_of(source)["ended"], "not_tls");
}
