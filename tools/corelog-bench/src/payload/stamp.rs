//! Stamps: who sent a record, as which one, and when it was to be sent, sealed with the whole value.
//!
//! ```text
//! at  bytes  field (integers are big-endian)
//!  0      4  magic "CLB1"
//!  4      4  producer
//!  8      8  sequence number, per producer and lane
//! 16      8  intended time in nanoseconds since the run's start
//! 24      4  CRC-32C of the whole value but this field
//! 28         the rest of the value
//! ```
//!
//! Key invariant: a stamp that reads back is the one that was sealed, and so is the rest of its value. What sequence
//! numbers should have arrived is left to `verify`.

use crate::workload::STAMPED_VALUE_BYTES_MIN;

/// Bytes of a stamp, at the start of a value.
pub const STAMP_BYTES: usize = 28;

const _: () = assert!(STAMP_BYTES == STAMPED_VALUE_BYTES_MIN as usize);

const MAGIC: [u8; 4] = *b"CLB1";
const PRODUCER: usize = 4;
const SEQUENCE: usize = 8;
const INTENDED: usize = 16;
const CRC: usize = 24;

const _: () = assert!(CRC + 4 == STAMP_BYTES);

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub producer: u32,
    /// Per producer and lane, from 0.
    pub sequence: u64,
    /// When the record was to be sent, since the run's start.
    pub intended_ns: u64,
}

/// Why a value gives no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    #[error("the value is shorter than a stamp")]
    TooShort,
    #[error("the value does not begin with a stamp")]
    NoStamp,
    /// Carries what the damaged stamp says; it may be wrong.
    #[error("the value's checksum does not match")]
    Corrupt(Stamp),
}

impl Stamp {
    /// Writes the stamp over the first [`STAMP_BYTES`] of a value whose rest is in place. The value must hold them.
    pub fn seal(&self, value: &mut [u8]) {
        debug_assert!(value.len() >= STAMP_BYTES);
        value[..PRODUCER].copy_from_slice(&MAGIC);
        value[PRODUCER..SEQUENCE].copy_from_slice(&self.producer.to_be_bytes());
        value[SEQUENCE..INTENDED].copy_from_slice(&self.sequence.to_be_bytes());
        value[INTENDED..CRC].copy_from_slice(&self.intended_ns.to_be_bytes());
        let crc = checksum(value);
        value[CRC..STAMP_BYTES].copy_from_slice(&crc.to_be_bytes());
    }

    /// The stamp of a value, if the whole value is as it was sealed.
    pub fn read(value: &[u8]) -> Result<Self, StampError> {
        let head: &[u8; STAMP_BYTES] = value.first_chunk().ok_or(StampError::TooShort)?;
        if head[..PRODUCER] != MAGIC {
            return Err(StampError::NoStamp);
        }
        let stamp = Self {
            producer: u32_at(head, PRODUCER),
            sequence: u64_at(head, SEQUENCE),
            intended_ns: u64_at(head, INTENDED),
        };
        if u32_at(head, CRC) == checksum(value) { Ok(stamp) } else { Err(StampError::Corrupt(stamp)) }
    }
}

fn checksum(value: &[u8]) -> u32 {
    let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    crc.update(&value[..CRC]);
    crc.update(&value[STAMP_BYTES..]);
    // The library has one type for checksums of every width.
    crc.finalize() as u32
}

fn u32_at(head: &[u8; STAMP_BYTES], at: usize) -> u32 {
    u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn u64_at(head: &[u8; STAMP_BYTES], at: usize) -> u64 {
    u64::from(u32_at(head, at)) << 32 | u64::from(u32_at(head, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sealed_value_reads_back_and_any_changed_byte_shows(
            producer: u32, sequence: u64, intended_ns: u64,
            rest in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, flip in 1..=255_u8,
        ) {
            let stamp = Stamp { producer, sequence, intended_ns };
            let mut value = vec![0; STAMP_BYTES];
            value.extend(rest);
            stamp.seal(&mut value);
            prop_assert_eq!(Stamp::read(&value), Ok(stamp));
            let at = at.index(value.len());
            value[at] ^= flip;
            match Stamp::read(&value) {
                Err(StampError::NoStamp) => prop_assert!(at < PRODUCER),
                Err(StampError::Corrupt(_)) => prop_assert!(at >= PRODUCER),
                other => prop_assert!(false, "byte {} changed: {:?}", at, other),
            }
        }
    }

    #[test]
    fn cut_values_show() {
        let mut value = [7; 60];
        let stamp = Stamp { producer: 1, sequence: 2, intended_ns: 3 };
        stamp.seal(&mut value);
        assert_eq!(Stamp::read(&value[..59]), Err(StampError::Corrupt(stamp)));
        assert_eq!(Stamp::read(&value[..STAMP_BYTES - 1]), Err(StampError::TooShort));
        assert_eq!(Stamp::read(&[0; 60]), Err(StampError::NoStamp));
    }
}
