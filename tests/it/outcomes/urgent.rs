//! One urgent byte (MSG_OOB) before the hello, inside it, and inside bulk: every other byte
//! arrives, and nothing spins.

use super::rig::{Star, counts, hello, holds};
use crate::support::wire::{End, connect, pattern, read_exactly, read_to_end, send_urgent};
use serde_json::json;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

const MARK: u8 = b'!';

#[test]
fn around_the_hello() {
    let star = Star::new(&[], "");
    for at in [0, 3, 40, hello().len() - 1, hello().len()] {
        let (before, after) = (&hello()[..at], &hello()[at..]);
        let mut client = connect(star.hub.addr());
        let source = client.local_addr().unwrap();
        client.write_all(before).unwrap();
        send_urgent(&client, MARK);
        // What comes at once could be read in one piece with it.
        thread::sleep(Duration::from_millis(50));
        client.write_all(after).unwrap();
        client.write_all(b"and more").unwrap();
        let upstream = star.upstream.accept();
        let wanted = [hello().as_slice(), b"and more"].concat();
        assert_eq!(
            read_exactly(&upstream, wanted.len()),
            wanted,
            "mark at {at}"
        );
        drop(client);
        assert_eq!(
            read_to_end(&upstream),
            (Vec::new(), End::Fin),
            "mark at {at}"
        );
        drop(upstream);
        let record = star.record_of(source);
        holds(&record, &json!({"ended": "both_closed"}));
        counts(&record, wanted.len(), 0);
    }
}

/// What lies behind a mark that was read with the hello, and after which nothing comes, is found
/// when the relay looks.
#[test]
fn behind_the_hello_and_then_silence() {
    let star = Star::new(&[], "");
    let clients: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut client = connect(star.hub.addr());
            client.write_all(&hello()).unwrap();
            send_urgent(&client, MARK);
            client.write_all(b"and more").unwrap();
            client
        })
        .collect();
    let wanted = [hello().as_slice(), b"and more"].concat();
    for _ in &clients {
        let upstream = star.upstream.accept();
        assert_eq!(read_exactly(&upstream, wanted.len()), wanted);
    }
}

#[test]
fn inside_bulk_of_the_client() {
    let star = Star::new(&[], "");
    let (client, upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    let moved = bulk_with_marks(&star, client, &upstream);
    drop(upstream);
    counts(&star.record_of(source), hello().len() + moved, 0);
}

#[test]
fn inside_bulk_of_the_upstream() {
    let star = Star::new(&[], "");
    let (client, upstream) = star.tunnel();
    let source = client.local_addr().unwrap();
    let moved = bulk_with_marks(&star, upstream, &client);
    drop(client);
    counts(&star.record_of(source), hello().len(), moved);
}

/// Bulk, a mark, bulk, a pause at the mark, and a mark right before FIN.
fn bulk_with_marks(star: &Star, sender: TcpStream, receiver: &TcpStream) -> usize {
    const PIECE: usize = 4 << 20;
    let pieces: Vec<Vec<u8>> = (10..13).map(|seed| pattern(seed, PIECE)).collect();
    let sending = pieces.clone();
    let whole = pieces.concat();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = &sender;
            for piece in &sending {
                sender.write_all(piece).unwrap();
                send_urgent(sender, MARK);
                thread::sleep(Duration::from_millis(200));
            }
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let (got, end) = read_to_end(receiver);
        assert_eq!(end, End::Fin);
        assert!(
            got == whole,
            "{} of {} bytes, or others",
            got.len(),
            whole.len()
        );
    });
    let before = star.hub.cpu_time();
    thread::sleep(Duration::from_millis(500));
    let spent = star.hub.cpu_time() - before;
    assert!(
        spent <= Duration::from_millis(30),
        "{spent:?} of CPU at rest"
    );
    whole.len()
}
