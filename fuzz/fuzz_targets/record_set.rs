//! Reads arbitrary bytes as the records of a partition.
#![no_main]

use bytes::Bytes;
use corelog::model::{Offset, TimestampMs};
use corelog::record::{first_at_or_after, max_timestamp, records, single_batch, split_batches};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let _ = single_batch(&bytes, true);
    for (batch, header) in split_batches(&bytes).flatten() {
        assert_eq!(batch.len(), header.size_bytes as usize);
        if let Ok(records) = records(&batch) {
            for _ in records.flatten().take(10_000) {}
        }
        let _ = max_timestamp(&batch);
        let _ = first_at_or_after(&batch, TimestampMs(1), Offset(1));
    }
});
