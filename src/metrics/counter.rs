//! Numbers that one thread writes and others read.
//!
//! Key invariant: only the owning shard writes; two writers would lose counts, though never tear a value.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`; by the owning shard only.
    #[inline]
    pub fn add(&self, n: u64) {
        // One writer: no read-modify-write instruction is needed.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down; below 0 it stays 0.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets the number; by the owning shard only.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`; by the owning shard only.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().saturating_add(n));
    }

    /// Takes `n` away; by the owning shard only.
    #[inline]
    pub fn subtract(&self, n: u64) {
        self.set(self.get().saturating_sub(n));
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_count() {
        let counter = Counter::default();
        counter.increment();
        counter.add(41);
        assert_eq!(counter.get(), 42);
    }

    #[test]
    fn gauges_stop_at_zero() {
        let gauge = Gauge::default();
        gauge.add(3);
        gauge.subtract(1);
        assert_eq!(gauge.get(), 2);
        gauge.subtract(5);
        assert_eq!(gauge.get(), 0);
    }
}
