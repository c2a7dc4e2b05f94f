//! Work is spread over the workers: connections on their way to a tunnel when they are accepted, fat
//! tunnels when they get fat.

use crate::support::hub::{Hub, Options};
use crate::support::party::{Link, Party};
use crate::tunnel::rig::{Pattern, receive, send};
use rustix::process::Signal;
use std::cell::Cell;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const WORKERS: u64 = 2;

/// The worker of a record's session, by its id.
fn worker(record: &serde_json::Value) -> u64 {
    u64::from_str_radix(record["session"].as_str().unwrap(), 16).unwrap() % WORKERS
}

/// The kernel alone spreads by chance: that none of these times differs by more than 8 happens once in 30.
#[test]
fn those_on_their_way_to_a_tunnel_are_spread_evenly() {
    const CLIENTS: usize = 200;
    let party = Party::start(b'a');
    let routes = format!("sni:\n{}", party.entry("a.example"));
    let hub = Hub::start(Options::routes(routes).settings(format!(
        "workers: {WORKERS}\nlimits: {{pending_hellos_per_source: {}}}",
        2 * CLIENTS
    )));
    for _ in 0..4 {
        let mark = hub.mark();
        let silent: Vec<_> = (0..CLIENTS)
            .map(|_| TcpStream::connect(hub.addr()).unwrap())
            .collect();
        // Of as many as these some came behind them in each worker's queue: they have been accepted.
        for _ in 0..16 {
            Link::open(hub.addr(), "a.example", party).unwrap();
        }
        for mut client in &silent {
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        }
        let refused = [Cell::new(0), Cell::new(0)];
        hub.wait_line_after(mark, "the last refusal", |record| {
            if record["ended"] == "not_tls" {
                let of_worker = &refused[worker(record) as usize];
                of_worker.set(of_worker.get() + 1);
            }
            refused.iter().map(Cell::get).sum::<usize>() == CLIENTS
        });
        let [one, other] = refused.each_ref().map(Cell::get);
        assert!(one.abs_diff(other) <= 8, "{one} and {other}");
    }
}

/// Three links, of which two are on one worker: their sessions' ids say which one.
fn two_on_one_worker(hub: &Hub, party: Party) -> Vec<(String, Link)> {
    let links: Vec<_> = (0..=WORKERS)
        .map(|n| {
            let name = format!("{n}.a.example");
            let link = Link::open(hub.addr(), &name, party).unwrap();
            let opened = hub.wait_line("opened", |line| {
                line["message"] == "opened" && line["name"] == name
            });
            let session = opened["session"].as_str().unwrap().to_owned();
            (worker(&opened), session, link)
        })
        .collect();
    let twice =
        (0..WORKERS).find(|worker| links.iter().filter(|link| link.0 == *worker).count() > 1);
    links
        .into_iter()
        .filter(|link| Some(link.0) == twice)
        .take(2)
        .map(|link| (link.1, link.2))
        .collect()
}

/// Floods the link in steps until `over`; the bytes that went round.
fn flood(link: &Link, over: &AtomicBool) -> u64 {
    let (mut sent, mut got, mut bytes) = (Pattern::new(3), Pattern::new(3), 0);
    while !over.load(Relaxed) {
        const STEP: usize = 16 << 20;
        std::thread::scope(|scope| {
            scope.spawn(|| send(link.stream(), &mut sent, STEP, 1 << 20));
            receive(link.stream(), &mut got, STEP);
        });
        bytes += STEP as u64;
    }
    bytes
}

#[test]
fn a_fat_tunnel_moves_away_from_another() {
    let party = Party::start(b'a');
    let routes = format!("sni:\n{}", party.entry("'*.a.example'"));
    let options = Options::routes(routes).settings(format!("workers: {WORKERS}\ndrain: 0s"));
    let hub = Hub::start(options.argument("--log-level=debug"));
    let links = two_on_one_worker(&hub, party);
    let (over, total) = (AtomicBool::new(false), AtomicU64::new(0));
    let moved = std::thread::scope(|scope| {
        for (_, link) in &links {
            scope.spawn(|| total.fetch_add(flood(link, &over), Relaxed));
        }
        let moved = hub.wait_line("moved", |line| {
            line["message"]
                .as_str()
                .is_some_and(|m| m.starts_with("moved"))
        });
        // It goes on for a while, and does not move again.
        std::thread::sleep(std::time::Duration::from_secs(1));
        over.store(true, Relaxed);
        moved
    });
    assert!(
        links
            .iter()
            .any(|(session, _)| moved["session"] == session.as_str())
    );
    let lines = |message: &str| {
        let about = |line: &serde_json::Value| {
            line["message"]
                .as_str()
                .is_some_and(|m| m.starts_with(message))
        };
        hub.lines().into_iter().filter(about).collect::<Vec<_>>()
    };
    assert_eq!(lines("moved").len(), 1, "{:?}", lines("moved"));
    let own = |record: &serde_json::Value| {
        links
            .iter()
            .any(|(session, _)| record["session"] == session.as_str())
    };
    assert!(!lines("closed").iter().any(own), "{:?}", lines("closed"));
    // The worker that it moved to ends it, and tells all of it.
    hub.signal(Signal::TERM);
    assert!(hub.wait_exit().success());
    let records = lines("closed");
    let mut back = 0;
    for (session, _) in &links {
        let own: Vec<_> = records
            .iter()
            .filter(|record| record["session"] == session.as_str())
            .collect();
        let [record] = own[..] else { panic!("{own:?}") };
        assert_eq!(record["ended"], "drained");
        // The party's mark comes back as well.
        assert_eq!(
            record["upstream_to_client"].as_u64(),
            record["client_to_upstream"].as_u64().map(|n| n + 1)
        );
        back += record["client_to_upstream"].as_u64().unwrap();
    }
    let hellos = back - total.load(Relaxed);
    assert!(
        (1..2_000).contains(&hellos),
        "{back} bytes in the records, {total:?} were sent"
    );
    let stopped = lines("stopped");
    assert_eq!(stopped[0]["opened"], 3, "{stopped:?}");
}
