//! Opening what a crash, a torn write or decay left behind.

use std::rc::Rc;

use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::storage::testing::{
    Opened, batch_at, bypassing_store, open, run, settings, simulated_file, simulated_store,
};
use crate::storage::{LogSettings, StorageError, Store};

const FIRST: &str = "00000000000000000000.log";

/// A log of ten durable batches at offsets 0 to 9, 161 bytes each, in their segment and not in the journal, not closed.
async fn ten(seed: u64) -> (Rc<Simulated>, Rc<Store>) {
    let device = Simulated::new(seed);
    let store = bypassing_store(&device).await;
    let log = open(&store, settings()).await.expect("a new log");
    for _ in 0..10 {
        log.put(1, 100).await;
    }
    (device, store)
}

/// Opens the log as the next start of the broker does.
async fn reopened(device: &Rc<Simulated>) -> Opened {
    open(&bypassing_store(device).await, settings()).await.expect("it opens")
}

/// Nothing of what lay behind the last batch is left when it is written to again.
fn assert_ends_in_zeros(device: &Simulated, from: usize) {
    let content = device.content(&simulated_file(FIRST)).expect("there");
    assert!(content.len() >= from && content[from..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_torn_batch_and_all_after_it_are_cut() {
    run(async {
        let (device, _) = ten(1).await;
        device.damage(&simulated_file(FIRST), |bytes| bytes.truncate(9 * 161 + 100));
        let log = reopened(&device).await;
        assert_eq!(log.bases().await, (0..9).collect::<Vec<i64>>());
        assert_eq!(
            device.content(&simulated_file(FIRST)).expect("there").len(),
            9 * 161 + 100,
            "not touched"
        );
        assert_eq!(log.put(1, 10).await, 9, "the offset of what was never acknowledged is free");
        assert_ends_in_zeros(&device, 9 * 161 + 71);
    });
}

#[test]
fn garbage_after_the_last_batch_is_cut() {
    run(async {
        let (device, _) = ten(2).await;
        device.damage(&simulated_file(FIRST), |bytes| {
            bytes.truncate(10 * 161);
            bytes.extend((0..5_000u32).map(|n| (n * 7) as u8 | 1));
        });
        let log = reopened(&device).await;
        assert_eq!(log.bases().await.len(), 10);
        assert_eq!(log.put(1, 10).await, 10);
        assert_ends_in_zeros(&device, 10 * 161 + 71);
    });
}

#[test]
fn a_reserved_tail_of_zeros_is_cut() {
    run(async {
        let (device, _) = ten(3).await;
        device.damage(&simulated_file(FIRST), |bytes| bytes.resize(3 << 20, 0));
        let log = reopened(&device).await;
        assert_eq!(log.bases().await.len(), 10);
        assert_eq!(log.put(2, 9_000).await, 10);
        assert_eq!(reopened(&device).await.bases().await.len(), 11);
    });
}

#[test]
fn a_wrong_checksum_in_the_middle_of_the_tail_ends_the_log_there() {
    run(async {
        let (device, _) = ten(4).await;
        device.damage(&simulated_file(FIRST), |bytes| bytes[6 * 161 + 120] ^= 1);
        let log = reopened(&device).await;
        assert_eq!(log.bases().await, (0..6).collect::<Vec<i64>>());
        assert_eq!(log.replayed.batches, (0..6).collect::<Vec<i64>>(), "nothing beyond it is replayed");
    });
}

#[test]
fn batches_that_do_not_continue_the_log_end_it() {
    run(async {
        let damages: [fn(&mut Vec<u8>); 4] = [
            // A batch of other offsets, whole in itself.
            |bytes| bytes.splice(5 * 161..6 * 161, batch_at(77, 1, 100)).for_each(drop),
            // A leader epoch below the one before it.
            |bytes| bytes[5 * 161 + 12..5 * 161 + 16].copy_from_slice(&(-1i32).to_be_bytes()),
            // A length beyond the file.
            |bytes| bytes[5 * 161 + 8..5 * 161 + 12].copy_from_slice(&i32::MAX.to_be_bytes()),
            // Another message format.
            |bytes| bytes[5 * 161 + 16] = 1,
        ];
        for (seed, damage) in damages.into_iter().enumerate() {
            let (device, _) = ten(10 + seed as u64).await;
            device.damage(&simulated_file(FIRST), damage);
            assert_eq!(reopened(&device).await.bases().await, [0, 1, 2, 3, 4], "damage {seed}");
        }
    });
}

fn tiny() -> LogSettings {
    LogSettings { segment_bytes: 400, ..settings() }
}

#[test]
fn damage_before_the_last_segment_is_an_error_and_deletes_nothing() {
    run(async {
        let (device, _) = ten(20).await;
        let again = async || open(&bypassing_store(&device).await, tiny()).await;
        let log = again().await.expect("it opens");
        for _ in 0..10 {
            log.put(1, 100).await;
        }
        log.log.close().await.expect("closed");
        let segments = log.log.segments();
        let middle = segments[segments.len() / 2].base_offset;
        let name = simulated_file(&format!("{:020}.log", middle.0));
        let index = simulated_file(&format!("{:020}.cindex", middle.0));
        let whole = device.content(&name).expect("there");

        device.damage(&name, |bytes| bytes.truncate(200));
        let error = again().await.err().expect("a gap");
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
        assert_eq!(device.content(&name).expect("still there").len(), 200);

        device.damage(&name, |bytes| *bytes = whole);
        device.damage(&index, |bytes| bytes[30] ^= 1);
        let log = again().await.expect("a damaged sidecar is rebuilt");
        assert_eq!(log.bases().await.len(), 20);
    });
}

#[test]
fn the_directory_of_an_earlier_topic_is_set_aside() {
    run(async {
        let (device, _) = ten(30).await;
        let store = bypassing_store(&device).await;
        device.damage(&simulated_file("partition.metadata"), |bytes| {
            *bytes = b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ".to_vec();
        });
        let log = open(&store, settings()).await.expect("the topic of that name begins anew");
        assert_eq!(log.log.log_end_offset(), Offset::ZERO);
        log.put(1, 100).await;
        let entries = store.disk().list(store.disk().directory()).await.expect("listed").unwrap_or_default();
        let aside = entries.iter().filter(|entry| entry.name.ends_with("-delete")).count();
        assert_eq!(aside, 1, "nothing is deleted at once");
    });
}

#[test]
fn producer_state_is_a_snapshot_and_what_follows_it() {
    run(async {
        let device = Simulated::new(40);
        let again = async || open(&bypassing_store(&device).await, tiny()).await.expect("it opens");
        let log = again().await;
        for _ in 0..9 {
            log.put(1, 100).await;
        }
        drop(log);
        let log = again().await;
        // Two batches of 161 bytes fit into a segment of 400.
        assert_eq!((log.replayed.snapshot, &log.replayed.batches[..]), (Some(8), &[8][..]));
        device.damage(&simulated_file("00000000000000000008.producers"), |bytes| bytes[0] ^= 1);
        let log = again().await;
        assert_eq!((log.replayed.snapshot, &log.replayed.batches[..]), (Some(6), &[6, 7, 8][..]));
    });
}

#[test]
fn after_a_clean_stop_nothing_is_read_and_a_file_that_became_shorter_is_damage() {
    run(async {
        let (device, _) = ten(50).await;
        let log = reopened(&device).await;
        log.log.close().await.expect("closed");
        assert!(matches!(log.append(1, 1, 1), Err(StorageError::Closed)));
        log.log.store().close().await.expect("a manifest");
        // Of a log that is taken as it is nothing else would be noticed.
        device.damage(&simulated_file(FIRST), |bytes| bytes[100] ^= 1);
        let log = reopened(&device).await;
        assert_eq!((log.replayed.snapshot, log.replayed.batches.len()), (Some(10), 0));
        assert_eq!(log.log.log_end_offset(), Offset(10));
        device.damage(&simulated_file(FIRST), |bytes| bytes.truncate(5 * 161 + 3));
        let error = open(&bypassing_store(&device).await, settings())
            .await
            .err()
            .expect("acknowledged bytes are gone");
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    });
}

#[test]
fn leader_epochs_come_back_without_their_checkpoint() {
    run(async {
        let device = Simulated::new(60);
        let store = simulated_store(&device, 1 << 20).await;
        let log = open(&store, settings()).await.expect("a new log");
        for (epoch, base) in [(3, 0), (3, 1), (7, 2)] {
            log.log.append(&batch_at(base, 1, 9), LeaderEpoch(epoch), TimestampMs(0)).expect("accepted");
        }
        log.log.wait_durable(Offset(3)).await.expect("durable");
        // The checkpoint is written after the batches: this crash may come before it.
        let device = device.crash();
        let log = reopened(&device).await;
        assert_eq!(log.log.end_offset_for(LeaderEpoch(5)), Some((LeaderEpoch(3), Offset(2))));
        assert_eq!(log.log.latest_epoch(), Some(LeaderEpoch(7)));
    });
}
