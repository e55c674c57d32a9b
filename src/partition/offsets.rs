//! Offsets looked up by time or by meaning (ListOffsets, KIP-79, KIP-734), and the ends of leader epochs (KIP-320).
//!
//! Key invariant: nothing at or above the high watermark is ever named to a client.

use super::{Bounds, Partition, PartitionError};
use crate::model::{LeaderEpoch, Offset, TimestampMs};

/// What ListOffsets asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The high watermark.
    Latest,
    /// The log start.
    Earliest,
    /// The first record with this timestamp or a later one.
    AtTime(TimestampMs),
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// Offsets of tiered storage, of which there is none here.
    Tiered,
}

/// An answer to an [`OffsetQuery`]; -1 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetFound {
    pub timestamp: TimestampMs,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

impl OffsetFound {
    /// No such offset.
    pub const NONE: Self =
        Self { timestamp: TimestampMs::NONE, offset: Offset::NONE, leader_epoch: LeaderEpoch::UNKNOWN };
}

impl Partition {
    /// Answers one query.
    pub async fn find_offset(&self, query: OffsetQuery) -> Result<OffsetFound, PartitionError> {
        let Bounds { high_watermark, log_start } = self.bounds();
        let at =
            |offset| OffsetFound { timestamp: TimestampMs::NONE, offset, leader_epoch: self.leader_epoch() };
        let found = match query {
            OffsetQuery::Latest => return Ok(at(high_watermark)),
            OffsetQuery::Earliest => {
                let leader_epoch = self.log().epochs().epoch_at(log_start).unwrap_or(LeaderEpoch::UNKNOWN);
                return Ok(OffsetFound { leader_epoch, ..at(log_start) });
            }
            OffsetQuery::Tiered => return Ok(OffsetFound::NONE),
            OffsetQuery::AtTime(time) => self.log().offset_for_timestamp(time, high_watermark).await?,
            OffsetQuery::MaxTimestamp => self.log().max_timestamp(high_watermark).await?,
        };
        Ok(found.map_or(OffsetFound::NONE, |(timestamp, offset, leader_epoch)| OffsetFound {
            timestamp,
            offset,
            leader_epoch,
        }))
    }

    /// Where `epoch` ended in this log: the largest epoch up to it and the offset after its last record; -1 and -1 if
    /// the epoch is unknown or newer than this leader's.
    pub fn epoch_end(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        if epoch == self.leader_epoch() {
            return (epoch, self.log().log_end_offset());
        }
        if epoch > self.leader_epoch() || epoch == LeaderEpoch::UNKNOWN {
            return (LeaderEpoch::UNKNOWN, Offset::NONE);
        }
        // Before the first epoch that is known everything in it ended where that one starts.
        if let Some(first) = self.log().epochs().entries().first().filter(|first| epoch < first.epoch) {
            return (epoch, first.start_offset);
        }
        self.log().end_offset_for(epoch).unwrap_or((LeaderEpoch::UNKNOWN, Offset::NONE))
    }
}
