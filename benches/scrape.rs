//! What `/metrics` costs where there is much to tell: its time and size with some thousand tunnels
//! over 1,000 routes, and what a scrape every second does to the round trips of one tunnel.
//!
//! `cargo bench --bench scrape [-- TUNNELS]`; without a number 10,000, or as many as the descriptors
//! carry (20,000: 9,000). Rounds with and without scrapes take turns, since absolute times on a shared
//! machine drift.

#[path = "support/hub.rs"]
mod hub;

use hub::listening_on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

const ROUTES: usize = 1_000;
const SCRAPES: usize = 21;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(4);
/// A real client's hello for 9999.fate.org.
const HELLO: &[u8] = include_bytes!("../tests/data/conformance/captures/java-17-jsse.bin");

fn main() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let tunnels = env::args().find_map(|word| word.parse().ok());
    let tunnels = tunnels.unwrap_or_else(|| fitting(maximum));
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    let upstream = TcpListener::bind("0.0.0.0:0")?;
    let folder = env::temp_dir().join(format!("snihub-scrape-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let port = upstream.local_addr()?.port();
    let entry = |n| {
        let (number, party) = (1_000 + n, party(n));
        format!("- fqdn: {number}.fate.org\n  tunnel_route: {party}:{port}\n")
    };
    let entries: String = (0..ROUTES).map(entry).collect();
    fs::write(folder.join("sni.yaml"), format!("sni:\n{entries}"))?;
    let settings = format!(
        "admin: admin.sock\nworkers: 2\nlimits: {{tunnels: {}}}\n",
        tunnels + 100
    );
    fs::write(folder.join("hub.yaml"), settings)?;
    let mut hub = Command::new(env!("CARGO_BIN_EXE_snihub"))
        .args(["run", "--listen", "127.0.0.1:0", "--config"])
        .arg(folder.join("hub.yaml"))
        .arg("--routes")
        .arg(folder.join("sni.yaml"))
        .args(["--log-level", "info"])
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = measure(&mut hub, upstream, &folder.join("admin.sock"), tunnels);
    hub.kill()?;
    hub.wait()?;
    fs::remove_dir_all(folder)?;
    measured
}

/// Both ends of a tunnel are here and in the hub: two descriptors each, and a tenth for the rest.
fn fitting(maximum: Option<u64>) -> usize {
    maximum.map_or(10_000, |files| (files / 20 * 9).min(10_000) as usize)
}

/// The address of a party, which its route leads to and it dials out from.
fn party(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250 + 1) as u8)
}

fn measure(hub: &mut Child, upstream: TcpListener, admin: &Path, tunnels: usize) -> io::Result<()> {
    let address = listening_on(hub)?;
    let (tell, accepted) = mpsc::channel();
    thread::spawn(move || {
        for stream in upstream.incoming().map_while(Result::ok) {
            if tell.send(stream).is_err() {
                return;
            }
        }
    });
    let mut held = Vec::new();
    for n in 0..tunnels {
        // Each calls the next ones round the star: as many pairs as tunnels.
        let (from, to) = (n % ROUTES, (n % ROUTES + 1 + n / ROUTES) % ROUTES);
        held.push(open(address, &accepted, from, to)?);
    }
    let (mut took, mut size) = (Vec::new(), 0);
    let before = cpu_of_doors(hub)?;
    for _ in 0..SCRAPES {
        let began = Instant::now();
        size = get(admin, "/metrics")?;
        took.push(began.elapsed());
    }
    let cpu = (cpu_of_doors(hub)? - before) / SCRAPES as u32;
    took.sort();
    let (median, worst) = (took[SCRAPES / 2], took[SCRAPES - 1]);
    println!(
        "{tunnels} tunnels, {ROUTES} routes: /metrics has {size} bytes, takes {cpu:?} of CPU, \
         {median:?} in all, {worst:?} at most"
    );
    let began = Instant::now();
    let size = get(admin, "/api/tunnels")?;
    println!("/api/tunnels: {size} bytes in {:?}", began.elapsed());
    let (mut client, mut echo) = open(address, &accepted, 0, 500)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut message = [0; 128];
            while echo.read_exact(&mut message).is_ok() && echo.write_all(&message).is_ok() {}
        });
        let mut p99s = [Vec::new(), Vec::new()];
        for round in 0..2 * ROUNDS {
            let scraped = round % 2 == 1;
            stop.store(false, Ordering::Relaxed);
            let trips = thread::scope(|scope| {
                if scraped {
                    scope.spawn(|| {
                        while !stop.load(Ordering::Relaxed) {
                            get(admin, "/metrics").expect("metrics");
                            thread::sleep(Duration::from_secs(1));
                        }
                    });
                }
                let trips = ping(&mut client);
                stop.store(true, Ordering::Relaxed);
                trips
            })?;
            let part = |part: f64| trips[(trips.len() as f64 * part) as usize];
            p99s[usize::from(scraped)].push((part(0.99), part(0.5), part(0.999)));
        }
        for (p99s, what) in p99s.iter_mut().zip(["no scrape", "a scrape every second"]) {
            p99s.sort();
            let (p99, p50, p999) = p99s[ROUNDS / 2];
            let (least, most) = (p99s[0].0, p99s[ROUNDS - 1].0);
            println!(
                "{what:>22}: p50 {p50:?}, p99 {p99:?} ({least:?} to {most:?}), p99.9 {p999:?}"
            );
        }
        drop(client);
        Ok(())
    })
}

/// Round trips of one round, sorted.
fn ping(client: &mut TcpStream) -> io::Result<Vec<Duration>> {
    let mut trips = Vec::new();
    let mut message = [0; 128];
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        let began = Instant::now();
        client.write_all(&message)?;
        client.read_exact(&mut message)?;
        trips.push(began.elapsed());
    }
    trips.sort();
    Ok(trips)
}

/// A tunnel from one party to another: both ends of it, the hello taken.
fn open(
    hub: SocketAddr,
    accepted: &Receiver<TcpStream>,
    from: usize,
    to: usize,
) -> io::Result<(TcpStream, TcpStream)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((party(from), 0)).into())?;
    socket.connect(&hub.into())?;
    socket.set_tcp_nodelay(true)?;
    let mut client = TcpStream::from(socket);
    let name = format!("{}.fate.org", 1_000 + to);
    let place = HELLO
        .windows(name.len())
        .position(|part| part == b"9999.fate.org")
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut hello = HELLO.to_vec();
    hello[place..place + name.len()].copy_from_slice(name.as_bytes());
    client.write_all(&hello)?;
    let mut upstream = accepted
        .recv_timeout(Duration::from_secs(10))
        .map_err(io::Error::other)?;
    upstream.set_nodelay(true)?;
    upstream.read_exact(&mut hello)?;
    Ok((client, upstream))
}

/// The length of an answer of the admin door, which must be 200.
fn get(admin: &Path, path: &str) -> io::Result<usize> {
    let mut stream = UnixStream::connect(admin)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer.len())
}

/// CPU time of the thread that serves the doors (the scheduler's own count, in ns): what the machine
/// does besides is not in it.
fn cpu_of_doors(hub: &Child) -> io::Result<Duration> {
    for task in fs::read_dir(format!("/proc/{}/task", hub.id()))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == "admin" {
            let text = fs::read_to_string(task.join("schedstat"))?;
            let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
            return ns
                .map(Duration::from_nanos)
                .ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
