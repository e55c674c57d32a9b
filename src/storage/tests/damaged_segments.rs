//! Segments and their sidecars that are not as the last checkpoint left them, with journal and manifest beside them.
//!
//! Key invariant: what manifest or journal vouches for is there or the partition stays offline; sidecars are conveniences.

use std::rc::Rc;

use crate::io::Simulated;
use crate::model::Offset;
use crate::storage::testing::{
    Opened, bypassing_store, open, run, settings, simulated_file, simulated_store,
};
use crate::storage::{LogSettings, StorageError};

const FIRST: &str = "00000000000000000000.log";

/// Segments of two batches of 161 bytes.
fn tiny() -> LogSettings {
    LogSettings { segment_bytes: 400, ..settings() }
}

async fn again(device: &Rc<Simulated>, settings: LogSettings) -> Result<Opened, StorageError> {
    open(&simulated_store(device, 1 << 20).await, settings).await
}

/// Five batches in segment and manifest, five more in the journal and, not synced by a manifest, in the segment.
async fn half_and_half(seed: u64) -> Rc<Simulated> {
    let device = Simulated::new(seed);
    let log = again(&device, settings()).await.expect("a new log");
    for at in 0..10 {
        log.put(1, 100).await;
        if at == 4 {
            log.log.store().checkpoint().await.expect("a checkpoint");
        }
    }
    log.log.write_back(Offset(10)).await.expect("written");
    device.crash()
}

#[test]
fn a_file_cut_above_the_checkpoint_is_filled_from_the_journal() {
    for batches in 5..10 {
        run(async {
            let device = half_and_half(batches as u64).await;
            device.damage(&simulated_file(FIRST), |bytes| bytes.truncate(batches * 161 + 50));
            let log = again(&device, settings()).await.expect("it opens");
            assert_eq!(log.bases().await, (0..10).collect::<Vec<i64>>());
            let covered = log.replayed.snapshot.unwrap_or(0) + log.replayed.batches.len() as u64;
            assert_eq!(covered, 10);
            log.log.store().checkpoint().await.expect("a checkpoint");
            let content = device.content(&simulated_file(FIRST)).expect("there");
            assert!(content.len() >= 1_610);
        });
    }
}

#[test]
fn a_damaged_batch_above_the_checkpoint_is_taken_from_the_journal() {
    run(async {
        let device = half_and_half(20).await;
        device.damage(&simulated_file(FIRST), |bytes| bytes[7 * 161 + 120] ^= 1);
        let log = again(&device, settings()).await.expect("it opens");
        assert_eq!(log.bases().await, (0..10).collect::<Vec<i64>>());
    });
}

#[test]
fn a_file_cut_below_the_checkpoint_is_an_error_and_nothing_is_deleted() {
    for bytes_left in [0, 4 * 161, 5 * 161 - 1] {
        run(async {
            let device = half_and_half(30).await;
            device.damage(&simulated_file(FIRST), |bytes| bytes.truncate(bytes_left));
            let files = device.files();
            for _ in 0..2 {
                let error = again(&device, settings()).await.err().expect("acknowledged bytes are gone");
                assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
                assert!(error.to_string().contains("last checkpoint"), "{error}");
            }
            let kept = device.files();
            assert!(files.iter().all(|file| kept.contains(file)), "{files:?} {kept:?}");
        });
    }
}

/// Ten batches in segments of two; through the journal and a manifest, or without either.
async fn five_segments(seed: u64, checkpointed: bool) -> Rc<Simulated> {
    let device = Simulated::new(seed);
    let store = match checkpointed {
        true => simulated_store(&device, 1 << 20).await,
        false => bypassing_store(&device).await,
    };
    let log = open(&store, tiny()).await.expect("a new log");
    for _ in 0..10 {
        log.put(1, 100).await;
    }
    log.log.write_back(Offset(10)).await.expect("written");
    if checkpointed {
        store.checkpoint().await.expect("a checkpoint");
    }
    device.crash()
}

/// Moves a file out of the log's directory.
async fn take_away(device: &Rc<Simulated>, name: &str) {
    let store = bypassing_store(device).await;
    store
        .disk()
        .rename(&simulated_file(name), std::path::Path::new("/simulated/taken"))
        .await
        .expect("moved");
}

#[test]
fn a_missing_segment_in_the_middle_is_an_error_with_a_manifest_and_without() {
    for checkpointed in [true, false] {
        run(async {
            let device = five_segments(40, checkpointed).await;
            take_away(&device, "00000000000000000004.log").await;
            let segments = |device: &Simulated| {
                let files = device.files().into_iter();
                files.filter(|(path, _)| path.extension().is_some_and(|end| end == "log")).collect::<Vec<_>>()
            };
            let before = segments(&device);
            let error = again(&device, tiny()).await.err().expect("acknowledged records are gone");
            assert!(matches!(error, StorageError::Corrupt { .. }), "{checkpointed}: {error}");
            assert_eq!(segments(&device), before, "{checkpointed}: nothing is deleted");
        });
    }
}

#[test]
fn a_missing_active_segment_is_an_error_if_a_manifest_knows_it() {
    run(async {
        let device = five_segments(41, true).await;
        take_away(&device, "00000000000000000008.log").await;
        let error = again(&device, tiny()).await.err().expect("acknowledged records are gone");
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    });
}

#[test]
fn indexes_that_are_missing_or_damaged_cost_only_time() {
    for checkpointed in [true, false] {
        run(async {
            let device = five_segments(50, checkpointed).await;
            let index = simulated_file("00000000000000000002.cindex");
            take_away(&device, "00000000000000000004.cindex").await;
            device.damage(&index, |bytes| bytes[30] ^= 1);
            let log = again(&device, tiny()).await.expect("it opens");
            assert_eq!(log.bases().await, (0..10).collect::<Vec<i64>>());
            let made = device.content(&simulated_file("00000000000000000004.cindex"));
            assert!(made.is_some(), "{checkpointed}: it is made anew");
        });
    }
}
