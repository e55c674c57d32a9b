//! What timestamps do to segments: when they roll, when they expire, whatever the clock of whoever wrote them.

use crate::io::Simulated;
use crate::model::{Offset, TimestampMs};
use crate::storage::segment::{Segment, Stage};
use crate::storage::testing::{Opened, open, real_store, run, settings, simulated_store};
use crate::storage::{LogSettings, StorageError};

/// The clock in these tests, far from every timestamp.
const NOW: i64 = 1_000_000_000;
const HOUR: i64 = 3_600_000;

fn bases(log: &Opened) -> Vec<i64> {
    log.log.segments().iter().map(|segment| segment.base_offset.0).collect()
}

async fn durable(log: &Opened) -> Result<(), StorageError> {
    log.log.wait_durable(log.log.log_end_offset()).await?;
    log.log.wait_idle().await;
    Ok(())
}

#[test]
fn old_records_written_anew_roll_by_their_own_timestamps() {
    run(async {
        let device = Simulated::new(1);
        let store = simulated_store(&device, 1 << 20).await;
        let hourly = LogSettings { segment_ms: HOUR, ..settings() };
        let log = open(&store, hourly).await.expect("a new log");
        let put = |log: &Opened, timestamp| log.append_at(1, 10, timestamp, NOW).expect("accepted");
        put(&log, 5 * HOUR);
        put(&log, 6 * HOUR);
        assert_eq!(bases(&log), [0], "not later than segment.ms");
        put(&log, 6 * HOUR + 1);
        put(&log, 2 * HOUR);
        put(&log, -1);
        assert_eq!(bases(&log), [0, 2], "earlier ones and those without a timestamp roll nothing");
        durable(&log).await.expect("durable");
        // What the segment counts from outlives a clean end and another kind.
        log.log.close().await.expect("closed");
        store.close().await.expect("a manifest");
        let store = simulated_store(&device, 1 << 20).await;
        let log = open(&store, hourly).await.expect("again");
        put(&log, 7 * HOUR + 2);
        assert_eq!(bases(&log), [0, 2, 5]);
        durable(&log).await.expect("durable");
        store.checkpoint().await.expect("written");
        let store = simulated_store(&device.crash(), 1 << 20).await;
        let log = open(&store, hourly).await.expect("after a crash");
        assert_eq!(log.log.state.borrow().active().times.first_batch, TimestampMs(7 * HOUR + 2));
    });
}

#[test]
fn timestamps_from_the_future_roll_nothing() {
    run(async {
        let store = simulated_store(&Simulated::new(2), 1 << 20).await;
        let log = open(&store, LogSettings { segment_ms: HOUR, ..settings() }).await.expect("a new log");
        for timestamp in [NOW, i64::MAX, NOW + 10 * HOUR, NOW, i64::MAX] {
            log.append_at(1, 10, timestamp, NOW + 5).expect("accepted");
        }
        assert_eq!(bases(&log), [0]);
        // One that begins with such a record still rolls, by the clock.
        log.append_at(1, 10, NOW + HOUR + 6, NOW + HOUR + 6).expect("accepted");
        assert_eq!(bases(&log), [0, 5]);
    });
}

#[test]
fn records_without_timestamps_are_as_young_as_their_file_after_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        log.append_at(1, 10, -1, NOW).expect("accepted");
        durable(&log).await.expect("durable");
        drop(log);
        let store = real_store(directory.path()).await;
        let week = LogSettings { retention_ms: 7 * 24 * HOUR, ..settings() };
        let log = open(&store, week).await.expect("without a clean end");
        let written = log.log.state.borrow().active().times.last_append;
        assert!(written.0 >= 0, "the file's last change");
        assert!(!log.log.roll_if_due(TimestampMs(written.0 + week.segment_ms - 1)), "not rolled at once");
        let kept = log.log.apply_retention(TimestampMs(written.0 + week.retention_ms)).await;
        assert_eq!(kept.expect("applied"), 0);
        let gone = log.log.apply_retention(TimestampMs(written.0 + week.retention_ms + 1)).await;
        assert_eq!(gone.expect("applied"), 1);
    });
}

#[test]
fn what_size_takes_need_not_have_expired() {
    run(async {
        let store = simulated_store(&Simulated::new(4), 1 << 20).await;
        // Segments of one batch of 161 bytes: the first is young, the next two are old, the last is young.
        let tiny = LogSettings { segment_bytes: 200, ..settings() };
        let log = open(&store, tiny).await.expect("a new log");
        for timestamp in [NOW, 1, 1, NOW] {
            log.append_at(1, 100, timestamp, NOW).expect("accepted");
        }
        durable(&log).await.expect("durable");
        log.log.update_settings(LogSettings { retention_ms: 1_000, ..tiny });
        assert_eq!(log.log.apply_retention(TimestampMs(NOW)).await.expect("applied"), 0, "the first stays");
        let both = LogSettings { retention_ms: 1_000, retention_bytes: 3 * 161, ..tiny };
        log.log.update_settings(both);
        assert_eq!(log.log.apply_retention(TimestampMs(NOW)).await.expect("applied"), 3);
        assert_eq!(bases(&log), [3]);
    });
}

#[test]
fn segments_that_compaction_emptied_hold_up_nothing() {
    for settings in [
        LogSettings { retention_ms: 1_000, segment_bytes: 200, ..settings() },
        LogSettings { retention_bytes: 161, segment_bytes: 200, ..settings() },
    ] {
        run(async {
            let store = simulated_store(&Simulated::new(5), 1 << 20).await;
            let log = open(&store, settings).await.expect("a new log");
            for timestamp in [1, 1, 1, NOW] {
                log.append_at(1, 100, timestamp, NOW).expect("accepted");
            }
            log.log.write_back(Offset(4)).await.expect("written");
            {
                let mut state = log.log.state.borrow_mut();
                let empty = Segment { next_offset: Offset(2), ..Segment::new(Offset(1)) };
                state.segments[1] = Segment { stage: Stage::Finished, ..empty };
            }
            assert_eq!(log.log.apply_retention(TimestampMs(NOW)).await.expect("applied"), 3);
            assert_eq!((bases(&log), log.log.log_start_offset()), (vec![3], Offset(3)));
        });
    }
}

#[test]
fn without_a_bound_an_emptied_segment_stays() {
    run(async {
        let store = simulated_store(&Simulated::new(6), 1 << 20).await;
        let tiny = LogSettings { segment_bytes: 200, ..settings() };
        let log = open(&store, tiny).await.expect("a new log");
        log.append_at(1, 100, 1, NOW).expect("accepted");
        log.append_at(1, 100, 1, NOW).expect("accepted");
        durable(&log).await.expect("durable");
        {
            let mut state = log.log.state.borrow_mut();
            let empty = Segment { next_offset: Offset(1), ..Segment::new(Offset(0)) };
            state.segments[0] = Segment { stage: Stage::Finished, ..empty };
        }
        assert_eq!(log.log.apply_retention(TimestampMs(NOW)).await.expect("applied"), 0);
    });
}

#[test]
fn a_full_index_ends_its_segment() {
    run(async {
        let store = simulated_store(&Simulated::new(7), 1 << 20).await;
        // An entry of 16 bytes for each batch.
        let dense = LogSettings { index_interval_bytes: 0, index_bytes: 48, ..settings() };
        let log = open(&store, dense).await.expect("a new log");
        for timestamp in 0..7 {
            log.append_at(1, 10, timestamp, NOW).expect("accepted");
        }
        assert_eq!(bases(&log), [0, 3, 6]);
        log.log.update_settings(LogSettings { index_bytes: 4, ..dense });
        log.append_at(1, 10, 7, NOW).expect("accepted");
        log.append_at(1, 10, 8, NOW).expect("accepted");
        assert_eq!(bases(&log), [0, 3, 6, 7, 8], "room for no entry: each batch gets a segment");
        durable(&log).await.expect("durable");
        assert_eq!(log.bases().await, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    });
}
