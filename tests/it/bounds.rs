//! Everything that clients can pile up has a bound, and at each bound the hub neither spins nor
//! dies: what is over it waits or is declined, and what is under it is served.

use crate::support::dir::TempDir;
use crate::support::hello::Hello;
use crate::support::hub::{Hub, Options, PATIENCE, limited};
use crate::support::wire::{
    Echo, End, Upstream, call, connect_from, pattern, read_exactly, read_to_end, reset,
};
use serde_json::Value;
use socket2::SockRef;
use std::cell::Cell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "a.example.com";
const OVER_LIMIT: &[u8] = &[21, 3, 3, 0, 2, 2, 80];

/// One route, or two, to the same echo.
fn table(echo: &Echo) -> String {
    let addr = echo.addr();
    format!(
        "sni:\n- fqdn: {NAME}\n  tunnel_route: {addr}\n- fqdn: other.example.com\n  tunnel_route: {addr}\n"
    )
}

fn hello() -> Vec<u8> {
    Hello::named(NAME).wire()
}

fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A client whose hello and `bytes` come back from the echo.
fn is_served(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let wanted = [&hello(), bytes].concat();
    assert!(read_exactly(client, wanted.len()) == wanted);
}

/// Whether something comes within a moment.
fn hears_something(client: &mut TcpStream) -> bool {
    client
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let heard = client.read(&mut [0; 1]);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    match heard {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => panic!("{e}"),
    }
}

fn descriptors(hub: &Hub) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", hub.pid()))
        .unwrap()
        .count()
}

/// Descriptors of a hub whose threads have all begun, which is some time after it listens.
fn settled(hub: &Hub) -> usize {
    let mut before = 0;
    loop {
        let now = descriptors(hub);
        if now == before {
            return now;
        }
        before = now;
        thread::sleep(Duration::from_secs(1));
    }
}

/// CPU of the hub over so long a time: below 5 %.
fn is_at_rest(hub: &Hub, over: Duration) {
    let before = hub.cpu_time();
    thread::sleep(over);
    let spent = hub.cpu_time() - before;
    assert!(spent < over / 20, "{spent:?} of CPU in {over:?}");
}

/// Waits until `count` lines are such.
fn wait_lines(hub: &Hub, count: usize, what: &str, wanted: impl Fn(&Value) -> bool) {
    let seen = Cell::new(0);
    hub.wait_line(&format!("{count} times {what}"), |line| {
        seen.set(seen.get() + usize::from(wanted(line)));
        seen.get() == count
    });
}

/// (64 - 16) / 3 tunnels fit; 40 clients come, are served one after the other, and every byte is
/// right.
#[test]
fn more_clients_than_descriptors_wait_and_are_served() {
    const CLIENTS: usize = 40;
    const FIT: usize = 16;
    let echo = Echo::start();
    let hub = Hub::start(
        Options::routes(table(&echo))
            .settings("workers: 1")
            .nofile(64),
    );
    let addr = hub.addr();
    let (served, serving) = mpsc::channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (leave, leaving) = mpsc::channel();
            let served = served.clone();
            let client = thread::spawn(move || {
                let mut client = call(addr, &hello());
                is_served(&mut client, &pattern(n as u64, 20_000));
                served.send(n).unwrap();
                leaving.recv_timeout(PATIENCE).unwrap();
            });
            (client, leave)
        })
        .collect();
    let mut standing: Vec<usize> = (0..FIT)
        .map(|_| serving.recv_timeout(PATIENCE).unwrap())
        .collect();
    is_at_rest(&hub, Duration::from_secs(2));
    assert!(serving.try_recv().is_err(), "more than {FIT} fit");
    let mut fastest = PATIENCE;
    for _ in FIT..CLIENTS {
        let gone = standing.swap_remove(0);
        let room = Instant::now();
        clients[gone].1.send(()).unwrap();
        standing.push(serving.recv_timeout(PATIENCE).unwrap());
        fastest = fastest.min(room.elapsed());
    }
    assert!(fastest < Duration::from_secs(1), "back after {fastest:?}");
    for n in standing {
        clients[n].1.send(()).unwrap();
    }
    for (client, _) in clients {
        client.join().unwrap();
    }
    wait_lines(&hub, CLIENTS, "closed", |line| {
        line["message"] == "closed" && line["ended"] == "both_closed"
    });
}

/// (120 - 30) / 3 tunnels fit, and (90 - 2 * 30) / 2 pipes beside them: three directions of four
/// find none and copy.
#[test]
fn tunnels_that_stall_leave_descriptors_for_everybody_else() {
    const FIT: usize = 30;
    const MOST: usize = 2 * FIT + 2 * 15;
    let (echo, upstream) = (Echo::start(), Upstream::listen());
    let addr = upstream.addr();
    let routes = table(&echo) + &format!("- fqdn: {STALLS}\n  tunnel_route: {addr}\n");
    let hub = Hub::start(
        Options::routes(&routes)
            .settings("workers: 1\nwrite_stall_timeout: 15m")
            .nofile(120),
    );
    let base = settled(&hub);
    let data = pattern(1, 16 << 20);
    let open = |n| Stalled::open(hub.addr(), &upstream, n * 10_007);
    let mut stalled: Vec<_> = (0..FIT).map(open).collect();
    let mut quiet = 0;
    while quiet < 10 {
        let moved: usize = stalled.iter_mut().map(|tunnel| tunnel.push(&data)).sum();
        quiet = if moved == 0 { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(20));
    }
    let held = descriptors(&hub) - base;
    assert!(held > 2 * FIT, "{held} descriptors: no pipe was lent");
    // A file may be open at this moment for another reason.
    assert!(held <= MOST + 4, "{held} descriptors, {MOST} are right");
    is_at_rest(&hub, Duration::from_secs(1));

    stalled.swap_remove(0).reset();
    let mut good = call(hub.addr(), &hello());
    is_served(&mut good, &pattern(2, 100_000));
    let mark = hub.mark();
    hub.edit_routes(
        &(routes + &format!("- fqdn: new.example.com\n  tunnel_route: {}\n", echo.addr())),
    );
    hub.wait_line_after(mark, "reloaded", |line| message(line) == "reloaded");
    drop(good);
    let named = Hello::named("new.example.com").wire();
    let new = call(hub.addr(), &named);
    assert_eq!(read_exactly(&new, named.len()), named);
    let held = descriptors(&hub) - base;
    assert!(held <= MOST + 4, "{held} descriptors, {MOST} are right");

    for tunnel in stalled {
        tunnel.end_whole(&data);
    }
    wait_lines(&hub, FIT - 1, "closed", |line| {
        line["name"] == STALLS && line["ended"] == "both_closed"
    });
    let paused = |line: &Value| message(line).starts_with("accept on") || line["level"] == "ERROR";
    assert!(!hub.lines().iter().any(paused), "{:?}", hub.lines());

    // With a cap of 45 tunnels their sockets are the whole sum: one pipe is left, the other spare
    // ones are closed.
    drop(new);
    let spare = descriptors(&hub).saturating_sub(base);
    assert!(spare > 10, "{spare} descriptors: no spare pipes");
    hub.replace(
        "hub.yaml",
        "access_log: json\nworkers: 1\nlimits: {tunnels: 45}\n",
    );
    let deadline = Instant::now() + PATIENCE;
    while descriptors(&hub) > base + 4 {
        assert!(Instant::now() < deadline, "{} of {base}", descriptors(&hub));
        thread::sleep(Duration::from_millis(50));
    }
}

const STALLS: &str = "stalls.example.com";

/// A tunnel both of whose peers send and do not read.
struct Stalled {
    /// The client, the upstream.
    peers: [TcpStream; 2],
    sent: [usize; 2],
    /// Where in the data both begin.
    from: usize,
}

impl Stalled {
    fn open(hub: SocketAddr, upstream: &Upstream, from: usize) -> Stalled {
        let hello = Hello::named(STALLS).wire();
        let peers = [call(hub, &hello), upstream.accept()];
        assert_eq!(read_exactly(&peers[1], hello.len()), hello);
        for peer in &peers {
            // What the test queues up itself need not be much.
            SockRef::from(peer).set_send_buffer_size(64 * 1024).unwrap();
            peer.set_nonblocking(true).unwrap();
        }
        let sent = [0; 2];
        Stalled { peers, sent, from }
    }

    /// Sends what the hub takes; how much that was.
    fn push(&mut self, data: &[u8]) -> usize {
        let before: usize = self.sent.iter().sum();
        for (mut peer, sent) in self.peers.iter().zip(&mut self.sent) {
            let rest = &data[self.from + *sent..];
            assert!(!rest.is_empty(), "it does not stall");
            match peer.write(rest) {
                Ok(n) => *sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => panic!("after {sent} bytes: {e}"),
            }
        }
        self.sent.iter().sum::<usize>() - before
    }

    /// Both read at last, and get what the other has sent.
    fn end_whole(self, data: &[u8]) {
        let [to_upstream, to_client] = self.sent;
        for (peer, len) in self.peers.iter().zip([to_client, to_upstream]) {
            peer.set_nonblocking(false).unwrap();
            assert!(read_exactly(peer, len) == data[self.from..][..len]);
        }
    }

    fn reset(self) {
        self.peers.into_iter().for_each(reset);
    }
}

/// A cap above what fits: accept itself finds no descriptor.
#[test]
fn no_descriptor_left_is_a_pause_and_not_the_end() {
    let echo = Echo::start();
    let hub = Hub::start(
        Options::routes(table(&echo))
            .settings("workers: 2\nhello_timeout: 60s\nlimits: {tunnels: 1000}")
            .nofile(64),
    );
    hub.wait_line("the warning", |line| {
        message(line).starts_with("limits.tunnels is 1000, and 64 descriptors")
    });
    settled(&hub);
    let silent: Vec<_> = (0..80).map(|_| connect_from(from(1), hub.addr())).collect();
    hub.wait_line("the pause", |line| {
        message(line).starts_with("accept on") && message(line).contains("raise LimitNOFILE")
    });
    is_at_rest(&hub, Duration::from_secs(2));
    let pauses = hub
        .lines()
        .iter()
        .filter(|line| message(line).starts_with("accept on"))
        .count();
    assert!(pauses <= 2, "{pauses} lines of the same");
    drop(silent);
    let mut client = call(hub.addr(), &hello());
    is_served(&mut client, b"back again");
}

/// Some workers find what they need and others do not: the start fails as a whole.
#[test]
fn a_start_with_too_few_descriptors_ends_and_says_why() {
    let folder = TempDir::new();
    let routes = folder.write("sni.yaml", table(&Echo::start()));
    let config = folder.write("hub.yaml", "workers: 4\nadmin: off");
    let log = folder.path().join("log");
    let ends = (20..=40).filter(|&nofile| {
        let file = fs::File::create(&log).unwrap();
        let mut hub = limited(nofile);
        hub.args(["run", "--listen", "127.0.0.1:0", "--config"]);
        hub.arg(&config).arg("--routes").arg(&routes);
        let mut hub = hub
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = hub.try_wait().unwrap();
            let said = fs::read_to_string(&log).unwrap();
            if let Some(status) = ended {
                assert_eq!(status.code(), Some(71), "{nofile}: {said}");
                assert!(said.contains("descriptors"), "{nofile}: {said}");
                break true;
            }
            let late = Instant::now() > deadline;
            if late || said.contains("listening on ") {
                hub.kill().unwrap();
                hub.wait().unwrap();
                assert!(!late, "{nofile}: neither runs nor ends: {said}");
                break false;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    let ends = ends.count();
    assert!((5..21).contains(&ends), "{ends} of 21 starts failed");
}

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

#[test]
fn thousands_of_silent_clients_leave_room_for_a_good_one() {
    const SILENT: usize = 5000;
    const CAP: usize = 1024;
    assert!(
        snihub::permits::raise_nofile() > SILENT + 500,
        "this test needs more descriptors: ulimit -n"
    );
    let echo = Echo::start();
    let hub = Hub::start(Options::routes(table(&echo)).settings("hello_timeout: 60s"));
    let (base, memory) = (settled(&hub), hub.rss());
    let mut silent: Vec<_> = (0..SILENT)
        .map(|_| connect_from(from(1), hub.addr()))
        .collect();
    let mut client = connect_from(from(2), hub.addr());
    client.write_all(&hello()).unwrap();
    is_served(&mut client, b"from somebody else");
    wait_lines(&hub, SILENT - CAP, "over_limit", |line| {
        line["ended"] == "over_limit"
            && line["why"] == "over the limit limits.pending_hellos_per_source"
    });
    assert_eq!(hub.records().len(), SILENT - CAP);
    let grown = hub.rss().saturating_sub(memory);
    assert!(grown < 24 << 20, "{grown} bytes");
    // Who is declined and does not hang up is not kept.
    let deadline = Instant::now() + PATIENCE;
    while descriptors(&hub) > base + CAP + 20 {
        assert!(
            Instant::now() < deadline,
            "{} descriptors",
            descriptors(&hub)
        );
        thread::sleep(Duration::from_millis(50));
    }
    is_at_rest(&hub, Duration::from_secs(1));
    let (kept, declined): (Vec<_>, Vec<_>) = silent.drain(..).partition(is_pending);
    assert_eq!(kept.len(), CAP);
    for client in declined {
        assert_eq!(read_to_end(&client), (OVER_LIMIT.to_vec(), End::Fin));
    }
}

/// Whether nothing has come so far.
fn is_pending(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let peeked = client.peek(&mut [0; 1]);
    client.set_nonblocking(false).unwrap();
    matches!(peeked, Err(e) if e.kind() == ErrorKind::WouldBlock)
}

#[test]
fn pending_hellos_are_bounded_in_all() {
    const CAP: usize = 20;
    let echo = Echo::start();
    let hub = Hub::start(Options::routes(table(&echo)).settings(
        "workers: 2\nhello_timeout: 60s\nlimits: {pending_hellos: 20, pending_hellos_per_source: 20}",
    ));
    let base = settled(&hub);
    let silent: Vec<_> = (1..=4)
        .flat_map(|last| (0..15).map(move |_| last))
        .map(|last| connect_from(from(last), hub.addr()))
        .collect();
    let mut good = connect_from(from(9), hub.addr());
    good.write_all(&hello()).unwrap();
    assert!(!hears_something(&mut good), "served above the cap");
    let held = descriptors(&hub) - base;
    // One more for each accepting loop, and what the hub opens for itself as it settles.
    assert!((CAP..CAP + 12).contains(&held), "{held} connections");
    assert!(silent.iter().all(is_pending), "nobody is declined");
    assert!(hub.records().is_empty());
    drop(silent);
    is_served(&mut good, b"after all");
}

#[test]
fn tunnels_are_bounded_in_all() {
    let echo = Echo::start();
    let hub =
        Hub::start(Options::routes(table(&echo)).settings("workers: 1\nlimits: {tunnels: 2}"));
    let mut standing: Vec<_> = (0..2).map(|_| call(hub.addr(), &hello())).collect();
    for client in &mut standing {
        is_served(client, b"one of two");
    }
    let mut third = call(hub.addr(), &hello());
    assert!(!hears_something(&mut third), "three of two");
    drop(standing.pop());
    is_served(&mut third, b"in its place");
    is_served_again(&mut standing[0]);
}

fn is_served_again(client: &mut TcpStream) {
    client.write_all(b"still here").unwrap();
    assert_eq!(read_exactly(client, 10), b"still here");
}

#[test]
fn tunnels_are_bounded_by_source() {
    let hub_and_echo = capped("limits: {per_source: 2}");
    let (hub, _echo) = &hub_and_echo;
    let mut standing = two(hub.addr());
    is_declined(hub, from(1), NAME, "over the limit limits.per_source");
    let mut other = connect_from(from(2), hub.addr());
    other.write_all(&hello()).unwrap();
    is_served(&mut other, b"another source");
    room_is_given_back(hub, &mut standing);
}

#[test]
fn tunnels_are_bounded_by_route() {
    let hub_and_echo = capped("limits: {per_route: 2}");
    let (hub, _echo) = &hub_and_echo;
    let mut standing = two(hub.addr());
    is_declined(hub, from(2), NAME, "over the limit limits.per_route");
    let named = Hello::named("other.example.com").wire();
    let other = call(hub.addr(), &named);
    assert_eq!(read_exactly(&other, named.len()), named, "another route");
    room_is_given_back(hub, &mut standing);
}

fn capped(settings: &str) -> (Hub, Echo) {
    let echo = Echo::start();
    let hub = Hub::start(Options::routes(table(&echo)).settings(settings));
    (hub, echo)
}

fn two(hub: SocketAddr) -> Vec<TcpStream> {
    let mut standing: Vec<_> = (0..2).map(|_| call(hub, &hello())).collect();
    for client in &mut standing {
        is_served(client, b"one of two");
    }
    standing
}

fn is_declined(hub: &Hub, source: IpAddr, name: &str, why: &str) {
    let mut client = connect_from(source, hub.addr());
    client.write_all(&hello()).unwrap();
    assert_eq!(read_to_end(&client), (OVER_LIMIT.to_vec(), End::Fin));
    let record = hub.wait_record(why, |record| record["why"] == why);
    assert_eq!(record["ended"], "over_limit");
    assert_eq!(record["name"], name);
    assert_eq!(record["route"], name);
    assert_eq!(record["level"], "WARN");
    assert_eq!(record["source"], client.local_addr().unwrap().to_string());
}

fn room_is_given_back(hub: &Hub, standing: &mut Vec<TcpStream>) {
    let mark = hub.mark();
    drop(standing.pop());
    hub.wait_line_after(mark, "closed", |line| line["ended"] == "both_closed");
    is_served(&mut call(hub.addr(), &hello()), b"in its place");
}
