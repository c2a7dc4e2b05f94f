//! What a service manager is told: datagrams to the socket of `NOTIFY_SOCKET`, sd_notify(3).
//!
//! Not the crate `sd-notify`: its 0.5 knows no abstract addresses, waits for a manager that is behind,
//! and passes descriptors by one crate more.

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sendmsg_addr, socket_with,
};
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Descriptors in one datagram; the kernel takes 253 (SCM_MAX_FD).
pub const MAX_DESCRIPTORS: usize = 64;

/// The way to the service manager.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl NotifySocket {
    /// That of `NOTIFY_SOCKET`: a path, or `@` and an abstract name (unix(7)). `None`: nobody wants
    /// to be told.
    ///
    /// # Errors
    /// No descriptor; or an address of another kind, such as `vsock:2:1234`.
    pub fn from_env() -> io::Result<Option<NotifySocket>> {
        match std::env::var_os("NOTIFY_SOCKET") {
            None => Ok(None),
            Some(address) if address.is_empty() => Ok(None),
            Some(address) => NotifySocket::at(&address).map(Some),
        }
    }

    /// That of this address, written as in `NOTIFY_SOCKET`.
    ///
    /// # Errors
    /// As [`NotifySocket::from_env`].
    pub fn at(address: &OsStr) -> io::Result<NotifySocket> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name)?,
            path @ [b'/', ..] => SocketAddrUnix::new(path)?,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "neither a path nor an abstract name (@...)",
                ));
            }
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(NotifySocket { socket, address })
    }

    /// Sends assignments, one a line, and with them at most [`MAX_DESCRIPTORS`] descriptors, of
    /// which the manager gets copies.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: the manager is behind; [`io::ErrorKind::InvalidInput`]: too
    /// many descriptors; else what the kernel says.
    pub fn send(&self, state: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // Of none there is no message.
        let fits = descriptors.len() <= MAX_DESCRIPTORS
            && (descriptors.is_empty()
                || control.push(SendAncillaryMessage::ScmRights(descriptors)));
        if !fits {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let text = [IoSlice::new(state.as_bytes())];
        // A datagram goes whole or not at all (unix(7)).
        let flags = SendFlags::NOSIGNAL;
        sendmsg_addr(&self.socket, &self.address, &text, &mut control, flags)?;
        Ok(())
    }
}

/// Tells when the manager has done all that it was told before `BARRIER=1`: it closes the end of a pipe
/// that came with that (sd_notify_barrier(3)). One that knows no barriers closes what it has not asked
/// for. Any process that has a copy can wait.
#[derive(Debug)]
pub struct Barrier(OwnedFd);

impl Barrier {
    /// It, and the end for the manager, of which no copy may be kept.
    ///
    /// # Errors
    /// No descriptors.
    pub fn new() -> io::Result<(Barrier, OwnedFd)> {
        let (ours, theirs) = io::pipe()?;
        Ok((Barrier(ours.into()), theirs.into()))
    }

    /// One that has come from another process.
    pub fn from_fd(fd: OwnedFd) -> Barrier {
        Barrier(fd)
    }

    /// Comes back when the manager has passed it, or has not heard of it and never will; at once, if it
    /// cannot be waited for.
    pub async fn passed(self) {
        if let Ok(mut ours) = Receiver::from_owned_fd(self.0) {
            // The end is all that comes.
            drop(ours.read_u8().await);
        }
    }
}

impl AsFd for Barrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How often the manager wants to hear `WATCHDOG=1`, at least; sd_watchdog_enabled(3).
pub fn watchdog() -> Option<Duration> {
    let variable = std::env::var_os;
    watchdog_of(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"))
}

fn watchdog_of(usec: Option<OsString>, pid: Option<OsString>) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    // That of a parent is not ours to feed.
    if let Some(pid) = pid
        && number(&pid) != Some(std::process::id().into())
    {
        return None;
    }
    let usec = number(&usec?)?;
    (0 < usec && usec < u64::MAX).then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    use std::io::{IoSliceMut, Read, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

    fn abstract_socket(what: &str) -> (UnixDatagram, NotifySocket) {
        let name = format!("snihub-notify-{what}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let told = NotifySocket::at(OsStr::new(&format!("@{name}"))).unwrap();
        (manager, told)
    }

    #[test]
    fn an_abstract_socket_is_told() {
        let (manager, told) = abstract_socket("told");
        told.send("READY=1\nSTATUS=well\n", &[]).unwrap();
        let mut got = [0; 100];
        let n = manager.recv(&mut got).unwrap();
        assert_eq!(&got[..n], b"READY=1\nSTATUS=well\n");
    }

    #[test]
    fn descriptors_go_with_it() {
        let (manager, told) = abstract_socket("descriptors");
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let all = vec![theirs.as_fd(); MAX_DESCRIPTORS];
        told.send("FDSTORE=1\n", &all).unwrap();
        drop(theirs);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; 100];
        let mut into = [IoSliceMut::new(&mut text)];
        recvmsg(&manager, &mut into, &mut control, RecvFlags::empty()).unwrap();
        let mut got = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                got.extend(descriptors);
            }
        }
        assert_eq!(got.len(), MAX_DESCRIPTORS);
        let mut copy = UnixStream::from(got.pop().unwrap());
        copy.write_all(b"here").unwrap();
        let mut read = [0; 4];
        ours.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"here");
        let too_many = vec![ours.as_fd(); MAX_DESCRIPTORS + 1];
        let error = told.send("FDSTORE=1\n", &too_many).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_manager_that_is_behind_or_gone_holds_nobody_up() {
        let (manager, told) = abstract_socket("behind");
        let full = (0..100_000).find_map(|_| told.send("WATCHDOG=1\n", &[]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(manager);
        let gone = told.send("WATCHDOG=1\n", &[]).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_barrier_is_passed_for_all_who_wait_when_the_manager_closes_its_end() {
        let (barrier, theirs) = Barrier::new().unwrap();
        let copy = Barrier::from_fd(barrier.as_fd().try_clone_to_owned().unwrap());
        let mut passed = std::pin::pin!(async { tokio::join!(barrier.passed(), copy.passed()) });
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, &mut passed).await.is_err());
        drop(theirs);
        passed.await;
        let null = std::fs::File::open("/dev/null").unwrap();
        Barrier::from_fd(null.into()).passed().await;
    }

    #[test]
    fn other_addresses_are_told_from_these() {
        for address in ["vsock:2:1234", "relative", "@"] {
            let made = NotifySocket::at(OsStr::new(address));
            assert_eq!(made.is_ok(), address == "@", "{address}");
        }
        let long = format!("/{}", "x".repeat(200));
        assert!(NotifySocket::at(OsStr::new(&long)).is_err());
    }

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let of = |usec: &str, pid: Option<u32>| {
            watchdog_of(Some(usec.into()), pid.map(|pid| pid.to_string().into()))
        };
        let own = std::process::id();
        let seconds = Some(Duration::from_secs(30));
        assert_eq!(of("30000000", None), seconds);
        assert_eq!(of("30000000", Some(own)), seconds);
        assert_eq!(of("30000000", Some(own + 1)), None);
        for off in ["0", "", "x", "-1", "18446744073709551615"] {
            assert_eq!(of(off, None), None, "{off:?}");
        }
        assert_eq!(watchdog_of(None, None), None);
    }
}
