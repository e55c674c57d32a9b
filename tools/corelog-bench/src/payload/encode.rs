//! Record batches of format 2, written straight into one buffer. The header's layout is in `corelog::record`.
//!
//! ```text
//! record: length, attributes (1), timestamp delta, offset delta, key length, key, value length, value, header count
//! ```
//!
//! Lengths, deltas and the count are zigzag varints; a missing key has length -1. All records have the batch's timestamp.
//!
//! Key invariant: a sealed batch passes `corelog::record::validate`. `corelog::record::BatchBuilder` writes any batch; this one
//! writes those of a load generator without touching a byte twice.

use corelog::record::HEADER_BYTES;

use super::{Origin, STAMP_BYTES, Stamp};

const LENGTH_PREFIX_BYTES: usize = 12;
const BATCH_LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const CHECKSUMMED_FROM: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

const _: () = assert!(RECORD_COUNT + 4 == HEADER_BYTES);

/// Bytes of a record before its value, at most: four varints of five bytes, attributes, timestamp, and a short key.
const HEAD_BYTES_MAX: usize = 48;
/// Keys that the plan makes are shorter.
const KEY_BYTES_MAX: usize = HEAD_BYTES_MAX - 4 * 5 - 2;

/// A batch under construction.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    records: u32,
    payload_bytes: u64,
}

impl Encoder {
    /// Begins a batch in a buffer, whose content is dropped.
    pub(super) fn begin(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, records: 0, payload_bytes: 0 }
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    pub(super) fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Bytes of the records so far.
    pub(super) fn records_bytes(&self) -> usize {
        self.bytes.len() - HEADER_BYTES
    }

    /// Adds a record; a stamp stands before the body.
    pub(super) fn push(&mut self, key: Option<&[u8]>, stamp: Option<Stamp>, body: &[u8]) {
        let stamp_bytes = if stamp.is_some() { STAMP_BYTES } else { 0 };
        let value_bytes = stamp_bytes + body.len();
        let mut head = Head::default();
        head.put_varint(inner_bytes(key.map(<[u8]>::len), value_bytes, self.records) as i64);
        head.put(&[0, 0]);
        head.put_varint(i64::from(self.records));
        match key {
            Some(key) => {
                debug_assert!(key.len() <= KEY_BYTES_MAX);
                head.put_varint(key.len() as i64);
                head.put(key);
            }
            None => head.put_varint(-1),
        }
        head.put_varint(value_bytes as i64);
        self.bytes.reserve(head.len + value_bytes + 1);
        self.bytes.extend_from_slice(&head.bytes[..head.len]);
        let value = self.bytes.len();
        if let Some(stamp) = stamp {
            self.bytes.extend_from_slice(&[0; STAMP_BYTES]);
            self.bytes.extend_from_slice(body);
            stamp.seal(&mut self.bytes[value..]);
        } else {
            self.bytes.extend_from_slice(body);
        }
        self.bytes.push(0);
        self.records += 1;
        self.payload_bytes += (key.map_or(0, <[u8]>::len) + value_bytes) as u64;
    }

    /// The batch, with its header and checksum.
    pub(super) fn seal(self, timestamp_ms: i64, origin: Option<Origin>) -> Vec<u8> {
        let mut bytes = self.bytes;
        let length = (bytes.len() - LENGTH_PREFIX_BYTES) as u32;
        bytes[BATCH_LENGTH..LEADER_EPOCH].copy_from_slice(&length.to_be_bytes());
        bytes[LEADER_EPOCH..MAGIC].copy_from_slice(&(-1_i32).to_be_bytes());
        bytes[MAGIC] = 2;
        let last = self.records.wrapping_sub(1);
        bytes[LAST_OFFSET_DELTA..BASE_TIMESTAMP].copy_from_slice(&last.to_be_bytes());
        bytes[BASE_TIMESTAMP..MAX_TIMESTAMP].copy_from_slice(&timestamp_ms.to_be_bytes());
        bytes[MAX_TIMESTAMP..PRODUCER_ID].copy_from_slice(&timestamp_ms.to_be_bytes());
        bytes[RECORD_COUNT..HEADER_BYTES].copy_from_slice(&self.records.to_be_bytes());
        const NONE: Origin = Origin { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
        sign(&mut bytes, origin.unwrap_or(NONE));
        bytes
    }
}

/// Writes into a whole batch who made it, and its checksum anew.
pub(super) fn sign(batch: &mut [u8], origin: Origin) {
    batch[PRODUCER_ID..PRODUCER_EPOCH].copy_from_slice(&origin.producer_id.to_be_bytes());
    batch[PRODUCER_EPOCH..BASE_SEQUENCE].copy_from_slice(&origin.producer_epoch.to_be_bytes());
    batch[BASE_SEQUENCE..RECORD_COUNT].copy_from_slice(&origin.base_sequence.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&batch[CHECKSUMMED_FROM..]);
    batch[CRC..CHECKSUMMED_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// Bytes of a record in a batch, its length field with it.
pub(super) fn record_bytes(key_bytes: Option<usize>, value_bytes: usize, offset_delta: u32) -> usize {
    let inner = inner_bytes(key_bytes, value_bytes, offset_delta);
    varint_bytes(inner as i64) + inner
}

/// Bytes of a record after its length field.
fn inner_bytes(key_bytes: Option<usize>, value_bytes: usize, offset_delta: u32) -> usize {
    // Attributes, timestamp delta and header count have a byte each.
    let key_field = key_bytes.map_or(varint_bytes(-1), |bytes| varint_bytes(bytes as i64) + bytes);
    3 + varint_bytes(i64::from(offset_delta)) + key_field + varint_bytes(value_bytes as i64) + value_bytes
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Seven bits fit into each.
fn varint_bytes(value: i64) -> usize {
    (70 - (zigzag(value) | 1).leading_zeros() as usize) / 7
}

/// What stands before a record's value, put together where it costs no check of a vector's capacity.
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self { bytes: [0; HEAD_BYTES_MAX], len: 0 }
    }
}

impl Head {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn put_varint(&mut self, value: i64) {
        let mut left = zigzag(value);
        while left >= 0x80 {
            self.put(&[left as u8 | 0x80]);
            left >>= 7;
        }
        self.put(&[left as u8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use corelog::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
    use corelog::record::builder::{BatchBuilder, NewRecord};
    use corelog::record::{Codec, records, split_batches};
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = (Option<Vec<u8>>, Vec<u8>)> {
        let key = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=KEY_BYTES_MAX));
        (key, proptest::collection::vec(any::<u8>(), 0..200))
    }

    proptest! {
        #[test]
        fn batches_are_those_of_the_library(
            contents in proptest::collection::vec(record(), 1..150),
            timestamp_ms in 0..i64::MAX,
            origin in proptest::option::of((0..i64::MAX, 0..i16::MAX, 0..i32::MAX)),
        ) {
            let mut encoder = Encoder::begin(vec![9; 3]);
            let mut builder = BatchBuilder::new(Codec::None);
            let origin = origin.map(|(producer_id, producer_epoch, base_sequence)| {
                Origin { producer_id, producer_epoch, base_sequence }
            });
            if let Some(Origin { producer_id, producer_epoch, base_sequence }) = origin {
                builder = builder.producer(
                    ProducerId(producer_id), ProducerEpoch(producer_epoch), Sequence(base_sequence),
                );
            }
            let mut told = 0;
            for (number, (key, value)) in contents.iter().enumerate() {
                encoder.push(key.as_deref(), None, value);
                told += record_bytes(key.as_ref().map(Vec::len), value.len(), number as u32);
                prop_assert_eq!(encoder.records_bytes(), told);
                let timestamp = TimestampMs(timestamp_ms);
                builder.append(&NewRecord { timestamp, key: key.as_deref(), value: Some(value), headers: &[] });
            }
            let sealed = encoder.seal(timestamp_ms, origin);
            let built = builder.build(Offset::ZERO).expect("it has records");
            prop_assert_eq!(&sealed[..], &built[..]);
        }

        #[test]
        fn stamped_values_read_back(bodies in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..100), 1..80)
        ) {
            let mut encoder = Encoder::begin(Vec::new());
            for (sequence, body) in (0..).zip(&bodies) {
                encoder.push(None, Some(Stamp { producer: 1, sequence, intended_ns: 5 }), body);
            }
            let sealed = Bytes::from(encoder.seal(7, None));
            let (batch, header) = split_batches(&sealed).next().expect("whole").expect("well formed");
            header.check_crc(&batch).expect("sealed");
            prop_assert_eq!(header.leader_epoch, LeaderEpoch::UNKNOWN);
            let mut read = records(&batch).expect("readable");
            for (sequence, body) in (0..).zip(&bodies) {
                let value = read.next().expect("there").expect("well formed").value.expect("it has one");
                prop_assert_eq!(Stamp::read(&value), Ok(Stamp { producer: 1, sequence, intended_ns: 5 }));
                prop_assert_eq!(&value[STAMP_BYTES..], &body[..]);
            }
            prop_assert!(read.next().is_none());
        }
    }

    #[test]
    fn varints_are_as_long_as_told() {
        for shift in 0..40 {
            for value in [(1_i64 << shift) - 1, 1 << shift, -(1 << shift)] {
                let mut head = Head::default();
                head.put_varint(value);
                assert_eq!(varint_bytes(value), head.len, "{value}");
            }
        }
    }
}
