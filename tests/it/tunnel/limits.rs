//! Idle, half-open and write-stall limits end a tunnel by RST, each with its own reason, and only
//! when it applies.

use super::rig::*;
use snihub::tunnel::{Ended, Limits};
use std::io::Write;
use std::time::Duration;

const SHORT: Option<Duration> = Some(Duration::from_millis(300));

#[test]
fn idle() {
    let rig = Rig::new(
        SPLICE,
        Limits {
            idle: SHORT,
            ..FOR_EVER
        },
    );
    send(&rig.client, &mut Pattern::new(1), 100, 100);
    receive(&rig.upstream, &mut Pattern::new(1), 100);
    assert_eq!(expect_rst(&rig.client), 0);
    assert_eq!(expect_rst(&rig.upstream), 0);
    let (transfer, _) = rig.transfer();
    assert_eq!(transfer.ended, Ended::Idle);
    assert_eq!(transfer.client_to_upstream, 100);
}

#[test]
fn half_open() {
    for way in WAYS {
        let rig = Rig::new(
            SPLICE,
            Limits {
                half_open: SHORT,
                ..FOR_EVER
            },
        );
        let (closed, open) = rig.ends(way);
        fin(closed);
        expect_fin(open);
        assert_eq!(expect_rst(closed), 0);
        assert_eq!(rig.transfer().0.ended, Ended::HalfOpen);
    }
}

#[test]
fn write_stall() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(
                mode,
                Limits {
                    write_stall: SHORT,
                    ..FOR_EVER
                },
            );
            let (mut sender, receiver) = rig.ends(way);
            let block = vec![7; 1 << 20];
            while sender.write(&block).is_ok() {}
            expect_rst(receiver);
            assert_eq!(rig.transfer().0.ended, Ended::WriteStalled);
        }
    }
}

/// A tunnel that only waits is not stalled, and one that is open both ways is not half open.
#[test]
fn limits_that_do_not_apply_end_nothing() {
    let rig = Rig::new(
        SPLICE,
        Limits {
            idle: None,
            half_open: SHORT,
            write_stall: SHORT,
        },
    );
    // Many of its limits long; the ticks in between wake nobody.
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(rig.counters().wake_ups <= 2);
    send(&rig.client, &mut Pattern::new(1), 100, 100);
    receive(&rig.upstream, &mut Pattern::new(1), 100);
    fin(&rig.client);
    fin(&rig.upstream);
    assert_eq!(rig.transfer().0.ended, Ended::BothClosed);
}
