//! An upstream (or a client) that reads nothing for a while: the sender is held back, nothing is
//! kept in the hub's memory, and then every byte arrives.

use super::rig::{Star, counts, hello, holds};
use crate::support::wire::{End, pattern, read_to_end};
use serde_json::json;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

const MUCH: usize = 64 << 20;

#[test]
fn an_upstream_that_reads_late_gets_everything() {
    let star = Star::new(&[], "");
    let (client, upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    reads_late(&star, client, &upstream);
    drop(upstream);
    let record = star.record_of(source);
    holds(&record, &json!({"ended": "both_closed", "relay": "splice"}));
    counts(&record, hello().len() + MUCH, 0);
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let star = Star::new(&[], "");
    let (client, upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    reads_late(&star, upstream, &client);
    drop(client);
    let record = star.record_of(source);
    holds(&record, &json!({"ended": "both_closed", "relay": "splice"}));
    counts(&record, hello().len(), MUCH);
}

fn reads_late(star: &Star, sender: TcpStream, receiver: &TcpStream) {
    let data = pattern(5, MUCH);
    let before = star.hub.rss();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sender = &sender;
            sender.write_all(&data).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        thread::sleep(Duration::from_secs(1));
        assert!(!sending.is_finished(), "nothing holds the sender back");
        let grown = star.hub.rss().saturating_sub(before);
        assert!(grown < 4 << 20, "the hub keeps {grown} bytes");
        // While everything stands still, so does the hub.
        let idle = star.hub.cpu_time();
        thread::sleep(Duration::from_secs(1));
        let spent = star.hub.cpu_time() - idle;
        assert!(
            spent <= Duration::from_millis(50),
            "{spent:?} of CPU in 1 s"
        );
        let (got, end) = read_to_end(receiver);
        assert_eq!(end, End::Fin);
        assert!(got == data, "{} of {MUCH} bytes, or others", got.len());
    });
}
