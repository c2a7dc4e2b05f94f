//! Pipes for bulk, shared by the tunnels of one worker; the only place that knows `splice(2)`.
//!
//! Fact: `pipe-user-pages-soft` (16384 pages by default) is counted per user and enforced in
//! silence: after 256 pipes of 256 KiB, a user without privileges gets pipes of 8 KiB. So pipes
//! are borrowed for as long as they hold bytes, and each one's size is read back.
//!
//! A receiver that takes nothing keeps its pipe for as long as it may stall, and a pipe is two
//! descriptors: so they are bounded, and who finds none copies.

use super::meters::Fallback;
use super::socket::Pipe;
use rustix::io::Errno;
use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a worker's first pipes are asked to be. They are lent for the moment in which they hold
/// bytes, so mostly the same one or two serve all tunnels; the more one takes at once, the fewer
/// system calls and wake-ups a GB costs, above all where the CPU is scarce.
const LARGE: usize = 1024 * 1024;
/// How many those are: a user without privileges has 64 pipes of 1 MiB, for all workers.
const MOST_LARGE: u64 = 2;
/// What all further pipes are asked to be: of this size such a user has 256.
const WANTED: usize = 256 * 1024;
/// Below this, splicing costs more than copying.
const USEFUL: usize = 64 * 1024;
/// Spare pipes kept by one worker: its share of a user's 256.
const MOST_SPARE: usize = 32;

/// Whether bulk may be spliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceMode {
    /// Yes.
    Splice,
    /// No, everything is copied; the text says why, for the log, metrics and status.
    Copy(&'static str),
}

/// Tries `splice(2)` from a socket into a pipe and on into another socket, as a tunnel does it.
/// To be called once at start: container profiles may forbid it, kernels may change.
pub fn self_test() -> SpliceMode {
    match try_splice() {
        Ok(true) => SpliceMode::Splice,
        Ok(false) => SpliceMode::Copy("splice gave other bytes than it was given"),
        Err(error) => SpliceMode::Copy(why(&error)),
    }
}

fn try_splice() -> io::Result<bool> {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let text = *b"these bytes pass through a pipe and never through memory";
    let (mut ours, theirs) = UnixStream::pair()?;
    let (to, mut out) = UnixStream::pair()?;
    for socket in [&ours, &theirs, &to, &out] {
        socket.set_nonblocking(true)?;
    }
    let pipe = KernelPipe::open_any()?;
    ours.write_all(&text)?;
    let held = pipe.fill_from(&theirs, WANTED)?;
    let passed = pipe.drain_into(&to, held)?;
    let mut got = [0; 64];
    let n = out.read(&mut got)?;
    Ok(held == text.len() && passed == held && got[..n] == text)
}

/// The errno as a static text: the reason is kept for the life of the worker.
fn why(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::PERM) => "splice is forbidden (EPERM, a seccomp profile?)",
        Some(Errno::ACCESS) => "splice is forbidden (EACCES, a security module?)",
        Some(Errno::NOSYS) => "splice does not exist here (ENOSYS, a seccomp profile?)",
        Some(Errno::INVAL) => "splice refuses sockets (EINVAL)",
        Some(Errno::MFILE | Errno::NFILE) => "no pipe to be had (out of file descriptors)",
        _ => "splice failed",
    }
}

/// Both ends of a kernel pipe, non-blocking.
#[derive(Debug)]
pub(super) struct KernelPipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl KernelPipe {
    fn open_any() -> io::Result<KernelPipe> {
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(KernelPipe { out, into })
    }

    /// SPLICE_F_MORE is never set: it held tails back for 204 ms (fact 4).
    pub(super) fn fill_from(&self, socket: &impl AsFd, len: usize) -> io::Result<usize> {
        Ok(splice(
            socket,
            None,
            &self.into,
            None,
            len,
            SpliceFlags::NONBLOCK,
        )?)
    }

    pub(super) fn drain_into(&self, socket: &impl AsFd, len: usize) -> io::Result<usize> {
        Ok(splice(
            &self.out,
            None,
            socket,
            None,
            len,
            SpliceFlags::NONBLOCK,
        )?)
    }
}

impl Pipe for KernelPipe {
    fn open(size: usize) -> io::Result<KernelPipe> {
        let pipe = KernelPipe::open_any()?;
        // Over the quota F_SETPIPE_SZ fails and the pipe stays what it was; what counts is what
        // it is (fact 3).
        let _ = fcntl_setpipe_size(&pipe.into, size);
        if fcntl_getpipe_size(&pipe.into)? < USEFUL {
            return Err(Errno::NOBUFS.into());
        }
        Ok(pipe)
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.out, into)?)
    }
}

/// One worker's pipes. A pipe comes back empty or not at all: with bytes left it is closed, since
/// they would come out in another tunnel (fact 8).
pub(super) struct PipePool<P> {
    spare: RefCell<Vec<P>>,
    mode: Cell<SpliceMode>,
    /// Pipes open at once, lent and spare.
    most: Cell<usize>,
    /// No pipe was to be had since the last tick: not asked for again before the next.
    dry: Cell<bool>,
    lent: Cell<u64>,
    fallbacks: [Cell<u64>; Fallback::ALL.len()],
}

impl<P: Pipe> PipePool<P> {
    pub(super) fn new(mode: SpliceMode, most: usize) -> PipePool<P> {
        PipePool {
            spare: RefCell::new(Vec::with_capacity(MOST_SPARE)),
            mode: Cell::new(mode),
            most: Cell::new(most),
            dry: Cell::new(false),
            lent: Cell::new(0),
            fallbacks: Default::default(),
        }
    }

    pub(super) fn mode(&self) -> SpliceMode {
        self.mode.get()
    }

    /// A pipe, empty; `None`: copy instead (counted, unless the worker copies anyway).
    pub(super) fn take(&self) -> Option<P> {
        if self.mode.get() != SpliceMode::Splice {
            return None;
        }
        let spare = self.spare.borrow_mut().pop();
        let pipe = spare.or_else(|| self.open());
        match pipe {
            Some(_) => self.lent.set(self.lent.get() + 1),
            None => self.count_fallback(Fallback::NoPipe),
        }
        pipe
    }

    /// One more, when there is no spare one: all that are open are lent.
    fn open(&self) -> Option<P> {
        if self.dry.get() || self.lent.get() >= self.most.get() as u64 {
            return None;
        }
        // None is spare, or it would not be asked for another.
        let size = if self.lent.get() < MOST_LARGE {
            LARGE
        } else {
            WANTED
        };
        let pipe = P::open(size).ok();
        self.dry.set(pipe.is_none());
        pipe
    }

    /// Takes back a pipe; `held`: the bytes it still holds.
    pub(super) fn give(&self, pipe: P, held: usize) {
        self.lent.set(self.lent.get() - 1);
        let mut spare = self.spare.borrow_mut();
        if held == 0 && spare.len() < self.most_spare() {
            spare.push(pipe);
        }
    }

    /// Another bound. Above it, spare pipes are closed now and lent ones as they come back.
    pub(super) fn set_most(&self, most: usize) {
        self.most.set(most);
        self.spare.borrow_mut().truncate(self.most_spare());
    }

    /// Spare pipes that may be kept beside those that are lent.
    fn most_spare(&self) -> usize {
        let lent = usize::try_from(self.lent.get()).unwrap_or(usize::MAX);
        self.most.get().saturating_sub(lent).min(MOST_SPARE)
    }

    /// `splice` failed with `error`. True: copying can go on from here. A ban holds for the whole
    /// worker; EINVAL may be this socket's own.
    pub(super) fn denied(&self, error: &io::Error) -> bool {
        match Errno::from_io_error(error) {
            Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => {
                self.mode.set(SpliceMode::Copy(why(error)));
            }
            Some(Errno::INVAL) => {}
            _ => return false,
        }
        self.count_fallback(Fallback::Refused);
        true
    }

    pub(super) fn count_fallback(&self, why: Fallback) {
        let count = &self.fallbacks[why as usize];
        count.set(count.get() + 1);
    }

    /// Pipes may be asked for again.
    pub(super) fn tick(&self) {
        self.dry.set(false);
    }

    pub(super) fn lent(&self) -> u64 {
        self.lent.get()
    }

    /// Bytes that the lent pipes hold at most: no more than [`MOST_LARGE`] are large, since one is
    /// opened only while fewer are open.
    pub(super) fn most_held(&self) -> u64 {
        let large = self.lent.get().min(MOST_LARGE);
        large * LARGE as u64 + (self.lent.get() - large) * WANTED as u64
    }

    /// Open and lent to nobody.
    pub(super) fn spare(&self) -> u64 {
        self.spare.borrow().len() as u64
    }

    pub(super) fn fallbacks(&self, why: Fallback) -> u64 {
        self.fallbacks[why as usize].get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    thread_local! {
        static OPEN: Rc<()> = Rc::new(());
    }

    /// A pipe that is only counted.
    #[derive(Debug)]
    struct Counted {
        _open: Rc<()>,
    }

    impl Pipe for Counted {
        fn open(_: usize) -> io::Result<Counted> {
            Ok(Counted {
                _open: OPEN.with(Rc::clone),
            })
        }

        fn read(&self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    fn open_now() -> usize {
        OPEN.with(Rc::strong_count) - 1
    }

    #[test]
    fn beyond_its_bound_the_pool_lends_nothing_until_one_comes_back() {
        let pool = PipePool::<Counted>::new(SpliceMode::Splice, 3);
        let mut lent: Vec<_> = (0..3).map(|_| pool.take().unwrap()).collect();
        assert!(pool.take().is_none() && pool.take().is_none());
        let fallbacks = Fallback::ALL.map(|why| pool.fallbacks(why));
        assert_eq!((pool.lent(), fallbacks, open_now()), (3, [2, 0, 0], 3));
        assert_eq!(pool.most_held(), (2 * 1024 + 256) << 10);
        // Empty it is lent again, with bytes in it another one is opened: without any tick.
        for held in [0, 7] {
            pool.give(lent.pop().unwrap(), held);
            lent.push(pool.take().unwrap());
            assert!(pool.take().is_none());
            assert_eq!((pool.lent(), open_now()), (3, 3));
        }
        lent.drain(..).for_each(|pipe| pool.give(pipe, 0));
        assert_eq!((pool.lent(), open_now()), (0, 3), "kept");
    }

    #[test]
    fn spare_pipes_count_and_a_lower_bound_closes_them() {
        let pool = PipePool::<Counted>::new(SpliceMode::Splice, 4);
        let mut lent: Vec<_> = (0..4).map(|_| pool.take().unwrap()).collect();
        pool.give(lent.pop().unwrap(), 0);
        pool.give(lent.pop().unwrap(), 0);
        assert_eq!((pool.lent(), open_now()), (2, 4));
        pool.set_most(1);
        assert_eq!((pool.lent(), open_now()), (2, 2), "spare ones are closed");
        assert!(pool.take().is_none());
        pool.give(lent.pop().unwrap(), 0);
        assert_eq!(
            (pool.lent(), open_now()),
            (1, 1),
            "one too many is not kept"
        );
        pool.give(lent.pop().unwrap(), 0);
        assert_eq!((pool.lent(), open_now()), (0, 1));
        pool.set_most(2);
        let _both = [pool.take().unwrap(), pool.take().unwrap()];
        assert!(pool.take().is_none());
    }
}
