//! epoll(7), level-triggered: what is left unread is told again, so that nobody has to read until
//! EAGAIN, and a fat tunnel takes its turn like any other.

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Told of each socket whether it is asked for or not: errors and the end of both directions.
pub(crate) const READ: EventFlags = EventFlags::IN;
pub(crate) const WRITE: EventFlags = EventFlags::OUT;

const BATCH: usize = 256;

/// One thread's sockets, each with a number of its owner's.
pub(crate) struct Poll {
    epoll: Arc<OwnedFd>,
    events: Vec<Event>,
}

/// A number's socket can be read, or written, or is broken (then all are true: the call tells how).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Both directions are over, or it was reset.
    pub(crate) broken: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Poll> {
        Ok(Poll::behind(Arc::new(door()?)))
    }

    pub(crate) fn behind(door: Arc<OwnedFd>) -> Poll {
        Poll {
            epoll: door,
            events: Vec::with_capacity(BATCH),
        }
    }

    pub(crate) fn add(&self, socket: &OwnedFd, token: u64, wants: EventFlags) -> io::Result<()> {
        add(&self.epoll, socket, token, wants)
    }

    pub(crate) fn modify(&self, socket: &OwnedFd, token: u64, wants: EventFlags) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, socket, data, wants)?)
    }

    pub(crate) fn delete(&self, socket: &OwnedFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// How many are ready, [`Poll::ready`] tells which; 0 after `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> io::Result<usize> {
        self.events.clear();
        let timeout = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, Some(&timeout)) {
            Ok(n) => Ok(n),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The `at`th of those that the last wait found. A number may be one whose socket was closed
    /// and opened again since: whoever acts on it must take EAGAIN for an answer.
    pub(crate) fn ready(&self, at: usize) -> Ready {
        let Event { flags, data } = self.events[at];
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Ready {
            token: data.u64(),
            read: broken || flags.contains(EventFlags::IN),
            write: broken || flags.contains(EventFlags::OUT),
            broken,
        }
    }
}

/// What a thread's [`Poll`] waits at, and others register sockets at with [`add`].
pub(crate) fn door() -> io::Result<OwnedFd> {
    Ok(epoll::create(CreateFlags::CLOEXEC)?)
}

pub(crate) fn add(
    epoll: &impl AsFd,
    socket: &OwnedFd,
    token: u64,
    wants: EventFlags,
) -> io::Result<()> {
    Ok(epoll::add(epoll, socket, EventData::new_u64(token), wants)?)
}
