//! Hashed data both ways at once over one TLS stream; both ends run the same code.
//!
//! Frames of a 4-byte length and so many bytes; length 0 ends the data and is followed by its
//! SHA-256. Then the sender closes its direction, and the receiver insists on seeing that: a stream
//! that was cut never looks like a whole one.

use super::data::{HASH, Noise, Sha256};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Payload of a frame.
pub(super) const FRAME: usize = 64 * 1024;

/// What one end of an exchange saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// Payload bytes sent.
    pub(super) sent: u64,
    /// Payload bytes received.
    pub(super) received: u64,
    /// Whether the received bytes have the hash that their sender sent after them.
    pub(super) hash_right: bool,
}

/// Joins the parties of one demo: when to stop, and how far they are.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// While set, both ends of standing links go on sending beyond their minimum.
    pub(super) held: AtomicBool,
    /// Payload bytes received so far, both ends of all exchanges together.
    pub(super) moved: AtomicU64,
}

/// Sends noise of `seed`, at least `minimum` bytes and then, if `held`, on for as long as the pace
/// is; receives until the other side has finished.
///
/// # Errors
/// Of the stream; `InvalidData` when the other side breaks the framing, `UnexpectedEof` when it
/// ends without saying so.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite>(
    stream: S,
    seed: u64,
    minimum: u64,
    held: bool,
    pace: &Pace,
) -> io::Result<End> {
    let (reader, writer) = tokio::io::split(stream);
    let more = |sent| sent < minimum || held && pace.held.load(Relaxed);
    // The first to fail ends the other, which might wait for ever.
    let (sent, (received, hash_right)) =
        tokio::try_join!(send(writer, seed, more), receive(reader, pace))?;
    Ok(End {
        sent,
        received,
        hash_right,
    })
}

async fn send(
    mut writer: impl AsyncWrite + Unpin,
    seed: u64,
    more: impl Fn(u64) -> bool,
) -> io::Result<u64> {
    let mut noise = Noise::new(seed);
    let mut sha = Sha256::new();
    let mut frame = vec![0; 4 + FRAME];
    frame[..4].copy_from_slice(&(FRAME as u32).to_be_bytes());
    let mut sent = 0;
    while more(sent) {
        noise.fill(&mut frame[4..]);
        sha.update(&frame[4..]);
        writer.write_all(&frame).await?;
        sent += FRAME as u64;
        // A socket that takes everything would keep the thread from all others.
        tokio::task::yield_now().await;
    }
    writer.write_all(&[0; 4]).await?;
    writer.write_all(&sha.finish()).await?;
    writer.shutdown().await?;
    Ok(sent)
}

async fn receive(mut reader: impl AsyncRead + Unpin, pace: &Pace) -> io::Result<(u64, bool)> {
    let mut sha = Sha256::new();
    let mut payload = vec![0; FRAME];
    let mut received = 0;
    loop {
        let mut length = [0; 4];
        reader.read_exact(&mut length).await?;
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 {
            break;
        }
        let payload = payload
            .get_mut(..length)
            .ok_or_else(|| wrong("a frame above its bound"))?;
        reader.read_exact(payload).await?;
        sha.update(payload);
        received += length as u64;
        pace.moved.fetch_add(length as u64, Relaxed);
        // In turn with the other direction and the other links of this thread.
        tokio::task::yield_now().await;
    }
    let mut hash = [0; HASH];
    reader.read_exact(&mut hash).await?;
    match reader.read(&mut [0]).await? {
        0 => Ok((received, hash == sha.finish())),
        _ => Err(wrong("bytes after the end of the data")),
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_agree() {
        let (a, b) = tokio::io::duplex(10_000);
        let pace = Pace::default();
        let minimum = 3 * FRAME as u64;
        let (a, b) = tokio::join!(
            exchange(a, 1, minimum, true, &pace),
            exchange(b, 2, 1, false, &pace),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.sent, a.received), (b.received, b.sent));
        assert_eq!((a.sent, b.sent), (minimum, FRAME as u64));
        assert!(a.hash_right && b.hash_right);
        assert_eq!(pace.moved.load(Relaxed), a.received + b.received);
    }

    #[tokio::test]
    async fn what_is_held_goes_on_until_it_is_let_go() {
        let (a, b) = tokio::io::duplex(10_000);
        let pace = Pace::default();
        pace.held.store(true, Relaxed);
        let let_go = async {
            while pace.moved.load(Relaxed) < 8 * FRAME as u64 {
                tokio::task::yield_now().await;
            }
            pace.held.store(false, Relaxed);
        };
        let (a, b, ()) = tokio::join!(
            exchange(a, 1, 1, true, &pace),
            exchange(b, 2, 1, false, &pace),
            let_go
        );
        assert!(a.unwrap().sent >= 7 * FRAME as u64);
        assert_eq!(b.unwrap().sent, FRAME as u64);
    }

    /// What `receive` says of these bytes.
    async fn received(bytes: &[u8]) -> io::Result<(u64, bool)> {
        receive(bytes, &Pace::default()).await
    }

    #[tokio::test]
    async fn one_wrong_bit_a_cut_or_an_addition_is_seen() {
        let mut whole = Vec::new();
        send(&mut whole, 7, |sent| sent < 2 * FRAME as u64)
            .await
            .unwrap();
        assert_eq!(received(&whole).await.unwrap(), (2 * FRAME as u64, true));
        for at in [4, FRAME, FRAME + 8, whole.len() - 1] {
            let mut other = whole.clone();
            other[at] ^= 0x10;
            assert!(!received(&other).await.unwrap().1, "{at}");
        }
        for cut in [0, 3, 4, FRAME + 4, whole.len() - HASH, whole.len() - 1] {
            let error = received(&whole[..cut]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
        whole.push(0);
        assert_eq!(
            received(&whole).await.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let huge = received(&u32::MAX.to_be_bytes()).await.unwrap_err();
        assert_eq!(huge.kind(), io::ErrorKind::InvalidData);
    }
}
