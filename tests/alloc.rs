//! Nothing is allocated once a tunnel stands: 1 GiB in bulk, which `splice` carried, 100,000 round
//! trips of 128 bytes, and a receiver that now and then takes only part of a write, between two peers
//! in another process. The counting allocator sees the whole process, hence a test binary of its own
//! without a harness.
//!
//! Each check is also seen to fail: with one allocation per wake-up, and with splice switched off.

use snihub::tunnel::{Handle, Limits, Pools, Relay, Relaying, SpliceMode, Transfer, relay};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};
use std::alloc::System;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GIB: u64 = 1 << 30;
const ROUND_TRIPS: u64 = 100_000;
const MESSAGE: usize = 128;

/// What the peers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// So many bytes from client to upstream, in writes of 64 KiB.
    Bulk(u64),
    /// The same, copied, to a receiver that halts now and then: the rests of writes are kept.
    Halting(u64),
    /// So many messages each way.
    PingPong(u64),
}

impl Load {
    /// As the other process is told.
    fn words(self) -> (&'static str, u64) {
        match self {
            Load::Bulk(bytes) => ("bulk", bytes),
            Load::Halting(bytes) => ("halting", bytes),
            Load::PingPong(count) => ("ping-pong", count),
        }
    }

    /// Bytes from client to upstream, and back.
    fn bytes(self) -> (u64, u64) {
        match self {
            Load::Bulk(bytes) | Load::Halting(bytes) => (bytes, 0),
            Load::PingPong(count) => (count * MESSAGE as u64, count * MESSAGE as u64),
        }
    }
}

/// What is put in the way, to see the check fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sabotage {
    None,
    Allocate,
    NoSplice,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, port, load, count] = &arguments[..]
        && word == "peers"
    {
        return play(port.parse().unwrap(), load, count.parse().unwrap());
    }
    for load in [
        Load::Bulk(GIB),
        Load::Halting(GIB / 8),
        Load::PingPong(ROUND_TRIPS),
    ] {
        let seen = check(load, Sabotage::None);
        println!("{load:?}: {seen:?}");
        seen.expect("nothing allocated, the right relay");
    }
    for (load, sabotage) in [
        (Load::Bulk(GIB / 8), Sabotage::Allocate),
        (Load::Bulk(GIB / 8), Sabotage::NoSplice),
        (Load::PingPong(5_000), Sabotage::Allocate),
    ] {
        let seen = check(load, sabotage);
        println!("{load:?} with {sabotage:?}: {seen:?}");
        seen.expect_err("the check must see this");
    }
}

/// Runs a load through a relay in this process; `Err` says what was not as promised.
fn check(load: Load, sabotage: Sabotage) -> Result<Transfer, String> {
    let Seen {
        allocated,
        slabs,
        transfer,
    } = carry(load, sabotage);
    if (transfer.client_to_upstream, transfer.upstream_to_client) != load.bytes() {
        return Err(format!("wrong counts: {transfer:?}"));
    }
    // The first slab of each of the two sizes may come late; from then on they are lent again.
    let first = if matches!(load, Load::Halting(_)) {
        2
    } else {
        0
    };
    if allocated.allocations + allocated.reallocations > first {
        return Err(format!("allocated in the steady state: {allocated:?}"));
    }
    match (load, transfer.relay) {
        (Load::Bulk(bytes), Relay::Splice { bytes: spliced }) if spliced > bytes / 10 * 9 => {}
        (Load::Halting(_), Relay::Copy) if slabs > 10 => {}
        (Load::PingPong(_), Relay::Copy) => {}
        _ => {
            return Err(format!(
                "carried by the wrong relay, {slabs} slabs: {transfer:?}"
            ));
        }
    }
    Ok(transfer)
}

/// What a relay did.
struct Seen {
    /// Between its warm-up and its last wake-up.
    allocated: Stats,
    /// Wake-ups after which the rest of a write was kept.
    slabs: u64,
    transfer: Transfer,
}

fn carry(load: Load, sabotage: Sabotage) -> Seen {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (word, count) = load.words();
    let mut peers = Command::new(std::env::current_exe().unwrap())
        .args(["peers", &port, word, &count.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (client, _) = listener.accept().unwrap();
    let (upstream, _) = listener.accept().unwrap();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let result = runtime.unwrap().block_on(async {
        let mode = match (load, sabotage) {
            (Load::Halting(_), _) | (_, Sabotage::NoSplice) => {
                SpliceMode::Copy("switched off by the test")
            }
            _ => SpliceMode::Splice,
        };
        let pools = Pools::new(mode, 2);
        let handle = Handle::new();
        let limits = Limits {
            idle: Some(Duration::from_secs(3_600)),
            half_open: Some(Duration::from_secs(3_600)),
            write_stall: Some(Duration::from_secs(900)),
        };
        let (client, upstream) = (wrapped(client), wrapped(upstream));
        let watched = Watched {
            relaying: relay(
                client,
                upstream,
                limits,
                Rc::clone(&pools),
                Rc::clone(&handle),
            ),
            handle,
            pools,
            // A tenth is the warm-up: pools fill, tokio's queues grow.
            warm: load.bytes().0 / 10,
            total: load.bytes().0,
            span: None,
            slabs: 0,
            allocate: sabotage == Sabotage::Allocate,
        };
        tokio::task::spawn_local(watched).await.unwrap()
    });
    assert!(
        peers.wait().unwrap().success(),
        "the peers got other bytes than were sent"
    );
    result
}

fn wrapped(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap()
}

/// A relay, and the allocator's counts after its warm-up and at its last wake-up.
struct Watched {
    relaying: Relaying,
    handle: Rc<Handle>,
    pools: Rc<Pools>,
    warm: u64,
    total: u64,
    span: Option<(Stats, Stats)>,
    slabs: u64,
    allocate: bool,
}

impl Future for Watched {
    type Output = Seen;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.allocate {
            std::hint::black_box(Box::new(0_u64));
        }
        let outcome = Pin::new(&mut this.relaying).poll(cx);
        this.slabs += this.pools.counters().slabs_lent;
        let moved = this.handle.client_to_upstream();
        if moved >= this.warm {
            let now = ALLOCATOR.stats();
            this.span.get_or_insert((now, now)).1 = now;
        }
        let transfer = std::task::ready!(outcome)
            .over()
            .expect("wanted nowhere else");
        assert_eq!(moved, this.total);
        let (before, after) = this.span.expect("a warm-up that ended");
        Poll::Ready(Seen {
            allocated: after - before,
            slabs: this.slabs,
            transfer,
        })
    }
}

/// The other process: both peers.
fn play(port: u16, load: &str, count: u64) {
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    };
    let (mut client, mut upstream) = (connect(), connect());
    match load {
        "bulk" | "halting" => {
            let sender = std::thread::spawn(move || {
                let block = vec![0x5a; 64 * 1024];
                (0..count / block.len() as u64).for_each(|_| client.write_all(&block).unwrap());
                client.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            });
            let mut buffer = vec![0; 256 * 1024];
            let mut left = count;
            while left > 0 {
                let n = upstream.read(&mut buffer).unwrap();
                assert!(n > 0 && buffer[..n].iter().all(|byte| *byte == 0x5a));
                left -= n as u64;
                if load == "halting" && left / 4_000_000 != (left + n as u64) / 4_000_000 {
                    // Longer than it takes to fill all buffers.
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            drop(upstream);
            sender.join().unwrap();
        }
        _ => {
            let mut message = [0; MESSAGE];
            for round in 0..count {
                client.write_all(&[round as u8; MESSAGE]).unwrap();
                upstream.read_exact(&mut message).unwrap();
                upstream.write_all(&message).unwrap();
                client.read_exact(&mut message).unwrap();
                assert_eq!(message, [round as u8; MESSAGE]);
            }
        }
    }
}
