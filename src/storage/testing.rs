//! What the tests of this room share.

use crate::model::{LeaderEpoch, Offset};

/// A batch of `records` at `base` with a payload of `payload` bytes, with a right checksum. The records are filler: this
/// room never looks into them.
pub(crate) fn batch_at(base: i64, records: i32, payload: usize) -> Vec<u8> {
    batch(base, records, payload, 1_000)
}

/// As [`batch_at`], with its largest timestamp.
pub(crate) fn batch(base: i64, records: i32, payload: usize, timestamp: i64) -> Vec<u8> {
    let mut bytes = vec![0; 61 + payload];
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    bytes[27..35].copy_from_slice(&timestamp.to_be_bytes());
    bytes[35..43].copy_from_slice(&timestamp.to_be_bytes());
    bytes[43..51].copy_from_slice(&(-1i64).to_be_bytes());
    bytes[51..53].copy_from_slice(&(-1i16).to_be_bytes());
    bytes[53..57].copy_from_slice(&(-1i32).to_be_bytes());
    bytes[57..61].copy_from_slice(&records.to_be_bytes());
    for (at, byte) in bytes[61..].iter_mut().enumerate() {
        *byte = (at as u8).wrapping_mul(31).wrapping_add(base as u8) | 1;
    }
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    crate::record::patch_assigned(&mut bytes, Offset(base), LeaderEpoch(0));
    bytes
}
