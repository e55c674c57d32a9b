//! Takes records out of a stored batch, as compaction does, and what is left of it (KIP-58, KIP-98, KIP-534).
//!
//! Key invariant: base offset, last offset, producer fields, leader epoch, and offset, timestamp, key, value and headers of
//! each record that stays are what they were; the checksum fits. A batch without records left still says which offsets and
//! sequences it took. Which records stay is left to the caller.

use super::builder::put_varint;
use super::compression::{compress, decompress_all};
use super::header::{put_attributes, put_timestamps, seal};
use super::records::create_time;
use super::walk::{Slice, Source, varint, varlong};
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType};
use crate::model::{Offset, TimestampMs};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// A record as compaction looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRecord<'a> {
    pub offset: Offset,
    pub key: Option<&'a [u8]>,
    /// False for a tombstone.
    pub has_value: bool,
}

/// When a batch that has no delete horizon yet gets one (KIP-534). One that it has stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// If a tombstone stays in it.
    OfTombstones(TimestampMs),
    /// In any case: it is a transaction's marker whose records are gone.
    OfMarker(TimestampMs),
}

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    /// All of it, as it is.
    All,
    /// Nothing: every record was taken out, or there was none.
    NoRecord,
    /// This batch in its place, with so many records fewer.
    Batch { batch: Bytes, removed: u32 },
}

/// One record's place in the decompressed records.
struct Span {
    /// With the length in front of it.
    bytes: Range<usize>,
    attributes: u8,
    timestamp_delta: i64,
    /// What follows the timestamp.
    rest: Range<usize>,
}

/// Calls `visit` with each record of a whole batch until it answers false. Fails on records that are not well formed.
pub fn each_keyed(
    batch: &[u8],
    header: &BatchHeader,
    mut visit: impl FnMut(&KeyedRecord<'_>) -> bool,
) -> Result<(), BatchError> {
    let records = plain_records(batch, header)?;
    let mut source = Slice { bytes: &records, position: 0 };
    for _ in 0..header.record_count {
        let (record, _) = step(&records, &mut source, header)?;
        if !visit(&record) {
            return Ok(());
        }
    }
    ends(&mut source)
}

/// Takes the records that `keep` refuses out of a whole batch.
pub fn retain(
    batch: &[u8],
    header: &BatchHeader,
    horizon: Horizon,
    mut keep: impl FnMut(&KeyedRecord<'_>) -> bool,
) -> Result<Remains, BatchError> {
    let records = plain_records(batch, header)?;
    let mut source = Slice { bytes: &records, position: 0 };
    let mut kept: Vec<Span> = Vec::new();
    let mut tombstones = false;
    for _ in 0..header.record_count {
        let (record, span) = step(&records, &mut source, header)?;
        if keep(&record) {
            tombstones |= !record.has_value;
            kept.push(span);
        }
    }
    ends(&mut source)?;
    let horizon = match horizon {
        _ if header.delete_horizon().is_some() => None,
        Horizon::OfTombstones(at) => Some(at).filter(|_| tombstones),
        Horizon::OfMarker(at) => Some(at),
    };
    // The count was walked to the end: it is not negative.
    let removed = header.record_count as u32 - kept.len() as u32;
    if kept.is_empty() {
        return Ok(Remains::NoRecord);
    }
    if removed == 0 && horizon.is_none() {
        return Ok(Remains::All);
    }
    let batch = rebuild(batch, header, (&records, &kept), horizon)?;
    Ok(Remains::Batch { batch, removed })
}

/// What stands for a batch whose records are gone, but whose last offset or sequence is still needed.
pub fn without_records(batch: &[u8], header: &BatchHeader) -> Result<Bytes, BatchError> {
    let mut empty = head(batch)?;
    put_attributes(&mut empty, header.attributes & !(CODEC_MASK | DELETE_HORIZON));
    put_timestamps(&mut empty, TimestampMs::NONE, header.max_timestamp);
    empty[RECORD_COUNT..].fill(0);
    seal(&mut empty)?;
    Ok(Bytes::from(empty))
}

const CODEC_MASK: i16 = 0x7;
/// The attribute bit that says that the base timestamp is a delete horizon.
pub(super) const DELETE_HORIZON: i16 = 0x40;
const RECORD_COUNT: usize = HEADER_BYTES - 4;

fn head(batch: &[u8]) -> Result<Vec<u8>, BatchError> {
    let (expected, actual) = (HEADER_BYTES as u64, batch.len() as u64);
    batch.get(..HEADER_BYTES).map(<[u8]>::to_vec).ok_or(BatchError::Truncated { expected, actual })
}

fn plain_records<'a>(batch: &'a [u8], header: &BatchHeader) -> Result<Cow<'a, [u8]>, BatchError> {
    let raw = batch.get(HEADER_BYTES..header.size_bytes as usize).ok_or(BatchError::Truncated {
        expected: u64::from(header.size_bytes),
        actual: batch.len() as u64,
    })?;
    if header.record_count < 0 {
        return Err(BatchError::Invalid("a batch has a negative number of records"));
    }
    match header.codec() {
        // An empty batch has no frame of its codec either.
        _ if header.record_count == 0 && raw.is_empty() => Ok(Cow::Borrowed(raw)),
        Some(Codec::None) => Ok(Cow::Borrowed(raw)),
        Some(codec) => Ok(Cow::Owned(decompress_all(codec, raw)?)),
        None => Err(BatchError::Compression(format!("unknown codec {}", header.attributes & CODEC_MASK))),
    }
}

fn step<'a>(
    records: &'a [u8],
    source: &mut Slice<'_>,
    header: &BatchHeader,
) -> Result<(KeyedRecord<'a>, Span), BatchError> {
    let from = source.position;
    let length =
        u64::try_from(varint(source)?).map_err(|_| BatchError::Invalid("a record has a negative length"))?;
    let start = source.position;
    source.skip(length)?;
    let end = source.position;
    let mut fields = Slice { bytes: &records[..end], position: start };
    let attributes = fields.byte()?;
    let timestamp_delta = varlong(&mut fields)?;
    let rest = fields.position..end;
    let offset_delta = varint(&mut fields)?;
    let key = field(records, &mut fields)?;
    let has_value = field(records, &mut fields)?.is_some();
    let offset = header.base_offset.plus(i64::from(offset_delta));
    Ok((KeyedRecord { offset, key, has_value }, Span { bytes: from..end, attributes, timestamp_delta, rest }))
}

fn field<'a>(records: &'a [u8], fields: &mut Slice<'_>) -> Result<Option<&'a [u8]>, BatchError> {
    let Ok(bytes) = u64::try_from(varint(fields)?) else { return Ok(None) };
    let start = fields.position;
    fields.skip(bytes)?;
    Ok(Some(&records[start..fields.position]))
}

fn ends(source: &mut Slice<'_>) -> Result<(), BatchError> {
    if source.is_at_end()? {
        Ok(())
    } else {
        Err(BatchError::Invalid("bytes follow the last record of the batch"))
    }
}

/// The batch with the records of `kept` alone. With a new horizon every timestamp is told from that; without one the
/// records are copied as they are.
fn rebuild(
    batch: &[u8],
    header: &BatchHeader,
    (records, kept): (&[u8], &[Span]),
    horizon: Option<TimestampMs>,
) -> Result<Bytes, BatchError> {
    let codec = header.codec().ok_or(BatchError::Invalid("unknown codec"))?;
    let mut plain = Vec::with_capacity(kept.iter().map(|span| span.bytes.len() + 2).sum());
    let mut fields = Vec::new();
    for span in kept {
        let Some(horizon) = horizon else {
            plain.extend_from_slice(&records[span.bytes.clone()]);
            continue;
        };
        let timestamp = create_time(header, span.timestamp_delta);
        fields.clear();
        fields.push(span.attributes);
        put_varint(&mut fields, timestamp.get().wrapping_sub(horizon.get()));
        fields.extend_from_slice(&records[span.rest.clone()]);
        put_varint(&mut plain, fields.len() as i64);
        plain.extend_from_slice(&fields);
    }
    let mut copy = head(batch)?;
    compress(codec, &plain, &mut copy).map_err(|error| BatchError::Compression(error.to_string()))?;
    let largest = kept.iter().map(|span| create_time(header, span.timestamp_delta)).max();
    let max_timestamp = match header.timestamp_type() {
        TimestampType::CreateTime => largest.unwrap_or(header.max_timestamp),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    put_timestamps(&mut copy, horizon.unwrap_or(header.base_timestamp), max_timestamp);
    if horizon.is_some() {
        put_attributes(&mut copy, header.attributes | DELETE_HORIZON);
    }
    copy[RECORD_COUNT..HEADER_BYTES].copy_from_slice(&(kept.len() as i32).to_be_bytes());
    seal(&mut copy)?;
    Ok(Bytes::from(copy))
}

#[cfg(test)]
mod tests;
