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
use crate::record::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType};

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
        let start = self.log_start_offset();
        let candidates: Vec<Offset> = {
            let state = self.state.borrow();
            let reaches = state.segments.iter().filter(|segment| segment.times.largest >= timestamp.0);
            reaches.map(|segment| segment.base).collect()
        };
        for base in candidates {
            let from = self.index(base).await?.borrow().offset_of_timestamp(base, timestamp).max(start);
            let limit = SegmentLimit { base, end };
            let found = self
                .find(from, limit, |batch, header| {
                    if header.max_timestamp < timestamp {
                        return Ok(None);
                    }
                    let wanted =
                        |at: &(TimestampMs, Offset)| at.0 >= timestamp && at.1 >= start && at.1 < end;
                    Ok(timestamps(batch, header, start)?.into_iter().find(wanted))
                })
                .await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The record below `end` with the largest timestamp, the first of several (ListOffsets -3, KIP-734).
    pub async fn max_timestamp(self: &Rc<Self>, end: Offset) -> Result<Option<FoundRecord>, StorageError> {
        let (start, segments) = {
            let state = self.state.borrow();
            let mut segments: Vec<_> = state
                .segments
                .iter()
                .filter(|segment| segment.size > 0 && segment.base < end)
                .map(|segment| (segment.times, segment.base, segment.next_offset))
                .collect();
            // The largest first; of equals the oldest.
            segments.sort_by_key(|(times, base, _)| (std::cmp::Reverse(times.largest), *base));
            (state.bounds.start, segments)
        };
        let mut best: Option<FoundRecord> = None;
        for (times, base, next) in segments {
            if best.is_some_and(|best| best.0.0 >= times.largest) {
                break;
            }
            // Where the segment's largest may be read, that batch alone is looked at; else all of its batches.
            let whole = base >= start && next <= end;
            let from = if whole { times.largest_at } else { base.max(start) };
            let found = self.max_of_segment(from, SegmentLimit { base, end }, whole).await?;
            best = match (best, found) {
                (Some(best), Some(found)) if found.0 <= best.0 => Some(best),
                (best, found) => found.or(best),
            };
        }
        Ok(best)
    }

    async fn max_of_segment(
        self: &Rc<Self>,
        from: Offset,
        limit: SegmentLimit,
        first_batch_only: bool,
    ) -> Result<Option<FoundRecord>, StorageError> {
        let start = self.log_start_offset();
        let mut best: Option<FoundRecord> = None;
        let last = self
            .find(from, limit, |batch, header| {
                if best.is_none_or(|best| header.max_timestamp > best.0) {
                    for (timestamp, offset) in timestamps(batch, header, start)? {
                        let counts = offset >= start && offset < limit.end;
                        if counts && best.is_none_or(|best| timestamp > best.0) {
                            best = Some((timestamp, offset, header.leader_epoch));
                        }
                    }
                }
                Ok(best.filter(|_| first_batch_only).map(|best| (best.0, best.1)))
            })
            .await?;
        Ok(last.or(best))
    }

    /// Calls `look` with each batch of a segment from the one that holds `from`, until it finds something.
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
        let mut at = from;
        while at < end {
            let limit = ReadLimit { end, bytes_max: STEP_BYTES, at_least_one: true };
            let slices = self.read(at, limit).await?;
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

/// The timestamp and offset of each record of a batch; of equal timestamps throughout, only of the first.
fn timestamps(
    batch: &Bytes,
    header: &BatchHeader,
    start: Offset,
) -> Result<Vec<(TimestampMs, Offset)>, StorageError> {
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Ok(vec![(header.max_timestamp, header.base_offset.max(start))]);
    }
    if header.codec() != Some(Codec::None) {
        return Err(BatchError::Compression("records of a compressed batch".into()).into());
    }
    let mut rest = &batch[HEADER_BYTES..];
    let mut found = Vec::new();
    for _ in 0..header.record_count {
        let (length, after) = varint(rest)?;
        let length = usize::try_from(length).map_err(|_| SHORT)?;
        let record = after.get(..length).ok_or(SHORT)?;
        rest = &after[length..];
        let (timestamp, after) = varint(record.get(1..).ok_or(SHORT)?)?;
        let (delta, _) = varint(after)?;
        found.push((TimestampMs(header.base_timestamp.0 + timestamp), header.base_offset.plus(delta)));
    }
    Ok(found)
}

const SHORT: BatchError = BatchError::Invalid("the records end before the batch's record count");

/// A zigzag varint and what follows it.
fn varint(bytes: &[u8]) -> Result<(i64, &[u8]), BatchError> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at as u32).min(63);
        if byte & 0x80 == 0 {
            return Ok(((value >> 1) as i64 ^ -((value & 1) as i64), &bytes[at + 1..]));
        }
    }
    Err(SHORT)
}
