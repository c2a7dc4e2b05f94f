//! Sockets that were open before this process began: `LISTEN_FDS`, sd_listen_fds(3).

use rustix::io::{FdFlags, fcntl_setfd};
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd};
use thiserror::Error;

/// A descriptor that the service manager has passed, or a predecessor. What it is has to be looked at:
/// [`crate::net::listener::adopt`].
#[derive(Debug)]
pub struct Passed {
    /// Its number, 3 and up.
    pub number: u32,
    /// `FileDescriptorName=` of its socket unit, which is the unit's name if it has none; or
    /// `FDNAME=` of one that was stored. Empty: it came without.
    pub name: String,
    /// The address of the item of `listen` that it served in the process before this one, if that
    /// has passed it.
    pub listed: Option<SocketAddr>,
    /// Closed by exec.
    pub socket: OwnedFd,
}

/// The socket of a door for people and scrapers, that a predecessor has passed.
#[derive(Debug)]
pub struct PassedDoor {
    /// Its key in hub.yaml.
    pub key: String,
    /// What stood there.
    pub at: String,
    /// Of the file of a unix socket; 0 of another.
    pub inode: u64,
    /// Closed by exec.
    pub socket: OwnedFd,
}

/// Why they cannot be taken.
#[derive(Debug, Error)]
pub enum PassedError {
    /// `LISTEN_PID` or `LISTEN_FDS`.
    #[error(
        "LISTEN_PID or LISTEN_FDS is no number: sockets are passed as sd_listen_fds(3) says, or \
         neither is set"
    )]
    Malformed,
    /// Fewer descriptors are open than `LISTEN_FDS` says.
    #[error(
        "LISTEN_FDS speaks of descriptor {0}, which is not open: it was closed on the way here"
    )]
    NotOpen(u32),
}

/// Takes what was passed to this process. The variables stay (no process may change its environment
/// while it has threads, setenv(3)); `LISTEN_PID` keeps everyone else from believing them.
/// To be called once, before anything else opens a descriptor.
///
/// # Errors
/// [`PassedError`].
pub fn take() -> Result<Vec<Passed>, PassedError> {
    let listed = sd_listen_fds::get().map_err(|_| PassedError::Malformed)?;
    let mut all = Vec::with_capacity(listed.len());
    let mut listed = (3..).zip(listed);
    while let Some((number, (name, socket))) = listed.next() {
        let socket = socket.into_std();
        // They come open across exec.
        if fcntl_setfd(&socket, FdFlags::CLOEXEC).is_err() {
            // What is not open must not be closed, nor what comes after it: nobody has looked.
            let _ = socket.into_raw_fd();
            for (_, (_, unseen)) in listed {
                let _ = unseen.into_raw();
            }
            return Err(PassedError::NotOpen(number));
        }
        let name = name.unwrap_or_default();
        all.push(Passed {
            number,
            name,
            listed: None,
            socket,
        });
    }
    Ok(all)
}
