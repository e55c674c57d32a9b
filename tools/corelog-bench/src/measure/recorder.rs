//! A worker's recorder of latencies, counts and errors.
//!
//! Key invariant: what was recorded between two calls of `take` is in the interval that the second call returns, and in no
//! other. Recording a latency costs a few nanoseconds: the histograms are made once and are reused.

use std::collections::BTreeMap;

use super::{Counts, Interval, LATENCY_US_MAX, Latencies, Timing, count_errors, empty_latencies};

/// Records what one worker sees.
#[derive(Debug)]
pub struct Recorder {
    from_ns: u64,
    /// In the order of [`Timing::ALL`].
    latencies: [Latencies; 4],
    counts: Counts,
    errors: BTreeMap<String, u64>,
}

impl Recorder {
    /// A recorder whose first interval begins at `start_ns` of the run.
    pub fn new(start_ns: u64) -> Self {
        Self {
            from_ns: start_ns,
            latencies: std::array::from_fn(|_| empty_latencies()),
            counts: Counts::default(),
            errors: BTreeMap::new(),
        }
    }

    /// Records a latency of `us` microseconds for each of `times` events. Longer ones than an hour count as an hour.
    #[inline]
    pub fn latency(&mut self, timing: Timing, us: u64, times: u64) {
        // The library would take an empty record for a new minimum or maximum.
        if times > 0 {
            self.latencies[timing as usize].saturating_record_n(us.min(LATENCY_US_MAX), times);
        }
    }

    /// The counts of the interval under way.
    #[inline]
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Counts an error by Kafka's name of it.
    pub fn error(&mut self, name: &str) {
        count_errors(&mut self.errors, name, 1);
    }

    /// Ends the interval under way at `now_ns` of the run and begins the next one there.
    pub fn take(&mut self, now_ns: u64) -> Interval {
        let from_ns = self.from_ns;
        let to_ns = now_ns.max(from_ns);
        self.from_ns = to_ns;
        let mut latencies = BTreeMap::new();
        for timing in Timing::ALL {
            let recorded = &mut self.latencies[timing as usize];
            if !recorded.is_empty() {
                latencies.insert(timing, recorded.clone());
                recorded.reset();
            }
        }
        Interval {
            from_ns,
            to_ns,
            latencies,
            counts: std::mem::take(&mut self.counts),
            errors: std::mem::take(&mut self.errors),
        }
    }
}
