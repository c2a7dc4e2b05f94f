//! Two sockets of the floor's and what flows between them.

use crate::floor::Mode;
use crate::poll::{Poll, READ, Ready, WRITE};
use crate::socket::{self, now, recv_now, send_now};
use rustix::event::epoll::EventFlags;
use rustix::net::Shutdown;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::io;
use std::os::fd::OwnedFd;

/// Bytes of one copy.
const SCRATCH: usize = 64 * 1024;
const PIPE: usize = 256 * 1024;
/// A read of so much is bulk; two in a row bring a pipe, four below it take it away.
const BIG: usize = 16 * 1024;
const BIG_ENOUGH: u8 = 2;
const SMALL_ENOUGH: u8 = 4;
/// Operations before others get their turn.
const BUDGET: usize = 8;

/// What the pairs of one thread share.
pub(crate) struct Pools {
    mode: Mode,
    scratch: Vec<u8>,
    /// Empty ones.
    pipes: Vec<Pipe>,
}

struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pools {
    pub(crate) fn new(mode: Mode) -> Pools {
        Pools {
            mode,
            scratch: vec![0; SCRATCH],
            pipes: Vec::new(),
        }
    }

    fn pipe(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.pipes.pop() {
            return Ok(pipe);
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&into, PIPE)?;
        Ok(Pipe { out, into })
    }
}

/// A client's connection and its upstream's.
pub(crate) struct Pair {
    pub(crate) sockets: [OwnedFd; 2],
    /// What comes from side 0 and goes to side 1, and the reverse.
    flows: [Flow; 2],
    watched: [EventFlags; 2],
}

#[derive(Default)]
struct Flow {
    /// Read and not written yet.
    held: Vec<u8>,
    pipe: Option<Pipe>,
    in_pipe: usize,
    /// Big reads in a row, or with a pipe small ones.
    streak: u8,
    /// The receiver takes nothing now.
    blocked: bool,
    /// The sender has ended, and the receiver was told.
    ended: bool,
}

impl Pair {
    pub(crate) fn new(client: OwnedFd, upstream: OwnedFd) -> Pair {
        Pair {
            sockets: [client, upstream],
            flows: [Flow::default(), Flow::default()],
            watched: [READ; 2],
        }
    }

    /// Moves what it can, now that `side` is ready. False: both directions have ended.
    pub(crate) fn go_on(
        &mut self,
        side: usize,
        ready: Ready,
        pools: &mut Pools,
    ) -> io::Result<bool> {
        for (from, asked) in [(side, ready.read), (1 - side, ready.write)] {
            let flow = &mut self.flows[from];
            if asked && !flow.ended {
                flow.go_on(&self.sockets[from], &self.sockets[1 - from], pools)?;
            }
        }
        // Told for ever, and no read is left to ask for the reason: a reset after FIN.
        if ready.broken && self.flows[side].ended && !self.flows[1 - side].ended {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(self.flows.iter().any(|flow| !flow.ended))
    }

    /// Registers what is waited for now, if that is something else than before. An upstream that is
    /// not connected yet takes nothing, like any receiver that is full.
    pub(crate) fn watch(&mut self, poll: &Poll, token: u64) -> io::Result<()> {
        for side in 0..2 {
            let (from_here, to_here) = (&self.flows[side], &self.flows[1 - side]);
            let mut wants = EventFlags::empty();
            wants.set(READ, !from_here.blocked && !from_here.ended);
            wants.set(WRITE, to_here.blocked);
            if wants != self.watched[side] {
                self.watched[side] = wants;
                poll.modify(&self.sockets[side], token + side as u64, wants)?;
            }
        }
        Ok(())
    }

    /// By RST unless both directions have ended.
    pub(crate) fn close(self, pools: &mut Pools) {
        let whole = self.flows.iter().all(|flow| flow.ended);
        for mut flow in self.flows {
            flow.give_back(pools);
        }
        if !whole {
            self.sockets.into_iter().for_each(socket::reset);
        }
    }
}

impl Flow {
    fn go_on(&mut self, from: &OwnedFd, to: &OwnedFd, pools: &mut Pools) -> io::Result<()> {
        self.blocked = false;
        for _ in 0..BUDGET {
            let goes_on = if self.pipe.is_some() {
                self.splice(from, to, pools)?
            } else {
                self.copy(from, to, pools)?
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Whether there is more to do now.
    fn copy(&mut self, from: &OwnedFd, to: &OwnedFd, pools: &mut Pools) -> io::Result<bool> {
        if !self.held.is_empty() {
            let sent = send_now(to, &self.held)?.unwrap_or(0);
            self.held.drain(..sent);
            self.blocked = !self.held.is_empty();
            return Ok(!self.blocked);
        }
        let n = match recv_now(from, &mut pools.scratch)? {
            None => return Ok(false),
            Some(0) => return self.end(to),
            Some(n) => n,
        };
        let sent = send_now(to, &pools.scratch[..n])?.unwrap_or(0);
        if sent < n {
            self.held.extend_from_slice(&pools.scratch[sent..n]);
            self.blocked = true;
            return Ok(false);
        }
        self.streak = if n >= BIG { self.streak + 1 } else { 0 };
        if self.streak >= BIG_ENOUGH && pools.mode == Mode::Splice {
            self.pipe = Some(pools.pipe()?);
        }
        self.streak = self.streak.min(BIG_ENOUGH);
        if self.pipe.is_some() {
            self.streak = 0;
        }
        // Less than there was room for: that was all.
        Ok(n == SCRATCH || self.pipe.is_some())
    }

    fn splice(&mut self, from: &OwnedFd, to: &OwnedFd, pools: &mut Pools) -> io::Result<bool> {
        let Some(Pipe { out, into }) = &self.pipe else {
            return Ok(true);
        };
        if self.in_pipe == 0 {
            let filled = splice(from, None, into, None, PIPE, SpliceFlags::NONBLOCK);
            let n = match now(filled.map_err(Into::into))? {
                None => return Ok(false),
                Some(0) => {
                    self.give_back(pools);
                    return self.end(to);
                }
                Some(n) => n,
            };
            self.in_pipe = n;
            self.streak = if n < BIG { self.streak + 1 } else { 0 };
        }
        let drained = splice(out, None, to, None, self.in_pipe, SpliceFlags::NONBLOCK);
        self.in_pipe -= now(drained.map_err(Into::into))?.unwrap_or(0);
        if self.in_pipe > 0 {
            self.blocked = true;
            return Ok(false);
        }
        if self.streak >= SMALL_ENOUGH {
            self.give_back(pools);
        }
        Ok(true)
    }

    /// A pipe that holds bytes is closed: they would come out in another tunnel.
    fn give_back(&mut self, pools: &mut Pools) {
        if let Some(pipe) = self.pipe.take()
            && self.in_pipe == 0
        {
            pools.pipes.push(pipe);
        }
        self.streak = 0;
    }

    fn end(&mut self, to: &OwnedFd) -> io::Result<bool> {
        rustix::net::shutdown(to, Shutdown::Write)?;
        self.ended = true;
        Ok(false)
    }
}
