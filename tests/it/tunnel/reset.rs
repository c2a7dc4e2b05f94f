//! RST is passed on as RST, and the record says whose it was.

use super::rig::*;
use snihub::tunnel::{Ended, Relay};

fn resetter(way: Way) -> Ended {
    match way {
        Way::ClientToUpstream => Ended::ClientReset,
        Way::UpstreamToClient => Ended::UpstreamReset,
    }
}

fn ends(rig: &Rig, way: Way) -> (std::net::TcpStream, std::net::TcpStream) {
    let (one, other) = rig.ends(way);
    (one.try_clone().unwrap(), other.try_clone().unwrap())
}

/// Resets a socket of which the rig holds a copy, so that closing it would not.
fn abort_socket(stream: &std::net::TcpStream) {
    // connect(AF_UNSPEC) is a reset whatever copies exist.
    rustix::net::connect_unspec(stream).expect("disconnect");
}

#[test]
fn a_reset_at_rest_reaches_the_other_side() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (one, other) = ends(&rig, way);
            send(&one, &mut Pattern::new(1), 1_000, 1_000);
            receive(&other, &mut Pattern::new(1), 1_000);
            abort_socket(&one);
            assert_eq!(expect_rst(&other), 0);
            assert_eq!(rig.transfer().0.ended, resetter(way));
        }
    }
}

#[test]
fn a_reset_in_mid_stream_is_no_clean_end() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (one, other) = ends(&rig, way);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    send(&one, &mut Pattern::new(1), 16 << 20, 1 << 20);
                    abort_socket(&one);
                });
                let got = expect_rst(&other);
                assert!(got <= 16 << 20);
            });
            let (transfer, _) = rig.transfer();
            assert_eq!(transfer.ended, resetter(way));
            assert_eq!(transfer.relay != Relay::Copy, mode == SPLICE);
        }
    }
}

/// The receiver resets while the sender floods: the sender learns it by RST.
#[test]
fn a_reset_of_the_receiver_reaches_the_sender() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (receiver, sender) = ends(&rig, way);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    use std::io::Write;
                    let block = vec![7; 1 << 20];
                    while (&sender).write(&block).is_ok() {}
                });
                let mut first = vec![0; 4 << 20];
                std::io::Read::read_exact(&mut (&receiver), &mut first).unwrap();
                abort_socket(&receiver);
            });
            let (transfer, _) = rig.transfer();
            assert_eq!(transfer.ended, resetter(way));
            assert_eq!(transfer.relay != Relay::Copy, mode == SPLICE);
        }
    }
}

/// One direction is over and nobody reads its source any more: an RST from there is still seen.
#[test]
fn a_reset_after_fin_is_seen_without_traffic() {
    for way in WAYS {
        let rig = Rig::new(SPLICE, FOR_EVER);
        let (one, other) = ends(&rig, way);
        fin(&one);
        expect_fin(&other);
        abort_socket(&one);
        // The kernel's edge wakes no relay that waits for nothing there: the wheel does, in 5 s.
        assert_eq!(rig.transfer().0.ended, resetter(way));
        let told = other.take_error().unwrap().expect("an RST after the FIN");
        assert_eq!(told.kind(), std::io::ErrorKind::BrokenPipe, "{told}");
    }
}
