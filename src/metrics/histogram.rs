//! A log-linear histogram of durations in microseconds.
//!
//! Values below 8 µs have a bucket each; from there on every power of two is cut into 8 buckets, so a bucket is at most
//! an eighth wide (12.5% of error), up to 2^36 µs (19 hours), where the last bucket takes all that is longer.
//!
//! Key invariant: every value falls into exactly one bucket, and the buckets are in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counter::Counter;

/// Buckets per power of two, as a power of two.
const LINEAR_BITS: u32 = 3;
const LINEAR: usize = 1 << LINEAR_BITS;
/// Powers of two from 8 µs to 2^36 µs.
const OCTAVES: usize = 33;
const BUCKETS: usize = LINEAR + OCTAVES * LINEAR;

/// Durations as one shard records them.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_us: Counter::default() }
    }
}

/// A histogram's counts at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    buckets: Vec<u64>,
    pub sum_us: u64,
    pub count: u64,
}

impl Histogram {
    /// Records one duration; by the owning shard only.
    #[inline]
    pub fn record(&self, elapsed: Duration) {
        self.record_us(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
    }

    /// Records one duration in microseconds; by the owning shard only.
    #[inline]
    pub fn record_us(&self, elapsed_us: u64) {
        let bucket = &self.buckets[bucket_of(elapsed_us)];
        bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.sum_us.add(elapsed_us);
    }

    /// Takes over the counts of another one; by the owning shard only.
    pub fn copy_from(&self, other: &Self) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.store(theirs.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.sum_us.add(other.sum_us.get().wrapping_sub(self.sum_us.get()));
    }

    /// The counts now.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        // Counted from the buckets, so that a snapshot never contradicts itself.
        let count = buckets.iter().sum();
        HistogramSnapshot { buckets, sum_us: self.sum_us.get(), count }
    }
}

impl HistogramSnapshot {
    /// How many durations were below each power of two of microseconds, from 8 µs on: (bound in µs, count).
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below: u64 = self.buckets[..LINEAR].iter().sum();
        let first = (LINEAR as u64, below);
        let octaves = self.buckets[LINEAR..].chunks(LINEAR).take(OCTAVES - 1).zip(LINEAR_BITS + 1..);
        std::iter::once(first).chain(octaves.map(move |(octave, bits)| {
            below += octave.iter().sum::<u64>();
            (1 << bits, below)
        }))
    }

    /// The bound, in µs, below which at least `fraction` (0 to 1) of the durations lie; 0 without any.
    pub fn quantile_us(&self, fraction: f64) -> u64 {
        let wanted = (self.count as f64 * fraction.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return bucket_end(bucket);
            }
        }
        0
    }
}

/// The bucket that a value falls into.
#[inline]
fn bucket_of(value_us: u64) -> usize {
    if value_us < LINEAR as u64 {
        return value_us as usize;
    }
    let octave = value_us.ilog2() - LINEAR_BITS;
    let within = (value_us >> octave) as usize - LINEAR;
    (LINEAR + octave as usize * LINEAR + within).min(BUCKETS - 1)
}

/// The first value, in µs, beyond a bucket.
fn bucket_end(bucket: usize) -> u64 {
    if bucket < LINEAR {
        return bucket as u64 + 1;
    }
    let octave = (bucket - LINEAR) / LINEAR;
    let within = (bucket - LINEAR) % LINEAR;
    ((LINEAR + within + 1) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut previous = 0;
        for bucket in 0..BUCKETS - 1 {
            let end = bucket_end(bucket);
            assert!(end > previous, "buckets are in order");
            assert_eq!(bucket_of(previous), bucket, "a bucket begins where the one before ends");
            assert_eq!(bucket_of(end - 1), bucket);
            previous = end;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn buckets_are_at_most_an_eighth_wide() {
        for bucket in LINEAR..BUCKETS - 1 {
            let (begin, end) = (bucket_end(bucket - 1), bucket_end(bucket));
            assert!((end - begin) * 8 <= begin, "{begin}..{end}");
        }
    }

    #[test]
    fn snapshots_count_and_accumulate() {
        let histogram = Histogram::default();
        for value in [0, 7, 8, 15, 16, 1_000_000] {
            histogram.record_us(value);
        }
        histogram.record(Duration::from_millis(1));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.sum_us), (7, 1_001_046));
        let below: Vec<(u64, u64)> = snapshot.cumulative().collect();
        assert_eq!(below[..3], [(8, 2), (16, 4), (32, 5)]);
        assert_eq!(below.iter().find(|(bound, _)| *bound == 1024), Some(&(1024, 6)));
        assert_eq!(below.last().map(|(_, count)| *count), Some(7));
    }

    #[test]
    fn a_copy_has_the_same_counts_whatever_it_had_before() {
        let (histogram, copy) = (Histogram::default(), Histogram::default());
        histogram.record_us(70);
        copy.record_us(5);
        copy.record_us(70_000);
        copy.copy_from(&histogram);
        assert_eq!(copy.snapshot(), histogram.snapshot());
        histogram.record_us(9);
        copy.copy_from(&histogram);
        assert_eq!((copy.snapshot().count, copy.snapshot().sum_us), (2, 79));
    }

    #[test]
    fn quantiles_bound_what_was_recorded() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile_us(0.99), 0);
        for value in 1..=1000 {
            histogram.record_us(value);
        }
        let snapshot = histogram.snapshot();
        for (fraction, exact) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            let bound = snapshot.quantile_us(fraction);
            assert!(bound > exact && bound <= exact + exact / 8 + 1, "{fraction}: {bound}");
        }
    }
}
