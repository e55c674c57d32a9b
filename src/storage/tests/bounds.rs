//! What must not grow: open files, cached batches, unflushed bytes.

use std::rc::Rc;

use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use crate::storage::testing::{Observed, batch_at, place, real_store, run, settings};
use crate::storage::{Log, LogPlace, ReadLimit};

#[test]
fn many_partitions_keep_few_files_open() {
    const LOGS: i32 = 60;
    let directory = tempfile::tempdir().expect("a directory");
    let open_segments = || {
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("listed");
        let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| target.starts_with(directory.path()) && target.extension().is_some()).count()
    };
    run(async {
        let store = real_store(directory.path()).await;
        let mut logs = Vec::new();
        for partition in 0..LOGS {
            let place = LogPlace { partition: PartitionIndex(partition), ..place() };
            let observer = Rc::new(Observed::default());
            logs.push(Log::open(&store, place, settings(), observer, &mut |_| {}).await.expect("a new log"));
        }
        for round in 0..3 {
            for log in &logs {
                log.append(&batch_at(0, 1, 500), LeaderEpoch(0), TimestampMs(0)).expect("accepted");
            }
            for log in &logs {
                log.wait_durable(Offset(round + 1)).await.expect("durable");
                log.write_back(Offset(round + 1)).await.expect("written");
            }
        }
        for _ in 0..200 {
            if open_segments() <= 8 {
                break;
            }
            // Files are closed in the background.
            store.disk().sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(open_segments() <= 8, "{} files of {LOGS} partitions are open", open_segments());
        for log in &logs {
            let limit = ReadLimit { end: Offset(3), bytes_max: 10_000, at_least_one: true };
            assert_eq!(log.read(Offset(0), limit).await.expect("readable").next_offset, Offset(3));
        }
        assert_eq!(store.undurable_bytes(), 0);
    });
}

#[test]
fn whoever_does_not_wait_for_durability_waits_for_room() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let observer = Rc::new(Observed::default());
        let log = Log::open(&store, place(), settings(), observer, &mut |_| {}).await.expect("a new log");
        let batch = batch_at(0, 1, 1 << 20);
        let mut most = 0;
        for _ in 0..40 {
            store.room().await;
            log.append(&batch, LeaderEpoch(0), TimestampMs(0)).expect("accepted");
            most = most.max(store.undurable_bytes());
        }
        assert!(most <= (4 << 20) + batch.len() as u64, "{most} bytes were unflushed at once");
        log.wait_durable(log.log_end_offset()).await.expect("durable");
        assert_eq!(store.undurable_bytes(), 0);
        assert!(store.cache().used_bytes() <= store.cache().budget_bytes() + (2 << 20));
    });
}
