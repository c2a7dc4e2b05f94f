//! A socket that keeps the first bytes that came over it: what a peer speaks that is not TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// As many as [`looks_like`](crate::tls::looks_like) may want.
const KEPT: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Noted {
    socket: TcpStream,
    first: Vec<u8>,
}

impl Noted {
    pub(super) fn new(socket: TcpStream) -> Noted {
        Noted {
            socket,
            first: Vec::with_capacity(KEPT),
        }
    }

    /// The first bytes that came, 32 at most.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let wanted = KEPT - self.first.len();
        let came = &buffer.filled()[before..];
        self.first
            .extend_from_slice(&came[..wanted.min(came.len())]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
