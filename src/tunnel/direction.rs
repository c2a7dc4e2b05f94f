//! One direction of a tunnel: bytes from a source socket to a sink socket, in order, then FIN.
//!
//! ```text
//!            16 KiB or more, twice                     FIN read, nothing held
//!   Small ----------------------------> Bulk          Open -> Ending -> Finished
//!   recv, send <----------------------- splice, splice
//!            under 16 KiB, 4 times                     any error: Broken (for good)
//!   Pinned: Small for good (urgent data, or splice refused)
//! ```
//! A small read that leaves room has emptied the source, so the `recv` that would say EAGAIN is
//! saved, as nginx and HAProxy save it. An urgent mark makes that wrong, and there they hang: here
//! [`Direction::look`] comes by, and a pinned direction asks to the end.
//!
//! At most one thing is held, and it leaves before anything else is read: so bytes cannot overtake
//! each other, and FIN comes last.

use super::meters::Fallback;
use super::pools::Kit;
use super::scratch::Slab;
use super::socket::{Pipe, Socket};
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};

/// Splice pays from 16-32 KiB on; below 8 KiB it costs more than copying.
pub(super) const BIG: usize = 16 * 1024;
/// Big reads in a row that make a direction bulk.
const BIG_READS: u8 = 2;
/// Reads in a row below [`BIG`] that end bulk.
const SHORT_READS: u8 = 4;
/// What one `splice` asks for (never usize::MAX: EINVAL, fact 13). More than the pipe's nominal
/// size, since its slots often hold more (fact 2).
const FILL: usize = 1024 * 1024;
/// In a row: `splice` saw nothing where `recv` then found bytes. More is no race with the peer.
const BLIND_READS: u8 = 4;
/// One turn of one direction, so that a fat tunnel does not starve its neighbours. Checked
/// between operations: the last splice may go [`FILL`] beyond it.
const TURN_BYTES: usize = 256 * 1024;
const TURN_OPERATIONS: u32 = 16;

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// A socket will wake the task.
    Waiting,
    /// The turn is used up: there may be more to do.
    Spent,
    /// FIN was passed on, after every byte.
    Finished,
}

/// Whose error it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Source,
    Sink,
    Hub,
}

/// The error that broke a direction. Reported once; the direction stays broken (a socket reports
/// ECONNRESET once and then ends like a clean stream: fact 6).
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: At,
    pub(super) error: io::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Small,
    Bulk,
    Pinned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Ending,
    Finished,
    Broken,
}

/// Why `recv` is asked in bulk mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    None,
    /// `splice` said EAGAIN on an empty pipe: nothing there, or an urgent mark.
    Empty,
    /// `splice` said 0: the end, or an urgent mark.
    End,
}

/// See the module. `P` is the pipe (simulated in the model test).
#[derive(Debug)]
pub(super) struct Direction<P> {
    slab: Option<Slab>,
    /// Borrowed within a turn, and for as long as `piped` is not 0.
    pipe: Option<P>,
    /// Bytes in the pipe, by our own count (its size is in slots, not bytes: fact 2).
    piped: usize,
    moved: u64,
    spliced: u64,
    mode: Mode,
    phase: Phase,
    /// Bulk only: the next read is a `recv`, which answers what `splice` cannot.
    probe: bool,
    /// Reads in a row that speak for the other mode.
    streak: u8,
    blind: u8,
    /// The source was taken for empty, unasked, and nobody has looked since.
    presumed: bool,
    /// It is asked although no event told, until it says EAGAIN.
    untold: bool,
}

/// What is left of one turn.
struct Turn {
    bytes: usize,
    operations: u32,
}

impl Turn {
    fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.operations = self.operations.saturating_sub(1);
    }

    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.operations == 0
    }
}

impl<P: Pipe> Direction<P> {
    pub(super) fn new() -> Direction<P> {
        Direction {
            slab: None,
            pipe: None,
            piped: 0,
            moved: 0,
            spliced: 0,
            mode: Mode::Small,
            phase: Phase::Open,
            probe: false,
            streak: 0,
            blind: 0,
            // What read the hello may have presumed it.
            presumed: true,
            untold: false,
        }
    }

    /// Bytes the sink has taken.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes of these that `splice` carried.
    pub(super) fn spliced(&self) -> u64 {
        self.spliced
    }

    /// Whether bytes were read that the sink has not taken.
    pub(super) fn holds(&self) -> bool {
        self.slab.is_some() || self.piped > 0
    }

    /// Whether it is open and holds nothing, so that all there is to it is counts.
    pub(super) fn is_at_rest(&self) -> bool {
        self.phase == Phase::Open && !self.holds() && self.pipe.is_none()
    }

    /// Whether FIN was passed on.
    pub(super) fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// One turn. After an error: sends what is held as far as it goes, reads nothing. `last`: the
    /// other direction is over, so that closing the sink is about to say FIN.
    pub(super) fn pump<S: Socket<Pipe = P>>(
        &mut self,
        source: &S,
        sink: &S,
        kit: &Kit<P>,
        cx: &mut Context<'_>,
        last: bool,
    ) -> Result<Progress, Fault> {
        let mut turn = Turn {
            bytes: TURN_BYTES,
            operations: TURN_OPERATIONS,
        };
        let outcome = self.run(source, sink, kit, cx, &mut turn, last);
        if self.piped == 0 {
            self.give_pipe(kit);
        }
        if outcome.is_err() {
            self.phase = Phase::Broken;
        }
        outcome
    }

    /// The last turn of a tunnel that breaks: what can be had and sent now, but no FIN: the
    /// peers are about to be told by RST.
    pub(super) fn pump_last<S: Socket<Pipe = P>>(
        &mut self,
        source: &S,
        sink: &S,
        kit: &Kit<P>,
        cx: &mut Context<'_>,
    ) {
        let mut turn = Turn {
            bytes: TURN_BYTES,
            operations: TURN_OPERATIONS,
        };
        while !turn.is_spent() && (self.holds() || self.phase == Phase::Open) {
            let step = match self.holds() {
                true => self.flush(sink, kit, cx, &mut turn),
                false => self.take(source, sink, kit, cx, &mut turn),
            };
            if self.phase == Phase::Ending || !matches!(step, Ok(Progress::Spent)) {
                break;
            }
        }
        self.phase = Phase::Broken;
        self.release(kit);
    }

    /// To be called within seconds after bytes have moved: behind an urgent mark there may lie
    /// some that no event will tell of. The next turn moves them, and this direction presumes and
    /// splices no more.
    pub(super) fn look<S: Socket<Pipe = P>>(&mut self, source: &S, kit: &Kit<P>) {
        if std::mem::take(&mut self.presumed) && self.phase == Phase::Open && source.is_marked() {
            if self.mode == Mode::Bulk {
                kit.pipes.count_fallback(Fallback::Urgent);
            }
            self.mode = Mode::Pinned;
            self.untold = true;
        }
    }

    /// Gives back what is borrowed. Bytes still held are lost: the caller resets the sockets.
    pub(super) fn release(&mut self, kit: &Kit<P>) {
        self.give_pipe(kit);
        if let Some(slab) = self.slab.take() {
            kit.memory.give(slab);
        }
    }

    fn run<S: Socket<Pipe = P>>(
        &mut self,
        source: &S,
        sink: &S,
        kit: &Kit<P>,
        cx: &mut Context<'_>,
        turn: &mut Turn,
        last: bool,
    ) -> Result<Progress, Fault> {
        while !turn.is_spent() {
            let step = match self.phase {
                _ if self.holds() => self.flush(sink, kit, cx, turn)?,
                Phase::Open => self.take(source, sink, kit, cx, turn)?,
                Phase::Ending => {
                    if !last {
                        sink.finish().map_err(at_sink)?;
                    }
                    self.phase = Phase::Finished;
                    Progress::Finished
                }
                Phase::Finished => Progress::Finished,
                Phase::Broken => Progress::Waiting,
            };
            if step != Progress::Spent {
                return Ok(step);
            }
        }
        Ok(Progress::Spent)
    }

    /// Sends what is held; `Spent` stands for "go on".
    fn flush<S: Socket<Pipe = P>>(
        &mut self,
        sink: &S,
        kit: &Kit<P>,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Result<Progress, Fault> {
        match sink.poll_writable(cx) {
            Poll::Pending => return Ok(Progress::Waiting),
            Poll::Ready(ready) => ready.map_err(at_hub)?,
        }
        match (&mut self.slab, &self.pipe) {
            (Some(slab), _) => {
                let sent = blocked_is(0, sink.send(slab.rest())).map_err(at_sink)?;
                self.moved += sent as u64;
                turn.spend(0);
                if slab.advance(sent)
                    && let Some(slab) = self.slab.take()
                {
                    kit.memory.give(slab);
                }
                Ok(Progress::Spent)
            }
            (None, Some(_)) if self.mode == Mode::Pinned => self.rescue(kit),
            (None, Some(pipe)) => match sink.drain(pipe, self.piped) {
                Ok(0) => Err(at_hub(io::Error::from(ErrorKind::UnexpectedEof))),
                Ok(n) => {
                    turn.spend(n);
                    self.piped -= n;
                    self.moved += n as u64;
                    self.spliced += n as u64;
                    Ok(Progress::Spent)
                }
                Err(error) if is_passing(&error) => {
                    turn.spend(0);
                    Ok(Progress::Spent)
                }
                Err(error) if kit.pipes.denied(&error) => {
                    self.mode = Mode::Pinned;
                    Ok(Progress::Spent)
                }
                Err(error) => Err(at_sink(error)),
            },
            (None, None) => Ok(Progress::Spent),
        }
    }

    /// `splice` was refused with bytes in the pipe: they leave through memory.
    fn rescue(&mut self, kit: &Kit<P>) -> Result<Progress, Fault> {
        let Some(pipe) = &self.pipe else {
            return Ok(Progress::Spent);
        };
        let slab = kit.memory.with_scratch(|scratch| {
            let most = scratch.len().min(self.piped);
            match pipe.read(&mut scratch[..most])? {
                0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
                n => Ok((kit.memory.keep(&scratch[..n]), n)),
            }
        });
        let (slab, n) = slab.map_err(at_hub)?;
        self.slab = Some(slab);
        self.piped -= n;
        if self.piped == 0 {
            self.give_pipe(kit);
        }
        Ok(Progress::Spent)
    }

    /// Reads; nothing is held. `Spent` stands for "go on".
    fn take<S: Socket<Pipe = P>>(
        &mut self,
        source: &S,
        sink: &S,
        kit: &Kit<P>,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Result<Progress, Fault> {
        match source.poll_readable(cx) {
            Poll::Pending if self.untold => {}
            Poll::Pending => return Ok(Progress::Waiting),
            Poll::Ready(ready) => ready.map_err(at_hub)?,
        }
        if self.mode != Mode::Bulk || self.probe {
            self.probe = false;
            return self.copy(Doubt::None, source, sink, kit, turn);
        }
        if self.pipe.is_none() {
            self.pipe = kit.pipes.take();
        }
        let Some(pipe) = &self.pipe else {
            return self.copy(Doubt::None, source, sink, kit, turn);
        };
        match source.fill(pipe, FILL) {
            Ok(0) => self.copy(Doubt::End, source, sink, kit, turn),
            Ok(n) => {
                self.piped = n;
                self.blind = 0;
                // The bytes are counted when they leave, so that they do in this very turn.
                turn.spend(0);
                self.note_read(n, BIG);
                // After a short splice the socket is most likely empty, and only `recv` can tell:
                // asking it first saves the splice that would have said EAGAIN.
                self.probe = n < BIG;
                Ok(Progress::Spent)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.copy(Doubt::Empty, source, sink, kit, turn)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Progress::Spent),
            Err(error) if kit.pipes.denied(&error) => {
                self.mode = Mode::Pinned;
                Ok(Progress::Spent)
            }
            Err(error) => Err(at_source(error)),
        }
    }

    /// One `recv`, and at once one `send`; `doubt`: what `splice` said just before.
    fn copy<S: Socket<Pipe = P>>(
        &mut self,
        doubt: Doubt,
        source: &S,
        sink: &S,
        kit: &Kit<P>,
        turn: &mut Turn,
    ) -> Result<Progress, Fault> {
        kit.memory.with_scratch(|scratch| {
            let read = match self.untold {
                true => source.recv_untold(scratch),
                false => source.recv(scratch),
            };
            let n = match read {
                Ok(0) => {
                    self.phase = Phase::Ending;
                    return Ok(Progress::Spent);
                }
                Ok(n) => n,
                Err(error) if is_passing(&error) => {
                    self.untold &= error.kind() == ErrorKind::Interrupted;
                    turn.spend(0);
                    return Ok(Progress::Spent);
                }
                Err(error) => return Err(at_source(error)),
            };
            turn.spend(n);
            if self.mode == Mode::Small && n < BIG.min(scratch.len()) {
                source.presume_empty();
                self.presumed = true;
            }
            self.note_read(n, BIG.min(scratch.len()));
            self.note_doubt(doubt, kit);
            let sent = blocked_is(0, sink.send(&scratch[..n])).map_err(at_sink)?;
            self.moved += sent as u64;
            if sent < n {
                self.slab = Some(kit.memory.keep(&scratch[sent..n]));
            }
            Ok(Progress::Spent)
        })
    }

    /// Changes the mode by the size of what was just read.
    fn note_read(&mut self, n: usize, big: usize) {
        let (counts, enough, next) = match self.mode {
            Mode::Small => (n >= big, BIG_READS, Mode::Bulk),
            Mode::Bulk => (n < big, SHORT_READS, Mode::Small),
            Mode::Pinned => return,
        };
        self.streak = if counts { self.streak + 1 } else { 0 };
        if self.streak == enough {
            self.mode = next;
            self.streak = 0;
        }
    }

    /// `recv` found bytes where `splice` had seen none. After a 0 it was an urgent mark, which
    /// `recv` steps over (fact 12): no more splicing here. After an EAGAIN the bytes may also have
    /// come in between, which is common in bulk: only a row of them pins the direction.
    fn note_doubt(&mut self, doubt: Doubt, kit: &Kit<P>) {
        match doubt {
            Doubt::None => return,
            Doubt::Empty => self.blind += 1,
            Doubt::End => self.blind = BLIND_READS,
        }
        if self.blind >= BLIND_READS && self.mode != Mode::Pinned {
            self.mode = Mode::Pinned;
            kit.pipes.count_fallback(Fallback::Urgent);
        }
    }

    fn give_pipe(&mut self, kit: &Kit<P>) {
        if let Some(pipe) = self.pipe.take() {
            kit.pipes.give(pipe, self.piped);
            self.piped = 0;
        }
    }
}

fn at_source(error: io::Error) -> Fault {
    Fault {
        at: At::Source,
        error,
    }
}

fn at_sink(error: io::Error) -> Fault {
    Fault {
        at: At::Sink,
        error,
    }
}

fn at_hub(error: io::Error) -> Fault {
    Fault { at: At::Hub, error }
}

/// To be asked again: the readiness says when.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn blocked_is(n: usize, result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if is_passing(&error) => Ok(n),
        result => result,
    }
}
