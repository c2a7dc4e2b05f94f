//! What a direction needs of a socket and of a pipe, and the real ones.
//!
//! Two small traits, so that the very same state machine runs over simulated sockets in the model
//! test.

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send};
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pipe_pool::KernelPipe;

/// A pipe between two sockets. It does not know how much it holds: its user counts.
pub(super) trait Pipe: Sized {
    /// A pipe worth splicing through, of `size` bytes if that can be had, or why there is none.
    fn open(size: usize) -> io::Result<Self>;
    /// Takes bytes out into memory: the way out when `splice` was forbidden with bytes inside.
    fn read(&self, into: &mut [u8]) -> io::Result<usize>;
}

/// SO_LINGER{1, 0}: from now on whatever closes the socket sends RST (fact 7).
pub(super) fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// Takes that back: closing sends FIN, after what was written.
pub(super) fn finish_on_close(socket: &TcpStream) -> io::Result<()> {
    Ok(set_socket_linger(socket, None)?)
}

/// After a `recv` that left room: the socket counts as empty until there is news, which saves the
/// `recv` that would say so. Of bytes behind an urgent mark there is none: [`relay()`](super::relay())
/// looks for them within seconds. To be called before anything else is awaited.
pub fn presume_empty(socket: &TcpStream) {
    // tokio clears a readiness by this answer alone. What has come since it was told will be told
    // anew, when the thread next asks the kernel; FIN and RST that were told stay told.
    let _ = socket.try_io(Interest::READABLE, || {
        Err::<(), _>(io::ErrorKind::WouldBlock.into())
    });
}

/// A socket, non-blocking. `recv` and `send` report WouldBlock only as the socket's own word, and
/// it clears the readiness that `poll_*` told; `fill` never clears it, since `splice` says EAGAIN
/// for other reasons too (a full pipe, an urgent mark). After [`Socket::presume_empty`] only
/// [`Socket::recv_untold`] reads, until there is news.
pub(super) trait Socket {
    /// What it splices through.
    type Pipe: Pipe;
    /// Whether `recv` is worth trying; else `cx` is woken when it is.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Whether `send` is worth trying; else `cx` is woken when it is.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// 0 is the end of the stream.
    fn recv(&self, into: &mut [u8]) -> io::Result<usize>;
    /// The same, whatever `poll_readable` says.
    fn recv_untold(&self, into: &mut [u8]) -> io::Result<usize>;
    /// Takes the socket for empty without asking it: `poll_readable` waits for news. FIN and RST
    /// that were told stay told.
    fn presume_empty(&self);
    /// Whether an urgent byte stands in the stream, next or later.
    fn is_marked(&self) -> bool;
    /// How many of the bytes were taken.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;
    /// `splice` into an *empty* pipe. 0 is *not* yet the end of the stream.
    fn fill(&self, pipe: &Self::Pipe, len: usize) -> io::Result<usize>;
    /// `splice` out of a pipe that holds at least `len` bytes.
    fn drain(&self, pipe: &Self::Pipe, len: usize) -> io::Result<usize>;
    /// FIN.
    fn finish(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    type Pipe = KernelPipe;

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.try_io(Interest::READABLE, || self.recv_untold(into))
    }

    fn recv_untold(&self, into: &mut [u8]) -> io::Result<usize> {
        let (n, _) = recv(self, into, RecvFlags::empty())?;
        Ok(n)
    }

    fn presume_empty(&self) {
        presume_empty(self);
    }

    fn is_marked(&self) -> bool {
        // tcp_recv_urg: EINVAL without a mark, EAGAIN if its byte is still to come.
        let flags = RecvFlags::OOB | RecvFlags::PEEK;
        !matches!(recv(self, &mut [0], flags), Err(rustix::io::Errno::INVAL))
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || {
            Ok(send(self, bytes, SendFlags::NOSIGNAL)?)
        })
    }

    fn fill(&self, pipe: &KernelPipe, len: usize) -> io::Result<usize> {
        // Outside try_io on purpose: this EAGAIN does not prove an empty socket, and letting it
        // clear the readiness would hang the tunnel (data-plane fact 1).
        pipe.fill_from(self, len)
    }

    fn drain(&self, pipe: &KernelPipe, len: usize) -> io::Result<usize> {
        // The pipe holds `len` bytes, so EAGAIN can only be the socket's: it may clear readiness.
        self.try_io(Interest::WRITABLE, || pipe.drain_into(self, len))
    }

    fn finish(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, Shutdown::Write)?)
    }
}
