//! The one batch that every fetch gets.
//!
//! Key invariant: it is a valid batch at every offset, because the checksum does not cover the base offset.

use bytes::Bytes;
use corelog::model::{Offset, TimestampMs};
use corelog::record::Codec;
use corelog::record::builder::{BatchBuilder, NewRecord};

/// Bytes of the base offset, with which a batch begins.
pub(super) const BASE_OFFSET_BYTES: usize = 8;
/// Bytes of each record's value.
const VALUE_BYTES: usize = 1_000;

/// The batch without its base offset.
#[derive(Debug)]
pub(super) struct HotBatch {
    pub rest: Bytes,
    pub records: i64,
}

impl HotBatch {
    /// About `bytes` bytes, one record at least, in values that no codec shortens.
    pub(super) fn new(bytes: usize, timestamp_ms: i64) -> Self {
        let mut builder = BatchBuilder::new(Codec::None);
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut records = 0;
        while records == 0 || builder.size_bytes() + VALUE_BYTES < bytes {
            let value: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .take(VALUE_BYTES)
            .collect();
            builder.append(&record(&value, timestamp_ms));
            records += 1;
        }
        let batch = builder.build(Offset(0)).expect("without a codec nothing can fail");
        Self { rest: batch.slice(BASE_OFFSET_BYTES..), records }
    }

    /// Bytes of the whole batch.
    pub(super) fn bytes(&self) -> usize {
        BASE_OFFSET_BYTES + self.rest.len()
    }
}

fn record(value: &[u8], timestamp_ms: i64) -> NewRecord<'_> {
    NewRecord { timestamp: TimestampMs(timestamp_ms), value: Some(value), ..NewRecord::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelog::record::BatchHeader;

    #[test]
    fn the_batch_is_valid_at_any_offset() {
        let hot = HotBatch::new(1 << 20, 5);
        assert!(hot.bytes() <= 1 << 20 && hot.bytes() > (1 << 20) - 2 * VALUE_BYTES);
        let whole = [&77_i64.to_be_bytes()[..], &hot.rest].concat();
        let header = BatchHeader::parse_whole(&whole).unwrap();
        header.check_crc(&whole).unwrap();
        assert_eq!(header.next_offset().0, 77 + hot.records);
    }
}
