//! Files of deleted segments that the next segments take over.
//!
//! Key invariant: what such a file held before is never read, whenever the power goes; nobody's file changes under them.

use std::rc::Rc;

use crate::io::{Access, Simulated};
use crate::model::{Offset, TimestampMs};
use crate::storage::testing::{Opened, bypassing_store, open, run, settings, simulated_file, turns};
use crate::storage::{LogSettings, Store};

/// Segments of two batches of 5,061 bytes.
const SEGMENT_BYTES: u32 = 11_000;
const PAYLOAD_BYTES: usize = 5_000;
const FIRST: &str = "00000000000000000000.log";
const SPARE: &str = "00000000000000000000.log.deleted";
/// The next segment that has no file when the first is deleted.
const NEXT: &str = "00000000000000000006.log";

fn small() -> LogSettings {
    LogSettings { segment_bytes: SEGMENT_BYTES, retention_bytes: 12_000, ..settings() }
}

/// Enough for whatever a log does in the background.
const SETTLED: u64 = 200;

async fn opened(store: &Rc<Store>) -> Opened {
    open(store, small()).await.expect("it opens")
}

async fn put(log: &Opened, batches: u64) {
    for _ in 0..batches {
        log.put(1, PAYLOAD_BYTES).await;
    }
}

/// A log of three segments, the first of which retention has just deleted.
async fn with_deleted(device: &Rc<Simulated>) -> Opened {
    let log = opened(&bypassing_store(device).await).await;
    put(&log, 6).await;
    assert_eq!(log.log.apply_retention(TimestampMs(0)).await.expect("applied"), 1);
    assert!(device.content(&simulated_file(FIRST)).is_none(), "its name is gone");
    turns(SETTLED).await;
    log
}

fn is_spare(device: &Simulated) -> bool {
    device.content(&simulated_file(SPARE)).is_some()
}

#[test]
fn the_next_segment_takes_the_file_and_no_crash_brings_its_batches_back() {
    for seed in 0..200 {
        run(async {
            let device = Simulated::new(seed);
            let log = with_deleted(&device).await;
            let before = device.content(&simulated_file(SPARE)).expect("it is kept");
            put(&log, 1).await;
            let after = device.content(&simulated_file(NEXT)).expect("the segment's file");
            assert!(!is_spare(&device), "it has another name");
            assert_eq!(after.len(), before.len());
            assert_eq!(after[8_192..], before[8_192..], "what is not overwritten is still there");
            // Of the batch before the crash any part may be in the file.
            let _ = log.append(1, device.choose(5_000) as usize, 1_000);
            turns(device.choose(12)).await;
            let acknowledged = log.log.durable_end_offset();
            let log = opened(&bypassing_store(&device.crash()).await).await;
            let bases = log.bases().await;
            assert_eq!(bases[..5], [2, 3, 4, 5, 6], "seed {seed}");
            assert!(bases.len() as i64 >= acknowledged.0 - 2 && bases.len() <= 6, "{bases:?}, seed {seed}");
            let end = log.log.log_end_offset();
            assert_eq!(log.put(1, PAYLOAD_BYTES).await, end.0);
        });
    }
}

#[test]
fn a_crash_between_the_name_and_the_first_byte_leaves_an_empty_segment() {
    for seed in 0..100 {
        run(async {
            let device = Simulated::new(seed);
            let log = with_deleted(&device).await;
            log.append(1, PAYLOAD_BYTES, 1_000).expect("accepted");
            turns(device.choose(30)).await;
            let log = opened(&bypassing_store(&device.crash()).await).await;
            let bases = log.bases().await;
            assert!(bases == [2, 3, 4, 5] || bases == [2, 3, 4, 5, 6], "{bases:?}, seed {seed}");
            put(&log, 4).await;
        });
    }
}

/// The rule: a finished segment's file ends where its batches do, as Kafka's tools expect (`Log::cut_file`).
#[test]
fn what_is_left_of_the_old_content_goes_when_the_segment_is_finished_or_the_log_closed() {
    run(async {
        for is_closed in [false, true] {
            let device = Simulated::new(u64::from(is_closed));
            let log = with_deleted(&device).await;
            let (size, _) = (log.put(1, 3_000).await, log.put(1, 3_000).await);
            assert_eq!(size, 6);
            if is_closed {
                log.log.close().await.expect("closed");
            } else {
                log.put(1, PAYLOAD_BYTES).await;
                log.log.write_back(Offset(9)).await.expect("written");
            }
            assert_eq!(device.content(&simulated_file(NEXT)).expect("a file").len(), 2 * 3_061);
        }
    });
}

#[test]
fn a_file_that_someone_reads_is_left_to_them() {
    run(async {
        let device = Simulated::new(1);
        let store = bypassing_store(&device).await;
        let log = opened(&store).await;
        put(&log, 6).await;
        let reader = store.disk().open_file(&simulated_file(FIRST), Access::Read).await.expect("open");
        let before = reader.read_at(0, 4_096, crate::io::IoClass::ColdRead).await.expect("read");
        log.log.apply_retention(TimestampMs(0)).await.expect("applied");
        turns(SETTLED).await;
        assert!(!is_spare(&device), "it is removed");
        put(&log, 1).await;
        let after = reader.read_at(0, 4_096, crate::io::IoClass::ColdRead).await.expect("read");
        assert_eq!(before, after);
    });
}

#[test]
fn spares_go_when_nobody_needs_them_or_space_is_not_ample() {
    run(async {
        for is_scarce in [false, true] {
            let device = Simulated::new(2);
            let log = with_deleted(&device).await;
            assert!(is_spare(&device));
            if is_scarce {
                device.set_free_bytes(10 << 20);
                log.log.store().disk().look_at_free_space();
                turns(SETTLED).await;
                log.log.age_spares();
            } else {
                (0..60).for_each(|_| log.log.age_spares());
                turns(SETTLED).await;
                assert!(is_spare(&device), "someone may come for it for a minute");
                log.log.age_spares();
            }
            turns(SETTLED).await;
            assert!(!is_spare(&device), "scarce: {is_scarce}");
            put(&log, 3).await;
        }
    });
}

#[test]
fn a_log_that_began_no_segment_for_a_minute_keeps_no_spare() {
    run(async {
        let device = Simulated::new(3);
        let log = opened(&bypassing_store(&device).await).await;
        put(&log, 6).await;
        (0..60).for_each(|_| log.log.age_spares());
        log.log.apply_retention(TimestampMs(0)).await.expect("applied");
        turns(SETTLED).await;
        assert!(!is_spare(&device));
    });
}

#[test]
fn a_log_that_is_closed_leaves_no_spare() {
    run(async {
        let device = Simulated::new(4);
        let log = with_deleted(&device).await;
        log.log.close().await.expect("closed");
        turns(SETTLED).await;
        assert!(!is_spare(&device));
    });
}
