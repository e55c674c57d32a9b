//! The sparse index of one segment: where batches are, and how late the timestamps before them go.
//!
//! Key invariant: entries ascend in offset, position and timestamp bound, and each names the start of a batch. So a search
//! lands at or before the batch sought, and a walk over headers from there finds it exactly. One index serves offsets
//! and timestamps: an entry's bound is the largest timestamp of *everything before it*.

use crate::model::{Offset, TimestampMs};

/// One batch that can be jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The batch's base offset, from the segment's.
    pub relative_offset: u32,
    /// The batch's first byte.
    pub position: u32,
    /// The largest timestamp of all batches of the segment before this one; `i64::MIN` at the first.
    pub timestamp_before: i64,
}

/// Entries of one segment, about one every `index.interval.bytes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SparseIndex {
    entries: Vec<Entry>,
}

impl SparseIndex {
    pub(super) fn from_entries(entries: Vec<Entry>) -> Option<Self> {
        let ascending = entries.windows(2).all(|pair| {
            pair[0].relative_offset < pair[1].relative_offset
                && pair[0].position < pair[1].position
                && pair[0].timestamp_before <= pair[1].timestamp_before
        });
        ascending.then_some(Self { entries })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of the entries, in memory and on disk.
    pub(super) fn size_bytes(&self) -> u64 {
        (self.entries.len() * size_of::<Entry>()) as u64
    }

    /// Notes a batch, if the last entry is at least `interval` bytes back.
    pub(super) fn note(&mut self, entry: Entry, interval_bytes: u32) {
        let due = match self.entries.last() {
            None => true,
            Some(last) => entry.position - last.position >= interval_bytes.max(1),
        };
        if due {
            self.entries.push(entry);
        }
    }

    /// Where to begin walking for the batch that holds `offset`.
    pub(super) fn position_of(&self, base: Offset, offset: Offset) -> u64 {
        let relative = offset.since(base);
        let after = self.entries.partition_point(|entry| i64::from(entry.relative_offset) <= relative);
        self.position_before(after)
    }

    /// The offset to begin walking at for the first batch whose largest timestamp is at least `timestamp`.
    pub(super) fn offset_of_timestamp(&self, base: Offset, timestamp: TimestampMs) -> Offset {
        let after = self.entries.partition_point(|entry| entry.timestamp_before < timestamp.0);
        let before = after.checked_sub(1).map(|at| self.entries[at].relative_offset);
        base.plus(before.map_or(0, i64::from))
    }

    fn position_before(&self, after: usize) -> u64 {
        after.checked_sub(1).map_or(0, |at| u64::from(self.entries[at].position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> SparseIndex {
        let mut index = SparseIndex::default();
        for (relative_offset, position, timestamp_before) in
            [(0, 0, i64::MIN), (5, 50, 10), (10, 100, 30), (15, 150, 30), (20, 200, 40)]
        {
            index.note(Entry { relative_offset, position, timestamp_before }, 100);
        }
        index
    }

    #[test]
    fn entries_keep_their_distance() {
        let positions: Vec<u32> = index().entries().iter().map(|e| e.position).collect();
        assert_eq!(positions, [0, 100, 200]);
    }

    #[test]
    fn a_search_lands_at_or_before_the_batch() {
        let index = index();
        let base = Offset(1000);
        assert_eq!(index.position_of(base, Offset(1000)), 0);
        assert_eq!(index.position_of(base, Offset(1009)), 0);
        assert_eq!(index.position_of(base, Offset(1010)), 100);
        assert_eq!(index.position_of(base, Offset(9999)), 200);
        assert_eq!(SparseIndex::default().position_of(base, Offset(1005)), 0);
    }

    #[test]
    fn a_timestamp_is_sought_where_no_earlier_batch_reaches_it() {
        let index = index();
        let sought = |timestamp| index.offset_of_timestamp(Offset(1000), TimestampMs(timestamp)).0;
        assert_eq!(sought(5), 1000);
        assert_eq!(sought(30), 1000, "an earlier batch holds 30 already");
        assert_eq!(sought(31), 1010);
        assert_eq!(sought(41), 1020);
    }

    #[test]
    fn entries_that_do_not_ascend_are_refused() {
        let mut entries = index().entries().to_vec();
        assert!(SparseIndex::from_entries(entries.clone()).is_some());
        entries.swap(0, 1);
        assert!(SparseIndex::from_entries(entries).is_none());
    }
}
