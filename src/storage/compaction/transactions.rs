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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{ProducerEpoch, Sequence};
    use crate::record::builder::{BatchBuilder, NewRecord};
    use crate::record::{Codec, without_records};

    fn batch(producer: i64, base: i64, key: Option<[u8; 4]>) -> (Bytes, BatchHeader) {
        let builder =
            BatchBuilder::new(Codec::None).producer(ProducerId(producer), ProducerEpoch(0), Sequence(0));
        let mut builder =
            if key.is_some() { builder.transactional().control() } else { builder.transactional() };
        builder.append(&NewRecord { key: key.as_ref().map(|key| &key[..]), ..NewRecord::default() });
        let bytes = builder.build(Offset(base)).expect("a record");
        let header = BatchHeader::parse_whole(&bytes).expect("well formed");
        (bytes, header)
    }

    const ABORT: Option<[u8; 4]> = Some([0, 0, 0, 0]);
    const COMMIT: Option<[u8; 4]> = Some([0, 0, 0, 1]);

    /// Reads data and markers at offsets 0, 1 and so on.
    fn read(batches: &[(i64, Option<[u8; 4]>)]) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for (base, (producer, key)) in batches.iter().enumerate() {
            let (bytes, header) = batch(*producer, base as i64, *key);
            outcomes.read(&bytes, &header).expect("well formed");
        }
        outcomes
    }

    #[test]
    fn the_next_marker_of_the_producer_decides() {
        let outcomes = read(&[
            (1, None),
            (2, None),
            (1, ABORT),
            (1, None),
            (2, COMMIT),
            (1, COMMIT),
            (1, None),
            (1, ABORT),
            (2, None),
        ]);
        let aborted = |producer, base| outcomes.is_aborted(&batch(producer, base, None).1);
        let found: Vec<i64> = [0, 3, 6].into_iter().filter(|base| aborted(1, *base)).collect();
        assert_eq!(found, [0, 6]);
        assert!(!aborted(2, 1) && !aborted(2, 8) && !aborted(3, 0));
        assert!(!outcomes.is_aborted(&batch(1, 2, ABORT).1), "a marker is no record");
        assert_eq!(outcomes.first_undecided(), Some(Offset(8)));
        assert!(outcomes.undecided_below(Offset(9)) && !outcomes.undecided_below(Offset(8)));
    }

    #[test]
    fn many_aborts_in_a_row_are_one_span() {
        let outcomes =
            read(&[(1, None), (1, ABORT), (1, None), (1, ABORT), (1, ABORT), (1, None), (1, COMMIT)]);
        assert_eq!(outcomes.aborted[&ProducerId(1)], [Span { first: Offset(0), marker: Offset(3) }]);
        assert!(!outcomes.is_aborted(&batch(1, 5, None).1));
    }

    #[test]
    fn a_marker_is_spent_when_nothing_of_its_transaction_comes_before_it() {
        let mut traversed = Traversed::default();
        let marker = |bytes: &Bytes, header: &BatchHeader| Marker::of(bytes, header).expect("well formed");
        let (abort, header) = batch(1, 1, ABORT);
        assert!(traversed.control(&header, marker(&abort, &header)));
        traversed.data(&batch(1, 0, None).1);
        assert!(!traversed.control(&batch(2, 1, COMMIT).1, Marker::Other), "who knows what it is");
        assert!(!traversed.control(&header, marker(&abort, &header)));
        assert!(traversed.control(&header, marker(&abort, &header)), "it ended one transaction");
        let empty = without_records(&abort, &header).expect("a header");
        let header = BatchHeader::parse_whole(&empty).expect("well formed");
        assert_eq!(marker(&empty, &header), Marker::Empty);
        let (other, header) = batch(1, 1, Some([0, 0, 0, 2]));
        assert_eq!(marker(&other, &header), Marker::Other);
    }
}
