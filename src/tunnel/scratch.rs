//! Memory for copying: one scratch for a whole worker, and slabs for what a receiver did not take.

use std::cell::{Cell, RefCell};

/// The scratch, and so the most that one `recv` takes.
pub(super) const SCRATCH: usize = 64 * 1024;
/// Slabs of 64 KiB that one worker lends at most (16 MiB); after that reads are cut to
/// [`SMALL`], so that many stalled receivers cost 4 KiB each and not 64.
const MOST_LARGE: usize = 256;
/// The smaller slab.
const SMALL: usize = 4 * 1024;
/// Spare slabs kept, of each size.
const MOST_SPARE: usize = 16;

/// The rest of a short write, in order.
#[derive(Debug)]
pub(super) struct Slab {
    bytes: Box<[u8]>,
    from: u32,
    to: u32,
}

impl Slab {
    /// What is still to be sent; never empty.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.from as usize..self.to as usize]
    }

    /// `n` bytes were sent. True: nothing is left.
    pub(super) fn advance(&mut self, n: usize) -> bool {
        self.from += n as u32;
        debug_assert!(self.from <= self.to, "more sent than held");
        self.from == self.to
    }
}

/// One worker's copying memory.
pub(super) struct Memory {
    scratch: RefCell<Box<[u8]>>,
    large: RefCell<Vec<Box<[u8]>>>,
    small: RefCell<Vec<Box<[u8]>>>,
    large_lent: Cell<usize>,
    small_lent: Cell<usize>,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            large: RefCell::new(Vec::with_capacity(MOST_SPARE)),
            small: RefCell::new(Vec::with_capacity(MOST_SPARE)),
            large_lent: Cell::new(0),
            small_lent: Cell::new(0),
        }
    }

    /// The scratch, as much of it as may be read into now. Not to be called from within `use_it`.
    pub(super) fn with_scratch<R>(&self, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
        let most = if self.large_lent.get() < MOST_LARGE {
            SCRATCH
        } else {
            SMALL
        };
        use_it(&mut self.scratch.borrow_mut()[..most])
    }

    /// Keeps a copy of `rest` (not empty, at most [`SCRATCH`] bytes).
    pub(super) fn keep(&self, rest: &[u8]) -> Slab {
        let (pool, lent, size) = match rest.len() {
            ..=SMALL => (&self.small, &self.small_lent, SMALL),
            _ => (&self.large, &self.large_lent, SCRATCH),
        };
        lent.set(lent.get() + 1);
        let spare = pool.borrow_mut().pop();
        let mut bytes = spare.unwrap_or_else(|| vec![0; size].into_boxed_slice());
        bytes[..rest.len()].copy_from_slice(rest);
        Slab {
            bytes,
            from: 0,
            to: rest.len() as u32,
        }
    }

    /// Takes a slab back, whatever it still holds.
    pub(super) fn give(&self, slab: Slab) {
        let (pool, lent) = match slab.bytes.len() {
            SMALL => (&self.small, &self.small_lent),
            _ => (&self.large, &self.large_lent),
        };
        lent.set(lent.get() - 1);
        let mut pool = pool.borrow_mut();
        if pool.len() < MOST_SPARE {
            pool.push(slab.bytes);
        }
    }

    /// Slabs lent now.
    pub(super) fn lent(&self) -> usize {
        self.large_lent.get() + self.small_lent.get()
    }

    /// Everything held: the scratch, slabs lent and spare.
    pub(super) fn bytes(&self) -> usize {
        let large = self.large_lent.get() + self.large.borrow().len();
        let small = self.small_lent.get() + self.small.borrow().len();
        SCRATCH * (1 + large) + SMALL * small
    }
}
