//! A socket that counts what passes, under TLS, and can cut its first write in two.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Bytes on the socket itself, to compare with what the hub counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// Sent before the first byte came back: a client's hello.
    pub(super) hello: AtomicU64,
}

/// How a first flight is sent in two TCP segments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Bytes of the first segment.
    pub(super) at: usize,
    /// Between the two.
    pub(super) pause: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Counted {
    socket: TcpStream,
    counts: Arc<Counts>,
    state: State,
}

#[derive(Debug)]
enum State {
    Whole,
    First(usize, Duration),
    Pausing(Pin<Box<Sleep>>),
}

impl Counted {
    /// The socket should have TCP_NODELAY, or the kernel joins again what `cut` parts.
    pub(super) fn new(socket: TcpStream, cut: Option<Cut>) -> Counted {
        let state = cut.map_or(State::Whole, |cut| State::First(cut.at, cut.pause));
        Counted {
            socket,
            counts: Arc::default(),
            state,
        }
    }

    pub(super) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    fn sent(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = written {
            self.counts.sent.fetch_add(n as u64, Relaxed);
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        if read > 0 && self.counts.received.fetch_add(read, Relaxed) == 0 {
            self.counts
                .hello
                .store(self.counts.sent.load(Relaxed), Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let State::Pausing(sleep) = &mut self.state {
            ready!(sleep.as_mut().poll(cx));
            self.state = State::Whole;
        }
        let State::First(left, pause) = self.state else {
            let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
            return self.sent(written);
        };
        let first = &bytes[..left.min(bytes.len())];
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, first))?;
        self.state = match left - written {
            0 => State::Pausing(Box::pin(tokio::time::sleep_until(Instant::now() + pause))),
            left => State::First(left, pause),
        };
        self.sent(Poll::Ready(Ok(written)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !matches!(self.state, State::Whole) {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| &slice[..]));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
