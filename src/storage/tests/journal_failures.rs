//! Writes of journal, segments and manifest that fail because the device does.
//!
//! Key invariant: what cannot be written is never acknowledged, what was acknowledged is read on and found again, and nobody
//! waits for ever.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use futures_lite::future::yield_now;

use crate::io::{Failure, Simulated};
use crate::model::{Offset, PartitionIndex};
use crate::storage::testing::{
    JOURNAL, Opened, limited_store, open_at, place, recovered, run, settings, simulated_store,
};
use crate::storage::{JournalLimits, LogPlace, StorageError, Store};

/// Turns after which someone who still waits would wait for ever.
const TURNS_MAX: usize = 20_000;

/// The outcome, unless it is still open after many turns of everybody else.
pub(super) async fn soon<T>(outcome: impl Future<Output = T>) -> Option<T> {
    let patience = async {
        for _ in 0..TURNS_MAX {
            yield_now().await;
        }
        None
    };
    futures_lite::future::or(async { Some(outcome.await) }, patience).await
}

pub(super) fn is(suffix: &'static str) -> impl Fn(&Path) -> bool {
    move |path| path.extension().is_some_and(|extension| extension == suffix)
}

pub(super) fn partition(number: i32) -> LogPlace {
    LogPlace { partition: PartitionIndex(number), ..place() }
}

pub(super) async fn log_of(store: &Rc<Store>, number: i32) -> Opened {
    open_at(store, partition(number), settings()).await.expect("it opens")
}

#[test]
fn a_failed_write_of_the_journal_ends_the_writes_of_all_logs_of_the_shard() {
    run(async {
        let device = Simulated::new(1);
        let store = simulated_store(&device, 1 << 20).await;
        let (one, other) = (log_of(&store, 0).await, log_of(&store, 1).await);
        one.put(1, 100).await;
        other.put(2, 100).await;
        device.fail_writes_to(is("journal"), Failure::Device);
        one.append(1, 100, 1_000).expect("accepted");
        let answer = soon(one.log.wait_durable(Offset(2))).await.expect("an answer");
        assert!(matches!(answer, Err(StorageError::Poisoned(_))), "{answer:?}");
        device.heal();
        for log in [&one, &other] {
            assert!(log.observed.poisoned.get(), "its partition was told");
            let refused = log.append(1, 100, 1_000);
            assert!(matches!(refused, Err(StorageError::Poisoned(_))), "{refused:?}");
            let refused = log.log.advance_log_start(Offset(1)).await;
            assert!(matches!(refused, Err(StorageError::Poisoned(_))), "{refused:?}");
        }
        // Neither has a segment's file yet: what is read is in memory.
        assert!(!device.files().iter().any(|(path, _)| is("log")(path)));
        assert_eq!((one.bases().await, other.bases().await), (vec![0], vec![0]));
        assert!(store.checkpoint().await.is_err(), "what was acknowledged is in the journal only");
        let store = simulated_store(&device.crash(), 1 << 20).await;
        let (one, other) = (log_of(&store, 0).await, log_of(&store, 1).await);
        assert_eq!((one.bases().await[0], other.bases().await), (0, vec![0]));
        let end = one.log.log_end_offset().0;
        assert_eq!(one.put(1, 70).await, end, "what the failed write left is kept or gone as a whole");
        assert_eq!(other.put(1, 70).await, 2);
    });
}

#[test]
fn a_log_opened_after_the_journal_failed_is_refused_too() {
    run(async {
        let device = Simulated::new(2);
        let store = simulated_store(&device, 1 << 20).await;
        device.fail_writes_to(is("journal"), Failure::Device);
        let one = log_of(&store, 0).await;
        one.append(1, 100, 1_000).expect("accepted");
        assert!(soon(one.log.wait_durable(Offset(1))).await.expect("an answer").is_err());
        let late = log_of(&store, 1).await;
        late.append(1, 100, 1_000).expect("accepted");
        let answer = soon(late.log.wait_durable(Offset(1))).await.expect("an answer");
        assert!(matches!(answer, Err(StorageError::Poisoned(_))), "{answer:?}");
        assert!(late.observed.poisoned.get());
    });
}

#[test]
fn a_failed_write_of_a_segment_ends_the_writes_of_its_log_only_and_keeps_the_journal() {
    run(async {
        let device = Simulated::new(3);
        let store = simulated_store(&device, 1 << 20).await;
        let (one, other) = (log_of(&store, 0).await, log_of(&store, 1).await);
        one.put(1, 100).await;
        other.put(1, 100).await;
        device.fail_writes_to(|path| path.starts_with("/simulated/orders-0"), Failure::Device);
        assert!(store.checkpoint().await.is_err());
        assert!(one.log.is_poisoned() && one.observed.poisoned.get());
        assert!(!other.log.is_poisoned());
        assert_eq!(one.bases().await, [0]);
        for _ in 0..5 {
            other.put(1, 100).await;
        }
        device.heal();
        assert!(store.checkpoint().await.is_err(), "the log takes no writes, healed or not");
        other.put(1, 100).await;
        let device = device.crash();
        let store = simulated_store(&device, 1 << 20).await;
        let (one, other) = (log_of(&store, 0).await, log_of(&store, 1).await);
        assert_eq!((one.bases().await.len(), other.bases().await.len()), (1, 7));
        assert_eq!(one.put(1, 100).await, 1, "the next start writes it again");
        store.checkpoint().await.expect("a checkpoint");
    });
}

#[test]
fn a_log_whose_bypass_failed_does_not_hold_the_journal_back() {
    run(async {
        let device = Simulated::new(4);
        let store = simulated_store(&device, 1 << 20).await;
        let (one, other) = (log_of(&store, 0).await, log_of(&store, 1).await);
        one.put(1, 100).await;
        store.checkpoint().await.expect("a checkpoint");
        device.fail_writes_to(|path| path.starts_with("/simulated/orders-0"), Failure::Device);
        one.append(1, 20_000, 1_000).expect("accepted");
        assert!(soon(one.log.wait_durable(Offset(2))).await.expect("an answer").is_err());
        other.put(1, 100).await;
        store.checkpoint().await.expect("all that was acknowledged is in the segments");
        let store = simulated_store(&device.crash(), 1 << 20).await;
        let (one, other) = (log_of(&store, 0).await, log_of(&store, 1).await);
        assert_eq!((one.bases().await[0], other.bases().await), (0, vec![0]));
        let covered = one.replayed.snapshot.unwrap_or(0) + one.replayed.batches.len() as u64;
        assert_eq!(covered as i64, one.log.log_end_offset().0);
    });
}

#[test]
fn a_failed_manifest_keeps_the_journal_and_the_next_one_covers_it() {
    run(async {
        let device = Simulated::new(5);
        let store = simulated_store(&device, 1 << 20).await;
        let log = log_of(&store, 0).await;
        log.put(1, 100).await;
        device.fail_writes_to(is("manifest"), Failure::Device);
        assert!(store.checkpoint().await.is_err());
        assert_eq!(log.put(1, 100).await, 1, "appends go on");
        assert!(store.checkpoint_if_due().await.is_err());
        device.heal();
        // Nothing was appended since; what failed is still to be done.
        store.checkpoint_if_due().await.expect("a checkpoint");
        assert_eq!(store.counts().checkpoints, 1);
        let replay = recovered(&device).replay_of(partition(0).in_journal());
        assert!(replay.entries.is_empty() && replay.record.is_some(), "the journal is not needed any more");
        store.checkpoint_if_due().await.expect("nothing to do");
        assert_eq!(store.counts().checkpoints, 1);
    });
    run(async {
        let device = Simulated::new(6);
        let store = simulated_store(&device, 1 << 20).await;
        let log = log_of(&store, 0).await;
        log.put(1, 100).await;
        device.fail_writes_to(is("manifest"), Failure::Device);
        assert!(store.checkpoint().await.is_err());
        let store = simulated_store(&device.crash(), 1 << 20).await;
        assert_eq!(log_of(&store, 0).await.bases().await, [0]);
    });
}

/// A journal of one small file: five groups fill most of it.
fn small() -> JournalLimits {
    JournalLimits { first_file_bytes: 28 << 10, bytes_max: 28 << 10, ..JOURNAL }
}

#[test]
fn a_full_journal_that_no_checkpoint_empties_refuses_appends() {
    run(async {
        let device = Simulated::new(7);
        let store = limited_store(&device, small()).await;
        let log = log_of(&store, 0).await;
        device.fail_writes_to(is("manifest"), Failure::Device);
        let mut acknowledged = 0;
        let refused = loop {
            assert!(acknowledged < 20, "the journal has no room for that many");
            log.append(1, 100, 1_000).expect("accepted");
            match soon(log.log.wait_durable(log.log.log_end_offset())).await.expect("an answer") {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(acknowledged >= 5, "{acknowledged}");
        assert!(refused.to_string().contains(".manifest"), "it says why: {refused}");
        assert_eq!(store.counts().room_waits, 1);
        assert!(store.counts().groups >= 5);
        assert_eq!(store.journal_writes().snapshot().count, store.counts().groups, "each is timed");
        assert!(matches!(log.append(1, 100, 1_000), Err(StorageError::Poisoned(_))));
        let store = limited_store(&device.crash(), small()).await;
        assert_eq!(log_of(&store, 0).await.log.log_end_offset(), Offset(acknowledged));
    });
}

#[test]
fn a_checkpoint_that_failed_long_ago_does_not_fail_a_full_journal() {
    for seed in 0..20 {
        run(async {
            let device = Simulated::new(seed);
            let store = limited_store(&device, JournalLimits { bytes_max: 112 << 10, ..small() }).await;
            let log = log_of(&store, 0).await;
            // Neither a checkpoint nor a further file until the first one is full.
            let further =
                |path: &Path| is("manifest")(path) || path.to_string_lossy().ends_with("-0001.journal");
            device.fail_writes_to(further, Failure::Device);
            for at in 0..6 {
                assert_eq!(log.put(1, 3_000).await, at, "seed {seed}");
            }
            assert!(store.checkpoint().await.is_err());
            device.heal();
            for at in 6..60 {
                assert_eq!(log.put(1, 3_000).await, at, "seed {seed}");
            }
        });
    }
}

#[test]
fn a_journal_that_cannot_grow_stays_as_it_is_and_does_not_try_without_end() {
    for (seed, failure) in [(8, Failure::StorageFull), (9, Failure::Device)] {
        run(async {
            let device = Simulated::new(seed);
            let store = limited_store(&device, JournalLimits { bytes_max: 1 << 20, ..small() }).await;
            let log = log_of(&store, 0).await;
            let tries = Rc::new(Cell::new(0));
            let counted = tries.clone();
            let further = move |path: &Path| {
                let hit = path.to_string_lossy().ends_with("-0001.journal");
                counted.set(counted.get() + usize::from(hit));
                hit
            };
            device.fail_writes_to(further, failure);
            for at in 0..100 {
                assert_eq!(log.put(1, 3_000).await, at);
            }
            let (groups, checkpoints) = (store.counts().groups, store.counts().checkpoints);
            assert!(tries.get() > 0);
            // Each reservation and each write is one.
            assert!(tries.get() as u64 <= 4 * groups, "{} tries, {checkpoints} checkpoints", tries.get());
            device.heal();
            for at in 100..200 {
                assert_eq!(log.put(1, 3_000).await, at);
            }
            let grown =
                device.files().iter().any(|(path, _)| path.to_string_lossy().ends_with("-0001.journal"));
            assert!(grown && !log.log.is_poisoned());
            let store = limited_store(&device.crash(), small()).await;
            assert_eq!(log_of(&store, 0).await.bases().await.len(), 200);
        });
    }
}
