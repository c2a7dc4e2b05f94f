//! CPU of the relay's thread alone: per GB of one bulk tunnel (64 KiB messages), and per round trip
//! of 128 bytes, against tokio's `copy_bidirectional` with its own and with 64 KiB buffers.
//!
//! `cargo bench --bench relay [-- ROUNDS]`. The peers are another process; rounds are interleaved,
//! since absolute times on a shared machine drift, and the median is printed.

use snihub::tunnel::{Handle, Limits, Pools, SpliceMode, relay};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;
use tokio::io::{copy_bidirectional, copy_bidirectional_with_sizes};
use tokio::runtime::{Builder, LocalOptions};

const BULK: u64 = 1 << 30;
const MESSAGE: usize = 64 * 1024;
const ROUND_TRIPS: u64 = 30_000;
const PING: usize = 128;

const RIVALS: [&str; 4] = [
    "relay, splice",
    "relay, copy",
    "copy_bidirectional",
    "copy_bidirectional 64K",
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|word| word == "peers") {
        return play(arguments[at + 1].parse().unwrap(), &arguments[at + 2]);
    }
    let rounds = arguments
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(7);
    for (load, amount, unit) in [
        ("bulk", BULK as f64 / 1e9, "CPU-s per GB"),
        (
            "ping-pong",
            ROUND_TRIPS as f64 / 1e6,
            "CPU-us per round trip",
        ),
    ] {
        let mut samples = RIVALS.map(|_| Vec::new());
        for _ in 0..rounds {
            for (samples, rival) in samples.iter_mut().zip(RIVALS) {
                let (cpu, wall) = run(rival, load);
                samples.push((cpu / amount, wall));
            }
        }
        println!("\n{load}: {unit}, median of {rounds} (least to most); wall seconds");
        let base = median(&samples[2], |sample| sample.0);
        for (samples, rival) in samples.iter().zip(RIVALS) {
            let cpu = median(samples, |sample| sample.0);
            let least = samples
                .iter()
                .map(|sample| sample.0)
                .fold(f64::MAX, f64::min);
            let most = samples.iter().map(|sample| sample.0).fold(0.0, f64::max);
            let wall = median(samples, |sample| sample.1);
            println!(
                "{rival:>24} {cpu:8.3} ({least:.3} to {most:.3})  {wall:6.2} s  {:5.2}x less CPU \
                 than copy_bidirectional",
                base / cpu
            );
        }
    }
}

fn median(samples: &[(f64, f64)], of: fn(&(f64, f64)) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU seconds of this thread and wall seconds of one tunnel.
fn run(rival: &str, load: &str) -> (f64, f64) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut peers = Command::new(std::env::current_exe().unwrap())
        .args(["peers", &port, load])
        .spawn()
        .unwrap();
    let client = listener.accept().unwrap().0;
    let upstream = listener.accept().unwrap().0;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let spent = runtime.unwrap().block_on(async {
        let mut client = wrapped(client);
        let mut upstream = wrapped(upstream);
        let (started, before) = (Instant::now(), thread_cpu());
        match rival {
            "copy_bidirectional" => {
                tokio::task::spawn_local(async move {
                    copy_bidirectional(&mut client, &mut upstream)
                        .await
                        .unwrap();
                })
                .await
                .unwrap();
            }
            "copy_bidirectional 64K" => {
                tokio::task::spawn_local(async move {
                    let (client, upstream) = (&mut client, &mut upstream);
                    let size = 64 * 1024;
                    copy_bidirectional_with_sizes(client, upstream, size, size)
                        .await
                        .unwrap();
                })
                .await
                .unwrap();
            }
            rival => {
                let mode = match rival {
                    "relay, splice" => SpliceMode::Splice,
                    _ => SpliceMode::Copy("bench"),
                };
                let pools = Pools::new(mode, 2);
                let relaying = relay(
                    client,
                    upstream,
                    Limits::default(),
                    pools.clone(),
                    Handle::new(),
                );
                let transfer = tokio::task::spawn_local(relaying).await.unwrap().over();
                if std::env::var_os("SNIHUB_BENCH_COUNTS").is_some() {
                    println!("{rival} {load}: {transfer:?} {:?}", pools.counters());
                }
            }
        }
        (thread_cpu() - before, started.elapsed().as_secs_f64())
    });
    assert!(peers.wait().unwrap().success());
    spent
}

fn wrapped(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap()
}

/// Seconds that this thread has run (the scheduler's own count, in ns).
fn thread_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("CONFIG_SCHED_INFO");
    let ns = text.split(' ').next().expect("a first field");
    ns.parse::<f64>().expect("a number") / 1e9
}

/// The other process: both peers.
fn play(port: u16, load: &str) {
    let connect = || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let (mut client, mut upstream) = (connect(), connect());
    if load == "bulk" {
        let sender = std::thread::spawn(move || {
            let block = vec![0x5a; MESSAGE];
            (0..BULK / MESSAGE as u64).for_each(|_| client.write_all(&block).unwrap());
        });
        let mut buffer = vec![0; 256 * 1024];
        let mut left = BULK;
        while left > 0 {
            let n = upstream.read(&mut buffer).unwrap();
            assert!(n > 0, "the stream ended early");
            left -= n as u64;
        }
        sender.join().unwrap();
    } else {
        let mut message = [0; PING];
        for _ in 0..ROUND_TRIPS {
            client.write_all(&message).unwrap();
            upstream.read_exact(&mut message).unwrap();
            upstream.write_all(&message).unwrap();
            client.read_exact(&mut message).unwrap();
        }
    }
}
