//! Reads the records of a batch: whole ones for those who show them, and searches by timestamp.
//!
//! Key invariant: an iterator ends after the header's record count or after its first error. Keys, values and headers
//! are slices of one buffer. Batches in a log were validated, yet nothing here relies on that.

use super::compression::decompress_all;
use super::walk::{Slice, Source, varint, varlong, walk};
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType};
use crate::model::{Offset, TimestampMs};
use bytes::Bytes;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    /// Its own, or the broker's if the batch has log append time.
    pub timestamp: TimestampMs,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<RecordHeader>,
}

/// One header of a record (KIP-82). Keys are text by convention; nothing enforces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// The records of `batch`, decompressed at once.
pub fn records(batch: &Bytes) -> Result<Records, BatchError> {
    let header = BatchHeader::parse_whole(batch)?;
    let raw = batch.slice(HEADER_BYTES..header.size_bytes as usize);
    let records = match header.codec() {
        Some(Codec::None) => raw,
        Some(codec) => Bytes::from(decompress_all(codec, &raw)?),
        None => return Err(BatchError::Compression(format!("unknown codec {}", header.attributes & 0x7))),
    };
    let left = header.record_count;
    Ok(Records { header, records, position: 0, left })
}

/// Iterates over a batch's records.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    records: Bytes,
    position: usize,
    left: i32,
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.read();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

impl Records {
    fn read(&mut self) -> Result<Record, BatchError> {
        let mut source = Slice { bytes: &self.records, position: self.position };
        let length = varint(&mut source)?;
        let start = source.position;
        source.skip(
            u64::try_from(length).map_err(|_| BatchError::Invalid("a record has a negative length"))?,
        )?;
        let end = source.position;
        let mut fields =
            Fields { bytes: &self.records, source: Slice { bytes: &self.records[..end], position: start } };
        fields.source.byte()?;
        let timestamp_delta = varlong(&mut fields.source)?;
        let offset_delta = varint(&mut fields.source)?;
        let key = fields.field()?;
        let value = fields.field()?;
        let count = varint(&mut fields.source)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let key = fields.field()?.ok_or(BatchError::Invalid("a record header has no key"))?;
            headers.push(RecordHeader { key, value: fields.field()? });
        }
        if !fields.source.is_at_end()? {
            return Err(BatchError::Invalid("a record's length contradicts its fields"));
        }
        self.position = end;
        Ok(Record {
            offset: self.header.base_offset.plus(i64::from(offset_delta)),
            timestamp: record_timestamp(&self.header, timestamp_delta),
            key,
            value,
            headers,
        })
    }
}

/// The fields of one record.
struct Fields<'a> {
    bytes: &'a Bytes,
    source: Slice<'a>,
}

impl Fields<'_> {
    fn field(&mut self) -> Result<Option<Bytes>, BatchError> {
        let Ok(bytes) = u64::try_from(varint(&mut self.source)?) else { return Ok(None) };
        let start = self.source.position;
        self.source.skip(bytes)?;
        Ok(Some(self.bytes.slice(start..self.source.position)))
    }
}

/// The timestamp of the record with this delta.
pub(super) fn record_timestamp(header: &BatchHeader, delta: i64) -> TimestampMs {
    match header.timestamp_type() {
        TimestampType::CreateTime => create_time(header, delta),
        TimestampType::LogAppendTime => header.max_timestamp,
    }
}

/// The timestamp that the producer gave a record.
pub(super) fn create_time(header: &BatchHeader, delta: i64) -> TimestampMs {
    TimestampMs(header.base_timestamp.get().wrapping_add(delta))
}

/// Calls `visit` with the timestamp and offset of each record, until it answers `false`. Reads any codec as a stream, so
/// it needs little memory whatever the batch holds.
pub fn each_timestamp(
    batch: &[u8],
    header: &BatchHeader,
    mut visit: impl FnMut(TimestampMs, Offset) -> bool,
) -> Result<(), BatchError> {
    walk(batch, header, |_, head| {
        let offset = header.base_offset.plus(i64::from(head.offset_delta));
        visit(record_timestamp(header, head.timestamp_delta), offset)
    })?;
    Ok(())
}

/// The first record at or after `from` whose timestamp is `target` or later.
pub fn first_at_or_after(
    batch: &[u8],
    target: TimestampMs,
    from: Offset,
) -> Result<Option<(TimestampMs, Offset)>, BatchError> {
    let header = BatchHeader::parse_whole(batch)?;
    let mut found = None;
    each_timestamp(batch, &header, |timestamp, offset| {
        if timestamp >= target && offset >= from {
            found = Some((timestamp, offset));
        }
        found.is_none()
    })?;
    Ok(found)
}

/// The greatest timestamp of the batch and the first record that has it (KIP-734); with log append time all share it.
pub fn max_timestamp(batch: &[u8]) -> Result<(TimestampMs, Offset), BatchError> {
    let header = BatchHeader::parse_whole(batch)?;
    let mut max = (header.max_timestamp, header.base_offset);
    if header.timestamp_type() == TimestampType::CreateTime {
        let mut seen = None;
        each_timestamp(batch, &header, |timestamp, offset| {
            if seen.is_none_or(|(greatest, _)| timestamp > greatest) {
                seen = Some((timestamp, offset));
            }
            true
        })?;
        max = seen.unwrap_or(max);
    }
    Ok(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::builder::{BatchBuilder, NewRecord};
    use proptest::prelude::*;

    fn batch(codec: Codec, timestamps: &[i64]) -> Bytes {
        let mut builder = BatchBuilder::new(codec);
        for timestamp in timestamps {
            builder.append(&NewRecord {
                timestamp: TimestampMs(*timestamp),
                value: Some(b"v"),
                ..NewRecord::default()
            });
        }
        builder.build(Offset(100)).expect("it has records")
    }

    #[test]
    fn timestamps_are_found_exactly() {
        for codec in Codec::ALL {
            let batch = batch(codec, &[10, 30, 20, 30, -1]);
            let find =
                |target, from| first_at_or_after(&batch, TimestampMs(target), Offset(from)).expect("valid");
            assert_eq!(find(0, 0), Some((TimestampMs(10), Offset(100))));
            assert_eq!(find(11, 0), Some((TimestampMs(30), Offset(101))));
            assert_eq!(find(11, 102), Some((TimestampMs(20), Offset(102))));
            assert_eq!(find(31, 0), None);
            assert_eq!(max_timestamp(&batch), Ok((TimestampMs(30), Offset(101))));
            let header = BatchHeader::parse_whole(&batch).expect("well formed");
            let mut seen = Vec::new();
            each_timestamp(&batch, &header, |timestamp, offset| {
                seen.push((timestamp.get(), offset.get()));
                seen.len() < 3
            })
            .expect("valid");
            assert_eq!(seen, [(10, 100), (30, 101), (20, 102)]);
        }
    }

    proptest! {
        #[test]
        fn damaged_batches_never_panic(
            codec in prop::sample::select(Codec::ALL.to_vec()),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut bytes = batch(codec, &[1, 2, 3]).to_vec();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let bytes = Bytes::from(bytes);
            if let Ok(records) = records(&bytes) {
                let _ = records.take(1000).count();
            }
            let _ = max_timestamp(&bytes);
            let _ = first_at_or_after(&bytes, TimestampMs(2), Offset(0));
        }
    }
}
