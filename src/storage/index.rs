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

/// Bytes of an entry, in memory and on disk.
pub(super) const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;

/// Entries of one segment, about one every `index.interval.bytes`: of all of it, or of what the index on disk lacks.
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

    /// Notes a batch, if the last entry is at least `interval` bytes back; true if it did.
    pub(super) fn note(&mut self, entry: Entry, interval_bytes: u32) -> bool {
        let due = match self.entries.last() {
            None => true,
            Some(last) => entry.position - last.position >= interval_bytes.max(1),
        };
        if due {
            self.entries.push(entry);
        }
        due
    }

    /// Whether there is nothing to ask.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where to begin walking for the batch that holds `offset`; `None` if it lies before all entries.
    pub(super) fn position_of(&self, base: Offset, offset: Offset) -> Option<u64> {
        let relative = offset.since(base);
        let after = self.entries.partition_point(|entry| i64::from(entry.relative_offset) <= relative);
        after.checked_sub(1).map(|at| u64::from(self.entries[at].position))
    }

    /// The offset to begin walking at for the first batch whose largest timestamp is at least `timestamp`; `None` if that may
    /// lie before all entries.
    pub(super) fn offset_of_timestamp(&self, base: Offset, timestamp: TimestampMs) -> Option<Offset> {
        let after = self.entries.partition_point(|entry| entry.timestamp_before < timestamp.0);
        let before = after.checked_sub(1)?;
        Some(base.plus(i64::from(self.entries[before].relative_offset)))
    }

    /// Puts the entries of `later`, which may repeat some of these, behind these.
    pub(super) fn extend(&mut self, later: &Self) {
        let last = self.entries.last().map(|entry| (entry.relative_offset, entry.position));
        let follows = |entry: &&Entry| last.is_none_or(|last| (entry.relative_offset, entry.position) > last);
        self.entries.extend(later.entries.iter().filter(follows));
    }

    /// The entries whose batches begin below `position`.
    pub(super) fn below(&self, position: u64) -> Self {
        let until = self.entries.partition_point(|entry| u64::from(entry.position) < position);
        Self { entries: self.entries[..until].to_vec() }
    }

    /// Forgets the entries whose batches begin below `position`, and gives their memory back.
    pub(super) fn forget_below(&mut self, position: u64) {
        let until = self.entries.partition_point(|entry| u64::from(entry.position) < position);
        self.entries = self.entries.split_off(until);
    }

    /// Bytes that the entries take.
    pub(super) fn size_bytes(&self) -> u64 {
        self.entries.len() as u64 * ENTRY_BYTES
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
        assert_eq!(index.position_of(base, Offset(1000)), Some(0));
        assert_eq!(index.position_of(base, Offset(1009)), Some(0));
        assert_eq!(index.position_of(base, Offset(1010)), Some(100));
        assert_eq!(index.position_of(base, Offset(9999)), Some(200));
        assert_eq!(SparseIndex::default().position_of(base, Offset(1005)), None);
    }

    #[test]
    fn a_timestamp_is_sought_where_no_earlier_batch_reaches_it() {
        let index = index();
        let sought = |timestamp| {
            index.offset_of_timestamp(Offset(1000), TimestampMs(timestamp)).expect("an entry before").0
        };
        assert_eq!(sought(5), 1000);
        assert_eq!(sought(30), 1000, "an earlier batch holds 30 already");
        assert_eq!(sought(31), 1010);
        assert_eq!(sought(41), 1020);
    }

    #[test]
    fn what_was_forgotten_is_asked_elsewhere() {
        let whole = index();
        let (stored, mut tail) = (whole.below(100), whole.clone());
        tail.forget_below(100);
        let base = Offset(1000);
        assert_eq!(tail.position_of(base, Offset(1009)), None);
        assert_eq!(tail.position_of(base, Offset(1010)), Some(100));
        assert_eq!(tail.offset_of_timestamp(base, TimestampMs(30)), None);
        assert_eq!(tail.offset_of_timestamp(base, TimestampMs(31)), Some(Offset(1010)));
        let mut joined = stored.clone();
        joined.extend(&tail);
        assert_eq!(joined, whole);
        joined.extend(&tail);
        assert_eq!(joined, whole, "what is there already is not repeated");
    }

    #[test]
    fn entries_that_do_not_ascend_are_refused() {
        let mut entries = index().entries().to_vec();
        assert!(SparseIndex::from_entries(entries.clone()).is_some());
        entries.swap(0, 1);
        assert!(SparseIndex::from_entries(entries).is_none());
    }
}
