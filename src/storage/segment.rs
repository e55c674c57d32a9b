//! One segment's facts in memory.
//!
//! Key invariant: `written <= size`, both at a batch's end; a segment is finished only when all of it is in its file, that
//! is cut to its size and its sidecars are written. Only the last segment of a log grows.

use bytes::Bytes;

use super::index::{ENTRY_BYTES, Entry, SparseIndex};
use crate::model::{Offset, TimestampMs};
use crate::record::BatchHeader;

/// Where a segment stands between its first byte and its last change.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The last one: appends go here.
    Active,
    /// Takes no more appends; its end is still to be written. Carries the producer state at its end, if that is known.
    Rolled(Option<Bytes>),
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
    /// The largest timestamp of the first batch, which `segment.ms` counts from; negative if there is none.
    pub first_batch: TimestampMs,
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
            first_batch: TimestampMs::NONE,
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
    /// Bytes of it that are durable in its file.
    pub written: u64,
    pub times: Times,
    pub stage: Stage,
    /// What the index on disk lacks; absent once that has all of it.
    pub index: Option<SparseIndex>,
    /// Bytes of all index entries, on disk and in memory; after a crash an upper bound.
    pub index_bytes: u64,
}

impl Segment {
    /// An empty one that starts at `base`.
    pub(super) fn new(base: Offset) -> Self {
        Self {
            base,
            next_offset: base,
            size: 0,
            written: 0,
            times: Times::none(),
            stage: Stage::Active,
            index: Some(SparseIndex::default()),
            index_bytes: 0,
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
            if index.note(entry, interval_bytes) {
                self.index_bytes += ENTRY_BYTES;
            }
        }
        // A batch that compaction left without records has a timestamp, but nothing to be found by it.
        if header.record_count > 0 && header.max_timestamp.0 > self.times.largest {
            self.times.largest = header.max_timestamp.0;
            self.times.largest_at = base;
        }
        if self.size == 0 {
            self.times.first_batch = header.max_timestamp;
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

    /// Whether a batch with this largest timestamp is `segment.ms` later than the segment's first, as Kafka counts it, so
    /// that old records that are written anew do not stay for as long as later ones. A timestamp counts as the broker's
    /// clock if it lies ahead of that: one from the future rolls nothing.
    pub(super) fn is_outrun(&self, latest: TimestampMs, now: TimestampMs, segment_ms: i64) -> bool {
        let first = self.times.first_batch;
        self.size > 0 && segment_ms >= 0 && first.0 >= 0 && latest.min(now).since(first) > segment_ms
    }

    /// Whether the index has as many entries as fit into `segment.index.bytes`.
    pub(super) fn index_is_full(&self, index_bytes: u32) -> bool {
        self.size > 0 && self.index_bytes >= u64::from(index_bytes)
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

    pub(super) fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished)
    }

    pub(super) fn check_invariants(&self) {
        debug_assert!(self.written <= self.size, "nothing is written that was not appended");
        debug_assert!(self.next_offset >= self.base, "a segment's end is not below its base");
        debug_assert!(!self.is_finished() || self.written == self.size, "a finished segment is written");
    }
}
