//! One connection of the origin's, from its hello to its end.

use crate::command::{self, ANSWER, Command};
use crate::control::Counters;
use crate::hello;
use crate::pattern::{Pattern, Stream, receive_bulk};
use crate::poll::{READ, WRITE};
use crate::socket::{now, recv_now, send_now};
use rustix::event::epoll::EventFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Larger than any hello; what is read beyond one is a stranger's.
const SCRATCH: usize = 64 * 1024;
/// The largest message that is echoed.
const LARGEST: u64 = 1024 * 1024;

/// What a conversation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Read,
    Write,
    /// Nothing more: to be closed.
    Close,
}

impl Wants {
    pub(crate) fn flags(self) -> EventFlags {
        match self {
            Wants::Read | Wants::Close => READ,
            Wants::Write => WRITE,
        }
    }
}

/// What the conversations of one thread share.
pub(crate) struct Desk {
    scratch: Vec<u8>,
    pattern: Pattern,
    pub(crate) counters: Arc<Counters>,
}

impl Desk {
    pub(crate) fn new(counters: Arc<Counters>) -> Desk {
        Desk {
            scratch: vec![0; SCRATCH],
            pattern: Pattern::new(),
            counters,
        }
    }
}

/// Where a connection is in its story. An idle one owns no memory beside this.
pub(crate) struct Conversation {
    state: State,
    /// Bytes received that are no whole unit yet (hello, command, message), or of a message being
    /// sent back.
    held: Vec<u8>,
}

enum State {
    Hello,
    Command,
    /// Message size, and what of the held message was sent back, once it is whole.
    Echo(usize, Option<usize>),
    Sink(Stream),
    Source(Stream),
    Stats,
}

impl Conversation {
    pub(crate) fn new() -> Conversation {
        Conversation {
            state: State::Hello,
            held: Vec::new(),
        }
    }

    /// Does one turn's worth of what can be done now.
    ///
    /// # Errors
    /// The connection is broken, or its client breaks the rules.
    pub(crate) fn go_on(&mut self, socket: &OwnedFd, desk: &mut Desk) -> io::Result<Wants> {
        match &mut self.state {
            State::Hello => self.hello(socket, desk),
            State::Command => self.command(socket),
            State::Echo(size, None) => {
                let size = *size;
                self.hear(size, socket, desk)
            }
            State::Echo(size, Some(sent)) => {
                let (size, sent) = (*size, *sent);
                self.say(size, sent, socket)
            }
            State::Sink(stream) => {
                let moved = now(stream.receive(socket, &mut desk.pattern))?.unwrap_or_default();
                desk.counters.sunk.fetch_add(moved.bytes, Relaxed);
                desk.counters.wrong.fetch_add(moved.wrong, Relaxed);
                Ok(Wants::Read)
            }
            State::Source(stream) => {
                now(stream.send(socket, &desk.pattern))?;
                Ok(Wants::Write)
            }
            State::Stats => {
                // One question, one answer: the client waits for it.
                match recv_now(socket, &mut desk.scratch[..1])? {
                    None => {}
                    Some(0) => return Ok(Wants::Close),
                    Some(_) => at_once(socket, &desk.counters.snapshot().encode())?,
                }
                Ok(Wants::Read)
            }
        }
    }

    fn hello(&mut self, socket: &OwnedFd, desk: &mut Desk) -> io::Result<Wants> {
        let Some(n) = recv_now(socket, &mut desk.scratch)? else {
            return Ok(Wants::Read);
        };
        if n == 0 {
            return Ok(Wants::Close);
        }
        let got = &desk.scratch[..n];
        let raw = if self.held.is_empty() {
            got
        } else {
            self.held.extend_from_slice(got);
            &self.held
        };
        match hello::read(raw) {
            Ok(None) => {
                if self.held.is_empty() {
                    self.held.extend_from_slice(got);
                }
                Ok(Wants::Read)
            }
            // The client says nothing more before it has its answer.
            Ok(Some((command, end))) if end == raw.len() => {
                self.held = Vec::new();
                at_once(socket, &[ANSWER])?;
                self.begin(command, socket)
            }
            _ => {
                desk.counters.strangers.fetch_add(1, Relaxed);
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn begin(&mut self, command: Command, socket: &OwnedFd) -> io::Result<Wants> {
        self.state = match command {
            Command::Echo(size) if (1..=LARGEST).contains(&size) => {
                State::Echo(size as usize, None)
            }
            Command::Echo(_) => return Err(io::ErrorKind::InvalidInput.into()),
            Command::Sink(start) => {
                receive_bulk(socket)?;
                State::Sink(Stream::starting_at(start))
            }
            Command::Source(start) => State::Source(Stream::starting_at(start)),
            Command::Close => return Ok(Wants::Close),
            Command::Stats => State::Stats,
            Command::Await => State::Command,
        };
        Ok(match self.state {
            State::Source(_) => Wants::Write,
            _ => Wants::Read,
        })
    }

    fn command(&mut self, socket: &OwnedFd) -> io::Result<Wants> {
        let mut bytes = [0; command::LEN];
        let missing = command::LEN - self.held.len();
        match recv_now(socket, &mut bytes[..missing])? {
            None => return Ok(Wants::Read),
            Some(0) => return Ok(Wants::Close),
            Some(n) => self.held.extend_from_slice(&bytes[..n]),
        }
        let Some(bytes) = self.held.first_chunk() else {
            return Ok(Wants::Read);
        };
        let command = Command::decode(bytes).ok_or(io::ErrorKind::InvalidData)?;
        self.held = Vec::new();
        self.begin(command, socket)
    }

    /// Never reads beyond the message, so that what is held is of one message.
    fn hear(&mut self, size: usize, socket: &OwnedFd, desk: &mut Desk) -> io::Result<Wants> {
        let missing = (size - self.held.len()).min(SCRATCH);
        let room = &mut desk.scratch[..missing];
        let n = match recv_now(socket, room)? {
            None => return Ok(Wants::Read),
            Some(0) => return Ok(Wants::Close),
            Some(n) => n,
        };
        // The usual case: the whole message in one read, sent back in one write, nothing kept.
        if n == size {
            let sent = send_now(socket, &room[..n])?.unwrap_or(0);
            if sent == n {
                return Ok(Wants::Read);
            }
            self.held.extend_from_slice(&room[..n]);
            self.state = State::Echo(size, Some(sent));
            return Ok(Wants::Write);
        }
        self.held.extend_from_slice(&room[..n]);
        if self.held.len() < size {
            return Ok(Wants::Read);
        }
        self.say(size, 0, socket)
    }

    fn say(&mut self, size: usize, sent: usize, socket: &OwnedFd) -> io::Result<Wants> {
        let sent = sent + send_now(socket, &self.held[sent..])?.unwrap_or(0);
        if sent < size {
            self.state = State::Echo(size, Some(sent));
            return Ok(Wants::Write);
        }
        self.held.clear();
        self.state = State::Echo(size, None);
        Ok(Wants::Read)
    }
}

/// A few bytes into an empty send buffer: they fit, or the connection is broken.
fn at_once(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    match send_now(socket, bytes)? {
        Some(n) if n == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
