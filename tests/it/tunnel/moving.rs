//! A fat tunnel changes its worker: nothing is lost, counted twice or ended; on its way it is never
//! a clean end.

use super::rig::*;
use snihub::tunnel::{Ended, Relay, SpliceMode};
use std::io::{Read, Write};

const BYTES: usize = 256 << 20;

fn moves_in_the_middle(mode: SpliceMode, way: Way) -> Relay {
    let rig = Rig::new(mode, FOR_EVER);
    let (sender, receiver) = rig.ends(way);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(sender, &mut Pattern::new(5), BYTES, 1 << 20);
            fin(sender);
        });
        scope.spawn(|| {
            receive(receiver, &mut Pattern::new(5), BYTES);
            expect_fin(receiver);
            // The other direction is as open as it was.
            send(receiver, &mut Pattern::new(6), 1_000, 1_000);
            receive(sender, &mut Pattern::new(6), 1_000);
            fin(receiver);
        });
        rig.moves(true);
    });
    let (transfer, _) = rig.transfer();
    let there = BYTES as u64;
    let counts = match way {
        Way::ClientToUpstream => (there, 1_000),
        Way::UpstreamToClient => (1_000, there),
    };
    assert_eq!(
        (transfer.client_to_upstream, transfer.upstream_to_client),
        counts
    );
    assert_eq!(transfer.ended, Ended::BothClosed);
    transfer.relay
}

#[test]
fn every_byte_arrives_and_counts_once() {
    for way in WAYS {
        let Relay::Splice { bytes } = moves_in_the_middle(SPLICE, way) else {
            panic!("not one byte was spliced");
        };
        assert!(
            bytes > BYTES as u64 / 2 && bytes <= BYTES as u64,
            "{bytes} were spliced"
        );
        assert_eq!(moves_in_the_middle(COPY, way), Relay::Copy);
    }
}

#[test]
fn dropped_on_its_way_both_peers_get_rst() {
    let rig = Rig::new(SPLICE, FOR_EVER);
    let (mut client, upstream) = (
        rig.client.try_clone().unwrap(),
        rig.upstream.try_clone().unwrap(),
    );
    let sending = std::thread::spawn(move || {
        let block = vec![1; 1 << 20];
        while client.write_all(&block).is_ok() {}
        client
    });
    let receiving = std::thread::spawn(move || expect_rst(&upstream));
    rig.moves(false);
    receiving.join().unwrap();
    // The error may have been told to the write.
    let mut client = sending.join().unwrap();
    assert!(
        !matches!(client.read(&mut [0]), Ok(1..)),
        "bytes that nobody sent"
    );
    rig.aborted();
}
