//! What an accepted socket inherits from its listener, and what the options do.

use super::{bounded, listen, pair};
use rustix::net::sockopt as kernel;
use snihub::net::{Keepalive, Listener, listener, sockopt};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn nodelay_and_keepalive_are_inherited_from_the_listener() {
    let keepalive = Keepalive::default();
    let address = "127.0.0.1:0".parse().unwrap();
    let with = listener::bind(address, false, Some(keepalive)).unwrap();
    let without = listener::bind(address, false, None).unwrap();
    for (socket, on) in [(with, true), (without, false)] {
        let listener = Listener::from_std(socket).unwrap();
        let _client = TcpStream::connect(listener.local_addr()).await.unwrap();
        let accepted = bounded(listener.accept()).await.unwrap().stream;
        assert!(kernel::tcp_nodelay(&accepted).unwrap());
        assert_eq!(kernel::socket_keepalive(&accepted).unwrap(), on);
        if on {
            assert_eq!(kernel::tcp_keepidle(&accepted).unwrap(), keepalive.idle);
            assert_eq!(kernel::tcp_keepintvl(&accepted).unwrap(), keepalive.idle);
            assert_eq!(kernel::tcp_keepcnt(&accepted).unwrap(), keepalive.probes);
        }
    }
}

/// Why they are never set on a listener: each accepted socket would reset at every close, or hide
/// the last bytes of a stream.
#[tokio::test]
async fn linger_and_low_water_would_be_inherited_too() {
    let listener = listen("127.0.0.1:0");
    sockopt::reset_on_close(&listener).unwrap();
    sockopt::set_receive_low_water(&listener, 7).unwrap();
    let _client = TcpStream::connect(listener.local_addr()).await.unwrap();
    let accepted = bounded(listener.accept()).await.unwrap().stream;
    let linger = kernel::socket_linger(&accepted).unwrap();
    assert_eq!(linger, Some(Duration::ZERO));
    assert_eq!(sockopt::receive_low_water(&accepted).unwrap(), 7);

    let fresh = listen("127.0.0.1:0");
    let _client = TcpStream::connect(fresh.local_addr()).await.unwrap();
    let accepted = bounded(fresh.accept()).await.unwrap().stream;
    assert_eq!(kernel::socket_linger(&accepted).unwrap(), None);
    assert_eq!(sockopt::receive_low_water(&accepted).unwrap(), 1);
}

#[tokio::test]
async fn a_close_is_a_fin_and_after_reset_on_close_a_reset() {
    for reset in [false, true] {
        let (mut client, mut hub, _) = pair().await;
        hub.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        if reset {
            sockopt::reset_on_close(&hub).unwrap();
        }
        drop(hub);
        let end = bounded(client.read(&mut [0; 8])).await;
        match reset {
            false => assert_eq!(end.unwrap(), 0),
            true => assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset),
        }
    }
}
