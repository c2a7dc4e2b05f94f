//! What a service manager is told, and the sockets that it passes, with the real binary.

use crate::support::hello::Hello;
use crate::support::hub::{Hub, Options, PATIENCE, activated, new_folder};
use crate::support::manager::{Manager, STORED};
use crate::support::wire::{Echo, call, read_exactly};
use rustix::process::Signal;
use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "a.example.com";
const REMOVED: &str = "FDSTOREREMOVE=1\nFDNAME=snihub-listener\n";

fn routes(upstream: SocketAddr) -> String {
    format!("sni:\n- fqdn: {NAME}\n  tunnel_route: {upstream}\n")
}

fn served(at: SocketAddr) -> TcpStream {
    let hello = Hello::named(NAME).wire();
    let client = call(at, &hello);
    assert_eq!(read_exactly(&client, hello.len()), hello);
    client
}

#[test]
fn a_manager_hears_how_the_hub_does_from_ready_to_the_end() {
    let (echo, manager) = (Echo::start(), Manager::start());
    let options = Options::routes(routes(echo.addr())).settings("workers: 3\ndrain: 1h");
    let hub = Hub::start(options.notify(manager.address()));
    let first = manager.next().text;
    assert_eq!(first, "READY=1\nSTATUS=0 tunnels, 1 route, generation 1\n");
    // What it has opened itself is stored for the next one, once.
    assert_eq!(manager.next().text, REMOVED);
    let stored = manager.next();
    assert_eq!(stored.text, STORED);
    assert_eq!(stored.descriptors.len(), 3);
    for socket in &stored.descriptors {
        let socket = TcpListener::from(socket.try_clone().unwrap());
        assert_eq!(socket.local_addr().unwrap(), hub.addr());
    }
    let one = served(hub.addr());
    manager.wait("STATUS=1 tunnel, 1 route, generation 1\n");
    hub.edit_routes("sni:\n- fqdn: b.example.com\n  tunnel_route: h:70000\n");
    let refused = manager.wait("; last reload refused: ").text;
    assert!(
        refused.contains("sni.yaml:3:19: tunnel_route: "),
        "{refused}"
    );
    assert_eq!(refused.lines().count(), 1);
    hub.edit_routes(&(routes(echo.addr()) + "- fqdn: b.example.com\n  tunnel_route: h:1\n"));
    manager.wait("STATUS=1 tunnel, 2 routes, generation 2\n");
    // Either may by chance be closed at once.
    let other = served(hub.addr());
    hub.signal(Signal::TERM);
    let stopping = manager.wait("STOPPING=1\n").text;
    let told = "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=20000000\n";
    assert_eq!(stopping, told);
    assert_eq!(manager.next().text, REMOVED);
    let barrier = manager.next();
    assert_eq!(
        (barrier.text.as_str(), barrier.descriptors.len()),
        ("BARRIER=1", 1)
    );
    // Clients are still accepted: the manager has not answered yet.
    drop(barrier);
    let extended = manager.wait("EXTEND_TIMEOUT_USEC=20000000\n").text;
    assert!(
        extended.contains("STATUS=draining: ") && extended.contains(" tunnel"),
        "{extended}"
    );
    drop((one, other));
    assert_eq!(hub.wait_exit().code(), Some(0));
}

#[test]
fn an_abstract_socket_is_told_and_one_that_is_gone_stops_nothing() {
    let name = format!("snihub-service-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let echo = Echo::start();
    let hub = Hub::start(Options::routes(routes(echo.addr())).notify(format!("@{name}")));
    let mut message = [0; 4096];
    let n = manager.recv(&mut message).unwrap();
    assert!(message[..n].starts_with(b"READY=1\n"));
    drop(manager);
    // A copy may be left for a moment, in a process that another test starts.
    let deadline = Instant::now() + PATIENCE;
    let gone = UnixAddr::from_abstract_name(&name).unwrap();
    while UnixDatagram::unbound().unwrap().connect_addr(&gone).is_ok() {
        assert!(Instant::now() < deadline, "the manager is there yet");
        std::thread::sleep(Duration::from_millis(5));
    }
    hub.signal(Signal::TERM);
    hub.wait_line("told", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("the service manager cannot be told (NOTIFY_SOCKET): ")
    });
    assert_eq!(hub.wait_exit().code(), Some(0));
    let other = Hub::start(Options::routes(routes(echo.addr())).notify("vsock:2:9999"));
    other.wait_line("vsock", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("NOTIFY_SOCKET: neither a path")
    });
    served(other.addr());
}

/// The workers share an inherited socket by its one owner, who hands on what is too much.
#[test]
fn a_socket_that_is_passed_is_listened_on_by_all_workers() {
    const CLIENTS: usize = 120;
    let (echo, socket) = (Echo::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let options = Options::routes(routes(echo.addr())).settings("workers: 3");
    let hub = Hub::start(options.passed(&socket, "snihub.socket"));
    assert_eq!(hub.addr(), socket.local_addr().unwrap());
    // proc(5): the descriptor's flags, octal; O_CLOEXEC.
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/3", hub.pid())).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    assert_ne!(
        u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000,
        0
    );
    let clients: Vec<_> = (0..CLIENTS).map(|_| served(hub.addr())).collect();
    drop(clients);
    let mut by_worker = HashMap::<u64, usize>::new();
    let deadline = Instant::now() + PATIENCE;
    while hub.records().len() < CLIENTS {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    for record in hub.records() {
        let session = u64::from_str_radix(record["session"].as_str().unwrap(), 16).unwrap();
        *by_worker.entry(session % 3).or_default() += 1;
    }
    assert_eq!(by_worker.len(), 3, "{by_worker:?}");
    assert!(by_worker.values().all(|n| *n >= 20), "{by_worker:?}");
}

#[test]
fn who_waits_while_the_hub_is_killed_is_served_by_the_next_one() {
    let (echo, socket) = (Echo::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let options = Options::routes(routes(echo.addr())).passed(&socket, "snihub.socket");
    let first = Hub::start(options.clone());
    stop(&first);
    let hello = Hello::named(NAME).wire();
    let mut waiting: Vec<_> = (0..50).map(|_| call(first.addr(), &hello)).collect();
    first.signal(Signal::KILL);
    first.wait_exit();
    waiting.extend((0..50).map(|_| call(first.addr(), &hello)));
    let _second = Hub::start(options);
    for client in &waiting {
        assert_eq!(read_exactly(client, hello.len()), hello);
    }
}

#[test]
fn an_item_lends_its_properties_to_the_socket_of_its_name() {
    let (echo, socket) = (Echo::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let listen = "listen:\n- 127.0.0.1:0\n- {address: ':1', name: proxied, \
                  proxy_protocol: required, trusted: [127.0.0.0/8]}";
    let options = Options::routes(routes(echo.addr())).settings(listen);
    let hub = Hub::start(options.passed(&socket, "proxied"));
    let at = socket.local_addr().unwrap();
    let mut wire = b"PROXY TCP4 192.0.2.7 192.0.2.1 5 443\r\n".to_vec();
    wire.extend(Hello::named(NAME).wire());
    let client = call(at, &wire);
    let hello = Hello::named(NAME).wire();
    assert_eq!(read_exactly(&client, hello.len()), hello);
    drop(client);
    assert_eq!(hub.closed(NAME)["source"], "192.0.2.7:5");
    // The item that nothing was passed for.
    let own = hub.wait_line("its own", |line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("listening on ") && !text.ends_with(&at.to_string())
    });
    let own = own["message"].as_str().unwrap().rsplit(' ').next().unwrap();
    served(own.parse().unwrap());
}

#[test]
fn what_cannot_be_listened_on_is_told_and_nothing_runs() {
    let folder = new_folder("unfit");
    fs::write(folder.join("sni.yaml"), routes(([127, 0, 0, 1], 1).into())).unwrap();
    fs::write(folder.join("hub.yaml"), "admin: off\n").unwrap();
    let listed = "admin: off\nlisten: 127.0.0.1:1\n";
    fs::write(folder.join("listed.yaml"), listed).unwrap();
    let tcp = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let udp = || OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let unix = || OwnedFd::from(UnixListener::bind(folder.join("unix")).unwrap());
    let file = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
    for (socket, fds, config, wanted) in [
        (
            udp(),
            "1",
            "hub.yaml",
            "descriptor 3 (\"x.socket\"): it is a UDP socket;",
        ),
        (
            unix(),
            "1",
            "hub.yaml",
            "it is a unix socket; needed is a listening TCP socket",
        ),
        (file(), "1", "hub.yaml", "it is no socket;"),
        (tcp(), "9", "hub.yaml", "LISTEN_FDS speaks of descriptor"),
        (
            tcp(),
            "x",
            "hub.yaml",
            "LISTEN_PID or LISTEN_FDS is no number",
        ),
        (
            tcp(),
            "1",
            "listed.yaml",
            "`listen` has no item with that address",
        ),
    ] {
        let mut command = activated(fds);
        command.env("LISTEN_FDNAMES", "x.socket").arg("run");
        command.arg("--config").arg(folder.join(config));
        command.arg("--routes").arg(folder.join("sni.yaml"));
        let output = run_with(command, socket);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert_eq!(output.status.code(), Some(78), "{said}");
    }
    drop(fs::remove_dir_all(folder));
}

/// Sends SIGSTOP and waits until no thread runs any more: one takes the signal, and tells the others.
fn stop(hub: &Hub) {
    hub.signal(Signal::STOP);
    let deadline = Instant::now() + PATIENCE;
    let stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap();
        stat[stat.rfind(')').unwrap()..].starts_with(") T")
    };
    let tasks = || fs::read_dir(format!("/proc/{}/task", hub.pid())).unwrap();
    while !tasks().all(|task| stopped(task.unwrap())) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs it to its end, with the socket where [`activated`] looks for it.
fn run_with(mut command: Command, socket: OwnedFd) -> Output {
    command
        .stdin(socket)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            drop(child.kill());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}
