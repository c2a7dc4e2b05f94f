//! Non-blocking TCP sockets as client, origin and floor need them, and the names of what fails.

use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_linger, set_socket_reuseaddr, set_socket_reuseport, set_tcp_nodelay,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, connect,
    listen, socket_with,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);
const BACKLOG: i32 = 4096;

/// Connections inherit TCP_NODELAY from it. `shared`: several of one address share what comes
/// (SO_REUSEPORT); else a second one fails, lest half the tunnels go to an origin that was left over.
pub(crate) fn listener(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let socket = new(address)?;
    set_socket_reuseaddr(&socket, true)?;
    set_socket_reuseport(&socket, shared)?;
    set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// `None`: nobody is waiting.
pub(crate) fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    match accept_with(listener, FLAGS) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A connection that is made, or about to be: sending tells, with EAGAIN until it is there.
///
/// From `source`, if there is one, the kernel takes a port that is free towards `address`: without
/// IP_BIND_ADDRESS_NO_PORT it would be free towards everybody, and there would be far fewer.
pub(crate) fn dial(address: SocketAddr, source: Option<IpAddr>) -> io::Result<OwnedFd> {
    let socket = new(address)?;
    if let Some(source) = source {
        nix::sys::socket::setsockopt(&socket, IpBindAddressNoPort, &true)?;
        bind(&socket, &SocketAddr::new(source, 0))?;
    }
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn new(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    Ok(socket_with(family, SocketType::STREAM, FLAGS, None)?)
}

pub(crate) fn nodelay(socket: &OwnedFd) -> io::Result<()> {
    Ok(set_tcp_nodelay(socket, true)?)
}

/// std ignores SIGPIPE; a dead socket says EPIPE.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::empty())?)
}

pub(crate) fn recv(socket: &OwnedFd, room: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, room, flags)?.0)
}

/// What there is to read; `None`: nothing now. `Some(0)` is the end.
pub(crate) fn recv_now(socket: &OwnedFd, room: &mut [u8]) -> io::Result<Option<usize>> {
    now(recv(socket, room, RecvFlags::empty()))
}

/// How much could be written; `None`: nothing now.
pub(crate) fn send_now(socket: &OwnedFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    now(send(socket, bytes))
}

/// EAGAIN is no error here.
pub(crate) fn now<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Closes by RST: nothing of it stays, neither unsent bytes nor TIME_WAIT.
pub(crate) fn reset(socket: OwnedFd) {
    // Fails only for a descriptor that is no socket.
    let _ = set_socket_linger(&socket, Some(Duration::ZERO));
}

/// A closed set of names for what went wrong, to count by.
pub(crate) fn name_of(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRNOTAVAIL) => "no source port left (EADDRNOTAVAIL)",
        Some(Errno::MFILE | Errno::NFILE) => "no descriptor left (EMFILE)",
        Some(Errno::NOBUFS | Errno::NOMEM) => "no memory left (ENOBUFS)",
        Some(Errno::CONNREFUSED) => "connection refused",
        Some(Errno::CONNRESET | Errno::PIPE) => "reset",
        Some(Errno::TIMEDOUT) => "timed out (ETIMEDOUT)",
        Some(_) => "another error of the system",
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof => "closed early",
            io::ErrorKind::TimedOut => "no answer in time",
            io::ErrorKind::ConnectionRefused => "refused by a TLS alert",
            io::ErrorKind::InvalidData => "wrong bytes",
            _ => "another error",
        },
    }
}
