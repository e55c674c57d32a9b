//! Builds record batches: for the command line's producer, for internal records, and for recompression.
//!
//! Key invariant: what is built passes `validate`. Offsets ascend by one from the base offset. Sending or storing the
//! batch is left to the caller.

use super::compression::compress;
use super::{BatchError, Codec, HEADER_BYTES, TimestampType};
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use bytes::Bytes;

/// What a record consists of, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    pub timestamp: TimestampMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// The header fields that the builder does not find out by itself.
#[derive(Clone, Copy, Debug)]
struct Origin {
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: Sequence,
    flags: i16,
}

/// A batch under construction.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    origin: Origin,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    record_count: i32,
    records: Vec<u8>,
}

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

impl BatchBuilder {
    /// An empty batch of no producer id.
    pub fn new(codec: Codec) -> Self {
        let origin = Origin {
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: Sequence(-1),
            flags: 0,
        };
        Self {
            codec,
            origin,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
            record_count: 0,
            records: Vec::new(),
        }
    }

    /// Marks the batch as an idempotent producer's (KIP-98); its first record has sequence number `base_sequence`.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) -> Self {
        self.origin = Origin { producer_id: id, producer_epoch: epoch, base_sequence, ..self.origin };
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.origin.flags |= TRANSACTIONAL;
        self
    }

    /// Marks the records as control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.origin.flags |= CONTROL;
        self
    }

    /// Makes room for records of about so many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.records.reserve(bytes);
    }

    /// Adds a record.
    pub fn append(&mut self, record: &NewRecord<'_>) {
        if self.record_count == 0 {
            self.base_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        let delta = record.timestamp.get().wrapping_sub(self.base_timestamp.get());
        put_record(&mut self.records, self.record_count, delta, record);
        self.record_count += 1;
    }

    /// How many records were added.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the batch as it would be without compression.
    pub fn size_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The batch, with its checksum. Fails if it is empty or longer than a batch can be.
    pub fn build(&self, base_offset: Offset) -> Result<Bytes, BatchError> {
        if self.record_count == 0 {
            return Err(BatchError::Invalid("a batch needs a record"));
        }
        let mut batch = Vec::with_capacity(self.size_bytes());
        batch.extend_from_slice(&base_offset.get().to_be_bytes());
        batch.extend_from_slice(&[0; 4]);
        batch.extend_from_slice(&LeaderEpoch::UNKNOWN.get().to_be_bytes());
        batch.push(2);
        batch.extend_from_slice(&[0; 4]);
        batch.extend_from_slice(&(self.origin.flags | self.codec.id()).to_be_bytes());
        batch.extend_from_slice(&(self.record_count - 1).to_be_bytes());
        batch.extend_from_slice(&self.base_timestamp.get().to_be_bytes());
        batch.extend_from_slice(&self.max_timestamp.get().to_be_bytes());
        batch.extend_from_slice(&self.origin.producer_id.get().to_be_bytes());
        batch.extend_from_slice(&self.origin.producer_epoch.get().to_be_bytes());
        batch.extend_from_slice(&self.origin.base_sequence.get().to_be_bytes());
        batch.extend_from_slice(&self.record_count.to_be_bytes());
        debug_assert_eq!(batch.len(), HEADER_BYTES);
        compress(self.codec, &self.records, &mut batch)
            .map_err(|error| BatchError::Compression(error.to_string()))?;
        super::header::seal(&mut batch)?;
        Ok(Bytes::from(batch))
    }
}

impl TimestampType {
    /// The bit in a batch's attributes.
    pub(super) const fn flag(self) -> i16 {
        match self {
            Self::CreateTime => 0,
            Self::LogAppendTime => 0x8,
        }
    }
}

/// Appends one record to `out`; the layout is in `walk`. The record's length stands in front of it, so it is reckoned first.
fn put_record(out: &mut Vec<u8>, offset_delta: i32, timestamp_delta: i64, record: &NewRecord<'_>) {
    let header_bytes = |(key, value): &(&[u8], Option<&[u8]>)| field_bytes(Some(key)) + field_bytes(*value);
    let bytes = 1
        + varint_bytes(timestamp_delta)
        + varint_bytes(i64::from(offset_delta))
        + field_bytes(record.key)
        + field_bytes(record.value)
        + varint_bytes(record.headers.len() as i64)
        + record.headers.iter().map(header_bytes).sum::<usize>();
    put_varint(out, bytes as i64);
    let from = out.len();
    out.push(0);
    put_varint(out, timestamp_delta);
    put_varint(out, i64::from(offset_delta));
    put_field(out, record.key);
    put_field(out, record.value);
    put_varint(out, record.headers.len() as i64);
    for (key, value) in record.headers {
        put_field(out, Some(key));
        put_field(out, *value);
    }
    debug_assert_eq!(out.len() - from, bytes, "the length was reckoned right");
}

fn field_bytes(bytes: Option<&[u8]>) -> usize {
    varint_bytes(bytes.map_or(-1, |bytes| bytes.len() as i64)) + bytes.map_or(0, <[u8]>::len)
}

/// How many bytes [`put_varint`] takes.
fn varint_bytes(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - (zigzag | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_field(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// A zigzag varint; of 32 and of 64 bits look the same.
pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchHeader, records};

    #[test]
    fn every_field_reads_back() {
        for codec in Codec::ALL {
            let mut builder = BatchBuilder::new(codec)
                .producer(ProducerId(7), ProducerEpoch(3), Sequence(40))
                .transactional();
            let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"", None)];
            let (key, value) = (Some(&b"key"[..]), Some(&b"value"[..]));
            builder.append(&NewRecord { timestamp: TimestampMs(1000), key, value: None, headers });
            builder.append(&NewRecord { timestamp: TimestampMs(990), key: None, value, headers: &[] });
            let batch = builder.build(Offset(5)).expect("it has records");
            let header = BatchHeader::parse_whole(&batch).expect("well formed");
            header.check_crc(&batch).expect("sealed");
            assert_eq!(header.size_bytes as usize, batch.len());
            assert_eq!((header.base_offset, header.last_offset()), (Offset(5), Offset(6)));
            assert_eq!(header.codec(), Some(codec));
            assert!(header.is_transactional() && !header.is_control());
            assert_eq!((header.base_timestamp, header.max_timestamp), (TimestampMs(1000), TimestampMs(1000)));
            assert_eq!((header.producer_id, header.last_sequence()), (ProducerId(7), Sequence(41)));
            let read: Vec<_> =
                records(&batch).expect("decompresses").map(|r| r.expect("well formed")).collect();
            assert_eq!(read.len(), 2);
            assert_eq!((read[0].offset, read[0].timestamp), (Offset(5), TimestampMs(1000)));
            assert_eq!((read[0].key.as_deref(), read[0].value.as_deref()), (Some(&b"key"[..]), None));
            assert_eq!(read[0].headers.len(), 2);
            assert_eq!(read[0].headers[0].value.as_deref(), Some(&b"1"[..]));
            assert_eq!(read[0].headers[1].value, None);
            assert_eq!((read[1].offset, read[1].timestamp), (Offset(6), TimestampMs(990)));
            assert_eq!((read[1].key.as_deref(), read[1].value.as_deref()), (None, Some(&b"value"[..])));
        }
    }

    #[test]
    fn the_length_of_a_varint_is_what_it_takes() {
        let edges = (0..63).flat_map(|bit| [1i64 << bit, (1 << bit) - 1, -(1 << bit), -(1 << bit) - 1]);
        for value in edges.chain([i64::MIN, i64::MAX]) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_bytes(value), "{value}");
        }
    }

    #[test]
    fn an_empty_batch_is_no_batch() {
        assert!(BatchBuilder::new(Codec::None).build(Offset::ZERO).is_err());
    }
}
