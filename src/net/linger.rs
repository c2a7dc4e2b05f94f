//! Closing so that the last bytes arrive.

use crate::net::sockopt;
use socket2::SockRef;
use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a refused client may take to hang up.
const LINGER: Duration = Duration::from_secs(2);

/// How much of what it still sends is read and thrown away.
const LINGER_BYTES: usize = 64 * 1024;

/// Sends `last_words` (an alert, or nothing), then FIN, then reads and discards until the client
/// hangs up, for at most 2 s and 64 KiB, and closes.
///
/// Linux answers `close` with RST when unread bytes are in the receive buffer or arrive later
/// (RFC 1122 4.2.2.13). A RST makes many a client's kernel throw away what it has not read, the
/// alert (RFC 9112 9.6: the same trouble in HTTP); on Linux the alert stays readable, but a client
/// that is still writing fails with ECONNRESET before it reads.
pub async fn farewell(stream: TcpStream, last_words: &[u8]) {
    if say(&stream, last_words) {
        let _ = timeout(LINGER, discard(&stream)).await;
    }
}

/// The same without waiting: what the client has sent so far is discarded, so that the alert
/// arrives unless more comes. For when too many are being waited for already.
pub fn farewell_in_passing(stream: &TcpStream, last_words: &[u8]) {
    if !say(stream, last_words) {
        return;
    }
    let mut socket = &*SockRef::from(stream);
    let mut trash = [0; 4096];
    for _ in 0..LINGER_BYTES / trash.len() {
        if !matches!(socket.read(&mut trash), Ok(1..)) {
            return;
        }
    }
}

/// Sends `last_words` and FIN; whether the client is still there.
fn say(stream: &TcpStream, last_words: &[u8]) -> bool {
    // A low-water mark left over from the hello would hide the client's remaining bytes.
    let _ = sockopt::set_receive_low_water(stream, 1);
    let socket = SockRef::from(stream);
    // A few bytes into an empty send buffer: they fit, or the client is gone and nobody minds. Not
    // by way of the runtime, which refuses to write before epoll has said once that it may.
    let sent = last_words.is_empty() || socket.send(last_words).is_ok();
    sent && socket.shutdown(Shutdown::Write).is_ok()
}

async fn discard(stream: &TcpStream) {
    let mut left = LINGER_BYTES;
    while left > 0 && stream.readable().await.is_ok() {
        let mut trash = [0; 4096];
        match stream.try_read(&mut trash) {
            Ok(0) => return,
            Ok(n) => left = left.saturating_sub(n),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
