//! A target is dialled at every address it may be dialled at, in bounded time, and gets the
//! client's first bytes before anything else.

use super::{bounded, listen, memory, owed};
use crate::support::black_hole::black_hole;
use snihub::net::{
    DialError, DialOptions, Dialed, Fence, HelloMemory, Host, ProxyHeader, ProxyVersion,
    ResolveClient, Resolver, ResolverFiles, Target, dial, listener,
};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A resolver that knows `lines` of a hosts file and nobody to ask.
fn hosts(lines: &str) -> ResolveClient {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "hosts-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let hosts = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&hosts, lines).unwrap();
    let files = ResolverFiles {
        hosts: hosts.clone(),
        resolv_conf: "/nonexistent".into(),
        dns_port: 53,
    };
    let (resolver, _) = Resolver::open(files);
    fs::remove_file(hosts).unwrap();
    let (client, serve) = resolver.serve();
    tokio::spawn(serve);
    client
}

fn named(port: u16) -> Target {
    Target {
        host: Host::Name("party".into()),
        port,
        fence: Fence::Open,
    }
}

fn literal(address: SocketAddr, fence: Fence) -> Target {
    Target {
        host: Host::Ip(address.ip()),
        port: address.port(),
        fence,
    }
}

async fn try_dial(
    target: &Target,
    resolver: &ResolveClient,
    options: &DialOptions,
) -> Result<Dialed, DialError> {
    let memory = memory();
    let dialed = bounded(dial(
        target,
        resolver,
        options,
        None,
        owed(&memory, b"hello"),
    ))
    .await;
    assert_eq!(memory.used(), 0);
    dialed
}

async fn refusing_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn the_preface_is_the_first_that_an_upstream_gets() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = literal(upstream.local_addr().unwrap(), Fence::Open);
    let mut dialed = try_dial(&target, &hosts(""), &DialOptions::default())
        .await
        .unwrap();
    assert_eq!(
        (dialed.sent, dialed.address),
        (5, upstream.local_addr().unwrap())
    );
    assert!(dialed.stream.nodelay().unwrap());
    dialed.stream.write_all(b" world").await.unwrap();
    drop(dialed);
    let mut seen = String::new();
    let (mut accepted, _) = upstream.accept().await.unwrap();
    bounded(accepted.read_to_string(&mut seen)).await.unwrap();
    assert_eq!(seen, "hello world");
}

#[tokio::test]
async fn a_proxy_header_goes_before_it() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = literal(upstream.local_addr().unwrap(), Fence::Open);
    let clients = Some(snihub::net::Endpoints {
        client: "10.1.2.3:4567".parse().unwrap(),
        local: "10.0.0.9:443".parse().unwrap(),
    });
    let v1 = b"PROXY TCP4 10.1.2.3 10.0.0.9 4567 443\r\n".as_slice();
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x01\x02\x03\x0a\0\0\x09\x11\xd7\x01\xbb";
    for (version, endpoints, wire) in [
        (ProxyVersion::V1, clients, v1),
        (ProxyVersion::V2, clients, v2.as_slice()),
        // Of the hub itself.
        (ProxyVersion::V1, None, b"PROXY UNKNOWN\r\n".as_slice()),
        (
            ProxyVersion::V2,
            None,
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".as_slice(),
        ),
    ] {
        let memory = memory();
        let header = Some(ProxyHeader { version, endpoints });
        let (resolver, options) = (hosts(""), DialOptions::default());
        let preface = owed(&memory, b"hello");
        let dialed = dial(&target, &resolver, &options, header, preface)
            .await
            .unwrap();
        assert_eq!(dialed.sent, 5);
        drop(dialed);
        let mut seen = Vec::new();
        let (mut accepted, _) = upstream.accept().await.unwrap();
        bounded(accepted.read_to_end(&mut seen)).await.unwrap();
        assert_eq!(seen, [wire, b"hello"].concat());
    }
}

#[tokio::test]
async fn a_black_hole_at_the_first_address_only_delays() {
    let hole = black_hole("127.0.0.2", 0);
    let port = hole.address.port();
    let upstream = TcpListener::bind(("127.0.0.3", port)).await.unwrap();
    let resolver = hosts("127.0.0.2 party\n127.0.0.3 party\n");
    let dialed = try_dial(&named(port), &resolver, &DialOptions::default())
        .await
        .unwrap();
    assert_eq!(dialed.address, upstream.local_addr().unwrap());
    // The stagger was waited for: the first address was not refused but tried.
    assert!(dialed.connect_time >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_refusal_at_the_first_address_does_not_even_delay() {
    let upstream = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let port = upstream.local_addr().unwrap().port();
    let resolver = hosts("127.0.0.2 party\n::1 party\n127.0.0.3 party\n");
    let dialed = try_dial(&named(port), &resolver, &DialOptions::default())
        .await
        .unwrap();
    assert_eq!(dialed.address, upstream.local_addr().unwrap());
    drop(dialed);
    let (mut accepted, _) = upstream.accept().await.unwrap();
    let mut seen = String::new();
    bounded(accepted.read_to_string(&mut seen)).await.unwrap();
    assert_eq!(seen, "hello");
}

#[tokio::test]
async fn all_failing_says_what_each_did_and_takes_no_longer_than_it_may() {
    let hole = black_hole("127.0.0.2", 0);
    let port = hole.address.port();
    let options = DialOptions {
        per_address: Duration::from_millis(300),
        ..DialOptions::default()
    };
    let resolver = hosts("127.0.0.2 party\n127.0.0.3 party\n");
    let error = try_dial(&named(port), &resolver, &options)
        .await
        .unwrap_err();
    assert_eq!(error.label(), "refused");
    let text = error.to_string();
    assert!(
        text.contains(&format!(
            "127.0.0.2:{port} did not answer within dial_timeout"
        )),
        "{text}"
    );
    assert!(
        text.contains(&format!("127.0.0.3:{port} refused the connection")),
        "{text}"
    );

    let error = try_dial(&named(port), &hosts("127.0.0.2 party\n"), &options)
        .await
        .unwrap_err();
    assert!(matches!(error, DialError::TimedOut(_)), "{error}");
    let alone = literal(refusing_port().await, Fence::Open);
    let error = try_dial(&alone, &resolver, &options).await.unwrap_err();
    assert!(matches!(error, DialError::Refused(_)), "{error}");
}

#[tokio::test]
async fn the_whole_time_bounds_all_addresses_together() {
    let hole = black_hole("127.0.0.2", 0);
    let port = hole.address.port();
    let others: Vec<_> = ["127.0.0.3", "127.0.0.4"]
        .map(|ip| black_hole(ip, port))
        .into();
    let options = DialOptions {
        per_address: Duration::ZERO,
        total: Duration::from_millis(400),
        ..DialOptions::default()
    };
    let resolver = hosts("127.0.0.2 party\n127.0.0.3 party\n127.0.0.4 party\n");
    let error = try_dial(&named(port), &resolver, &options)
        .await
        .unwrap_err();
    let DialError::TimedOut(tried) = &error else {
        panic!("{error}")
    };
    // Those that were never begun are named, too.
    assert_eq!(tried.addresses().count(), 1 + others.len());
    assert!(error.to_string().contains("dial_timeout_total"), "{error}");
}

#[tokio::test]
async fn a_name_without_address_is_a_resolve_error() {
    let error = try_dial(&named(1), &hosts(""), &DialOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.label(), "resolve");
}

#[tokio::test]
async fn the_fence_is_judged_on_what_would_be_dialled() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = upstream.local_addr().unwrap().port();
    let options = DialOptions::default();
    for (line, fence) in [
        ("127.0.0.1 party", Fence::NoLocal),
        ("::ffff:127.0.0.1 party", Fence::NoLocal),
        ("64:ff9b::7f00:1 party", Fence::NoLocal),
        ("0.0.0.0 party", Fence::NoPrivate),
        ("169.254.169.254 party", Fence::NoLocal),
        ("10.0.0.1 party", Fence::NoPrivate),
    ] {
        let target = Target {
            fence,
            ..named(port)
        };
        let error = try_dial(&target, &hosts(line), &options).await.unwrap_err();
        assert!(
            matches!(error, DialError::NotPermitted(_)),
            "{line}: {error}"
        );
    }
    let target = literal(upstream.local_addr().unwrap(), Fence::NoLocal);
    let error = try_dial(&target, &hosts(""), &options).await.unwrap_err();
    assert!(matches!(error, DialError::NotPermitted(_)), "{error}");
    // Nobody knocked.
    let knock = tokio::time::timeout(Duration::from_millis(50), upstream.accept()).await;
    assert!(knock.is_err());
}

/// Every address of this host that the loop guard must know: loopback, and what it sends from.
fn own_addresses() -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), "127.8.8.8".parse().unwrap()];
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("203.0.113.77:9").is_ok() {
        own.push(socket.local_addr().unwrap().ip());
    }
    own
}

#[tokio::test]
async fn the_hubs_own_listeners_are_never_dialled() {
    for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "[::ffff:127.0.0.1]:0"] {
        let hub = listen(bound);
        let port = hub.local_addr().port();
        let wildcard = hub.local_addr().ip().is_unspecified();
        let options = DialOptions {
            own: Arc::from([hub.local_addr()]),
            ..DialOptions::default()
        };
        let mut targets = vec!["127.0.0.1".parse().unwrap(), "0.0.0.0".parse().unwrap()];
        if wildcard {
            targets.extend(own_addresses());
        }
        for ip in targets {
            for ip in [ip, mapped(ip)] {
                let target = literal(SocketAddr::new(ip, port), Fence::Open);
                let error = try_dial(&target, &hosts(""), &options).await.unwrap_err();
                assert!(matches!(error, DialError::Loop(_)), "{bound} {ip}: {error}");
            }
        }
        let error = try_dial(&named(port), &hosts("127.0.0.1 party"), &options).await;
        assert!(matches!(error, Err(DialError::Loop(_))));
        // Without the guard it would have connected: the test can fail.
        let target = literal(
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            Fence::Open,
        );
        try_dial(&target, &hosts(""), &DialOptions::default())
            .await
            .unwrap();
    }
}

fn mapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        v6 => v6,
    }
}

#[tokio::test]
async fn another_port_or_address_of_this_host_may_be_dialled() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let options = DialOptions {
        own: Arc::from([
            SocketAddr::new("::".parse().unwrap(), address.port() ^ 1),
            SocketAddr::new("127.0.0.2".parse().unwrap(), address.port()),
        ]),
        ..DialOptions::default()
    };
    try_dial(&literal(address, Fence::Open), &hosts(""), &options)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_upstream_that_takes_no_bytes_is_told_and_none_of_the_memory_stays() {
    // Its window fills up: the preface is larger than what both sockets buffer.
    let upstream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    upstream.set_recv_buffer_size(4096).unwrap();
    upstream
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    upstream.listen(8).unwrap();
    let address = upstream.local_addr().unwrap().as_socket().unwrap();
    let memory = HelloMemory::new(64 << 20);
    let options = DialOptions {
        total: Duration::from_millis(300),
        ..DialOptions::default()
    };
    let preface = owed(&memory, &vec![7; 32 << 20]);
    let target = literal(address, Fence::Open);
    let resolver = hosts("");
    let error = bounded(dial(&target, &resolver, &options, None, preface))
        .await
        .unwrap_err();
    assert_eq!(error.label(), "preface_not_sent");
    assert!(error.to_string().contains("timed out"), "{error}");
    assert_eq!(memory.used(), 0);
}

/// A loopback listener that takes few bytes at a time, with a queue for one connection.
fn narrow() -> (TcpListener, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (TcpListener::from_std(socket.into()).unwrap(), address)
}

#[tokio::test]
async fn what_does_not_go_out_with_the_connection_follows_it() {
    let (upstream, address) = narrow();
    let preface: Vec<u8> = (0..8 << 20).map(|n: u32| (n >> 8 ^ n) as u8).collect();
    let header = Some(ProxyHeader {
        version: ProxyVersion::V1,
        endpoints: None,
    });
    let memory = HelloMemory::new(64 << 20);
    let (resolver, options) = (hosts(""), DialOptions::default());
    let target = literal(address, Fence::Open);
    let dialing = dial(
        &target,
        &resolver,
        &options,
        header,
        owed(&memory, &preface),
    );
    let reading = async {
        let (mut accepted, _) = upstream.accept().await.unwrap();
        let mut seen = Vec::new();
        accepted.read_to_end(&mut seen).await.unwrap();
        seen
    };
    let (sent, seen) =
        bounded(async { tokio::join!(async { dialing.await.map(|dialed| dialed.sent) }, reading) })
            .await;
    assert_eq!(sent.unwrap(), preface.len() as u64);
    let (before, after) = seen.split_at(seen.len() - preface.len());
    assert_eq!(before, b"PROXY UNKNOWN\r\n");
    assert!(after == preface, "the preface is not what was sent");
}

#[tokio::test]
async fn an_upstream_that_drops_the_first_syn_gets_the_first_bytes_once_it_answers() {
    let (upstream, address) = narrow();
    // The queue has room for one: every further SYN is dropped, and comes again after a second.
    let _queued = TcpStream::connect(address).await.unwrap();
    let (resolver, options) = (hosts(""), DialOptions::default());
    let target = literal(address, Fence::Open);
    let accepting = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(upstream.accept().await.unwrap());
        let (mut accepted, _) = upstream.accept().await.unwrap();
        let mut seen = String::new();
        accepted.read_to_string(&mut seen).await.unwrap();
        seen
    };
    let dialing = async { try_dial(&target, &resolver, &options).await.map(drop) };
    let (dialed, seen) = bounded(async { tokio::join!(dialing, accepting) }).await;
    dialed.unwrap();
    assert_eq!(seen, "hello");
}

#[tokio::test]
async fn a_socket_never_connects_to_itself() {
    // With one local port to choose from, dialling it is TCP's simultaneous open.
    let free = listener::bind("127.0.0.1:0".parse().unwrap(), false, None).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let itself = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    itself.bind(&address.into()).unwrap();
    itself.connect(&address.into()).unwrap();
    drop(itself);
    // The hub's dial finds nobody there.
    let target = literal(address, Fence::Open);
    for _ in 0..50 {
        let error = try_dial(&target, &hosts(""), &DialOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(error, DialError::Refused(_)), "{error}");
    }
    assert!(TcpStream::connect(address).await.is_err());
}
