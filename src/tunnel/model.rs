//! A direction as a model: the same state machine between two simulated sockets whose kernel
//! behaves, from a seed, as badly as the real one may. Whatever it does: what comes out is a prefix
//! of what went in, FIN comes last and only after every byte, no pipe is lent again with bytes in
//! it, nothing hangs and nothing spins.

use super::direction::{At, Direction, Progress};
use super::pipe_pool::SpliceMode;
use super::pools::Kit;
use super::socket::{Pipe, Socket};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const EAGAIN: Errno = Errno::AGAIN;

thread_local! {
    /// The seed's state, for [`SimPipe::open`], which knows nothing else.
    static DICE: Cell<u64> = const { Cell::new(1) };
}

/// A number below `below`.
fn dice(below: u64) -> u64 {
    let mut state = DICE.get();
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    DICE.set(state);
    (state >> 11) % below
}

fn one_in(many: u64) -> bool {
    dice(many) == 0
}

/// Bytes `at..at + len` of the stream.
fn stream(at: usize, len: usize) -> &'static [u8] {
    const PERIOD: usize = 8_191;
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let noise = |i: usize| ((i % PERIOD).wrapping_mul(2_654_435_761) >> 9) as u8;
        (0..PERIOD + (1 << 20)).map(noise).collect()
    });
    &bytes[at % PERIOD..][..len]
}

#[derive(Debug)]
struct SimPipe {
    held: RefCell<Range<usize>>,
    _alive: Rc<()>,
}

thread_local! {
    static PIPES: Rc<()> = Rc::new(());
}

impl Pipe for SimPipe {
    fn open(_: usize) -> io::Result<SimPipe> {
        match one_in(16) {
            true => Err(Errno::NOBUFS.into()),
            false => Ok(SimPipe {
                held: RefCell::new(0..0),
                _alive: PIPES.with(Rc::clone),
            }),
        }
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut held = self.held.borrow_mut();
        let n = held.len().min(into.len());
        into[..n].copy_from_slice(stream(held.start, n));
        held.start += n;
        Ok(n)
    }
}

/// What the peers do to the two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fin,
    SourceReset,
    SinkReset,
}

/// Both sockets of a direction; one is read, the other written.
struct World {
    total: usize,
    fate: Fate,
    /// Positions of urgent marks not yet stepped over, ascending.
    marks: RefCell<Vec<usize>>,
    arrived: Cell<usize>,
    read: Cell<usize>,
    /// FIN or RST is in the source's receive queue, behind all that arrived.
    over: Cell<bool>,
    reset_told: Cell<bool>,
    readable: Cell<bool>,
    recvs: Cell<u64>,
    space: Cell<usize>,
    written: Cell<usize>,
    writable: Cell<bool>,
    sink_dead: Cell<bool>,
    fin: Cell<bool>,
    /// The chance of a refused `splice`, 1 in this; 0: never.
    refusal: u64,
}

impl World {
    fn new() -> World {
        let total = match dice(4) {
            0 => dice(2_000),
            1 => dice(100_000),
            _ => dice(900_000),
        } as usize;
        let marks = if one_in(3) { dice(6) } else { 0 };
        let mut marks: Vec<usize> = (0..marks)
            .map(|_| dice(total as u64 + 1) as usize)
            .collect();
        marks.sort_unstable();
        marks.dedup();
        World {
            total,
            fate: [Fate::Fin, Fate::Fin, Fate::SourceReset, Fate::SinkReset][dice(4) as usize],
            marks: RefCell::new(marks),
            arrived: Cell::new(0),
            read: Cell::new(0),
            over: Cell::new(false),
            reset_told: Cell::new(false),
            readable: Cell::new(true),
            recvs: Cell::new(0),
            space: Cell::new(0),
            written: Cell::new(0),
            writable: Cell::new(true),
            sink_dead: Cell::new(false),
            fin: Cell::new(false),
            refusal: if one_in(8) { 20 } else { 0 },
        }
    }

    /// Something comes from the source's peer; the kernel reports an edge.
    fn deliver(&self) {
        if self.over.get() {
            return;
        }
        let left = self.total - self.arrived.get();
        let chunk = 1 + dice([200, 2_000, 70_000, 400_000][dice(4) as usize]) as usize;
        self.arrived.set(self.arrived.get() + chunk.min(left));
        if chunk >= left && one_in(2) {
            self.over.set(true);
        }
        self.readable.set(true);
    }

    /// The sink's peer takes something.
    fn drain(&self) {
        self.space
            .set(self.space.get() + dice([50, 3_000, 100_000, 600_000][dice(4) as usize]) as usize);
        self.writable.set(true);
        if self.fate == Fate::SinkReset && one_in(20) {
            self.sink_dead.set(true);
        }
    }

    /// Bytes readable up to the next mark; `None`: a mark is in the way right here.
    fn up_to_mark(&self) -> Option<usize> {
        let at = self.read.get();
        match self.marks.borrow().first() {
            Some(&mark) if mark == at && mark < self.arrived.get() => None,
            Some(&mark) => Some(mark.min(self.arrived.get()) - at),
            None => Some(self.arrived.get() - at),
        }
    }

    fn accept(&self, at: usize, len: usize) {
        assert_eq!(
            at,
            self.written.get(),
            "bytes out of order, lost or sent twice"
        );
        assert!(!self.fin.get(), "bytes after FIN");
        self.written.set(at + len);
        self.space.set(self.space.get() - len);
    }

    /// How many of `len` bytes the sink takes.
    fn room(&self, len: usize) -> io::Result<usize> {
        assert!(len > 0, "an empty write");
        if self.sink_dead.get() {
            return Err(Errno::PIPE.into());
        }
        let room = self.space.get().min(len);
        if room == 0 {
            self.writable.set(false);
            return Err(EAGAIN.into());
        }
        Ok(if one_in(4) {
            1 + dice(room as u64) as usize
        } else {
            room
        })
    }
}

impl Socket for World {
    type Pipe = SimPipe;

    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.readable.get() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writable.get() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.recvs.set(self.recvs.get() + 1);
        match self.readable.get() {
            true => self.recv_untold(into),
            false => Err(EAGAIN.into()),
        }
    }

    fn presume_empty(&self) {
        // FIN and RST were told, or will be.
        self.readable.set(self.over.get());
    }

    fn is_marked(&self) -> bool {
        let marks = self.marks.borrow();
        marks.first().is_some_and(|mark| *mark < self.arrived.get())
    }

    fn recv_untold(&self, into: &mut [u8]) -> io::Result<usize> {
        if self.up_to_mark().is_none() {
            self.marks.borrow_mut().remove(0);
        }
        // All that is there, up to a mark: `recv` stops for nothing else.
        let n = self.up_to_mark().unwrap_or(0).min(into.len());
        if n > 0 {
            into[..n].copy_from_slice(stream(self.read.get(), n));
            self.read.set(self.read.get() + n);
            return Ok(n);
        }
        match (self.over.get(), self.fate) {
            (false, _) => {
                self.readable.set(false);
                Err(EAGAIN.into())
            }
            (true, Fate::SourceReset) if !self.reset_told.replace(true) => {
                Err(Errno::CONNRESET.into())
            }
            // After FIN; and after a reset that was already told (fact 6).
            (true, _) => Ok(0),
        }
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if !self.writable.get() {
            return Err(EAGAIN.into());
        }
        let n = self.room(bytes.len())?;
        let at = self.written.get();
        assert!(bytes[..n] == *stream(at, n), "other bytes at {at}");
        self.accept(at, n);
        Ok(n)
    }

    fn fill(&self, pipe: &SimPipe, len: usize) -> io::Result<usize> {
        let mut held = pipe.held.borrow_mut();
        assert!(
            held.is_empty(),
            "a pipe was lent or filled again with bytes in it"
        );
        if self.refusal > 0 && one_in(self.refusal) {
            return Err([Errno::INVAL, Errno::PERM, Errno::NOSYS][dice(3) as usize].into());
        }
        let most = match self.up_to_mark() {
            // Fact 12: EAGAIN at a mark, after the FIN a 0.
            None if self.over.get() => return Ok(0),
            None => return Err(EAGAIN.into()),
            Some(most) => most.min(len).min(4_000 + dice(300_000) as usize),
        };
        if most == 0 {
            if !self.over.get() {
                // What comes between this EAGAIN and the next call is an edge of its own.
                if one_in(4) {
                    self.deliver();
                }
                return Err(EAGAIN.into());
            }
            if self.fate == Fate::SourceReset && !self.reset_told.replace(true) {
                return Err(Errno::CONNRESET.into());
            }
            return Ok(0);
        }
        *held = self.read.get()..self.read.get() + most;
        self.read.set(held.end);
        Ok(most)
    }

    fn drain(&self, pipe: &SimPipe, len: usize) -> io::Result<usize> {
        let mut held = pipe.held.borrow_mut();
        assert_eq!(held.len(), len, "the direction has lost count of its pipe");
        if !self.writable.get() {
            return Err(EAGAIN.into());
        }
        if self.refusal > 0 && one_in(self.refusal) {
            return Err([Errno::INVAL, Errno::PERM, Errno::NOSYS][dice(3) as usize].into());
        }
        let n = self.room(len)?;
        self.accept(held.start, n);
        held.start += n;
        Ok(n)
    }

    fn finish(&self) -> io::Result<()> {
        assert_eq!(self.written.get(), self.total, "FIN before the last byte");
        assert!(
            self.over.get() && self.fate != Fate::SourceReset,
            "FIN for a stream that was cut"
        );
        assert!(!self.fin.replace(true), "FIN twice");
        if self.sink_dead.get() {
            Err(Errno::NOTCONN.into())
        } else {
            Ok(())
        }
    }
}

/// What a run came to: spliced bytes and whether it broke.
struct Told {
    spliced: u64,
    broke: bool,
}

fn run(seed: u64, kit: &Kit<SimPipe>) -> Told {
    DICE.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let world = World::new();
    let mut direction = Direction::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut broke = None;
    let mut looked = false;
    for _ in 0..200_000 {
        match direction.pump(&world, &world, kit, &mut cx, false) {
            Ok(Progress::Finished) => break,
            Ok(Progress::Spent) if looked => continue,
            Ok(Progress::Spent) => {}
            // An edge, sooner or later, of one kind or the other: unless nothing can come any
            // more, and then it hangs for good.
            Ok(Progress::Waiting) => {
                let waits = !world.writable.get() || !world.over.get();
                assert!(waits, "seed {seed}: it hangs: nothing will ever wake it");
                // Seconds without an edge: the source's peer waits for an answer.
                if !std::mem::replace(&mut looked, true) {
                    direction.look(&world, kit);
                    continue;
                }
                assert!(
                    direction.holds() || world.read == world.arrived,
                    "seed {seed}: bytes lie unseen"
                );
            }
            Err(fault) => {
                broke = Some(fault.at);
                direction.pump_last(&world, &world, kit, &mut cx);
                // Sticky: it reads no more, and never says FIN.
                assert_eq!(
                    direction.pump(&world, &world, kit, &mut cx, false).ok(),
                    Some(Progress::Waiting)
                );
                break;
            }
        }
        looked = false;
        if !direction.holds() {
            assert_eq!(
                (kit.pipes.lent(), kit.memory.lent()),
                (0, 0),
                "seed {seed}: kept between turns"
            );
        }
        if one_in(2) {
            world.deliver();
        }
        if one_in(2) {
            World::drain(&world);
        }
        if one_in(50) {
            kit.pipes.tick();
        }
    }
    direction.release(kit);
    match (broke, direction.is_finished()) {
        (None, true) => assert!(world.fin.get() && world.written.get() == world.total),
        (Some(At::Source), false) => assert!(world.fate == Fate::SourceReset && !world.fin.get()),
        (Some(At::Sink), false) => assert!(world.sink_dead.get()),
        other => panic!("seed {seed}: neither finished nor broken by a peer: {other:?}"),
    }
    assert_eq!(direction.moved(), world.written.get() as u64);
    assert_eq!(
        (kit.pipes.lent(), kit.memory.lent()),
        (0, 0),
        "seed {seed}: not given back"
    );
    Told {
        spliced: direction.spliced(),
        broke: broke.is_some(),
    }
}

/// `SNIHUB_MODEL_SEEDS=1000000 cargo test --release --lib model` for the long run.
#[test]
fn whatever_the_kernel_does_a_prefix_comes_out_and_fin_comes_last() {
    let seeds = std::env::var("SNIHUB_MODEL_SEEDS").map_or(20_000, |text| text.parse().unwrap());
    let mut spliced = 0;
    let mut broken = 0;
    let mut kit = Kit::new(SpliceMode::Splice, 1);
    for seed in 0..seeds {
        // A kit serves many tunnels, so that a pipe with bytes left would meet another one; and
        // after a ban it copies for the rest of its life.
        if seed % 16 == 0 {
            kit = Kit::new(SpliceMode::Splice, 1);
        }
        let told = run(seed, &kit);
        spliced += u64::from(told.spliced > 0);
        broken += u64::from(told.broke);
    }
    drop(kit);
    assert_eq!(PIPES.with(Rc::strong_count), 1, "a pipe was leaked");
    assert!(
        spliced > seeds / 10,
        "only {spliced} of {seeds} runs spliced"
    );
    assert!(broken > seeds / 10, "only {broken} of {seeds} runs broke");
}

/// What a small read saves, and what it may not be taken for.
#[test]
fn a_small_read_that_leaves_room_is_the_only_one() {
    let kit = Kit::new(SpliceMode::Splice, 1);
    let mut cx = Context::from_waker(Waker::noop());
    let world = World {
        total: 1 << 20,
        space: Cell::new(1 << 20),
        marks: RefCell::default(),
        sink_dead: Cell::new(false),
        ..World::new()
    };
    let mut direction = Direction::new();
    let mut recvs_for = |bytes: usize| {
        world.arrived.set(world.arrived.get() + bytes);
        world.readable.set(true);
        let before = world.recvs.get();
        let mut pump = || direction.pump(&world, &world, &kit, &mut cx, false);
        while pump().unwrap() != Progress::Waiting {}
        assert_eq!(world.written, world.arrived, "all is passed on");
        world.recvs.get() - before
    };
    assert_eq!(recvs_for(0), 1, "the socket's word");
    for _ in 0..10 {
        assert_eq!(recvs_for(128), 1);
        assert_eq!(recvs_for(super::direction::BIG - 1), 1);
    }
    assert_eq!(
        recvs_for(super::direction::BIG),
        2,
        "more may be on its way"
    );
}
