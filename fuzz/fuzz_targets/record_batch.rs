//! Validates a batch whose length, format and checksum are made to fit; the first byte chooses the topic's codec.
#![no_main]

use bytes::Bytes;
use corelog::model::{Offset, TimestampMs};
use corelog::record::{
    BatchHeader, BatchRules, Codec, HEADER_BYTES, Horizon, Remains, TimestampType, accept, records, retain, crc32c,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    if data.len() < HEADER_BYTES {
        return;
    }
    let mut batch = data.to_vec();
    let length = (batch.len() - 12) as i32;
    batch[..8].fill(0);
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = Bytes::from(batch);
    let header = BatchHeader::parse_whole(&batch).expect("the framing fits");
    let rules = BatchRules {
        batch_bytes_max: 1 << 20,
        require_keys: choice & 0x10 != 0,
        timestamps: if choice & 0x20 != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        compression: Codec::ALL.get(usize::from(choice & 0x7)).copied(),
    };
    if let Ok(accepted) = accept(&batch, &header, &rules, TimestampMs(1)) {
        accepted.header.check_crc(&accepted.batch).expect("the checksum fits");
        let mut count = 0;
        for record in records(&accepted.batch).expect("accepted records decompress") {
            assert_eq!(record.expect("accepted records are well formed").offset, Offset(count));
            count += 1;
        }
        assert_eq!(count, i64::from(accepted.header.record_count));
        let horizon = Horizon::OfTombstones(TimestampMs(i64::MAX));
        let remains = retain(&accepted.batch, &accepted.header, horizon, |record| record.offset.0 % 2 == 0);
        if let Remains::Batch { batch, .. } = remains.expect("accepted records are well formed") {
            let header = BatchHeader::parse_whole(&batch).expect("it is a batch");
            header.check_crc(&batch).expect("the checksum fits");
            assert_eq!(records(&batch).expect("it decompresses").flatten().count() as i64, (count + 1) / 2);
        }
    }
});
