//! What all threads of a run share: what to do, the clock, and when to begin and end.
//!
//! Key invariant: everything but the times and flags below is fixed before the threads start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::clock::Clock;
use super::job::Job;
use crate::payload::Supply;

/// Nanoseconds in a second.
pub const SECOND_NS: f64 = 1e9;

/// See the head of this file.
pub struct Shared {
    pub job: Job,
    pub clock: Clock,
    pub supply: Arc<Supply>,
    /// Names of the topics, in the order of lanes.
    pub topics: Vec<String>,
    /// The leader of each lane, as it was at the beginning.
    pub leaders: Vec<i32>,
    /// Where readers begin, lane by lane.
    pub starts: Vec<i64>,
    /// Where readers end: known from the start when they read what is there, else once all is sent.
    pub ends: OnceLock<Vec<i64>>,
    /// Producer ids and epochs, one per connection, if idempotent.
    pub producer_ids: Vec<(i64, i16)>,
    /// Counted records and bytes that readers have read.
    fetched: [AtomicU64; 2],
    start_ns: AtomicU64,
    stop_sending: AtomicBool,
    stop: AtomicBool,
}

/// The parts of [`Shared`] that are found out before the threads start.
pub struct Found {
    pub topics: Vec<String>,
    pub leaders: Vec<i32>,
    pub starts: Vec<i64>,
    pub ends: Option<Vec<i64>>,
    pub producer_ids: Vec<(i64, i16)>,
}

impl Shared {
    /// Nothing has started yet.
    pub fn new(job: Job, clock: Clock, supply: Supply, found: Found) -> Self {
        Self {
            job,
            clock,
            supply: Arc::new(supply),
            topics: found.topics,
            leaders: found.leaders,
            starts: found.starts,
            ends: found.ends.map_or_else(OnceLock::new, OnceLock::from),
            producer_ids: found.producer_ids,
            fetched: [const { AtomicU64::new(0) }; 2],
            start_ns: AtomicU64::new(u64::MAX),
            stop_sending: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    /// The run starts at this time.
    pub fn start_at(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Release);
    }

    /// When the run starts; `None` until that is decided.
    pub fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(Ordering::Acquire)).filter(|at| *at != u64::MAX)
    }

    /// When the warm-up is over, given the start.
    pub fn count_from_ns(&self, start_ns: u64) -> u64 {
        start_ns + (self.job.workload.length.warm_up_s * SECOND_NS) as u64
    }

    /// When sending ends at the latest.
    pub fn end_ns(&self, start_ns: u64) -> u64 {
        let duration_s = self.job.workload.length.duration_s.filter(|seconds| *seconds > 0.0);
        duration_s.map_or(u64::MAX, |seconds| self.count_from_ns(start_ns) + (seconds * SECOND_NS) as u64)
    }

    /// Producers send nothing new from now on.
    pub fn stop_sending(&self) {
        self.stop_sending.store(true, Ordering::Release);
    }

    /// Whether sending was ended early.
    pub fn is_sending_stopped(&self) -> bool {
        self.stop_sending.load(Ordering::Acquire) || self.is_stopped()
    }

    /// Everything ends now.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether everything ends.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The topic and partition of a lane.
    pub fn place_of(&self, lane: crate::payload::Lane) -> (usize, i32) {
        let partitions = self.job.workload.topic.partitions;
        ((lane.0 / partitions.unsigned_abs()) as usize, (lane.0 % partitions.unsigned_abs()) as i32)
    }

    /// Readers have read so much more that counts.
    pub fn add_fetched(&self, records: u64, bytes: u64) {
        self.fetched[0].fetch_add(records, Ordering::Relaxed);
        self.fetched[1].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether readers have read what a run that only reads is to read.
    pub fn has_fetched_enough(&self) -> bool {
        let length = &self.job.workload.length;
        let reached = |bound: Option<u64>, fetched: &AtomicU64| {
            bound.is_some_and(|bound| bound > 0 && fetched.load(Ordering::Relaxed) >= bound)
        };
        reached(length.records, &self.fetched[0]) || reached(length.bytes, &self.fetched[1])
    }

    /// Counted records that each producer sends at most, if the run has such a bound.
    pub fn quota(&self, number: u32) -> Option<u64> {
        let length = &self.job.workload.length;
        let bytes = length.bytes.filter(|bytes| *bytes > 0);
        let by_bytes = bytes.map(|bytes| bytes.div_ceil(self.supply.mean_payload_bytes().max(1) as u64));
        let records =
            [length.records.filter(|records| *records > 0), by_bytes].into_iter().flatten().min()?;
        let producers = u64::from(self.job.workload.producer.connections);
        Some(records / producers + u64::from(u64::from(number) < records % producers))
    }
}
