//! Listeners are opened where they were asked for, and say why when they cannot be.

use super::bounded;
use snihub::net::{ListenError, Listener, listener};
use socket2::{Domain, Type};
use std::collections::BTreeSet;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use tokio::net::TcpStream;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn all_workers_share_one_port_and_all_of_them_get_connections() {
    let sockets = listener::bind_per_worker(at("127.0.0.1:0"), 3, None).unwrap();
    let ports: BTreeSet<u16> = sockets
        .iter()
        .map(|socket| socket.local_addr().unwrap().port())
        .collect();
    assert_eq!((sockets.len(), ports.len()), (3, 1));
    assert!(!ports.contains(&0));
    let listeners: Vec<Listener> = sockets
        .into_iter()
        .map(|socket| Listener::from_std(socket).unwrap())
        .collect();
    let address = listeners[0].local_addr();
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    // The kernel spreads them by a hash: with 200 no one is left out (2 * (2/3)^200).
    for listener in &listeners {
        let accepted = bounded(listener.accept()).await.unwrap();
        assert_eq!(accepted.endpoints.local, address);
    }
}

#[tokio::test]
async fn the_wildcard_of_ipv6_takes_ipv4_and_shows_it_as_ipv4() {
    let socket = listener::bind(at("[::]:0"), false, None).unwrap();
    let listener = Listener::from_std(socket).unwrap();
    let port = listener.local_addr().port();
    for host in ["127.0.0.1", "127.0.0.5", "::1"] {
        let target = SocketAddr::new(host.parse().unwrap(), port);
        let client = TcpStream::connect(target).await.unwrap();
        let accepted = bounded(listener.accept()).await.unwrap();
        assert_eq!(accepted.endpoints.local, target);
        assert_eq!(accepted.endpoints.client, client.local_addr().unwrap());
    }
}

#[test]
fn an_address_in_use_is_told_even_where_the_other_one_shares_its_port() {
    for reuse_port in [false, true] {
        let first = listener::bind(at("127.0.0.1:0"), reuse_port, None).unwrap();
        let taken = first.local_addr().unwrap();
        for workers in [1, 2] {
            let error = listener::bind_per_worker(taken, workers, None).unwrap_err();
            assert!(matches!(error, ListenError::InUse(address) if address == taken));
            assert!(
                error
                    .to_string()
                    .contains(&format!("sport = :{}", taken.port()))
            );
        }
        drop(first);
        listener::bind(taken, reuse_port, None).unwrap();
    }
}

#[test]
fn an_address_of_another_host_is_told() {
    let error = listener::bind(at("203.0.113.77:0"), true, None).unwrap_err();
    assert!(matches!(error, ListenError::NotAvailable(_)), "{error}");
}

#[tokio::test]
async fn a_socket_handed_over_is_checked_and_made_ready() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let adopted = listener::adopt(OwnedFd::from(plain), None).unwrap();
    let listener = Listener::from_std(adopted).unwrap();
    let _client = TcpStream::connect(listener.local_addr()).await.unwrap();
    let accepted = bounded(listener.accept()).await.unwrap().stream;
    assert!(accepted.nodelay().unwrap());

    let connected = std::net::TcpStream::connect(listener.local_addr()).unwrap();
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (unix, _other_end) = std::os::unix::net::UnixStream::pair().unwrap();
    let unbound = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    for (other, what) in [
        (OwnedFd::from(connected), "a connection that stands"),
        (OwnedFd::from(datagram), "a UDP socket"),
        (OwnedFd::from(unix), "a unix socket"),
        (OwnedFd::from(unbound), "does not listen"),
        (OwnedFd::from(File::open("/dev/null").unwrap()), "no socket"),
    ] {
        let error = listener::adopt(other, None).unwrap_err();
        assert!(matches!(error, ListenError::Unfit(_)), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}
