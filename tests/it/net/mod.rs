//! Sockets, as they behave on loopback.

mod dialling;
mod farewell;
mod few_descriptors;
mod hello_stage;
mod listening;
mod proxy_stage;
mod resolving;
mod socket_options;

use snihub::net::{Accepted, Endpoints, HelloMemory, Listener, Preface, listener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far longer than anything here takes; a hang ends as a failure.
async fn bounded<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), what).await.expect("hangs")
}

/// A listener of ours on loopback.
fn listen(address: &str) -> Listener {
    let socket = listener::bind(address.parse().unwrap(), false, None).unwrap();
    Listener::from_std(socket).unwrap()
}

/// A client, and its connection as the hub accepted it.
async fn pair() -> (TcpStream, TcpStream, Endpoints) {
    let listener = listen("127.0.0.1:0");
    let (client, accepted) = tokio::join!(
        TcpStream::connect(listener.local_addr()),
        bounded(listener.accept())
    );
    let Accepted { stream, endpoints } = accepted.unwrap();
    let client = client.unwrap();
    client.set_nodelay(true).unwrap();
    (client, TcpStream::from_std(stream).unwrap(), endpoints)
}

/// Plenty for a test.
fn memory() -> Arc<HelloMemory> {
    HelloMemory::new(1 << 20)
}

/// Bytes owed, counted.
fn owed(memory: &Arc<HelloMemory>, bytes: &[u8]) -> Preface {
    let mut permit = memory.permit();
    permit.grow_to(bytes.len()).unwrap();
    Preface::new(bytes.to_vec(), permit)
}

/// The first flight of a real client: libpulsar 4.2.0, one hello of 1,544 bytes.
fn libpulsar() -> Vec<u8> {
    let bytes = data("conformance/captures/libpulsar-4.2.0-pypi.bin");
    assert_eq!(bytes.len(), 1544);
    bytes
}

fn data(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
