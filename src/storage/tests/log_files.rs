//! What stands in a partition's directory.

use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::storage::testing::{batch_at, open, real_store, run, settings};

#[test]
fn an_idle_partition_has_no_directory_and_the_first_checkpoint_makes_it() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        let path = directory.path().join("orders-3");
        assert!(!path.exists());
        assert_eq!(log.log.size_bytes(), 0);
        log.put(1, 10).await;
        assert!(!path.exists(), "an acknowledgement does not wait for a directory");
        store.checkpoint().await.expect("written");
        let metadata = std::fs::read_to_string(path.join("partition.metadata")).expect("written first");
        assert_eq!(metadata, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAABw");
        assert_eq!(log.log.size_bytes(), 71);
    });
}

#[test]
fn closed_segments_are_exactly_their_batches() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        let mut expected = Vec::new();
        while log.log.segments().len() < 3 {
            let base = log.put(2, 700).await;
            expected.extend_from_slice(&batch_at(base, 2, 700));
        }
        log.log.close().await.expect("closed");
        let path = directory.path().join("orders-3");
        let mut stored = Vec::new();
        for segment in log.log.segments() {
            let file = path.join(format!("{:020}.log", segment.base_offset.0));
            let bytes = std::fs::read(file).expect("a segment");
            assert_eq!(bytes.len() as u64, segment.size_bytes);
            stored.extend_from_slice(&bytes);
        }
        assert!(stored == expected, "the files hold the batches as they were appended");
    });
}

#[test]
fn a_log_that_was_only_opened_is_closed_without_a_write() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        log.put(1, 10).await;
        log.log.close().await.expect("closed");
        store.close().await.expect("a manifest");
        let store = real_store(directory.path()).await;
        let state = || {
            let entries = std::fs::read_dir(directory.path().join("orders-3")).expect("listed");
            let mut facts: Vec<_> = entries
                .map(|entry| entry.expect("an entry"))
                .map(|entry| (entry.file_name(), entry.metadata().expect("there").modified().expect("known")))
                .collect();
            facts.sort();
            facts
        };
        let before = state();
        let log = open(&store, settings()).await.expect("again");
        log.log.start_epoch(LeaderEpoch(9));
        assert_eq!(log.log.end_offset_for(LeaderEpoch(9)), Some((LeaderEpoch(9), Offset(1))));
        log.log.close().await.expect("closed");
        assert_eq!(state(), before);
    });
}

#[test]
fn leader_epochs_are_saved_as_kafka_saves_them() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("a new log");
        for (epoch, base) in [(1, 0), (1, 2), (4, 4)] {
            log.log.append(&batch_at(base, 2, 9), LeaderEpoch(epoch), TimestampMs(0)).expect("accepted");
        }
        log.log.wait_durable(Offset(6)).await.expect("durable");
        log.log.close().await.expect("closed");
        let file = directory.path().join("orders-3/leader-epoch-checkpoint");
        assert_eq!(std::fs::read_to_string(&file).expect("saved"), "0\n2\n1 0\n4 4\n");
        let store = real_store(directory.path()).await;
        let log = open(&store, settings()).await.expect("again");
        assert_eq!(log.log.end_offset_for(LeaderEpoch(2)), Some((LeaderEpoch(1), Offset(4))));
        assert_eq!(log.log.latest_epoch(), Some(LeaderEpoch(4)));
    });
}
