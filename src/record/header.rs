//! The 61-byte header of a record batch, format 2.
//!
//! ```text
//! at  bytes  field                     covered by the checksum
//!  0      8  base offset               no   (assigned by the leader)
//!  8      4  batch length              no   (bytes after this field)
//! 12      4  partition leader epoch    no   (assigned by the leader)
//! 16      1  magic = 2                 no
//! 17      4  CRC-32C of all after it   no
//! 21      2  attributes                yes  (codec 0-2, timestamp type 3, transactional 4, control 5, delete horizon 6)
//! 23      4  last offset delta         yes
//! 27      8  base timestamp            yes
//! 35      8  max timestamp             yes
//! 43      8  producer id               yes
//! 51      2  producer epoch            yes
//! 53      4  base sequence             yes
//! 57      4  record count              yes
//! 61         records
//! ```
//!
//! Key invariant: a parsed header's length lies within the bytes it was parsed from. Whether the records agree with the
//! header is checked by `validate`.

use super::checksum::crc32c;
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes of a batch before its first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes of the base offset and length fields, which the batch length does not count.
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// Where the checksummed part begins.
pub const CHECKSUMMED_FROM: usize = 21;

const BASE_OFFSET: usize = 0;
const BATCH_LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

const _: () = assert!(RECORD_COUNT + 4 == HEADER_BYTES);
const _: () = assert!(CRC + 4 == CHECKSUMMED_FROM);

/// Why bytes are not a record batch that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header's length says.
    #[error("the batch ends before its length of {expected} bytes ({actual} present)")]
    Truncated { expected: u64, actual: u64 },
    /// The length field is negative or smaller than a header.
    #[error("the batch length {0} is smaller than a batch header")]
    Length(i32),
    /// Formats 0 and 1 are gone since Kafka 4.0 (KIP-724).
    #[error("message format {0} is not supported; only 2 is")]
    Magic(i8),
    /// The checksum does not match.
    #[error("the batch checksum is {stored:#010x} but its bytes give {computed:#010x}")]
    Checksum { stored: u32, computed: u32 },
    /// A field or the records contradict each other.
    #[error("{0}")]
    Invalid(&'static str),
    /// The codec number is none of Kafka's, or the data does not decompress.
    #[error("compression: {0}")]
    Compression(String),
}

/// The compression of a batch's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Whose clock a batch's timestamps come from (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The fields of a batch header, read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    /// Bytes of the whole batch, the length prefix included.
    pub size_bytes: u32,
    pub leader_epoch: LeaderEpoch,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: TimestampMs,
    pub max_timestamp: TimestampMs,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: Sequence,
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header of the batch that `bytes` begin with; `bytes` may hold less than the whole batch and more than it.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Truncated { expected: HEADER_BYTES as u64, actual: bytes.len() as u64 });
        };
        let magic = header[MAGIC] as i8;
        let length = i32::from_be_bytes(field(header, BATCH_LENGTH));
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        if length < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32 {
            return Err(BatchError::Length(length));
        }
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(field(header, BASE_OFFSET))),
            size_bytes: length as u32 + LENGTH_PREFIX_BYTES as u32,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(header, LEADER_EPOCH))),
            crc: u32::from_be_bytes(field(header, CRC)),
            attributes: i16::from_be_bytes(field(header, ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA)),
            base_timestamp: TimestampMs(i64::from_be_bytes(field(header, BASE_TIMESTAMP))),
            max_timestamp: TimestampMs(i64::from_be_bytes(field(header, MAX_TIMESTAMP))),
            producer_id: ProducerId(i64::from_be_bytes(field(header, PRODUCER_ID))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(header, PRODUCER_EPOCH))),
            base_sequence: Sequence(i32::from_be_bytes(field(header, BASE_SEQUENCE))),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT)),
        })
    }

    /// As [`Self::parse`], and the whole batch must be present.
    pub fn parse_whole(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        if (bytes.len() as u64) < u64::from(header.size_bytes) {
            return Err(BatchError::Truncated {
                expected: u64::from(header.size_bytes),
                actual: bytes.len() as u64,
            });
        }
        Ok(header)
    }

    /// Compares the checksum with the bytes of the whole batch.
    pub fn check_crc(&self, batch: &[u8]) -> Result<(), BatchError> {
        let size = self.size_bytes as usize;
        let Some(covered) = batch.get(CHECKSUMMED_FROM..size) else {
            return Err(BatchError::Truncated { expected: size as u64, actual: batch.len() as u64 });
        };
        let computed = crc32c(covered);
        if computed == self.crc { Ok(()) } else { Err(BatchError::Checksum { stored: self.crc, computed }) }
    }

    /// The offset of the batch's last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset that follows the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The codec, or `None` for a number that is none of Kafka's.
    pub fn codec(&self) -> Option<Codec> {
        match self.attributes & 0x7 {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Whose clock the timestamps come from.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & 0x8 == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether the batch belongs to a transaction (KIP-98).
    pub fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    /// Whether the batch holds control records (transaction markers, leader changes).
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// When the batch's tombstones, or the markers of a transaction that is gone, may go (KIP-534). The base timestamp is
    /// that time then.
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        (self.attributes & super::retain::DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Whether an idempotent producer wrote the batch.
    pub fn has_producer(&self) -> bool {
        self.producer_id > ProducerId::NONE
    }

    /// The sequence number of the batch's last record; wraps after `i32::MAX`.
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence.0 < 0 {
            return self.base_sequence;
        }
        Sequence(self.base_sequence.0.wrapping_add(self.last_offset_delta) & i32::MAX)
    }
}

/// Writes the offset and epoch that the leader assigns into a batch; both lie outside the checksum.
pub fn patch_assigned(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[BASE_OFFSET..BASE_OFFSET + 8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[LEADER_EPOCH..LEADER_EPOCH + 4].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Writes the length and the checksum of a batch whose other fields are complete.
pub(super) fn seal(batch: &mut [u8]) -> Result<(), BatchError> {
    let length = i32::try_from(batch.len() - LENGTH_PREFIX_BYTES);
    let length = length.map_err(|_| BatchError::Invalid("the batch is longer than a batch can be"))?;
    batch[BATCH_LENGTH..LEADER_EPOCH].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&batch[CHECKSUMMED_FROM..]);
    batch[CRC..CHECKSUMMED_FROM].copy_from_slice(&crc.to_be_bytes());
    Ok(())
}

/// Writes the attributes and the greatest timestamp; the checksum is then due.
pub(super) fn put_stamp(batch: &mut [u8], attributes: i16, max_timestamp: TimestampMs) {
    batch[ATTRIBUTES..LAST_OFFSET_DELTA].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP..PRODUCER_ID].copy_from_slice(&max_timestamp.0.to_be_bytes());
}

/// Writes the attributes; the checksum is then due.
pub(super) fn put_attributes(batch: &mut [u8], attributes: i16) {
    batch[ATTRIBUTES..LAST_OFFSET_DELTA].copy_from_slice(&attributes.to_be_bytes());
}

/// Writes the base and the greatest timestamp; the checksum is then due.
pub(super) fn put_timestamps(batch: &mut [u8], base: TimestampMs, max: TimestampMs) {
    batch[BASE_TIMESTAMP..MAX_TIMESTAMP].copy_from_slice(&base.0.to_be_bytes());
    batch[MAX_TIMESTAMP..PRODUCER_ID].copy_from_slice(&max.0.to_be_bytes());
}

/// The `N` bytes of the field at `at`; the positions are this file's constants.
fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}
