//! Compaction: of the records of one key only the newest stays (`cleanup.policy=compact`).
//!
//! `plan` says what is dirty, `offset_map` and `transactions` learn from it, `filter` decides on each batch, `run` reads and
//! writes, `swap` puts the result in place.
//!
//! Key invariant: a log that is read gives the same newest record of every key before, during and after compaction, whatever
//! crash falls in between; offsets never change. Only finished segments are rewritten, and memory does not depend on how
//! many keys there are. Which log is compacted when, and what a producer is, is left to `shard` and `partition`.

mod checkpoint;
mod filter;
mod offset_map;
mod output;
mod plan;
mod run;
mod source;
mod swap;
#[cfg(test)]
mod tests;
mod transactions;

use std::cell::Cell;

use hashbrown::HashMap;

pub use filter::LastBatch;
pub use plan::{CompactionSettings, Dirtiness};
pub(super) use swap::complete_swaps;

use super::error::StorageError;
use super::log::Log;
use super::segment::Segment;
use crate::model::{Offset, ProducerId, TimestampMs};
use plan::{Bounds, Candidate};

/// What one round may use.
#[derive(Clone, Copy, Debug)]
pub struct CompactionLimits {
    /// Memory for the keys of one round, in bytes; more keys take more rounds.
    pub map_bytes_max: u64,
    /// How full that memory may get, 1 to 100; beyond 90 looking keys up gets slow.
    pub map_load_percent: u8,
    /// Bytes read and written per second; `None` is without bound.
    pub bytes_per_second: Option<u64>,
}

impl Default for CompactionLimits {
    fn default() -> Self {
        Self { map_bytes_max: 16 << 20, map_load_percent: 90, bytes_per_second: None }
    }
}

/// One round of compaction of one log.
#[derive(Clone, Debug)]
pub struct CompactionRound {
    pub now: TimestampMs,
    /// Nothing at or above this is compacted: the high watermark, or the last stable offset if that is lower.
    pub stable_end: Offset,
    /// The producers that are remembered. What they were when the round began is enough: a producer that goes on has its
    /// last batch above what is compacted.
    pub producers: HashMap<ProducerId, LastBatch>,
    pub limits: CompactionLimits,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionReport {
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub removed_records: u64,
    /// Segments replaced, and what replaced them.
    pub replaced_segments: u64,
    pub new_segments: u64,
    /// How full the memory for keys was, 0 to 100.
    pub map_used_percent: u64,
    /// False if the log changed beneath the round, so that its rest is left to the next one.
    pub complete: bool,
}

/// What a log remembers of its compaction.
#[derive(Debug, Default)]
pub(super) struct CompactionState {
    /// Counts whatever changed files that were finished: positions learnt before count for nothing after.
    generation: Cell<u64>,
    /// What lies below was compacted; `None` until it is read from the checkpoint.
    cleaned_to: Cell<Option<Offset>>,
}

impl CompactionState {
    /// A number that changes whenever finished segments are replaced or cut.
    pub(super) fn generation(&self) -> u64 {
        self.generation.get()
    }

    fn next_generation(&self) {
        self.generation.set(self.generation.get() + 1);
    }
}

impl Log {
    /// How dirty the log is. Reads a small file the first time.
    pub async fn dirtiness(&self, now: TimestampMs, stable_end: Offset) -> Result<Dirtiness, StorageError> {
        let cleaned_to = self.cleaned_to().await?;
        let log_start = self.log_start_offset();
        let bounds = Bounds { log_start, cleaned_to, stable_end, now };
        Ok(plan::dirtiness(&self.candidates(), &bounds, &self.settings().compaction))
    }

    /// Whether closed segments wait for a checkpoint before they may be compacted.
    pub fn waits_for_checkpoint(&self) -> bool {
        let state = self.state.borrow();
        let closed = state.segments.len() - 1;
        let last = closed.checked_sub(1).map(|last| &state.segments[last]);
        last.is_some_and(|last| last.size > 0 && !state.is_settled(last))
    }

    fn candidates(&self) -> Vec<Candidate> {
        let state = self.state.borrow();
        let candidate = |segment: &Segment| Candidate {
            base: segment.base,
            next_offset: segment.next_offset,
            size: segment.size,
            largest_timestamp: segment.times.largest,
            first_append: segment.times.first_append,
            settled: state.is_settled(segment),
        };
        state.segments.iter().map(candidate).collect()
    }
}
