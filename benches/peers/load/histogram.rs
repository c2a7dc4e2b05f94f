//! Times in a log-linear histogram: 128 buckets an octave, so that a quantile is at most 0.8 %
//! above the truth, whatever its size, and recording allocates nothing.

use serde_json::{Value, json};
use std::time::Duration;

const BITS: u32 = 7;
const PER_OCTAVE: usize = 1 << BITS;
/// Up to 2^42 ns, more than an hour.
const BUCKETS: usize = (42 - BITS as usize + 1) * PER_OCTAVE;

/// How often which time was taken.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    /// Of all recorded, in ns.
    sum: u64,
    most: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            total: 0,
            sum: 0,
            most: 0,
        }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(ns).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.total += 1;
        self.sum = self.sum.saturating_add(ns);
        self.most = self.most.max(ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    /// The time, in ns, that this share of all (0.0 to 1.0) did not exceed; the top of its bucket,
    /// but never more than the greatest recorded. 0 without any.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return top(bucket).min(self.most);
            }
        }
        self.most
    }

    /// In microseconds.
    pub(crate) fn report(&self) -> Value {
        let us = |ns: u64| (ns as f64 / 10.0).round() / 100.0;
        let mean = self.sum.checked_div(self.total).unwrap_or(0);
        json!({
            "count": self.total,
            "mean": us(mean),
            "p50": us(self.quantile(0.5)),
            "p90": us(self.quantile(0.9)),
            "p99": us(self.quantile(0.99)),
            "p999": us(self.quantile(0.999)),
            "max": us(self.most),
        })
    }
}

/// Below 2 * 128 each value has a bucket of its own; above, the seven bits after the leading one.
fn bucket(ns: u64) -> usize {
    let octave = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS + 1);
    octave as usize * PER_OCTAVE + (ns >> octave) as usize
}

/// The greatest value in a bucket.
fn top(bucket: usize) -> u64 {
    let octave = (bucket / PER_OCTAVE).saturating_sub(1);
    let place = (bucket - octave * PER_OCTAVE) as u64;
    ((place + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut last = 0;
        for exponent in 0..40 {
            for ns in [1_u64 << exponent, (1 << exponent) + 1, (3 << exponent) / 2] {
                let bucket = bucket(ns);
                assert!(ns <= top(bucket), "{ns}");
                assert!(bucket == 0 || top(bucket - 1) < ns, "{ns}");
                assert!(top(bucket) - ns <= ns / 128, "{ns}: {}", top(bucket));
                last = last.max(bucket);
            }
        }
        assert!(last < BUCKETS);
    }

    #[test]
    fn quantiles_of_a_thousand() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.99), 0);
        for us in 1..=1000 {
            histogram.record(Duration::from_micros(us));
        }
        for (share, us) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let got = histogram.quantile(share) as f64 / 1000.0;
            assert!((us..=us * 1.008).contains(&got), "{share}: {got}");
        }
        assert_eq!(histogram.quantile(1.0), 1_000_000);
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn nothing_is_too_short_or_too_long() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(7200));
        assert_eq!((histogram.count(), histogram.quantile(0.5)), (2, 0));
        assert_eq!(histogram.report()["max"], 7.2e9);
    }
}
