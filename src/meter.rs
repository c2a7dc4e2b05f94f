//! Numbers with one writer each: how the data path counts.
//!
//! Each worker has its own; readers add them up. An addition is a load and a store: no locked
//! instruction, and no cache line that two workers write.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One number. Only ever written by the owning thread, read by anyone.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Replaces: for what also goes down.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of a [`Histogram`]'s buckets in microseconds, each included; above the last there
/// is one more. From a hello on one's own machine to a dial that runs into its time limit.
pub const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 15_000_000,
];

/// How long something took, many times.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS_US.len() + 1],
    sum_us: Counter,
}

/// A [`Histogram`], or several added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Of each bucket alone; the last is above every bound.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// Of all together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].add(1);
        self.sum_us.add(us);
    }

    /// Replaces what was counted.
    pub fn set(&self, all: &Distribution) {
        for (bucket, count) in self.buckets.iter().zip(all.counts) {
            bucket.set(count);
        }
        self.sum_us.set(all.sum_us);
    }

    /// Adds what was counted to `sum`.
    pub fn add_to(&self, sum: &mut Distribution) {
        for (sum, bucket) in sum.counts.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        sum.sum_us += self.sum_us.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for us in [0, 250, 251, 15_000_000, 15_000_001] {
            histogram.observe(Duration::from_micros(us));
        }
        let mut sum = Distribution::default();
        histogram.add_to(&mut sum);
        let filled: Vec<_> = (0..).zip(sum.counts).filter(|(_, n)| *n > 0).collect();
        assert_eq!(filled, [(0, 2), (1, 1), (14, 1), (15, 1)]);
        assert_eq!(sum.sum_us, 30_000_502);
    }
}
