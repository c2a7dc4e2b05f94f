//! One urgent byte (MSG_OOB) stops `splice` at its mark. Every other byte still arrives, FIN comes
//! after the last, and nothing spins.

use super::rig::*;
use rustix::net::SendFlags;
use snihub::tunnel::{Ended, Relay, SpliceMode};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

/// The urgent byte: in no pattern, so that the receiver can tell it (the relay may drop it or, if
/// a second mark came before it was read, pass it on).
const URGENT: u8 = 0xFF;

fn mark(stream: &TcpStream) {
    assert_eq!(rustix::net::send(stream, &[URGENT], SendFlags::OOB), Ok(1));
}

/// Receives until FIN, leaves out urgent bytes, compares.
fn receive_all(mut from: &TcpStream, mut pattern: Pattern) -> usize {
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        let n = from.read(&mut buffer).expect("bytes or FIN");
        if n == 0 {
            return total;
        }
        let plain: Vec<u8> = buffer[..n]
            .iter()
            .copied()
            .filter(|byte| *byte != URGENT)
            .collect();
        pattern.check(&plain);
        total += plain.len();
    }
}

fn does_not_spin(rig: &Rig) {
    let before = rig.counters().wake_ups;
    std::thread::sleep(Duration::from_millis(200));
    let woken = rig.counters().wake_ups - before;
    assert_eq!(woken, 0, "the relay spins on an urgent mark");
}

/// 201,500 bytes (after `before` that make the direction bulk), a mark after each of `marks`.
fn around_marks(mode: SpliceMode, way: Way, before: usize, marks: &[usize], pause: bool) -> Relay {
    const TOTAL: usize = 201_500;
    let rig = Rig::new(mode, FOR_EVER);
    let (sender, receiver) = rig.ends(way);
    let (mut sent, got) = (Pattern::new(21), Pattern::new(21));
    std::thread::scope(|scope| {
        let reader = scope.spawn({
            let got = Pattern::new(21);
            move || receive_all(receiver, got)
        });
        drop(got);
        send(sender, &mut sent, before, 1 << 18);
        let mut done = 0;
        for &at in marks {
            send(sender, &mut sent, at - done, 1 << 20);
            done = at;
            if pause {
                std::thread::sleep(Duration::from_millis(20));
            }
            mark(sender);
            if pause {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        send(sender, &mut sent, TOTAL - done, 1 << 20);
        fin(sender);
        assert_eq!(
            reader.join().unwrap(),
            before + TOTAL,
            "{mode:?} {way:?} {marks:?}"
        );
    });
    // All is through, the other direction waits.
    does_not_spin(&rig);
    fin(receiver);
    expect_fin(sender);
    let (transfer, counters) = rig.transfer();
    assert_eq!(transfer.ended, Ended::BothClosed);
    assert!(counters.wake_ups < 20_000, "{} wake-ups", counters.wake_ups);
    transfer.relay
}

const WHERE: [&[usize]; 5] = [
    &[0],
    &[500, 100_500],
    &[70_000, 140_000],
    &[201_499, 201_500],
    &[0, 1, 2, 201_500],
];

#[test]
fn in_small_mode() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            for marks in WHERE {
                for pause in [false, true] {
                    around_marks(mode, way, 0, marks, pause);
                }
            }
        }
    }
}

#[test]
fn in_bulk_mode() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            for marks in WHERE {
                for pause in [false, true] {
                    let relay = around_marks(mode, way, 8 << 20, marks, pause);
                    assert_eq!(relay != Relay::Copy, mode == SPLICE);
                }
            }
        }
    }
}

/// A mark with bytes behind it and then silence: what lies behind arrives without a further event.
/// The first time when the relay looks, seconds later, and from then on at once.
#[test]
fn bytes_behind_a_mark_do_not_wait_for_the_next_ones() {
    for way in WAYS {
        for warm in [0, 8 << 20] {
            let rig = Rig::new(SPLICE, FOR_EVER);
            let (sender, receiver) = rig.ends(way);
            let (mut sent, mut got) = (Pattern::new(4), Pattern::new(4));
            std::thread::scope(|scope| {
                scope.spawn(|| send(sender, &mut sent, warm, 1 << 20));
                receive(receiver, &mut got, warm);
            });
            let mut sent = got.clone();
            for _ in 0..50 {
                send(sender, &mut sent, 300, 300);
                mark(sender);
                send(sender, &mut sent, 40_000, 40_000);
                receive(receiver, &mut got, 40_300);
            }
            does_not_spin(&rig);
            fin(sender);
            expect_fin(receiver);
            fin(receiver);
            assert_eq!(rig.transfer().0.ended, Ended::BothClosed);
        }
    }
}
