//! Tunnels that stand still for too long: RST both ways, by the hub's limits and by a route's own.

use super::rig::{Star, counts, hello, holds};
use crate::support::wire::{End, pattern, read_exactly, read_to_end};
use serde_json::json;
use std::io::Write;
use std::net::Shutdown;

/// Where a limit of one second is written; the route's own beats the hub's.
fn places(key: &str) -> [Star; 2] {
    [
        Star::new(&[], &format!("{key}: 1s")),
        Star::new(&[&format!("{key}: 1s")], &format!("{key}: 1h")),
    ]
}

#[test]
fn idle() {
    for star in places("idle_timeout") {
        let (mut client, upstream) = star.tunnel();
        let source = client.local_addr().unwrap();
        client.write_all(b"ping").unwrap();
        assert_eq!(read_exactly(&upstream, 4), b"ping");
        assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));
        assert_eq!(read_to_end(&upstream), (Vec::new(), End::Reset));
        let record = star.record_of(source);
        holds(
            &record,
            &json!({"ended": "idle", "by": "hub", "why": "no byte for idle_timeout"}),
        );
        counts(&record, hello().len() + 4, 0);
        let total = record["total_ms"].as_f64().unwrap();
        assert!(total >= 1000.0, "{total} ms");
    }
}

#[test]
fn half_open() {
    for star in places("half_open_timeout") {
        let (client, upstream) = star.tunnel();
        let source = client.local_addr().unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&upstream), (Vec::new(), End::Fin));
        assert_eq!(read_to_end(&client), (Vec::new(), End::Reset));
        let record = star.record_of(source);
        holds(&record, &json!({"ended": "half_open", "by": "hub"}));
        counts(&record, hello().len(), 0);
    }
}

#[test]
fn write_stall() {
    for star in places("write_stall_timeout") {
        let (client, upstream) = star.tunnel();
        let source = client.local_addr().unwrap();
        // Without end: the upstream reads nothing, so that the client's writes come to a stop and
        // then fail.
        let sender = std::thread::spawn(move || {
            let piece = pattern(4, 1 << 20);
            let mut client = client;
            let error = std::iter::repeat_with(|| client.write_all(&piece))
                .find_map(Result::err)
                .unwrap();
            error.kind()
        });
        let record = star.record_of(source);
        assert_eq!(sender.join().unwrap(), std::io::ErrorKind::ConnectionReset);
        holds(
            &record,
            &json!({"ended": "write_stalled", "by": "hub", "upstream_to_client": 0}),
        );
        let (got, end) = read_to_end(&upstream);
        assert_eq!(end, End::Reset, "a cut stream is no whole one");
        let taken = record["client_to_upstream"].as_u64().unwrap() as usize - hello().len();
        assert!(got.len() <= taken, "{} bytes of {taken}", got.len());
        assert!(taken > 100_000, "{taken}");
    }
}

/// Zero in the entry is off, whatever hub.yaml says.
#[test]
fn off_for_one_route() {
    let star = Star::new(&["idle_timeout: 0"], "idle_timeout: 1s");
    let (mut client, mut upstream) = star.tunnel();
    std::thread::sleep(std::time::Duration::from_millis(2200));
    client.write_all(b"still").unwrap();
    assert_eq!(read_exactly(&upstream, 5), b"still");
    upstream.write_all(b"there").unwrap();
    assert_eq!(read_exactly(&client, 5), b"there");
}
