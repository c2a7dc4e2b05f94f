//! FIN of one side reaches the other after every byte, and the other direction goes on.

use super::rig::{NAME, Star, counts, hello, holds};
use crate::support::wire::{End, pattern, read_exactly, read_to_end};
use serde_json::json;
use std::io::Write;
use std::net::Shutdown;
use std::thread;

/// Enough to fill every buffer on the way.
const MUCH: usize = 12 << 20;

#[test]
fn a_client_that_is_done_still_gets_its_answer() {
    let star = Star::new(&[], "");
    let (mut client, mut upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    let (question, answer) = (pattern(1, 1000), pattern(2, MUCH));
    client.write_all(&question).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // Nothing is sent back before the upstream has seen the end.
    assert_eq!(read_to_end(&upstream), (question, End::Fin));
    let sending = answer.clone();
    let sender = thread::spawn(move || upstream.write_all(&sending).unwrap());
    let (got, end) = read_to_end(&client);
    sender.join().unwrap();
    assert_eq!(end, End::Fin);
    assert!(got == answer, "{} of {MUCH} bytes", got.len());
    let record = star.record_of(source);
    holds(
        &record,
        &json!({
            "ended": "both_closed", "by": "both", "why": "both sides closed", "name": NAME,
            "route": NAME, "upstream": star.upstream.addr().to_string(), "relay": "splice",
            "level": "INFO",
        }),
    );
    counts(&record, hello().len() + 1000, MUCH);
    // The question was copied, and so is the beginning of the answer.
    let spliced = record["spliced"].as_u64().unwrap() as usize;
    assert!(
        (MUCH / 2..=MUCH).contains(&spliced),
        "{spliced} of {MUCH} bytes"
    );
}

#[test]
fn an_upstream_that_is_done_still_gets_what_the_client_sends() {
    let star = Star::new(&[], "");
    let (mut client, mut upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    upstream.write_all(b"that is all").unwrap();
    upstream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client), (b"that is all".to_vec(), End::Fin));
    let data = pattern(3, MUCH);
    let sending = data.clone();
    let sender = thread::spawn(move || {
        client.write_all(&sending).unwrap();
    });
    let got = read_exactly(&upstream, MUCH);
    sender.join().unwrap();
    assert!(got == data);
    assert_eq!(read_to_end(&upstream), (Vec::new(), End::Fin));
    drop(upstream);
    let record = star.record_of(source);
    holds(&record, &json!({"ended": "both_closed", "name": NAME}));
    counts(&record, hello().len() + MUCH, 11);
}
