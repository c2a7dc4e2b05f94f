//! FIN travels alone: after all bytes of its direction, while the other direction keeps running.

use super::rig::*;
use snihub::tunnel::{Ended, Relay};

#[test]
fn the_other_direction_lives_on() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (first, second) = rig.ends(way);
            let size = 5 << 20;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    send(first, &mut Pattern::new(1), size, 1 << 18);
                    fin(first);
                });
                receive(second, &mut Pattern::new(1), size);
                expect_fin(second);
                // The answer comes only after the question was closed.
                scope.spawn(|| {
                    send(second, &mut Pattern::new(2), size, 1 << 18);
                    fin(second);
                });
                receive(first, &mut Pattern::new(2), size);
                expect_fin(first);
            });
            let (transfer, _) = rig.transfer();
            assert_eq!(transfer.ended, Ended::BothClosed);
            assert_eq!(transfer.client_to_upstream, size as u64);
            assert_eq!(transfer.upstream_to_client, size as u64);
            assert_eq!(
                transfer.relay != Relay::Copy,
                mode == SPLICE,
                "{mode:?} {way:?}"
            );
        }
    }
}

#[test]
fn fin_waits_for_bytes_that_a_slow_receiver_has_not_taken() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (sender, receiver) = rig.ends(way);
            let size = 24 << 20;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    send(sender, &mut Pattern::new(5), size, 1 << 20);
                    fin(sender);
                });
                std::thread::sleep(std::time::Duration::from_millis(200));
                receive(receiver, &mut Pattern::new(5), size);
                expect_fin(receiver);
            });
            fin(receiver);
            expect_fin(sender);
            assert_eq!(rig.transfer().0.ended, Ended::BothClosed);
        }
    }
}
