//! A receiver that stands still holds the sender back, costs no wake-ups, and later gets all.

use super::rig::*;
use snihub::tunnel::{Ended, Relay};
use std::io::Write;
use std::time::Duration;

#[test]
fn back_pressure_reaches_the_sender_and_nothing_is_lost() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (mut sender, receiver) = rig.ends(way);
            let mut sent = Pattern::new(11);
            // Until no write has gone through for half a second: all buffers are full.
            sender
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let mut total = 0;
            loop {
                let mut ahead = sent.clone();
                match sender.write(ahead.next(1 << 16)) {
                    Ok(n) => total += sent.next(n).len(),
                    Err(error) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                        break;
                    }
                }
                assert!(total < 256 << 20, "the sender is never held back");
            }
            // Nothing moves, so nobody wakes (but to look, which moves nothing and is not counted).
            let before = rig.counters();
            std::thread::sleep(Duration::from_millis(300));
            let after = rig.counters();
            assert_eq!(after.wake_ups, before.wake_ups, "woken with nothing to do");
            assert_eq!(after.pipes_lent + after.slabs_lent, 1, "one thing is held");
            // By splice a pipe, or a slab where the last piece came by the `recv` of a probe.
            assert!(after.pipes_lent == 0 || mode == SPLICE);

            fin(sender);
            receive(receiver, &mut Pattern::new(11), total);
            expect_fin(receiver);
            fin(receiver);
            let (transfer, _) = rig.transfer();
            assert_eq!(transfer.ended, Ended::BothClosed);
            assert_eq!(
                transfer.client_to_upstream + transfer.upstream_to_client,
                total as u64
            );
            assert_eq!(transfer.relay != Relay::Copy, mode == SPLICE);
        }
    }
}
