//! Messages with descriptors from one process to another: unix sockets of SOCK_SEQPACKET (unix(7)),
//! which keep the bounds of messages, and tell when nobody is left at the other end.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{self, Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    accept_with, bind, connect, listen, recvmsg, sendmsg, socket_with, socketpair,
};
use rustix::stdio::dup2_stdin;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes of one packet: far below what a socket holds (net.core.wmem_default, 212,992).
pub const MAX_PACKET: usize = 32 * 1024;
/// Descriptors with one packet; the kernel takes 253 (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 64;

/// One end. It blocks, within the time limits of [`PacketSocket::set_timeout`].
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

/// What came in one piece.
#[derive(Debug)]
pub struct Packet {
    /// At least one.
    pub bytes: Vec<u8>,
    /// Closed by exec.
    pub descriptors: Vec<OwnedFd>,
}

impl PacketSocket {
    /// Both ends.
    ///
    /// # Errors
    /// No descriptors.
    pub fn pair() -> io::Result<[PacketSocket; 2]> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (one, other) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok([one, other].map(PacketSocket))
    }

    /// The end that this process was given as its stdin, which is /dev/null from now on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`]: stdin is something else.
    pub fn from_stdin() -> io::Result<PacketSocket> {
        // Closed by exec, as every copy of std's.
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        if sockopt::socket_type(&socket) != Ok(SocketType::SEQPACKET) {
            return Err(ErrorKind::InvalidInput.into());
        }
        dup2_stdin(open("/dev/null", OFlags::RDWR, Mode::empty())?)?;
        Ok(PacketSocket(socket))
    }

    /// One that was passed.
    pub fn from_fd(socket: OwnedFd) -> PacketSocket {
        PacketSocket(socket)
    }

    /// Another descriptor of the same end.
    ///
    /// # Errors
    /// No descriptors.
    pub fn try_clone(&self) -> io::Result<PacketSocket> {
        Ok(PacketSocket(self.0.try_clone()?))
    }

    /// The end that listens under an abstract name (unix(7)).
    ///
    /// # Errors
    /// What the kernel says: nobody listens there.
    pub fn connect(name: &str) -> io::Result<PacketSocket> {
        let socket = unix_socket()?;
        connect(
            &socket,
            &SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        )?;
        Ok(PacketSocket(socket))
    }

    /// How long the blocking calls wait; `None`: for ever.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_timeout(&self, most: Option<Duration>) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, most)?;
        Ok(set_socket_timeout(&self.0, Timeout::Send, most)?)
    }

    /// Who was at the other end when they were connected: user, and process; `None`: it is not to be
    /// seen in our pid namespace (pid_namespaces(7)), for which the kernel says 0, and rustix has no
    /// number.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn peer(&self) -> io::Result<(u32, Option<u32>)> {
        let peer = getsockopt(&self.0, PeerCredentials)?;
        let pid = u32::try_from(peer.pid()).ok();
        Ok((peer.uid(), pid.filter(|pid| *pid > 0)))
    }

    /// Sends one packet: `head`, then `body`; whole, or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`]: no room in time; [`ErrorKind::InvalidInput`]: too much; else
    /// what the kernel says, [`ErrorKind::BrokenPipe`] among it.
    pub fn send(&self, head: u8, body: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(self.0.as_fd(), head, body, descriptors)
    }

    /// The next packet; `None`: nobody is left at the other end.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`]: none came in time; [`ErrorKind::InvalidData`]: more came than
    /// fits, or this process has no descriptors left for what came with it.
    pub fn recv(&self) -> io::Result<Option<Packet>> {
        recv(self.0.as_fd())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<PacketSocket> for OwnedFd {
    fn from(socket: PacketSocket) -> OwnedFd {
        socket.0
    }
}

/// The same end in a runtime; it blocks nowhere any more.
#[derive(Debug)]
pub struct PacketStream {
    /// Registered under a type that lets `recvmsg` and `sendmsg` be called as we like.
    socket: UnixStream,
}

impl PacketStream {
    /// In the current runtime.
    ///
    /// # Errors
    /// What the kernel says (epoll's limit of watches, descriptors).
    pub fn new(socket: PacketSocket) -> io::Result<PacketStream> {
        ioctl_fionbio(&socket.0, true)?;
        let socket = std::os::unix::net::UnixStream::from(socket.0);
        let socket = UnixStream::from_std(socket)?;
        Ok(PacketStream { socket })
    }

    /// Another descriptor of the same end.
    ///
    /// # Errors
    /// No descriptors.
    pub fn try_clone(&self) -> io::Result<PacketSocket> {
        Ok(PacketSocket(self.socket.as_fd().try_clone_to_owned()?))
    }

    /// As [`PacketSocket::send`], when there is room. Cancel safe.
    ///
    /// # Errors
    /// As there.
    pub async fn send(
        &self,
        head: u8,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let send = || send(self.socket.as_fd(), head, body, descriptors);
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// As [`PacketSocket::recv`], when one comes. Cancel safe.
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&self) -> io::Result<Option<Packet>> {
        let recv = || recv(self.socket.as_fd());
        self.socket.async_io(Interest::READABLE, recv).await
    }
}

fn send(
    socket: BorrowedFd<'_>,
    head: u8,
    body: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    // Of none there is no message.
    let fits = body.len() < MAX_PACKET
        && descriptors.len() <= MAX_DESCRIPTORS
        && (descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
    if !fits {
        return Err(ErrorKind::InvalidInput.into());
    }
    let head = [head];
    let parts = [IoSlice::new(&head), IoSlice::new(body)];
    sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn recv(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; MAX_PACKET];
    let mut into = [IoSliceMut::new(&mut bytes)];
    let mut receive = || recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC);
    let got = match receive() {
        // It went with bytes of ours unread. The kernel says so once, and before what it had sent
        // (unix_release_sock sets sk_err, recvmsg looks there first).
        Err(Errno::CONNRESET) => receive(),
        got => got,
    };
    let got = match got {
        Ok(got) => got,
        Err(Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    if got
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(ErrorKind::InvalidData.into());
    }
    bytes.truncate(got.bytes);
    Ok((got.bytes > 0).then_some(Packet { bytes, descriptors }))
}

/// Where another process may connect to: an abstract name (unix(7)) has no file and no mode, so
/// that each peer has to be looked at.
#[derive(Debug)]
pub struct PacketListener(UnixStream);

impl PacketListener {
    /// Listens under this name, in the current runtime.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`]; no descriptors.
    pub fn bind(name: &str) -> io::Result<PacketListener> {
        let socket = unix_socket()?;
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
        bind(&socket, &address)?;
        listen(&socket, 1)?;
        ioctl_fionbio(&socket, true)?;
        let socket = std::os::unix::net::UnixStream::from(socket);
        Ok(PacketListener(UnixStream::from_std(socket)?))
    }

    /// The next peer. Cancel safe.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn accept(&self) -> io::Result<PacketSocket> {
        let accept = || Ok(accept_with(&self.0, SocketFlags::CLOEXEC)?);
        let socket = self.0.async_io(Interest::READABLE, accept).await?;
        Ok(PacketSocket(socket))
    }
}

fn unix_socket() -> io::Result<OwnedFd> {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    Ok(socket_with(AddressFamily::UNIX, kind, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn packets_keep_their_bounds_and_descriptors_and_tell_the_end() {
        let [one, other] = PacketSocket::pair().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let many = vec![socket.as_fd(); MAX_DESCRIPTORS];
        one.send(1, b"first", &many).unwrap();
        one.send(2, b"", &[]).unwrap();
        let first = other.recv().unwrap().unwrap();
        assert_eq!(first.bytes, b"\x01first");
        assert_eq!(first.descriptors.len(), MAX_DESCRIPTORS);
        let copy = TcpListener::from(first.descriptors.into_iter().next_back().unwrap());
        assert_eq!(copy.local_addr().unwrap(), socket.local_addr().unwrap());
        let second = other.recv().unwrap().unwrap();
        assert_eq!((second.bytes, second.descriptors.len()), (vec![2], 0));
        other.set_timeout(Some(Duration::from_millis(1))).unwrap();
        let none = other.recv().unwrap_err();
        assert_eq!(none.kind(), ErrorKind::WouldBlock);
        one.send(3, b"unread", &[]).unwrap();
        drop(other);
        assert!(one.recv().unwrap().is_none());
        let gone = one.send(4, b"", &[]).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn what_was_said_last_is_heard_although_the_other_end_left_bytes_unread() {
        let [one, other] = PacketSocket::pair().unwrap();
        one.send(1, b"unread", &[]).unwrap();
        other.send(2, b"last", &[]).unwrap();
        other.send(3, b"words", &[]).unwrap();
        drop(other);
        let heard = || one.recv().unwrap().map(|packet| packet.bytes);
        assert_eq!(heard().unwrap(), b"\x02last");
        assert_eq!(heard().unwrap(), b"\x03words");
        assert_eq!(heard(), None);
        assert_eq!(heard(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_a_full_socket_is_told() {
        let [one, _other] = PacketSocket::pair().unwrap();
        let large = vec![0; MAX_PACKET];
        let error = one.send(0, &large, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let many = vec![socket.as_fd(); MAX_DESCRIPTORS + 1];
        assert!(one.send(0, b"", &many).is_err());
        one.set_timeout(Some(Duration::from_millis(1))).unwrap();
        let full = (0..1_000).find_map(|_| one.send(0, &large[1..], &[]).err());
        assert_eq!(full.unwrap().kind(), ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn who_connects_is_known() {
        let name = format!("snihub-packets-{}", std::process::id());
        let listener = PacketListener::bind(&name).unwrap();
        let client = PacketSocket::connect(&name).unwrap();
        let accepted = listener.accept().await.unwrap();
        let (uid, pid) = accepted.peer().unwrap();
        assert_eq!(uid, rustix::process::geteuid().as_raw());
        assert_eq!(pid, Some(std::process::id()));
        let accepted = PacketStream::new(accepted).unwrap();
        client.send(7, b"x", &[]).unwrap();
        assert_eq!(accepted.recv().await.unwrap().unwrap().bytes, b"\x07x");
        drop(client);
        assert!(accepted.recv().await.unwrap().is_none());
    }
}
