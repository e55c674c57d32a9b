//! Appending and reading, from memory and from the device, within and across segments.

use crate::io::Simulated;
use crate::model::Offset;
use crate::record::BatchHeader;
use crate::storage::testing::{open, real_store, run, settings, simulated_file, simulated_store};
use crate::storage::{LogSettings, ReadLimit, StorageError, TryRead};

fn limit(end: i64, bytes_max: u32) -> ReadLimit {
    ReadLimit { end: Offset(end), bytes_max, at_least_one: true }
}

#[test]
fn what_is_durable_is_read_from_memory_and_after_a_restart_from_the_device() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        assert_eq!(log.put(3, 100).await, 0);
        assert_eq!(log.put(2, 5_000).await, 3);
        assert_eq!(log.log.durable_end_offset(), Offset(5));
        assert_eq!(log.observed.durable.get(), 5);
        assert!(
            matches!(log.log.try_read(Offset(4), limit(5, 10)), TryRead::Cached(slices) if slices.len() == 5_061)
        );
        assert_eq!(log.bases().await, [0, 3]);
        store.checkpoint().await.expect("written");
        drop(log);

        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("the log again");
        assert_eq!(log.log.log_end_offset(), Offset(5));
        assert_eq!((log.replayed.snapshot, log.replayed.batches.len()), (Some(2), 0));
        assert!(matches!(log.log.try_read(Offset(0), limit(5, 10)), TryRead::Cold));
        assert_eq!(log.bases().await, [0, 3]);
        // The last block is read back before it is written again.
        assert_eq!(log.put(1, 10).await, 5);
        assert_eq!(log.bases().await, [0, 3, 5]);
    });
}

#[test]
fn thousands_of_batches_over_many_segments_come_back_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        let mut bases = Vec::new();
        for n in 0..2_000u32 {
            bases.push(log.append(1 + (n % 3) as i32, (n * 37 % 900) as usize, 1_000).expect("accepted"));
            if n % 97 == 0 {
                log.log.wait_durable(log.log.log_end_offset()).await.expect("durable");
            }
        }
        log.log.wait_durable(log.log.log_end_offset()).await.expect("durable");
        assert!(log.log.segments().len() > 10);
        assert!(store.cache().used_bytes() <= store.cache().budget_bytes());
        assert_eq!(log.bases().await, bases);
        log.log.close().await.expect("closed");
        store.close().await.expect("a manifest");

        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("the log again");
        assert_eq!(log.replayed.snapshot, Some(2_000), "a clean close needs no scan");
        assert!(log.replayed.batches.is_empty());
        assert_eq!(log.bases().await, bases);
        // Any offset finds its batch.
        for offset in (0..log.log.log_end_offset().0).step_by(61) {
            let slices = log.log.read(Offset(offset), limit(i64::MAX, 1)).await.expect("readable");
            let expected = bases[bases.partition_point(|base| *base <= offset) - 1];
            let header = BatchHeader::parse(&slices.bytes[0]).expect("a batch");
            assert_eq!(header.base_offset.0, expected);
        }
    });
}

#[test]
fn a_read_keeps_to_its_limits() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        for _ in 0..10 {
            log.put(2, 1_000).await;
        }
        store.checkpoint().await.expect("written");
        for cold in [false, true] {
            let store = real_store(directory.path()).await;
            let log = open(&store, settings()).await.expect("again");
            if !cold {
                assert_eq!(log.put(2, 1_000).await, 20);
            }
            let read = async |from, end, bytes_max, at_least_one| {
                let limit = ReadLimit { end: Offset(end), bytes_max, at_least_one };
                let slices = log.log.read(Offset(from), limit).await.expect("readable");
                (slices.len(), slices.next_offset.0)
            };
            assert_eq!(read(0, 20, 3 * 1_061, true).await, (3 * 1_061, 6));
            assert_eq!(read(0, 20, 3 * 1_061 - 1, true).await, (2 * 1_061, 4));
            assert_eq!(read(0, 5, 1 << 20, true).await, (2 * 1_061, 4), "no batch reaches the end");
            assert_eq!(read(1, 20, 10, true).await, (1_061, 2));
            assert_eq!(read(1, 20, 10, false).await, (0, 1));
            assert_eq!(read(4, 5, 10_000, true).await, (0, 4));
            assert_eq!(read(20, 20, 10_000, true).await, (0, 20));
            assert_eq!(read(21, 20, 10_000, true).await, (0, 21), "not below the end, but not out of range");
            let beyond = log.log.read(Offset(23), limit(20, 10)).await;
            assert!(matches!(beyond, Err(StorageError::OutOfRange { .. })));
        }
    });
}

#[test]
fn one_batch_larger_than_any_window_and_chunk_is_read_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        log.put(1, 100).await;
        assert_eq!(log.put(1, 3 << 20).await, 1);
        log.put(1, 100).await;
        assert_eq!(log.bases().await, [0, 1, 2]);
        drop(log);
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("again");
        assert_eq!(log.bases().await, [0, 1, 2]);
        assert_eq!(log.log.segments().len(), 3, "the large one has a segment of its own");
    });
}

#[test]
fn a_reader_in_order_finds_the_next_window_read_already() {
    run(async {
        let device = Simulated::new(1);
        let store = simulated_store(&device, 0).await;
        let log =
            open(&store, LogSettings { segment_bytes: 1 << 30, ..settings() }).await.expect("a new log");
        for _ in 0..200 {
            log.put(1, 5_000).await;
        }
        store.checkpoint().await.expect("written");
        assert!(matches!(log.log.try_read(Offset(0), limit(200, 1)), TryRead::Cold));
        let mut at = Offset(0);
        for _ in 0..3 {
            let slices = log.log.read(at, limit(200, 128 << 10)).await.expect("readable");
            assert!(slices.next_offset > at);
            at = slices.next_offset;
            // The window ahead arrives while the reader is busy with this one.
            for _ in 0..10 {
                futures_lite::future::yield_now().await;
            }
        }
        // What is in memory already does not care what becomes of the file.
        device.damage(&simulated_file("00000000000000000000.log"), |bytes| bytes.fill(0));
        let ahead = log.log.read(at, limit(200, 128 << 10)).await.expect("read ahead");
        let header = BatchHeader::parse(&ahead.bytes[0]).expect("a batch");
        assert_eq!(header.base_offset, at);
        header.check_crc(&ahead.bytes[0]).expect("an intact batch");
        let elsewhere = log.log.read(Offset(0), limit(200, 1)).await;
        assert!(matches!(elsewhere, Err(StorageError::Corrupt { .. })), "{elsewhere:?}");
    });
}
