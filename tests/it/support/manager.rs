//! A service manager: the other end of NOTIFY_SOCKET, in a folder of its own.

use super::hub::{PATIENCE, new_folder};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What it is told last when a hub begins.
pub(crate) const STORED: &str = "FDSTORE=1\nFDNAME=snihub-listener\n";

/// See the module.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: UnixDatagram,
    folder: PathBuf,
}

/// A message. A barrier is passed when it is dropped.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The process that says so.
    pub(crate) by: u32,
}

impl Manager {
    pub(crate) fn start() -> Manager {
        let folder = new_folder("manager");
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        set_socket_passcred(&socket, true).unwrap();
        Manager { socket, folder }
    }

    /// For NOTIFY_SOCKET.
    pub(crate) fn address(&self) -> String {
        self.folder.join("notify").to_str().unwrap().to_owned()
    }

    /// The next message.
    pub(crate) fn next(&self) -> Told {
        self.hear(PATIENCE).expect("a message in time")
    }

    /// The first message to come that has this in it.
    pub(crate) fn wait(&self, part: &str) -> Told {
        let told = self.find(part, PATIENCE);
        told.unwrap_or_else(|| panic!("no {part:?} in {PATIENCE:?}"))
    }

    /// The same, if it comes in that time.
    pub(crate) fn find(&self, part: &str, within: Duration) -> Option<Told> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let told = self.hear(left)?;
            if told.text.contains(part) {
                return Some(told);
            }
        }
    }

    /// The next message, if it comes in that time.
    pub(crate) fn hear(&self, within: Duration) -> Option<Told> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        self.receive(RecvFlags::empty())
    }

    /// All that it has been told by now.
    pub(crate) fn told_by_now(&self) -> Vec<Told> {
        std::iter::from_fn(|| self.receive(RecvFlags::DONTWAIT)).collect()
    }

    /// Has no room for a message any more, as one that is stopped, until it hears the next.
    pub(crate) fn stand_still(&self) {
        let other = UnixDatagram::unbound().unwrap();
        other.connect(self.folder.join("notify")).unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send(b"STATUS=x\n").is_ok() {}
    }

    fn receive(&self, flags: RecvFlags) -> Option<Told> {
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; 4096];
        let mut into = [IoSliceMut::new(&mut text)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let n = match recvmsg(&self.socket, &mut into, &mut control, flags) {
            Ok(got) => got.bytes,
            Err(Errno::AGAIN) => return None,
            Err(error) => panic!("the manager: {error}"),
        };
        let (mut descriptors, mut by) = (Vec::new(), 0);
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(some) => descriptors.extend(some),
                RecvAncillaryMessage::ScmCredentials(who) => {
                    by = who.pid.as_raw_nonzero().get() as u32;
                }
                _ => {}
            }
        }
        Some(Told {
            text: String::from_utf8(text[..n].to_vec()).unwrap(),
            descriptors,
            by,
        })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}
