//! A RST is passed on as a RST, each way, and the record says whose it was.

use super::rig::{NAME, Star, counts, hello, holds};
use crate::admin::http::wait_for;
use crate::support::wire::{End, read_exactly, read_to_end, reset};
use serde_json::json;
use std::io::Write;

#[test]
fn of_the_client() {
    let star = Star::new(&[], "");
    let (mut client, upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    client.write_all(b"half a messa").unwrap();
    assert_eq!(read_exactly(&upstream, 12), b"half a messa");
    reset(client);
    assert_eq!(read_to_end(&upstream), (Vec::new(), End::Reset));
    let record = star.record_of(source);
    holds(
        &record,
        &json!({
            "ended": "client_reset", "by": "client", "why": "the client reset the connection",
            "name": NAME, "route": NAME, "upstream": star.upstream.addr().to_string(),
            "relay": "copy", "spliced": 0,
        }),
    );
    counts(&record, hello().len() + 12, 0);
}

#[test]
fn of_the_upstream() {
    let star = Star::new(&[], "");
    let (client, mut upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    upstream.write_all(b"half an ans").unwrap();
    assert_eq!(read_exactly(&client, 11), b"half an ans");
    reset(upstream);
    assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));
    let record = star.record_of(source);
    holds(
        &record,
        &json!({
            "ended": "upstream_reset", "by": "upstream", "name": NAME,
            "why": "the upstream reset the connection",
        }),
    );
    counts(&record, hello().len(), 11);
}

/// With one direction over there is nobody reading the socket that is reset.
#[test]
fn of_a_client_that_was_done_sending() {
    let star = Star::new(&[], "");
    let (client, upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&upstream), (Vec::new(), End::Fin));
    reset(client);
    let record = star.record_of(source);
    holds(&record, &json!({"ended": "client_reset", "by": "client"}));
    counts(&record, hello().len(), 0);
    // FIN was read before: all that is left to see is that writing fails, soon after the record.
    let mut upstream = upstream;
    wait_for("the upstream is told", || match upstream.write_all(b"x") {
        Ok(()) => Err("it may still write".into()),
        Err(_) => Ok(()),
    });
}
