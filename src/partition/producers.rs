//! What a partition remembers of its idempotent producers (KIP-98), and the sequence rules that follow from it.
//!
//! Key invariant: the table is a function of the batches appended so far, so replaying a log's headers rebuilds it
//! exactly. Each producer keeps its last five batches, the number a client may have in flight. It is bounded: beyond
//! its capacity the producer that was idle longest is forgotten, as one that expired would be.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::record::BatchHeader;

/// Batches remembered of each producer: `max.in.flight.requests.per.connection` may be at most 5 with idempotence.
pub const BATCHES_PER_PRODUCER_MAX: usize = 5;

/// Version of the snapshot's layout.
const SNAPSHOT_VERSION: u16 = 1;

/// One remembered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentBatch {
    pub base_sequence: Sequence,
    pub last_sequence: Sequence,
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub timestamp: TimestampMs,
}

/// One producer as `DescribeProducers` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub epoch: ProducerEpoch,
    /// Oldest first; empty only between a new epoch's fencing and its first batch.
    pub recent: SmallVec<[RecentBatch; 1]>,
    /// When the last batch was appended, by the batch's own clock.
    pub last_timestamp: TimestampMs,
    /// Set on use, cleared when the eviction queue passes by (second chance).
    used: bool,
}

/// What the table says of a batch that is about to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it, then call [`ProducerTable::record`].
    Append,
    /// It is in the log already: answer with that batch's offsets once they are durable.
    Duplicate(RecentBatch),
}

/// Why a batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error("producer epoch {given} is older than the epoch {current} known for this producer")]
    StaleEpoch { given: ProducerEpoch, current: ProducerEpoch },
    #[error("sequence {given} does not follow {expected_after}, the last one appended")]
    OutOfOrder { given: Sequence, expected_after: Sequence },
    #[error("the first sequence of a new producer epoch is {given}, not 0")]
    NewEpochNotZero { given: Sequence },
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub struct ProducerTable {
    producers: HashMap<ProducerId, Producer>,
    /// Eviction order: each producer stands here exactly once.
    order: VecDeque<ProducerId>,
}

impl ProducerTable {
    /// The number of producers remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The producers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.producers.iter().map(|(id, producer)| (*id, producer))
    }

    /// Decides what becomes of a batch with a producer id.
    pub fn check(&self, batch: &BatchHeader) -> Result<Verdict, SequenceError> {
        let Some(known) = self.producers.get(&batch.producer_id) else {
            if batch.producer_epoch < ProducerEpoch::NONE {
                let (given, current) = (batch.producer_epoch, ProducerEpoch::NONE);
                return Err(SequenceError::StaleEpoch { given, current });
            }
            // A producer that expired or was never seen may go on with any sequence (KIP-360).
            return Ok(Verdict::Append);
        };
        if batch.producer_epoch < known.epoch {
            return Err(SequenceError::StaleEpoch { given: batch.producer_epoch, current: known.epoch });
        }
        if batch.producer_epoch > known.epoch {
            return if batch.base_sequence == Sequence(0) {
                Ok(Verdict::Append)
            } else {
                Err(SequenceError::NewEpochNotZero { given: batch.base_sequence })
            };
        }
        let same = |recent: &&RecentBatch| {
            recent.base_sequence == batch.base_sequence && recent.last_sequence == batch.last_sequence()
        };
        if let Some(duplicate) = known.recent.iter().find(same) {
            return Ok(Verdict::Duplicate(*duplicate));
        }
        match known.recent.last() {
            Some(last) if !follows(last.last_sequence, batch.base_sequence) => {
                Err(SequenceError::OutOfOrder {
                    given: batch.base_sequence,
                    expected_after: last.last_sequence,
                })
            }
            _ => Ok(Verdict::Append),
        }
    }

    /// Remembers a batch that was appended at `base_offset`; at most `capacity` producers are kept.
    pub fn record(&mut self, batch: &BatchHeader, base_offset: Offset, capacity: usize) {
        if !batch.has_producer() || batch.is_control() {
            return;
        }
        let recent = RecentBatch {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
            last_offset: base_offset.plus(i64::from(batch.last_offset_delta)),
            timestamp: batch.max_timestamp,
        };
        if let Some(known) = self.producers.get_mut(&batch.producer_id) {
            if batch.producer_epoch > known.epoch {
                known.epoch = batch.producer_epoch;
                known.recent.clear();
            }
            if known.recent.len() == BATCHES_PER_PRODUCER_MAX {
                known.recent.remove(0);
            }
            known.recent.push(recent);
            known.last_timestamp = batch.max_timestamp;
            known.used = true;
            return;
        }
        self.make_room(capacity.max(1) - 1);
        let producer = Producer {
            epoch: batch.producer_epoch,
            recent: SmallVec::from_elem(recent, 1),
            last_timestamp: batch.max_timestamp,
            used: false,
        };
        self.insert(batch.producer_id, producer);
    }

    /// Forgets the producers whose last batch is older than `expiration_ms`; returns how many were forgotten.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, producer| now.since(producer.last_timestamp) < expiration_ms);
        if self.producers.len() != before {
            let producers = &self.producers;
            self.order.retain(|id| producers.contains_key(id));
        }
        before - self.producers.len()
    }

    /// Forgets everything, before a replay from the beginning.
    pub fn clear(&mut self) {
        self.producers.clear();
        self.order.clear();
    }

    /// The table as bytes, for the file that spares a replay of the whole log.
    pub fn snapshot(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(6 + self.producers.len() * 72);
        out.put_u16(SNAPSHOT_VERSION);
        out.put_u32(self.order.len() as u32);
        for id in &self.order {
            let producer = &self.producers[id];
            out.put_i64(id.0);
            out.put_i16(producer.epoch.0);
            out.put_i64(producer.last_timestamp.0);
            out.put_u8(producer.recent.len() as u8);
            for batch in &producer.recent {
                out.put_i32(batch.base_sequence.0);
                out.put_i32(batch.last_sequence.0);
                out.put_i64(batch.base_offset.0);
                out.put_i64(batch.last_offset.0);
                out.put_i64(batch.timestamp.0);
            }
        }
        out.freeze()
    }

    /// Replaces the table by a snapshot; on bytes that are no snapshot it returns false and leaves the table empty.
    pub fn restore(&mut self, snapshot: &[u8]) -> bool {
        self.clear();
        let whole = self.read_snapshot(snapshot).is_some();
        if !whole {
            self.clear();
        }
        whole
    }

    fn read_snapshot(&mut self, mut input: &[u8]) -> Option<()> {
        if input.try_get_u16().ok()? != SNAPSHOT_VERSION {
            return None;
        }
        for _ in 0..input.try_get_u32().ok()? {
            let id = ProducerId(input.try_get_i64().ok()?);
            let epoch = ProducerEpoch(input.try_get_i16().ok()?);
            let last_timestamp = TimestampMs(input.try_get_i64().ok()?);
            let batches = usize::from(input.try_get_u8().ok()?);
            if batches > BATCHES_PER_PRODUCER_MAX || self.producers.contains_key(&id) {
                return None;
            }
            let mut recent = SmallVec::new();
            for _ in 0..batches {
                recent.push(RecentBatch {
                    base_sequence: Sequence(input.try_get_i32().ok()?),
                    last_sequence: Sequence(input.try_get_i32().ok()?),
                    base_offset: Offset(input.try_get_i64().ok()?),
                    last_offset: Offset(input.try_get_i64().ok()?),
                    timestamp: TimestampMs(input.try_get_i64().ok()?),
                });
            }
            self.insert(id, Producer { epoch, recent, last_timestamp, used: false });
        }
        input.is_empty().then_some(())
    }

    fn insert(&mut self, id: ProducerId, producer: Producer) {
        self.order.push_back(id);
        self.producers.insert(id, producer);
    }

    /// Evicts until at most `remaining` producers are left. Each turn evicts or clears a mark, so it ends.
    fn make_room(&mut self, remaining: usize) {
        while self.producers.len() > remaining {
            let Some(id) = self.order.pop_front() else { return };
            match self.producers.get_mut(&id) {
                Some(producer) if producer.used => {
                    producer.used = false;
                    self.order.push_back(id);
                }
                _ => {
                    self.producers.remove(&id);
                }
            }
        }
    }

    /// Panics if the two views of the table disagree.
    pub fn check_invariants(&self) {
        assert_eq!(self.order.len(), self.producers.len());
        assert!(self.order.iter().all(|id| self.producers.contains_key(id)));
        assert!(self.producers.values().all(|p| p.recent.len() <= BATCHES_PER_PRODUCER_MAX));
    }
}

/// Whether `next` is the sequence after `last`; sequences wrap from `i32::MAX` to 0.
fn follows(last: Sequence, next: Sequence) -> bool {
    if last.0 == i32::MAX { next.0 == 0 } else { next.0 == last.0 + 1 }
}

#[cfg(test)]
mod tests;
