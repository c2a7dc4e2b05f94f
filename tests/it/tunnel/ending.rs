//! A tunnel that is ended from outside, or dropped, resets both peers and says why.

use super::rig::*;
use snihub::tunnel::{Ended, Relay};

#[test]
fn end_resets_both_and_is_the_reason() {
    for (mode, why) in [
        (SPLICE, Ended::Drained),
        (COPY, Ended::RouteRemoved),
        (SPLICE, Ended::Killed),
    ] {
        let rig = Rig::new(mode, FOR_EVER);
        let (client, upstream) = (
            rig.client.try_clone().unwrap(),
            rig.upstream.try_clone().unwrap(),
        );
        send(&client, &mut Pattern::new(1), 300_000, 300_000);
        receive(&upstream, &mut Pattern::new(1), 300_000);
        rig.end(why);
        // The first reason stays.
        rig.end(Ended::Idle);
        assert_eq!(expect_rst(&client), 0);
        assert_eq!(expect_rst(&upstream), 0);
        let (transfer, _) = rig.transfer();
        assert_eq!(transfer.ended, why);
        assert_eq!(
            (transfer.client_to_upstream, transfer.upstream_to_client),
            (300_000, 0)
        );
    }
}

#[test]
fn end_in_full_flood_is_no_clean_end() {
    for mode in [SPLICE, COPY] {
        for way in WAYS {
            let rig = Rig::new(mode, FOR_EVER);
            let (sender, receiver) = rig.ends(way);
            let (sender, receiver) = (sender.try_clone().unwrap(), receiver.try_clone().unwrap());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    use std::io::Write;
                    let block = vec![7; 1 << 20];
                    while (&sender).write(&block).is_ok() {}
                });
                receive_any(&receiver, 8 << 20);
                rig.end(Ended::Killed);
                expect_rst(&receiver);
            });
            let (transfer, _) = rig.transfer();
            assert_eq!(transfer.ended, Ended::Killed);
            assert_eq!(transfer.relay != Relay::Copy, mode == SPLICE);
        }
    }
}

/// A dropped relay (an aborted or panicking session) leaves no clean FIN behind.
#[test]
fn a_dropped_relay_resets_both() {
    for mode in [SPLICE, COPY] {
        let rig = Rig::new(mode, FOR_EVER);
        send(&rig.client, &mut Pattern::new(1), 300_000, 300_000);
        receive(&rig.upstream, &mut Pattern::new(1), 300_000);
        rig.abort();
        let (client, upstream) = rig.aborted();
        assert_eq!(expect_rst(&client), 0);
        assert_eq!(expect_rst(&upstream), 0);
    }
}

fn receive_any(mut from: &std::net::TcpStream, count: usize) {
    let mut buffer = vec![0; count];
    std::io::Read::read_exact(&mut from, &mut buffer).unwrap();
}
