//! What speaks there without TLS: asked in words that those who may be meant answer.

use super::pulsar::connect_frame;
use crate::tls::{LooksLike, looks_like};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The client's preface of HTTP/2 and an empty SETTINGS frame (RFC 9113 section 3.4). An HTTP/1
/// server takes the first line for a request, and says that it is a bad one.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Asks on two connections, for `patience` each. `None`: what answers is not known, or nothing
/// answers.
pub(super) async fn what_speaks(address: SocketAddr, patience: Duration) -> Option<LooksLike> {
    for question in [&connect_frame()[..], HTTP_2] {
        let answer = answer(address, question, Instant::now() + patience).await;
        match looks_like(&answer) {
            LooksLike::Unknown => {}
            known => return Some(known),
        }
    }
    None
}

/// The first bytes of an answer.
async fn answer(address: SocketAddr, question: &[u8], deadline: Instant) -> Vec<u8> {
    let mut answer = Vec::with_capacity(64);
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question).await?;
        while answer.len() < 16 && stream.read_buf(&mut answer).await? > 0 {}
        std::io::Result::Ok(())
    };
    // What came before it went wrong is an answer, too.
    let _ = timeout_at(deadline, asking).await;
    answer
}
