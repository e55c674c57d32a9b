//! What becomes of each batch when a log is compacted.
//!
//! Key invariant: of records below the map's end, the newest of each key stays, and a tombstone at least until its delete
//! horizon; aborted records go; all at or above the end stay byte for byte, or record for record in the one batch that the
//! end lies within. What a producer needs to go on and the last offset of the round stay as batches without records, as
//! Kafka's Cleaner keeps them.

use bytes::Bytes;
use hashbrown::HashMap;

use super::offset_map::OffsetMap;
use super::transactions::{Marker, Outcomes, Traversed};
use crate::model::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use crate::record::{BatchError, BatchHeader, Horizon, Remains, retain, without_records};

/// The last batch that a partition remembers of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBatch {
    /// The last offset of its last batch with records; `None` if only its epoch is known, from a marker.
    pub last_offset: Option<Offset>,
    pub epoch: ProducerEpoch,
}

/// What a round knows before it rewrites anything.
pub(super) struct Knowledge {
    pub map: OffsetMap,
    pub outcomes: Outcomes,
    pub producers: HashMap<ProducerId, LastBatch>,
    /// The end of what the round may rewrite; the batch that ends there stays, if need be without records.
    pub limit: Offset,
    pub now: TimestampMs,
    pub delete_retention_ms: i64,
}

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays as it is.
    Same,
    /// This stands in its place.
    Rewritten { batch: Bytes, removed: u32 },
    /// It goes.
    Gone { removed: u32 },
}

impl Knowledge {
    /// Decides on the next batch of the log; `traversed` is told of every batch, from the log's first on.
    pub(super) fn verdict(
        &self,
        batch: &Bytes,
        header: &BatchHeader,
        traversed: &mut Traversed,
    ) -> Result<Verdict, BatchError> {
        if header.base_offset >= self.map.end() {
            return Ok(Verdict::Same);
        }
        let horizon = TimestampMs(self.now.0.saturating_add(self.delete_retention_ms.max(0)));
        let expired = header.delete_horizon().is_some_and(|at| at <= self.now);
        let remains = if header.is_control() {
            let spent = traversed.control(header, Marker::of(batch, header)?);
            match spent {
                true if expired => Remains::NoRecord,
                true => retain(batch, header, Horizon::OfMarker(horizon), |_| true)?,
                false => Remains::All,
            }
        } else {
            traversed.data(header);
            if self.outcomes.is_aborted(header) {
                Remains::NoRecord
            } else {
                retain(batch, header, Horizon::OfTombstones(horizon), |record| {
                    // A record without a key is of a time before the topic was compacted.
                    let newest = |key| self.map.get(key).is_none_or(|newest| record.offset >= newest);
                    record.offset >= self.map.end()
                        || (record.key.is_some_and(newest) && (record.has_value || !expired))
                })?
            }
        };
        match remains {
            Remains::All => Ok(Verdict::Same),
            Remains::Batch { batch, removed } => Ok(Verdict::Rewritten { batch, removed }),
            Remains::NoRecord if self.is_needed(header) => emptied(batch, header),
            Remains::NoRecord => Ok(Verdict::Gone { removed: header.record_count.max(0) as u32 }),
        }
    }

    /// Whether a batch says something beyond its records: where a producer stands, or where the round ended.
    fn is_needed(&self, header: &BatchHeader) -> bool {
        let last = self.producers.get(&header.producer_id).filter(|_| header.has_producer());
        let of_producer = last.is_some_and(|last| match last.last_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        });
        of_producer || header.next_offset() == self.limit
    }
}

/// A batch that keeps its place without its records.
pub(super) fn emptied(batch: &Bytes, header: &BatchHeader) -> Result<Verdict, BatchError> {
    let empty = without_records(batch, header)?;
    if empty == batch {
        return Ok(Verdict::Same);
    }
    Ok(Verdict::Rewritten { batch: empty, removed: header.record_count.max(0) as u32 })
}
