//! The upstream's socket gets keepalive when the tunnel has stood for a moment.

use super::rig::pair;
use crate::support::hub::{Hub, Options, PATIENCE};
use crate::support::party::{Link, Party};
use rustix::net::sockopt::{socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl};
use snihub::net::sockopt::Keepalive;
use snihub::tunnel::{Handle, Limits, Pools, SpliceMode, relay};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};

#[test]
fn a_tunnel_that_stands_has_keepalive_at_its_upstream() {
    let (client, upstream) = (pair(), pair());
    let keepalive = Keepalive {
        idle: Duration::from_secs(7),
        probes: 4,
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.unwrap().block_on(async {
        let pools = Pools::new(SpliceMode::Splice, 2);
        pools.set_keepalive(Some(keepalive));
        let inner = [client.1, upstream.1].map(|stream| {
            stream.set_nonblocking(true).unwrap();
            tokio::net::TcpStream::from_std(stream).unwrap()
        });
        let [client, upstream] = inner;
        let handle = Handle::new();
        let tunnel = relay(
            client,
            upstream,
            Limits::default(),
            Rc::clone(&pools),
            Rc::clone(&handle),
        );
        let tunnel = tokio::task::spawn_local(tunnel);
        let has_it = || {
            handle
                .with_sockets(|[_, upstream]| socket_keepalive(upstream).unwrap())
                .unwrap()
        };
        assert!(!has_it(), "not yet");
        let began = Instant::now();
        // Nothing moves: the wheel alone wakes the tunnel.
        while !has_it() {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(50)).await;
            pools.tick();
        }
        handle.with_sockets(|[_, upstream]| {
            assert_eq!(tcp_keepidle(upstream).unwrap(), keepalive.idle);
            assert_eq!(tcp_keepintvl(upstream).unwrap(), keepalive.idle);
            assert_eq!(tcp_keepcnt(upstream).unwrap(), keepalive.probes);
        });
        tunnel.abort();
    });
}

/// The timer of the socket that is connected to this port of 127.0.0.1, as proc(5) numbers it; 2: keepalive.
fn timer_towards(port: u16) -> Option<String> {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{port:04X}");
    let mut fields = sockets.lines().map(|line| line.split_ascii_whitespace());
    let mut of_it = fields.find_map(|mut all| (all.nth(2)? == remote).then_some(all))?;
    // State, queues; then the timer and when it is due.
    Some(of_it.nth(2)?[..2].to_owned())
}

#[test]
fn the_hub_s_tunnels_have_it_by_hub_yaml() {
    for (settings, wanted) in [
        ("keepalive: {interval: 30s, probes: 2}", "02"),
        ("keepalive: off", "00"),
    ] {
        let party = Party::start(b'a');
        let options = Options::routes(format!("sni:\n{}", party.entry("a.example")));
        let hub = Hub::start(options.settings(settings));
        let _link = Link::open(hub.addr(), "a.example", party).unwrap();
        let timer = || timer_towards(party.addr.port());
        let began = Instant::now();
        // The first look comes within five seconds and a tick.
        while began.elapsed() < Duration::from_secs(7) || timer().as_deref() != Some(wanted) {
            assert!(began.elapsed() < PATIENCE, "{settings}: {:?}", timer());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
