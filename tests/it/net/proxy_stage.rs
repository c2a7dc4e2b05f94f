//! On a listener that requires it, a PROXY header of a trusted source names the client; nothing
//! else gets past it.

use super::{bounded, libpulsar, memory, pair};
use snihub::net::proxy_protocol::MAX_V2;
use snihub::net::{Endpoints, ProxyHeader, ProxyVersion, Trusted};
use snihub::peek::{PeekFailed, PeekOptions, Peeked, Scratch, peek};
use snihub::refusal::Refusal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// Sends `bytes` in pieces of `piece`; the endpoints of the socket itself come back, too.
async fn through(
    trusted: &str,
    bytes: &[u8],
    piece: usize,
) -> (Result<Peeked, Box<PeekFailed>>, Endpoints) {
    let (mut client, hub, endpoints) = pair().await;
    let options = PeekOptions {
        max_client_hello: 65_536,
        proxy: Some(Arc::new(Trusted::new([trusted.parse().unwrap()]))),
        deadline: Instant::now() + Duration::from_millis(1500),
    };
    let (scratch, memory) = (Scratch::new(), memory());
    let send = async {
        for piece in bytes.chunks(piece) {
            // A refused header ends the connection while it is still being sent.
            let _ = client.write_all(piece).await;
            tokio::task::yield_now().await;
        }
    };
    let stage = peek(hub, &scratch, endpoints, &options, &memory);
    let ((), outcome) = bounded(async { tokio::join!(send, stage) }).await;
    assert!(outcome.is_ok() || memory.used() == 0);
    (outcome, endpoints)
}

fn header(version: ProxyVersion, client: &str, local: &str) -> Vec<u8> {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let endpoints = Endpoints {
        client: address(client),
        local: address(local),
    };
    let endpoints = Some(endpoints);
    ProxyHeader { version, endpoints }.to_bytes()
}

#[tokio::test]
async fn a_header_of_either_version_names_client_and_port_in_any_segmentation() {
    let hello = libpulsar();
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        for client in ["10.1.2.3:4567", "[2001:db8::7]:4567"] {
            let head = header(version, client, "10.0.0.9:6651");
            let whole = [head.as_slice(), &hello].concat();
            for piece in [whole.len(), head.len(), head.len() + 1, 1] {
                let (outcome, socket) = through("127.0.0.0/8", &whole, piece).await;
                let peeked = outcome.unwrap_or_else(|e| panic!("{piece}: {}", e.refusal));
                assert_eq!(peeked.endpoints.client, client.parse().unwrap());
                assert_eq!(peeked.endpoints.local, socket.local);
                assert_eq!(peeked.proxy_port, Some(6651));
                assert_eq!(peeked.preface.as_bytes(), hello);
            }
        }
    }
}

#[tokio::test]
async fn local_and_unknown_keep_the_sockets_addresses() {
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".as_slice();
    for head in [b"PROXY UNKNOWN\r\n".as_slice(), local] {
        let whole = [head, &libpulsar()].concat();
        let (outcome, socket) = through("127.0.0.1/32", &whole, whole.len()).await;
        let peeked = outcome.unwrap();
        assert_eq!((peeked.endpoints, peeked.proxy_port), (socket, None));
    }
}

#[tokio::test]
async fn missing_untrusted_malformed_and_oversized_headers_are_refused() {
    let hello = libpulsar();
    let good = header(ProxyVersion::V1, "10.1.2.3:4567", "10.0.0.9:6651");
    let with_hello = [good.as_slice(), &hello].concat();
    let too_long_v2 = {
        let mut head = header(ProxyVersion::V2, "10.1.2.3:4567", "10.0.0.9:6651");
        let len = u16::try_from(MAX_V2 - 15).unwrap().to_be_bytes();
        head[14..16].copy_from_slice(&len);
        head
    };
    let cases: [(&str, &[u8], &str); 6] = [
        ("127.0.0.0/8", &hello, "missing"),
        ("127.0.0.0/8", b"GET / HTTP/1.1\r\n", "missing"),
        ("10.0.0.0/8", &with_hello, "not in trusted"),
        ("127.0.0.0/8", b"PROXY TCP4 x y 1 2\r\n", "malformed"),
        (
            "127.0.0.0/8",
            &[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat(),
            "107",
        ),
        ("127.0.0.0/8", &too_long_v2, "536"),
    ];
    for (trusted, bytes, how) in cases {
        for piece in [bytes.len(), 1] {
            let failed = through(trusted, bytes, piece).await.0.unwrap_err();
            let Refusal::BadProxyHeader(text) = failed.refusal else {
                panic!("{:?} for {how}", failed.refusal);
            };
            assert!(text.contains(how), "{text}");
            assert_eq!(failed.refusal.alert(), None);
            assert!(failed.bytes_received > 0);
        }
    }
}

#[tokio::test]
async fn a_header_without_end_is_too_slow_and_one_without_hello_too() {
    let head = header(ProxyVersion::V2, "10.1.2.3:4567", "10.0.0.9:6651");
    for sent in [1, 12, 16, head.len() - 1, head.len()] {
        let failed = through("127.0.0.0/8", &head[..sent], 1)
            .await
            .0
            .unwrap_err();
        assert_eq!(failed.refusal, Refusal::TooSlow);
        assert_eq!(failed.bytes_received, sent as u64);
        // Whoever came through a balancer is logged under its own address.
        let known = failed.endpoints.client == "10.1.2.3:4567".parse().unwrap();
        assert_eq!(known, sent == head.len());
    }
}
