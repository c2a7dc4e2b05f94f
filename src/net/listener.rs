//! Listening sockets: opened, adopted, accepted from.

use crate::net::addr::Endpoints;
use crate::net::sockopt::{self, Keepalive};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The accept queue asked for; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Connections that died in the queue and are stepped over before accept lets others run.
const MAX_DEAD_IN_A_ROW: usize = 64;

/// A listening socket cannot be had. The text says what to do.
#[derive(Debug, Error)]
pub enum ListenError {
    /// EADDRINUSE.
    #[error("{0} is in use by another listener; `ss -ltnp 'sport = :{port}'` shows which", port = .0.port())]
    InUse(SocketAddr),
    /// EACCES or EPERM: a port below net.ipv4.ip_unprivileged_port_start.
    #[error(
        "no permission to listen on {0}: port {port} needs CAP_NET_BIND_SERVICE (systemd: \
         AmbientCapabilities=CAP_NET_BIND_SERVICE), a socket unit, or a sysctl \
         net.ipv4.ip_unprivileged_port_start of at most {port}",
        port = .0.port()
    )]
    NotPermitted(SocketAddr),
    /// EADDRNOTAVAIL.
    #[error("{0} is not an address of this host; `ip address` lists them")]
    NotAvailable(SocketAddr),
    /// A socket from elsewhere is of no use; what it is instead.
    #[error("{0}; needed is a listening TCP socket of IPv4 or IPv6")]
    Unfit(&'static str),
    /// Anything else, in the kernel's words.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// Opens a listening socket: SO_REUSEADDR, NODELAY and keepalive (inherited by what it accepts),
/// non-blocking, dual-stack for `[::]`, and 0.0.0.0 instead where IPv6 is off. `reuse_port`:
/// others of ours will share the address. Port 0: the kernel picks one.
///
/// # Errors
/// [`ListenError`].
pub fn bind(
    address: SocketAddr,
    reuse_port: bool,
    keepalive: Option<Keepalive>,
) -> Result<TcpListener, ListenError> {
    if reuse_port {
        // With SO_REUSEPORT a second hub of the same user would silently take half of the
        // connections. Without it the kernel finds any other listener; closed at once.
        open(address, false).map_err(|e| explain(address, e))?;
    }
    listen(address, reuse_port, keepalive).map_err(|e| explain(address, e))
}

/// One listener per worker (at least one), all on one address and, if port 0 was asked for, on the
/// same port.
///
/// # Errors
/// [`ListenError`]; none stays open then.
pub fn bind_per_worker(
    address: SocketAddr,
    workers: usize,
    keepalive: Option<Keepalive>,
) -> Result<Vec<TcpListener>, ListenError> {
    let first = bind(address, workers > 1, keepalive)?;
    let bound = first.local_addr().map_err(|e| explain(address, e))?;
    let mut all = vec![first];
    while all.len() < workers {
        all.push(listen(bound, true, keepalive).map_err(|e| explain(bound, e))?);
    }
    Ok(all)
}

/// Makes a listening socket from elsewhere (LISTEN_FDS, a predecessor) ready: checked, same
/// options, non-blocking. Its accept queue stays as long as it is.
///
/// # Errors
/// [`ListenError::Unfit`] for any other socket.
pub fn adopt(socket: OwnedFd, keepalive: Option<Keepalive>) -> Result<TcpListener, ListenError> {
    let socket = Socket::from(socket);
    if let Some(what) = unfit(&socket) {
        return Err(ListenError::Unfit(what));
    }
    let address = socket.local_addr().ok().and_then(|a| a.as_socket());
    let address = address.ok_or(ListenError::Unfit("its address cannot be read"))?;
    prepare(&socket, keepalive).map_err(|e| explain(address, e))?;
    Ok(socket.into())
}

/// What it is, unless a listening TCP socket.
fn unfit(socket: &Socket) -> Option<&'static str> {
    let Ok(domain) = socket.domain() else {
        return Some("it is no socket");
    };
    if domain == Domain::UNIX {
        return Some("it is a unix socket");
    }
    if domain != Domain::IPV4 && domain != Domain::IPV6 {
        return Some("it is a socket of another family");
    }
    match (socket.r#type(), socket.protocol()) {
        (Ok(Type::STREAM), Ok(Some(Protocol::TCP))) => {}
        (Ok(Type::DGRAM), _) => return Some("it is a UDP socket"),
        _ => return Some("it is a socket of another protocol"),
    }
    match (socket.is_listener(), socket.peer_addr()) {
        (Ok(true), _) => None,
        (_, Ok(_)) => Some("it is a connection that stands (Accept=yes in its socket unit?)"),
        _ => Some("it does not listen"),
    }
}

fn listen(
    address: SocketAddr,
    reuse_port: bool,
    keepalive: Option<Keepalive>,
) -> io::Result<TcpListener> {
    let socket = open(address, reuse_port)?;
    prepare(&socket, keepalive)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, keepalive: Option<Keepalive>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    sockopt::for_tunnels(socket, keepalive)
}

/// A bound socket; for `[::]` on a kernel without IPv6, bound to 0.0.0.0.
fn open(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let no_ipv6 = |e: &io::Error| {
        matches!(
            e.raw_os_error(),
            Some(nix::libc::EAFNOSUPPORT | nix::libc::EADDRNOTAVAIL)
        )
    };
    match open_exactly(address, reuse_port) {
        Err(e) if address.ip() == Ipv6Addr::UNSPECIFIED && no_ipv6(&e) => {
            let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            open_exactly(v4, reuse_port)
        }
        other => other,
    }
}

fn open_exactly(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // The sysctl net.ipv6.bindv6only may say otherwise.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn explain(address: SocketAddr, error: io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(address),
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted(address),
        io::ErrorKind::AddrNotAvailable => ListenError::NotAvailable(address),
        _ => ListenError::Other(address, error),
    }
}

/// A listening socket of this worker's runtime.
#[derive(Debug)]
pub struct Listener {
    /// Registered with the runtime under the type that lets `accept4` be called as we like: a
    /// `tokio::net::TcpListener` registers every socket it accepts, even one that the worker is
    /// about to hand to another.
    socket: TcpStream,
    bound: SocketAddr,
}

/// A connection as accepted: non-blocking, close-on-exec, registered with no runtime yet.
#[derive(Debug)]
pub struct Accepted {
    /// `tokio::net::TcpStream::from_std` in the worker that keeps it.
    pub stream: std::net::TcpStream,
    /// Canonical.
    pub endpoints: Endpoints,
}

/// Accepting has to pause (100 ms), then goes on; the connections wait in the backlog.
#[derive(Debug, Error)]
#[error("accept on {address} pauses: {cause}{}", hint(.cause))]
pub struct AcceptPause {
    /// The listener.
    pub address: SocketAddr,
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM; or an error of no known reason, which must not spin.
    #[source]
    pub cause: io::Error,
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(nix::libc::EMFILE) => " (this process: raise LimitNOFILE)",
        Some(nix::libc::ENFILE) => " (the whole system: raise the sysctl fs.file-max)",
        _ => "",
    }
}

impl Listener {
    /// Registers the socket with the current runtime.
    ///
    /// # Errors
    /// What the kernel says (epoll's limit of watches, descriptors).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_std(listener: TcpListener) -> io::Result<Listener> {
        let bound = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let socket = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(listener)))?;
        Ok(Listener { socket, bound })
    }

    /// The address it is bound to, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.bound
    }

    /// The next connection. No error ends accepting: one that concerns a single connection is
    /// stepped over, every other asks the caller to pause. Cancel safe.
    ///
    /// # Errors
    /// [`AcceptPause`].
    pub async fn accept(&self) -> Result<Accepted, AcceptPause> {
        let accept = || self.accept_living();
        self.socket
            .async_io(Interest::READABLE, accept)
            .await
            .map_err(|cause| AcceptPause {
                address: self.bound,
                cause,
            })
    }

    /// A connection that waits in the kernel's queue at this moment, whether or not the runtime has
    /// heard of it. For a listener that is about to close: what is left in its queue then is reset.
    pub fn accept_waiting(&self) -> Option<Accepted> {
        self.accept_living().ok()
    }

    /// Linux `accept(2)`: pending network errors of the new connection come as errors of accept.
    fn accept_living(&self) -> io::Result<Accepted> {
        let mut last = io::Error::from(io::ErrorKind::ConnectionAborted);
        for _ in 0..MAX_DEAD_IN_A_ROW {
            match self.accept_one() {
                Err(e) if concerns_one_connection(&e) => last = e,
                other => return other,
            }
        }
        Err(last)
    }

    fn accept_one(&self) -> io::Result<Accepted> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, peer) = acceptfrom_with(&self.socket, flags)?;
        let stream = std::net::TcpStream::from(socket);
        let client = peer
            .and_then(|peer| SocketAddr::try_from(peer).ok())
            .ok_or(io::ErrorKind::ConnectionAborted)?;
        // Bound to one address, that is what was connected to: no need to ask.
        let local = if self.bound.ip().is_unspecified() {
            stream.local_addr()?
        } else {
            self.bound
        };
        Ok(Accepted {
            stream,
            endpoints: Endpoints {
                client: canonical(client),
                local: canonical(local),
            },
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The address with an IPv4-mapped IPv6 address turned into IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // Keeps the scope of a link-local address.
        std::net::IpAddr::V6(_) => address,
        v4 => SocketAddr::new(v4, address.port()),
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use nix::libc::{
        ECONNABORTED, ECONNRESET, EHOSTDOWN, EHOSTUNREACH, EINTR, ENETDOWN, ENETUNREACH, ENONET,
        ENOPROTOOPT, ENOTCONN, EPERM, EPROTO, ETIMEDOUT,
    };
    matches!(
        error.raw_os_error(),
        Some(
            ECONNABORTED
                | ECONNRESET
                | EHOSTDOWN
                | EHOSTUNREACH
                | EINTR
                | ENETDOWN
                | ENETUNREACH
                | ENONET
                | ENOPROTOOPT
                | ENOTCONN
                | EPERM
                | EPROTO
                | ETIMEDOUT
        )
    ) || error.kind() == io::ErrorKind::ConnectionAborted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_are_told_from_those_of_the_host() {
        use nix::libc::{
            EBADF, ECONNABORTED, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO,
        };
        let one = |errno| concerns_one_connection(&io::Error::from_raw_os_error(errno));
        for errno in [ECONNABORTED, EINTR, EPROTO] {
            assert!(one(errno), "{errno}");
        }
        // The last two can only be our own mistake; they must pause, not spin.
        for errno in [EMFILE, ENFILE, ENOBUFS, ENOMEM, EBADF, EINVAL] {
            assert!(!one(errno), "{errno}");
        }
    }

    #[test]
    fn an_operator_reads_what_to_do() {
        let address = SocketAddr::from(([0, 0, 0, 0], 443));
        let text = |errno| explain(address, io::Error::from_raw_os_error(errno)).to_string();
        assert!(text(nix::libc::EADDRINUSE).contains("`ss -ltnp 'sport = :443'`"));
        assert!(text(nix::libc::EACCES).contains("port 443 needs CAP_NET_BIND_SERVICE"));
        assert!(text(nix::libc::EADDRNOTAVAIL).contains("not an address of this host"));
        assert!(text(nix::libc::EIO).starts_with("cannot listen on 0.0.0.0:443: "));
        let pause = AcceptPause {
            address,
            cause: io::Error::from_raw_os_error(nix::libc::EMFILE),
        };
        assert_eq!(
            pause.to_string(),
            "accept on 0.0.0.0:443 pauses: Too many open files (os error 24) \
             (this process: raise LimitNOFILE)"
        );
    }

    #[test]
    fn canonical_turns_mapped_addresses_into_ipv4_and_nothing_else() {
        let of = |text: &str| canonical(text.parse().unwrap()).to_string();
        assert_eq!(of("[::ffff:10.0.0.1]:5"), "10.0.0.1:5");
        assert_eq!(of("10.0.0.1:5"), "10.0.0.1:5");
        assert_eq!(of("[fe80::1%3]:5"), "[fe80::1%3]:5");
    }
}
