//! The records that the events of one turn leave, as one batch, and who waits for it.
//!
//! Key invariants: records stand in the order of their events. A batch settles once, and whoever asks, before or after,
//! learns how. When it is appended, and what an error means, is the host's.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;

use crate::coordinator::{GroupError, RawRecord};
use crate::model::{Offset, TimestampMs};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchError, BatchHeader, Codec};

/// A batch that has records takes no more if it would become larger than this. One event may be larger by itself.
const BATCH_BYTES_MAX: usize = 64 << 10;

/// What may be told a client when the batch is durable.
type Outcome = Result<(), GroupError>;

/// See the head of this file.
pub(super) struct Batch {
    builder: RefCell<BatchBuilder>,
    /// Where the log ended with it; none before it is appended.
    end: Cell<Option<Offset>>,
    outcome: RefCell<Option<Outcome>>,
    waiting: RefCell<Vec<oneshot::Sender<Outcome>>>,
}

impl Batch {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            builder: RefCell::new(BatchBuilder::new(Codec::None)),
            end: Cell::new(None),
            outcome: RefCell::default(),
            waiting: RefCell::default(),
        })
    }

    /// Whether there is room for these, too.
    pub(super) fn has_room_for(&self, records: &[RawRecord]) -> bool {
        let builder = self.builder.borrow();
        builder.record_count() == 0 || builder.size_bytes() + size_bytes(records) <= BATCH_BYTES_MAX
    }

    /// Adds the records of one event.
    pub(super) fn add(&self, records: &[RawRecord], now: TimestampMs) {
        let mut builder = self.builder.borrow_mut();
        builder.reserve(size_bytes(records));
        for (key, value) in records {
            let record =
                NewRecord { timestamp: now, key: Some(key), value: value.as_deref(), ..NewRecord::default() };
            builder.append(&record);
        }
    }

    /// Its bytes, as they are appended.
    pub(super) fn build(&self) -> Result<(Bytes, BatchHeader), BatchError> {
        let batch = self.builder.borrow().build(Offset::ZERO)?;
        let header = BatchHeader::parse_whole(&batch)?;
        Ok((batch, header))
    }

    /// It is in the log, which ends at `end` now.
    pub(super) fn appended(&self, end: Offset) {
        self.end.set(Some(end));
        // Who waits needs the records no more.
        self.builder.replace(BatchBuilder::new(Codec::None));
    }

    /// Where the log ended with it; `None` before it was appended.
    pub(super) fn end(&self) -> Option<Offset> {
        self.end.get()
    }

    /// Whether its outcome is known.
    pub(super) fn is_settled(&self) -> bool {
        self.outcome.borrow().is_some()
    }

    /// Lets those go who wait. Only the first outcome counts.
    pub(super) fn settle(&self, outcome: &Outcome) {
        self.outcome.borrow_mut().get_or_insert_with(|| outcome.clone());
        for waiting in self.waiting.take() {
            // Who no longer waits needs no answer.
            let _ = waiting.send(outcome.clone());
        }
    }

    /// Waits until it is durable, or will not be.
    pub(super) async fn settled(&self) -> Outcome {
        if let Some(outcome) = &*self.outcome.borrow() {
            return outcome.clone();
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        receiver.await.unwrap_or(Err(GroupError::NotCoordinator))
    }
}

/// About what records take in a batch.
fn size_bytes(records: &[RawRecord]) -> usize {
    /// Lengths, deltas and attributes of a record, at most.
    const RECORD_FIXED_BYTES: usize = 32;
    let of_record =
        |(key, value): &RawRecord| RECORD_FIXED_BYTES + key.len() + value.as_ref().map_or(0, Bytes::len);
    records.iter().map(of_record).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value_bytes: usize) -> RawRecord {
        (Bytes::from_static(b"key"), Some(vec![7; value_bytes].into()))
    }

    #[test]
    fn the_first_event_always_fits_and_others_up_to_the_bound() {
        let batch = Batch::new();
        assert!(batch.has_room_for(&[record(BATCH_BYTES_MAX)]));
        batch.add(&[record(BATCH_BYTES_MAX / 2)], TimestampMs(1));
        assert!(batch.has_room_for(&[record(BATCH_BYTES_MAX / 4)]));
        assert!(!batch.has_room_for(&[record(BATCH_BYTES_MAX / 4), record(BATCH_BYTES_MAX / 4)]));
    }

    #[test]
    fn events_of_different_times_read_back_in_order() {
        let batch = Batch::new();
        batch.add(&[record(1), record(2)], TimestampMs(10));
        batch.add(&[(Bytes::from_static(b"gone"), None)], TimestampMs(12));
        let (bytes, header) = batch.build().unwrap();
        assert_eq!((header.record_count, header.max_timestamp), (3, TimestampMs(12)));
        let read: Vec<_> = crate::record::records(&bytes).unwrap().map(Result::unwrap).collect();
        let values: Vec<_> = read.iter().map(|record| record.value.as_ref().map(|v| v.len())).collect();
        assert_eq!(values, [Some(1), Some(2), None]);
        assert_eq!(read[2].timestamp, TimestampMs(12));
    }
}
