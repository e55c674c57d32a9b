//! Changes a valid batch before it is stored: another timestamp type, another codec, offset deltas put right.
//!
//! Key invariant: keys, values, headers, order and each record's own timestamp stay; the checksum fits again. Whether a
//! change is due is decided in `validate`.

use super::builder::put_varint;
use super::compression::{compress, decompress_all};
use super::header::{put_stamp, seal};
use super::walk::{Slice, Source, varint, varlong};
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType};
use crate::model::TimestampMs;
use bytes::Bytes;

/// The timestamps that a batch states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub kind: TimestampType,
    /// The greatest timestamp of its records, or the time of the append.
    pub max_timestamp: TimestampMs,
}

/// A copy of `batch` with another stamp.
pub fn restamp(batch: &[u8], header: &BatchHeader, stamp: Stamp) -> Result<Bytes, BatchError> {
    let mut copy = whole(batch, header)?.to_vec();
    put_stamp(&mut copy, attributes(header, header.attributes & CODEC_MASK, stamp), stamp.max_timestamp);
    seal(&mut copy)?;
    Ok(Bytes::from(copy))
}

/// A copy of `batch` whose records are compressed with `codec` and numbered 0, 1, 2 and so on.
pub fn recompress(
    batch: &[u8],
    header: &BatchHeader,
    codec: Codec,
    stamp: Stamp,
) -> Result<Bytes, BatchError> {
    let whole = whole(batch, header)?;
    let old = header.codec().ok_or(BatchError::Invalid("unknown codec"))?;
    let records = decompress_all(old, &whole[HEADER_BYTES..])?;
    let records = renumber(&records, header.record_count)?.unwrap_or(records);
    let mut copy = Vec::with_capacity(HEADER_BYTES + records.len());
    copy.extend_from_slice(&whole[..HEADER_BYTES]);
    compress(codec, &records, &mut copy).map_err(|error| BatchError::Compression(error.to_string()))?;
    put_stamp(&mut copy, attributes(header, codec.id(), stamp), stamp.max_timestamp);
    seal(&mut copy)?;
    Ok(Bytes::from(copy))
}

const CODEC_MASK: i16 = 0x7;
const TIMESTAMP_TYPE_MASK: i16 = 0x8;

fn attributes(header: &BatchHeader, codec: i16, stamp: Stamp) -> i16 {
    header.attributes & !(CODEC_MASK | TIMESTAMP_TYPE_MASK) | codec | stamp.kind.flag()
}

fn whole<'a>(batch: &'a [u8], header: &BatchHeader) -> Result<&'a [u8], BatchError> {
    let expected = header.size_bytes;
    let truncated = BatchError::Truncated { expected: u64::from(expected), actual: batch.len() as u64 };
    batch.get(..expected as usize).filter(|batch| batch.len() >= HEADER_BYTES).ok_or(truncated)
}

/// The records with ascending offset deltas, or `None` if they have them already.
fn renumber(records: &[u8], count: i32) -> Result<Option<Vec<u8>>, BatchError> {
    let mut source = Slice { bytes: records, position: 0 };
    let mut changed = false;
    let mut out = Vec::with_capacity(records.len());
    let mut fields = Vec::new();
    for index in 0..count {
        let length = varint(&mut source)?;
        let length =
            u64::try_from(length).map_err(|_| BatchError::Invalid("a record has a negative length"))?;
        let start = source.position;
        source.skip(length)?;
        let mut record = Slice { bytes: &records[start..source.position], position: 0 };
        fields.clear();
        fields.push(record.byte()?);
        put_varint(&mut fields, varlong(&mut record)?);
        changed |= varint(&mut record)? != index;
        put_varint(&mut fields, i64::from(index));
        fields.extend_from_slice(&record.bytes[record.position..]);
        put_varint(&mut out, fields.len() as i64);
        out.extend_from_slice(&fields);
    }
    Ok(changed.then_some(out))
}
