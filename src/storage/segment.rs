//! One segment's facts in memory.
//!
//! Key invariant: `durable <= size`, both at a batch's end; a segment is finished only when all of it is durable, its file
//! is cut to its size and its sidecars are written. Only the last segment of a log grows.

use bytes::Bytes;

use super::index::{Entry, SparseIndex};
use crate::model::{Offset, TimestampMs};
use crate::record::BatchHeader;

/// Where a segment stands between its first byte and its last change.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The last one: appends go here.
    Active,
    /// Takes no more appends; its end is still to be written. Carries the producer state at its end.
    Rolled(Bytes),
    /// All of it is durable; its file is being cut, its sidecars are being written.
    Finishing,
    /// Never changes again.
    Finished,
}

/// The timestamps of a segment's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// The largest timestamp of any batch; `i64::MIN` if there is none.
    pub largest: i64,
    /// The base offset of the first batch that holds it.
    pub largest_at: Offset,
    /// The broker's clock at the first append, or the first batch's timestamp if that is not known.
    pub first_append: TimestampMs,
    /// The broker's clock at the last append; bounds retention where clients' timestamps lie in the future.
    pub last_append: TimestampMs,
}

impl Times {
    pub(super) fn none() -> Self {
        Self {
            largest: i64::MIN,
            largest_at: Offset::NONE,
            first_append: TimestampMs::NONE,
            last_append: TimestampMs::NONE,
        }
    }
}

/// A segment of a log.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub base: Offset,
    pub next_offset: Offset,
    pub size: u64,
    pub durable: u64,
    pub times: Times,
    pub stage: Stage,
    /// Absent once it is on disk.
    pub index: Option<SparseIndex>,
}

impl Segment {
    /// An empty one that starts at `base`.
    pub(super) fn new(base: Offset) -> Self {
        Self {
            base,
            next_offset: base,
            size: 0,
            durable: 0,
            times: Times::none(),
            stage: Stage::Active,
            index: Some(SparseIndex::default()),
        }
    }

    /// Notes a batch that follows the last one, with the offset it was given.
    pub(super) fn note(&mut self, header: &BatchHeader, base: Offset, now: TimestampMs, interval_bytes: u32) {
        if let Some(index) = &mut self.index {
            let entry = Entry {
                relative_offset: base.since(self.base) as u32,
                position: self.size as u32,
                timestamp_before: self.times.largest,
            };
            index.note(entry, interval_bytes);
        }
        // A batch that compaction left without records has a timestamp, but nothing to be found by it.
        if header.record_count > 0 && header.max_timestamp.0 > self.times.largest {
            self.times.largest = header.max_timestamp.0;
            self.times.largest_at = base;
        }
        if self.size == 0 {
            self.times.first_append = now;
        }
        self.times.last_append = now;
        self.size += u64::from(header.size_bytes);
        self.next_offset = base.plus(i64::from(header.last_offset_delta) + 1);
    }

    /// Whether a batch of `bytes` whose last offset is `last` must go to a new segment.
    pub(super) fn is_full_for(&self, bytes: u64, last: Offset, segment_bytes: u32) -> bool {
        self.size > 0
            && (self.size + bytes > u64::from(segment_bytes) || last.since(self.base) > i64::from(i32::MAX))
    }

    /// Whether the segment is older than `segment.ms`.
    pub(super) fn is_due(&self, now: TimestampMs, segment_ms: i64) -> bool {
        self.size > 0 && segment_ms >= 0 && now.since(self.times.first_append) >= segment_ms
    }

    /// How old the segment's newest record is taken to be: its timestamp, unless the broker saw it earlier than that.
    pub(super) fn age_bound(&self) -> TimestampMs {
        let observed = self.times.last_append;
        let stated = TimestampMs(self.times.largest);
        match (stated.0 >= 0, observed.0 >= 0) {
            (true, true) => stated.min(observed),
            (true, false) => stated,
            _ => observed,
        }
    }

    pub(super) fn check_invariants(&self) {
        debug_assert!(self.durable <= self.size, "nothing is durable that was not appended");
        debug_assert!(self.next_offset >= self.base, "a segment's end is not below its base");
        debug_assert!(
            !matches!(self.stage, Stage::Finished) || self.durable == self.size,
            "a finished segment is durable"
        );
    }
}
