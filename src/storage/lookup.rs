//! Finding records by time, exactly.
//!
//! Key invariant: an answer is a record's own timestamp and offset, below the end asked for and not below the log start; the
//! index only says where to begin. Records are looked into here and nowhere else in this room.

use std::rc::Rc;

use bytes::Bytes;

use super::error::StorageError;
use super::log::Log;
use super::walk::ReadLimit;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::{self, BatchHeader};

/// Bytes of batches looked at together.
const STEP_BYTES: u32 = 1 << 20;

/// A record found: its timestamp, its offset, the epoch it was written under.
pub type FoundRecord = (TimestampMs, Offset, LeaderEpoch);

impl Log {
    /// The first record below `end` whose timestamp is at least `timestamp` (ListOffsets).
    pub async fn offset_for_timestamp(
        self: &Rc<Self>,
        timestamp: TimestampMs,
        end: Offset,
    ) -> Result<Option<FoundRecord>, StorageError> {
        let candidates: Vec<Offset> = {
            let state = self.state.borrow();
            let reaches = state.segments.iter().filter(|segment| segment.times.largest >= timestamp.0);
            reaches.map(|segment| segment.base).collect()
        };
        for base in candidates {
            let from = self.ask_index(base, |index| index.offset_of_timestamp(base, timestamp)).await?;
            let from = from.unwrap_or(base);
            let limit = SegmentLimit { base, end };
            let found = self
                .find(from, limit, |batch, header| {
                    if header.max_timestamp < timestamp {
                        return Ok(None);
                    }
                    let start = self.log_start_offset();
                    let mut found = None;
                    record::each_timestamp(batch, header, |at, offset| {
                        if at >= timestamp && offset >= start && offset < end {
                            found = Some((at, offset));
                        }
                        found.is_none()
                    })?;
                    Ok(found)
                })
                .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The record below `end` with the largest timestamp (ListOffsets -3, KIP-734), the first of several.
    pub async fn max_timestamp(self: &Rc<Self>, end: Offset) -> Result<Option<FoundRecord>, StorageError> {
        let (start, segments) = {
            let state = self.state.borrow();
            let mut segments: Vec<_> = state
                .segments
                .iter()
                .filter(|segment| segment.size > 0 && segment.base < end)
                // Compaction may leave batches without a record.
                .filter(|segment| segment.times.largest_at != Offset::NONE)
                .map(|segment| (segment.times, segment.base, segment.next_offset))
                .collect();
            // The largest first; of equals the oldest.
            segments.sort_by_key(|(times, base, _)| (std::cmp::Reverse(times.largest), *base));
            (state.bounds.start, segments)
        };
        let mut best: Option<FoundRecord> = None;
        for (times, base, next) in segments {
            if best.is_some_and(|best| best.0.0 > times.largest) {
                break;
            }
            // Of equals the oldest counts, and a segment that is not visible whole may have come before its turn.
            if best.is_some_and(|best| best.0.0 == times.largest && best.1 < base) {
                continue;
            }
            let limit = SegmentLimit { base, end };
            // Where the segment's largest may be read, that batch alone is looked at; else, or if it is not what the
            // segment's facts say, all of its batches.
            let whole = base >= start && next <= end;
            let known = if whole { self.max_of_segment(times.largest_at, limit, true).await? } else { None };
            let found = match known.filter(|known| known.0.0 == times.largest) {
                Some(known) => Some(known),
                None => self.max_of_segment(base, limit, false).await?,
            };
            let rank = |(timestamp, offset, _): &FoundRecord| (*timestamp, std::cmp::Reverse(*offset));
            best = best.into_iter().chain(found).max_by_key(rank);
        }
        Ok(best)
    }

    async fn max_of_segment(
        self: &Rc<Self>,
        from: Offset,
        limit: SegmentLimit,
        first_batch_only: bool,
    ) -> Result<Option<FoundRecord>, StorageError> {
        let mut best: Option<FoundRecord> = None;
        let last = self
            .find(from, limit, |batch, header| {
                if best.is_none_or(|best| header.max_timestamp > best.0) {
                    let start = self.log_start_offset();
                    let mut in_batch: Option<(TimestampMs, Offset)> = None;
                    record::each_timestamp(batch, header, |timestamp, offset| {
                        let counts = offset >= start && offset < limit.end;
                        let later = |seen: (TimestampMs, Offset)| timestamp > seen.0;
                        if counts && in_batch.is_none_or(later) {
                            in_batch = Some((timestamp, offset));
                        }
                        true
                    })?;
                    let improves = |seen: &(TimestampMs, Offset)| best.is_none_or(|best| seen.0 > best.0);
                    if let Some((timestamp, offset)) = in_batch.filter(improves) {
                        best = Some((timestamp, offset, header.leader_epoch));
                    }
                }
                Ok(best.filter(|_| first_batch_only).map(|best| (best.0, best.1)))
            })
            .await?;
        Ok(last.or(best))
    }

    /// Calls `look` with each batch of a segment from the one that holds `from`, or the log start if that is later, until
    /// it finds something. Records that are deleted meanwhile are passed over.
    async fn find(
        self: &Rc<Self>,
        from: Offset,
        within: SegmentLimit,
        mut look: impl FnMut(&Bytes, &BatchHeader) -> Result<Option<(TimestampMs, Offset)>, StorageError>,
    ) -> Result<Option<FoundRecord>, StorageError> {
        let next_segment = {
            let state = self.state.borrow();
            state.segments.iter().map(|segment| segment.base).find(|base| *base > within.base)
        };
        let end = next_segment.map_or(within.end, |next| next.min(within.end));
        let mut at = from.max(self.log_start_offset());
        while at < end {
            let limit = ReadLimit { end, bytes_max: STEP_BYTES, at_least_one: true };
            let slices = match self.read(at, limit).await {
                Err(StorageError::OutOfRange { start, .. }) if start > at => {
                    at = start;
                    continue;
                }
                read => read?,
            };
            for slice in &slices.bytes {
                let mut rest = slice.clone();
                while !rest.is_empty() {
                    let header = BatchHeader::parse_whole(&rest)?;
                    let batch = rest.split_to(header.size_bytes as usize);
                    if let Some((timestamp, offset)) = look(&batch, &header)? {
                        return Ok(Some((timestamp, offset, header.leader_epoch)));
                    }
                }
            }
            if slices.next_offset <= at {
                break;
            }
            at = slices.next_offset;
            glommio::yield_if_needed().await;
        }
        Ok(None)
    }
}

/// A segment, and the offset that nothing found may reach.
#[derive(Clone, Copy)]
struct SegmentLimit {
    base: Offset,
    end: Offset,
}
