//! Every byte arrives, in order, both ways at once; both counts are right; big data is spliced.

use super::rig::*;
use snihub::tunnel::{Ended, Relay, SpliceMode};
use std::time::Duration;

/// One size of stream each way at the same time, in random writes of up to `largest` bytes.
fn both_ways(mode: SpliceMode, sizes: [usize; 2], largest: usize) -> Relay {
    let rig = Rig::new(mode, FOR_EVER);
    std::thread::scope(|scope| {
        for (seed, (way, size)) in WAYS.into_iter().zip(sizes).enumerate() {
            let (sender, receiver) = rig.ends(way);
            scope.spawn(move || {
                send(sender, &mut Pattern::new(seed as u64 + 7), size, largest);
                fin(sender);
            });
            scope.spawn(move || {
                receive(receiver, &mut Pattern::new(seed as u64 + 7), size);
                expect_fin(receiver);
            });
        }
    });
    let (transfer, _) = rig.transfer();
    assert_eq!(transfer.client_to_upstream, sizes[0] as u64);
    assert_eq!(transfer.upstream_to_client, sizes[1] as u64);
    assert_eq!(transfer.ended, Ended::BothClosed);
    transfer.relay
}

#[test]
fn bulk_is_spliced_and_whole() {
    let sizes = [96 << 20, 64 << 20];
    let Relay::Splice { bytes } = both_ways(SPLICE, sizes, 1 << 20) else {
        panic!("not one byte was spliced");
    };
    let all = (sizes[0] + sizes[1]) as u64;
    assert!(bytes > all / 2, "only {bytes} of {all} bytes were spliced");
}

/// Links are opened long before they get fat: the looks in between change nothing.
#[test]
fn bulk_after_a_look_is_spliced() {
    for way in WAYS {
        let rig = Rig::new(SPLICE, FOR_EVER);
        let (sender, receiver) = rig.ends(way);
        let (mut sent, mut got) = (Pattern::new(3), Pattern::new(3));
        send(sender, &mut sent, 500, 100);
        receive(receiver, &mut got, 500);
        // The relay looks within 5 s.
        std::thread::sleep(Duration::from_millis(5_600));
        let size = 16 << 20;
        std::thread::scope(|scope| {
            scope.spawn(|| send(sender, &mut sent, size, 1 << 20));
            receive(receiver, &mut got, size);
        });
        fin(sender);
        expect_fin(receiver);
        fin(receiver);
        let relay = rig.transfer().0.relay;
        assert!(relay.spliced() > size as u64 / 2, "{way:?}: {relay:?}");
    }
}

#[test]
fn bulk_is_copied_and_whole_without_splice() {
    assert_eq!(both_ways(COPY, [48 << 20, 32 << 20], 1 << 20), Relay::Copy);
}

#[test]
fn mixed_sizes_change_the_mode_and_lose_nothing() {
    let relay = both_ways(SPLICE, [24 << 20, 24 << 20], 40_000);
    assert!(matches!(relay, Relay::Splice { .. }));
    both_ways(COPY, [8 << 20, 8 << 20], 40_000);
}

#[test]
fn small_pieces_are_copied_in_either_mode() {
    for mode in [SPLICE, COPY] {
        let rig = Rig::new(mode, FOR_EVER);
        for way in WAYS {
            let (sender, receiver) = rig.ends(way);
            let (mut sent, mut got) = (Pattern::new(3), Pattern::new(3));
            for size in (1..=2_000).step_by(7) {
                send(sender, &mut sent, size, size);
                receive(receiver, &mut got, size);
            }
        }
        fin(&rig.client);
        fin(&rig.upstream);
        let (transfer, counters) = rig.transfer();
        assert_eq!(transfer.relay, Relay::Copy);
        assert_eq!(counters.splice_fallbacks, 0);
    }
}

#[test]
fn an_empty_tunnel_closes_cleanly() {
    both_ways(SPLICE, [0, 0], 1);
    both_ways(COPY, [1, 0], 1);
    both_ways(SPLICE, [0, 1], 1);
}
