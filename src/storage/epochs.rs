//! The leader epoch cache: at which offset each leader began (KIP-101, KIP-279).
//!
//! Key invariant: epochs and start offsets both ascend strictly. Stored in Kafka's `leader-epoch-checkpoint` format: a
//! version, a count, and a line `epoch offset` for each.

use crate::model::{LeaderEpoch, Offset};

/// One leader's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// The epochs of one log, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochStart>,
}

impl EpochCache {
    /// The epoch of the newest entry.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// Notes that `epoch` begins at `start_offset`. True if that was news. Later knowledge wins: entries that it
    /// contradicts are dropped.
    pub fn start(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch.0 < 0 || self.latest().is_some_and(|latest| epoch <= latest) {
            return false;
        }
        self.entries.retain(|entry| entry.start_offset < start_offset);
        self.entries.push(EpochStart { epoch, start_offset });
        true
    }

    /// The largest epoch known that is at most `epoch`, and where it ends: at the start of the next one, or at `log_end`.
    /// `None` if no such epoch is known (answered as -1, -1).
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let found = self.entries[..after].last()?;
        let end = self.entries.get(after).map_or(log_end, |next| next.start_offset);
        Some((found.epoch, end))
    }

    /// The epoch under which `offset` was written.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries[..after].last().map(|entry| entry.epoch)
    }

    /// Drops what begins at or after `end`. True if anything did.
    pub fn truncate_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < end);
        self.entries.len() != before
    }

    /// Drops epochs that ended before `start`; the one that covers it begins there now. True if anything changed.
    pub fn truncate_start(&mut self, start: Offset) -> bool {
        let covered = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(first) = covered.checked_sub(1) else { return false };
        let changed = first > 0 || self.entries[first].start_offset < start;
        self.entries.drain(..first);
        self.entries[0].start_offset = start;
        changed
    }

    /// The checkpoint file.
    pub(super) fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            text.push_str(&format!("{} {}\n", entry.epoch, entry.start_offset));
        }
        text
    }

    /// Reads a checkpoint file; `None` if it is not one.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()?.trim() != "0" {
            return None;
        }
        let count: usize = lines.next()?.trim().parse().ok()?;
        let mut cache = Self::default();
        for line in lines.by_ref().take(count) {
            let (epoch, offset) = line.trim().split_once(' ')?;
            let entry = EpochStart {
                epoch: LeaderEpoch(epoch.parse().ok()?),
                start_offset: Offset(offset.trim().parse().ok()?),
            };
            let ascends = cache
                .entries
                .last()
                .is_none_or(|last| last.epoch < entry.epoch && last.start_offset < entry.start_offset);
            if !ascends || entry.epoch.0 < 0 || entry.start_offset.0 < 0 {
                return None;
            }
            cache.entries.push(entry);
        }
        (cache.entries.len() == count).then_some(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, offset) in entries {
            cache.start(LeaderEpoch(*epoch), Offset(*offset));
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(i32, i64)> {
        cache.entries().iter().map(|e| (e.epoch.0, e.start_offset.0)).collect()
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let cache = cache(&[(1, 0), (2, 10), (5, 30)]);
        let end = |epoch| cache.end_offset_for(LeaderEpoch(epoch), Offset(50)).map(|(e, o)| (e.0, o.0));
        assert_eq!(end(0), None);
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(3), Some((2, 30)));
        assert_eq!(end(5), Some((5, 50)));
        assert_eq!(end(9), Some((5, 50)));
    }

    #[test]
    fn an_epoch_without_records_gives_way() {
        let mut cache = cache(&[(1, 0), (2, 10)]);
        assert!(cache.start(LeaderEpoch(3), Offset(10)));
        assert!(!cache.start(LeaderEpoch(3), Offset(12)));
        assert!(!cache.start(LeaderEpoch(2), Offset(20)));
        assert_eq!(pairs(&cache), [(1, 0), (3, 10)]);
    }

    #[test]
    fn truncation_at_both_ends() {
        let mut cache = cache(&[(1, 0), (2, 10), (5, 30)]);
        assert!(cache.truncate_start(Offset(12)));
        assert_eq!(pairs(&cache), [(2, 12), (5, 30)]);
        assert!(!cache.truncate_start(Offset(12)));
        assert!(cache.truncate_end(Offset(30)));
        assert_eq!(pairs(&cache), [(2, 12)]);
        assert_eq!(cache.epoch_at(Offset(11)), None);
        assert_eq!(cache.epoch_at(Offset(12)), Some(LeaderEpoch(2)));
    }

    #[test]
    fn the_file_is_kafkas() {
        let cache = cache(&[(1, 0), (4, 17)]);
        assert_eq!(cache.encode(), "0\n2\n1 0\n4 17\n");
        assert_eq!(EpochCache::decode(&cache.encode()), Some(cache));
        assert_eq!(EpochCache::decode("0\n2\n1 0\n"), None);
        assert_eq!(EpochCache::decode("0\n2\n1 5\n2 5\n"), None);
        assert_eq!(EpochCache::decode("1\n0\n"), None);
        assert_eq!(EpochCache::decode(""), None);
    }
}
