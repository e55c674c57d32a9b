//! Retention, DeleteRecords, truncation, rolling by age, and removal of whole logs.

use std::rc::Rc;

use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::storage::testing::{Opened, open, real_store, run, settings, simulated_file, simulated_store};
use crate::storage::{LogSettings, StorageError, remove_leftovers};

const NOW: TimestampMs = TimestampMs(1_000_000);

/// Segments of two batches of 161 bytes.
fn tiny() -> LogSettings {
    LogSettings { segment_bytes: 400, ..settings() }
}

/// A log of `batches` batches whose timestamps are their offsets.
async fn filled(seed: u64, batches: i64, settings: LogSettings) -> (Rc<Simulated>, Opened) {
    let device = Simulated::new(seed);
    let store = simulated_store(&device, 1 << 20).await;
    let log = open(&store, settings).await.expect("a new log");
    for at in 0..batches {
        log.append_at(1, 100, at, at).expect("accepted");
    }
    log.log.wait_durable(Offset(batches)).await.expect("durable");
    log.log.write_back(Offset(batches)).await.expect("written");
    (device, log)
}

/// Opens the log as the next start of the broker does.
async fn again(device: &Rc<Simulated>) -> Opened {
    open(&simulated_store(device, 1 << 20).await, tiny()).await.expect("again")
}

fn bases(log: &Opened) -> Vec<i64> {
    log.log.segments().iter().map(|segment| segment.base_offset.0).collect()
}

#[test]
fn retention_by_size_keeps_at_least_that_much() {
    run(async {
        let (device, log) = filled(1, 9, tiny()).await;
        assert_eq!(bases(&log), [0, 2, 4, 6, 8]);
        log.log.update_settings(LogSettings { retention_bytes: 700, ..tiny() });
        assert_eq!(log.log.apply_retention(NOW).await.expect("applied"), 2);
        assert_eq!(bases(&log), [4, 6, 8]);
        assert_eq!(log.log.log_start_offset(), Offset(4));
        assert_eq!(log.bases().await, [4, 5, 6, 7, 8]);
        assert!(device.content(&simulated_file("00000000000000000000.log")).is_none());
        let log = again(&device).await;
        assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(4), Offset(9)));
    });
}

#[test]
fn retention_by_time_takes_the_active_segment_too_and_offsets_go_on() {
    run(async {
        let (device, log) = filled(2, 3, tiny()).await;
        log.log.update_settings(LogSettings { retention_ms: 1_000, ..tiny() });
        assert_eq!(log.log.apply_retention(TimestampMs(1_001)).await.expect("applied"), 0);
        assert_eq!(log.log.apply_retention(TimestampMs(1_002)).await.expect("applied"), 1);
        assert_eq!(log.log.apply_retention(NOW).await.expect("applied"), 1);
        assert_eq!((log.log.log_start_offset(), log.log.size_bytes()), (Offset(3), 0));
        assert_eq!(log.log.log_end_offset(), Offset(3));
        drop(log);
        let log = again(&device).await;
        assert_eq!(log.log.log_end_offset(), Offset(3), "offsets are not used again");
        assert_eq!(log.replayed.snapshot, Some(3), "producers outlive their records");
        assert_eq!(log.put(1, 100).await, 3);
    });
}

#[test]
fn timestamps_in_the_future_do_not_keep_records_for_ever() {
    run(async {
        let device = Simulated::new(3);
        let store = simulated_store(&device, 1 << 20).await;
        let log = open(&store, LogSettings { retention_ms: 1_000, ..tiny() }).await.expect("a new log");
        log.append_at(1, 100, i64::MAX / 2, 5).expect("accepted");
        log.log.wait_durable(Offset(1)).await.expect("durable");
        assert_eq!(log.log.apply_retention(TimestampMs(1_005)).await.expect("applied"), 0);
        assert_eq!(log.log.apply_retention(TimestampMs(1_006)).await.expect("applied"), 1);
    });
}

#[test]
fn without_the_delete_policy_nothing_expires() {
    run(async {
        let settings = LogSettings { retention_ms: 0, retention_bytes: 0, delete: false, ..tiny() };
        let (_, log) = filled(4, 9, settings).await;
        assert_eq!(log.log.apply_retention(NOW).await.expect("applied"), 0);
        assert_eq!(log.bases().await.len(), 9);
    });
}

#[test]
fn delete_records_moves_the_start_durably_and_deletes_whole_segments() {
    run(async {
        let (device, log) = filled(5, 9, tiny()).await;
        log.log.advance_log_start(Offset(5)).await.expect("advanced");
        assert_eq!(bases(&log), [4, 6, 8]);
        assert_eq!(log.bases().await, [5, 6, 7, 8]);
        log.log.advance_log_start(Offset(3)).await.expect("nothing to do");
        assert_eq!(log.log.log_start_offset(), Offset(5));
        let beyond = log.log.advance_log_start(Offset(10)).await;
        assert!(matches!(beyond, Err(StorageError::OutOfRange { .. })));
        let device = device.crash();
        let log = again(&device).await;
        assert_eq!(log.log.log_start_offset(), Offset(5));
        log.log.advance_log_start(Offset(9)).await.expect("everything may go");
        assert_eq!(log.bases().await, Vec::<i64>::new());
        assert_eq!(log.put(1, 1).await, 9);
    });
}

#[test]
fn truncation_cuts_segments_batches_and_epochs() {
    run(async {
        let (device, log) = filled(6, 9, tiny()).await;
        log.log.start_epoch(LeaderEpoch(4));
        assert_eq!(log.log.latest_epoch(), Some(LeaderEpoch(4)));
        assert_eq!(log.log.truncate_to(Offset(20)).await.expect("nothing to do"), Offset(9));
        assert_eq!(log.log.truncate_to(Offset(5)).await.expect("cut"), Offset(5));
        assert_eq!(log.log.latest_epoch(), Some(LeaderEpoch(0)));
        assert_eq!(bases(&log), [0, 2, 4]);
        assert_eq!(log.bases().await, [0, 1, 2, 3, 4]);
        log.observed.durable.set(5);
        log.observed.batches.set(5);
        log.log.producers_rebuilt();
        assert_eq!(log.put(1, 7).await, 5);
        assert_eq!(log.bases().await, [0, 1, 2, 3, 4, 5]);
        drop(log);
        let log = again(&device).await;
        assert_eq!(log.bases().await, [0, 1, 2, 3, 4, 5]);
        assert_eq!(
            log.replayed.snapshot,
            Some(log.replayed.batches[0] as u64),
            "no snapshot of what was cut off is used"
        );
    });
}

#[test]
fn an_old_active_segment_is_rolled() {
    run(async {
        let (_, log) = filled(7, 1, LogSettings { segment_ms: 100, ..settings() }).await;
        assert!(!log.log.roll_if_due(TimestampMs(99)));
        assert!(log.log.roll_if_due(TimestampMs(100)));
        assert!(!log.log.roll_if_due(TimestampMs(1_000)), "an empty one is never due");
        log.append_at(1, 10, 0, 1_000).expect("accepted");
        log.append_at(1, 10, 0, 1_100).expect("accepted, in the next segment");
        assert_eq!(bases(&log), [0, 1, 2]);
    });
}

#[test]
fn offsets_that_do_not_fit_an_index_roll_the_segment() {
    run(async {
        let (_, log) = filled(8, 1, settings()).await;
        log.append(i32::MAX, 10, 1).expect("accepted");
        log.append(1, 10, 1).expect("accepted");
        assert_eq!(bases(&log), [0, i64::from(i32::MAX) + 1]);
        log.log.wait_durable(log.log.log_end_offset()).await.expect("durable");
        assert_eq!(log.bases().await.len(), 3);
    });
}

#[test]
fn a_removed_log_frees_its_name_at_once_and_its_space_later() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let settings = LogSettings { delete_delay_ms: 3_600_000, ..settings() };
        let log = open(&store, settings).await.expect("a new log");
        log.put(1, 10).await;
        store.checkpoint().await.expect("written");
        log.log.remove().await.expect("removed");
        assert!(matches!(log.append(1, 10, 1), Err(StorageError::Closed)));
        assert!(matches!(log.log.wait_durable(Offset(9)).await, Err(StorageError::Closed)));
        let names = || {
            let entries = std::fs::read_dir(directory.path()).expect("listed");
            let names =
                entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
            names.filter(|name| name.starts_with("orders")).collect::<Vec<_>>()
        };
        assert_eq!(names().len(), 1);
        assert!(names()[0].starts_with("orders-3.") && names()[0].ends_with("-delete"));
        let log = open(&store, settings).await.expect("anew");
        assert_eq!(log.put(1, 10).await, 0);
        store.checkpoint().await.expect("written");
        assert_eq!(remove_leftovers(store.disk()).await.expect("cleaned"), 1);
        // A thread of its own removes them.
        let begun = std::time::Instant::now();
        while names() != ["orders-3"] {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", names());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let never = open(&store, settings).await.expect("again");
        never.log.remove().await.expect("removed");
        never.log.remove().await.expect("twice is no error");
    });
}
