//! What was appended, and what a compacted log may and must still hold of it.
//!
//! Key invariant: the model never asks the log. It knows the batches, the rounds that ran and when; from that follows which
//! records must be there, which must not, and what a reader of the whole log ends with.

use std::collections::{BTreeMap, BTreeSet};

use super::{Last, split, texts};
use crate::model::Offset;
use crate::record::BatchHeader;
use bytes::Bytes;

/// What a batch is to its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    InTransaction,
    Marker { commit: bool },
}

/// A batch as it was appended.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub base: i64,
    pub next: i64,
    pub role: Role,
    pub producer: i64,
    /// As it stands in the log, its offset assigned.
    pub bytes: Bytes,
    pub records: Vec<(i64, String, Option<String>)>,
}

/// A round that began: when, and up to where it may have changed something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub now: i64,
    pub limit: i64,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub batches: Vec<Written>,
    pub rounds: Vec<Began>,
    pub delete_retention_ms: i64,
}

/// What a log serves.
pub(super) type Served = Vec<(BatchHeader, Bytes)>;

impl Model {
    pub(super) fn append(&mut self, role: Role, base: i64, bytes: &Bytes) {
        let mut stored = bytes.to_vec();
        crate::record::patch_assigned(&mut stored, Offset(base), crate::model::LeaderEpoch(0));
        let bytes = Bytes::from(stored);
        let mut parsed = Vec::new();
        split(&bytes, &mut parsed);
        let header = parsed[0].0;
        let (next, producer) = (header.next_offset().0, header.producer_id.0);
        let records = texts(&bytes);
        self.batches.push(Written { base, next, role, producer, bytes, records });
    }

    /// What was not durable may be gone.
    pub(super) fn cut(&mut self, end: i64) {
        self.batches.retain(|batch| batch.next <= end);
    }

    /// What each producer did last.
    pub(super) fn producers(&self) -> BTreeMap<i64, Last> {
        let mut last = BTreeMap::new();
        for batch in self.batches.iter().filter(|batch| !matches!(batch.role, Role::Marker { .. })) {
            let header = BatchHeader::parse_whole(&batch.bytes).expect("built by the test");
            if header.has_producer() {
                let facts = (header.producer_epoch.0, header.last_sequence().0, batch.next - 1);
                last.insert(batch.producer, facts);
            }
        }
        last
    }

    /// The marker that decides a batch's transaction.
    fn marker_of(&self, batch: &Written) -> Option<&Written> {
        let after = self.batches.iter().filter(|other| other.base > batch.base);
        after
            .filter(|other| matches!(other.role, Role::Marker { .. }))
            .find(|marker| marker.producer == batch.producer)
    }

    /// Whether readers of committed records get a batch.
    fn is_committed(&self, batch: &Written) -> bool {
        match batch.role {
            Role::Plain => true,
            Role::InTransaction => {
                self.marker_of(batch).is_some_and(|marker| marker.role == Role::Marker { commit: true })
            }
            Role::Marker { .. } => false,
        }
    }

    fn is_aborted(&self, batch: &Written) -> bool {
        batch.role == Role::InTransaction
            && self.marker_of(batch).is_some_and(|marker| marker.role == Role::Marker { commit: false })
    }

    fn by_base(&self) -> BTreeMap<i64, &Written> {
        self.batches.iter().map(|batch| (batch.base, batch)).collect()
    }

    /// What a reader knows of each key after reading all records that are committed, from `start` on.
    fn newest(&self, start: i64) -> BTreeMap<&str, (i64, Option<&str>)> {
        let mut newest = BTreeMap::new();
        for batch in self.batches.iter().filter(|batch| self.is_committed(batch)) {
            for (offset, key, value) in batch.records.iter().filter(|record| record.0 >= start) {
                newest.insert(key.as_str(), (*offset, value.as_deref()));
            }
        }
        newest
    }

    /// Offsets of records that no round may take: the newest of their key, with a value.
    pub(super) fn unremovable(&self, start: i64) -> Vec<i64> {
        let newest = self.newest(start);
        newest.values().filter(|(_, value)| value.is_some()).map(|(offset, _)| *offset).collect()
    }

    /// Whether a tombstone or marker at `offset` may be gone by the rounds so far.
    fn may_have_expired(&self, offset: i64) -> bool {
        let over = || self.rounds.iter().filter(|round| round.limit > offset);
        let Some(found) = over().map(|round| round.now).min() else { return false };
        over().any(|round| round.now >= found + self.delete_retention_ms)
    }

    /// Checks everything about a log that serves `served` from `start` on.
    pub(super) fn check(&self, served: &Served, start: i64, cleaned_to: i64) {
        self.check_batches(served);
        self.check_untouched(served, start);
        self.check_final_state(served, start);
        self.check_cleaned(served, start, cleaned_to);
        self.check_markers(served);
    }

    /// Each batch is one that was appended, with the same place and producer, and its records are among that one's.
    fn check_batches(&self, served: &Served) {
        let by_base = self.by_base();
        for (header, bytes) in served {
            let written = by_base.get(&header.base_offset.0).expect("a batch that was appended");
            let before = BatchHeader::parse_whole(&written.bytes).expect("built by the test");
            let facts = |header: &BatchHeader| {
                (
                    header.last_offset(),
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    header.is_transactional(),
                    header.is_control(),
                )
            };
            assert_eq!(facts(header), facts(&before));
            let stamps = |batch: &Bytes| -> BTreeMap<i64, i64> {
                let records =
                    crate::record::records(batch).expect("sound").map(|record| record.expect("sound"));
                records.map(|record| (record.offset.0, record.timestamp.0)).collect()
            };
            let (now, then) = (stamps(bytes), stamps(&written.bytes));
            assert!(now.iter().all(|(offset, at)| then.get(offset) == Some(at)), "timestamps stay");
            for record in texts(bytes) {
                assert!(written.records.contains(&record), "{record:?} was not appended so");
            }
        }
    }

    /// Nothing that no round reached has changed by a byte.
    fn check_untouched(&self, served: &Served, start: i64) {
        let touched = self.rounds.iter().map(|round| round.limit).max().unwrap_or(0).max(start);
        let served: BTreeMap<i64, &Bytes> =
            served.iter().map(|(h, bytes)| (h.base_offset.0, bytes)).collect();
        for batch in self.batches.iter().filter(|batch| batch.base >= touched) {
            assert_eq!(served.get(&batch.base), Some(&&batch.bytes), "{} is above every limit", batch.base);
        }
    }

    /// A reader of the whole log ends with the same value of every key.
    fn check_final_state(&self, served: &Served, start: i64) {
        let by_base = self.by_base();
        let mut found: BTreeMap<String, (i64, Option<String>)> = BTreeMap::new();
        for (header, bytes) in served {
            if self.is_committed(by_base[&header.base_offset.0]) {
                for (offset, key, value) in texts(bytes).into_iter().filter(|record| record.0 >= start) {
                    found.insert(key, (offset, value));
                }
            }
        }
        for (key, (offset, value)) in self.newest(start) {
            let there = found.remove(key);
            match (&there, value) {
                // Gone as a whole, no older value left.
                (None, None) => {
                    assert!(self.may_have_expired(offset), "the tombstone at {offset} went too early")
                }
                _ => assert_eq!(
                    there.as_ref().map(|(at, value)| (*at, value.as_deref())),
                    Some((offset, value)),
                    "the newest record of {key}"
                ),
            }
        }
        assert!(found.is_empty(), "{found:?} cannot be there");
    }

    /// Below the mark there is one record of each key, and nothing that was aborted.
    fn check_cleaned(&self, served: &Served, start: i64, cleaned_to: i64) {
        let by_base = self.by_base();
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for batch in self.batches.iter().filter(|batch| self.is_committed(batch)) {
            for (offset, key, _) in batch.records.iter().filter(|record| record.0 < cleaned_to) {
                newest.insert(key, *offset);
            }
        }
        for (header, bytes) in served {
            let written = by_base[&header.base_offset.0];
            if matches!(written.role, Role::Marker { .. }) {
                continue;
            }
            for (offset, key, _) in texts(bytes).iter().filter(|r| r.0 < cleaned_to && r.0 >= start) {
                assert!(!self.is_aborted(written), "{offset} was aborted");
                assert_eq!(newest.get(key.as_str()), Some(offset), "there is a newer record of {key}");
            }
        }
    }

    /// As long as a batch of a transaction is there, its marker is.
    fn check_markers(&self, served: &Served) {
        let by_base = self.by_base();
        let there: BTreeSet<i64> = served.iter().map(|(header, _)| header.base_offset.0).collect();
        for (header, _) in served.iter().filter(|(header, _)| header.record_count > 0) {
            let written = by_base[&header.base_offset.0];
            if written.role == Role::InTransaction
                && let Some(marker) = self.marker_of(written)
            {
                assert!(there.contains(&marker.base), "the marker of {} is gone", written.base);
            }
        }
    }
}
