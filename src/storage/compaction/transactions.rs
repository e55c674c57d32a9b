//! What compaction knows of transactions: which records were aborted, and which markers nobody needs any more (KIP-98).
//!
//! Key invariant: a batch counts as aborted only if the producer's next marker after it says so; a marker may go only once
//! no batch of its transaction is left in the log. What is not decided yet is told, so that nothing of it is touched.

use hashbrown::{HashMap, HashSet};

use crate::model::{Offset, ProducerId};
use crate::record::{BatchError, BatchHeader, each_keyed};

/// What a control batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Abort,
    Commit,
    /// A control batch that ends no transaction.
    Other,
    /// One whose record is gone.
    Empty,
}

impl Marker {
    /// Reads a control batch: its record's key is a version and a type, two bytes each.
    pub(super) fn of(batch: &[u8], header: &BatchHeader) -> Result<Self, BatchError> {
        let mut found = Self::Empty;
        each_keyed(batch, header, |record| {
            found = match record.key.and_then(|key| key.first_chunk::<4>()) {
                Some([_, _, 0, 0]) => Self::Abort,
                Some([_, _, 0, 1]) => Self::Commit,
                _ => Self::Other,
            };
            false
        })?;
        Ok(found)
    }
}

/// From a transaction's first batch to its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: Offset,
    marker: Offset,
}

/// The outcome of the transactions in a part of a log, which is read once from its beginning.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// Ascending for each producer; neighbours without a commit between them are one.
    aborted: HashMap<ProducerId, Vec<Span>>,
    /// Where the transactions begin that no marker has ended.
    open: HashMap<ProducerId, Offset>,
    /// Producers whose last transaction was aborted, so that the next abort adds to its span.
    joinable: HashSet<ProducerId>,
}

impl Outcomes {
    /// Takes note of the next batch.
    pub(super) fn read(&mut self, batch: &[u8], header: &BatchHeader) -> Result<(), BatchError> {
        let producer = header.producer_id;
        if !header.is_control() {
            if header.is_transactional() {
                self.open.entry(producer).or_insert(header.base_offset);
            }
            return Ok(());
        }
        match Marker::of(batch, header)? {
            Marker::Abort => {
                let Some(first) = self.open.remove(&producer) else { return Ok(()) };
                let spans = self.aborted.entry(producer).or_default();
                let marker = header.last_offset();
                match spans.last_mut().filter(|_| self.joinable.contains(&producer)) {
                    Some(last) => last.marker = marker,
                    None => spans.push(Span { first, marker }),
                }
                self.joinable.insert(producer);
            }
            Marker::Commit => {
                self.open.remove(&producer);
                self.joinable.remove(&producer);
            }
            Marker::Other | Marker::Empty => {}
        }
        Ok(())
    }

    /// Whether a batch's records are aborted.
    pub(super) fn is_aborted(&self, header: &BatchHeader) -> bool {
        if !header.is_transactional() || header.is_control() {
            return false;
        }
        let Some(spans) = self.aborted.get(&header.producer_id) else { return false };
        let after = spans.partition_point(|span| span.first <= header.base_offset);
        spans[..after].last().is_some_and(|span| header.base_offset < span.marker)
    }

    /// Whether a transaction that began below `limit` is still open.
    pub(super) fn undecided_below(&self, limit: Offset) -> bool {
        self.open.values().any(|first| *first < limit)
    }

    /// Where the first transaction begins that is not decided.
    pub(super) fn first_undecided(&self) -> Option<Offset> {
        self.open.values().min().copied()
    }
}

/// Which markers still have batches of their transaction in front of them, as the log is read from its start.
#[derive(Clone, Debug, Default)]
pub(super) struct Traversed(HashSet<ProducerId>);

impl Traversed {
    /// A batch that is no control batch.
    pub(super) fn data(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.0.insert(header.producer_id);
        }
    }

    /// A control batch: whether nobody needs it any more.
    pub(super) fn control(&mut self, header: &BatchHeader, marker: Marker) -> bool {
        match marker {
            Marker::Abort | Marker::Commit => !self.0.remove(&header.producer_id),
            Marker::Other => false,
            Marker::Empty => true,
        }
    }
}
