//! The batches of one partition on their way: open, sealed, in flight, failed.
//!
//! Key invariant: batches depart in the order of their sequence numbers; after a failure none departs before all that
//! are in flight came back. Which requests they travel in is left to the producer.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{BATCH_BYTES, Identity};
use crate::model::{Offset, PartitionIndex, Sequence};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchError, Codec};

/// A complete batch.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) partition: PartitionIndex,
    pub(super) batch: Bytes,
    pub(super) records: u32,
    pub(super) sealed_at: Instant,
    /// Its place among the lane's batches.
    order: u64,
}

/// A batch that still takes records.
struct Open {
    builder: BatchBuilder,
    since: Instant,
}

/// One partition's batches.
pub(super) struct Lane {
    partition: PartitionIndex,
    open: Option<Open>,
    ready: VecDeque<Sealed>,
    /// Came back with an error; they depart again before the others.
    failed: Vec<Sealed>,
    in_flight: usize,
    next_sequence: i32,
    next_order: u64,
}

impl Lane {
    pub(super) fn new(partition: PartitionIndex) -> Self {
        Self {
            partition,
            open: None,
            ready: VecDeque::new(),
            failed: Vec::new(),
            in_flight: 0,
            next_sequence: 0,
            next_order: 0,
        }
    }

    pub(super) fn partition(&self) -> PartitionIndex {
        self.partition
    }

    /// Adds a record. Answers the bytes of the batch that this sealed, 0 if it sealed none.
    pub(super) fn append(
        &mut self,
        record: &NewRecord<'_>,
        codec: Codec,
        identity: Option<Identity>,
    ) -> Result<usize, BatchError> {
        let open = self
            .open
            .get_or_insert_with(|| Open { builder: BatchBuilder::new(codec), since: Instant::now() });
        let full =
            open.builder.record_count() > 0 && open.builder.size_bytes() + size_of(record) > BATCH_BYTES;
        let sealed = if full { self.seal(identity)? } else { 0 };
        let open = self
            .open
            .get_or_insert_with(|| Open { builder: BatchBuilder::new(codec), since: Instant::now() });
        open.builder.append(record);
        Ok(sealed)
    }

    /// Completes the open batch. Answers its bytes, 0 if there was none.
    pub(super) fn seal(&mut self, identity: Option<Identity>) -> Result<usize, BatchError> {
        let Some(open) = self.open.take() else { return Ok(0) };
        let records = open.builder.record_count();
        let builder = match identity {
            Some(identity) => {
                let sequence = Sequence(self.next_sequence);
                // Sequence numbers wrap from the largest to 0.
                self.next_sequence = self.next_sequence.wrapping_add(records) & i32::MAX;
                open.builder.producer(identity.id, identity.epoch, sequence)
            }
            None => open.builder,
        };
        let batch = builder.build(Offset::ZERO)?;
        let bytes = batch.len();
        self.ready.push_back(Sealed {
            partition: self.partition,
            batch,
            records: records.unsigned_abs(),
            sealed_at: Instant::now(),
            order: self.next_order,
        });
        self.next_order += 1;
        Ok(bytes)
    }

    /// When the open batch has waited `linger`.
    pub(super) fn lingers_until(&self, linger: Duration) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since + linger)
    }

    /// Whether a batch may depart while at most `depth` are in flight.
    pub(super) fn can_depart(&self, depth: usize) -> bool {
        if self.failed.is_empty() {
            return self.in_flight < depth && !self.ready.is_empty();
        }
        self.in_flight == 0
    }

    /// The next batch to send.
    pub(super) fn depart(&mut self) -> Option<Sealed> {
        if !self.failed.is_empty() {
            self.failed.sort_by_key(|sealed| sealed.order);
            for sealed in self.failed.drain(..).rev() {
                self.ready.push_front(sealed);
            }
        }
        let sealed = self.ready.pop_front()?;
        self.in_flight += 1;
        Some(sealed)
    }

    pub(super) fn acknowledged(&mut self) {
        self.in_flight -= 1;
    }

    pub(super) fn failed(&mut self, sealed: Sealed) {
        self.in_flight -= 1;
        self.failed.push(sealed);
    }

    /// Whether anything was not answered yet.
    pub(super) fn is_busy(&self) -> bool {
        self.open.is_some() || self.in_flight > 0 || !self.ready.is_empty() || !self.failed.is_empty()
    }
}

/// About what a record adds to a batch; lengths and deltas take a few bytes each.
fn size_of(record: &NewRecord<'_>) -> usize {
    const OVERHEAD_BYTES: usize = 24;
    let headers: usize =
        record.headers.iter().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len) + 10).sum();
    OVERHEAD_BYTES + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProducerEpoch, ProducerId};
    use crate::record::BatchHeader;

    const IDENTITY: Option<Identity> = Some(Identity { id: ProducerId(9), epoch: ProducerEpoch(0) });

    fn lane_with(batches: usize) -> Lane {
        let mut lane = Lane::new(PartitionIndex(0));
        for _ in 0..batches {
            let record = NewRecord { value: Some(b"value"), ..NewRecord::default() };
            lane.append(&record, Codec::None, IDENTITY).expect("fits");
            lane.append(&record, Codec::None, IDENTITY).expect("fits");
            assert!(lane.seal(IDENTITY).expect("has records") > 0);
        }
        lane
    }

    fn sequence(sealed: &Sealed) -> i32 {
        BatchHeader::parse(&sealed.batch).expect("well formed").base_sequence.get()
    }

    #[test]
    fn failed_batches_depart_again_in_order_and_only_when_all_came_back() {
        let mut lane = lane_with(4);
        let first = lane.depart().expect("ready");
        let second = lane.depart().expect("ready");
        let third = lane.depart().expect("ready");
        lane.failed(second);
        assert!(!lane.can_depart(5), "two are still in flight");
        lane.acknowledged();
        assert!(!lane.can_depart(5), "one is still in flight");
        lane.failed(first);
        let order: Vec<i32> = std::iter::from_fn(|| lane.depart()).map(|sealed| sequence(&sealed)).collect();
        assert_eq!(order, [0, 2, 6]);
        assert_eq!(sequence(&third), 4);
    }

    #[test]
    fn a_full_batch_is_sealed_before_the_record_that_does_not_fit() {
        let mut lane = Lane::new(PartitionIndex(0));
        let value = vec![0; BATCH_BYTES * 2 / 3];
        let record = NewRecord { value: Some(&value), ..NewRecord::default() };
        assert_eq!(lane.append(&record, Codec::None, IDENTITY), Ok(0));
        assert!(lane.append(&record, Codec::None, IDENTITY).expect("fits") > value.len());
        assert_eq!(lane.ready.len(), 1);
        assert!(lane.open.is_some());
    }
}
