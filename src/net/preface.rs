//! The client's first bytes, read and still owed to the upstream, and the memory they may take.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes read from a client that its upstream has not had yet. Not `Clone`: whoever takes it by
/// value owes the bytes, and losing them does not compile unnoticed.
#[must_use = "these bytes are owed to the upstream"]
pub struct Preface {
    bytes: Vec<u8>,
    _permit: MemoryPermit,
}

impl Preface {
    /// `permit` accounts for `bytes` and is given back with them.
    pub fn new(bytes: Vec<u8>, permit: MemoryPermit) -> Preface {
        Preface {
            bytes,
            _permit: permit,
        }
    }

    /// What is owed, from the client's first byte after a PROXY header on.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Preface {
    /// The length alone: a client's bytes belong in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preface({} bytes)", self.bytes.len())
    }
}

/// The process-wide bound of memory held for hellos (`limits.hello_memory`, default 64 MiB).
#[derive(Debug)]
pub struct HelloMemory {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl HelloMemory {
    /// `limit` in bytes.
    pub fn new(limit: usize) -> Arc<HelloMemory> {
        Arc::new(HelloMemory {
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        })
    }

    /// Another bound, in bytes; what is held above it stays held.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes held right now, in the whole process.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A permit for nothing yet; it grows with [`MemoryPermit::grow_to`].
    pub fn permit(self: &Arc<Self>) -> MemoryPermit {
        MemoryPermit {
            memory: Arc::clone(self),
            held: 0,
        }
    }
}

/// A share of [`HelloMemory`], given back on drop.
#[derive(Debug)]
pub struct MemoryPermit {
    memory: Arc<HelloMemory>,
    held: usize,
}

/// The process-wide bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverHelloMemory;

impl MemoryPermit {
    /// Makes this permit at least `bytes` in all.
    ///
    /// # Errors
    /// The bound is reached; what was held stays held.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), OverHelloMemory> {
        let more = bytes.saturating_sub(self.held);
        let limit = self.memory.limit.load(Ordering::Relaxed);
        // A counter that publishes no other data: relaxed is enough.
        self.memory
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(more).filter(|sum| *sum <= limit)
            })
            .map_err(|_| OverHelloMemory)?;
        self.held += more;
        Ok(())
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_never_exceed_the_bound_and_come_back() {
        let memory = HelloMemory::new(100);
        let (mut a, mut b) = (memory.permit(), memory.permit());
        a.grow_to(60).unwrap();
        a.grow_to(10).unwrap();
        assert_eq!(memory.used(), 60);
        assert_eq!(b.grow_to(41), Err(OverHelloMemory));
        memory.set_limit(50);
        assert_eq!(b.grow_to(1), Err(OverHelloMemory));
        memory.set_limit(100);
        b.grow_to(40).unwrap();
        assert_eq!(a.grow_to(usize::MAX), Err(OverHelloMemory));
        drop(a);
        assert_eq!(memory.used(), 40);
        let preface = Preface::new(vec![1, 2], b);
        assert_eq!(format!("{preface:?}"), "Preface(2 bytes)");
        drop(preface);
        assert_eq!(memory.used(), 0);
    }
}
