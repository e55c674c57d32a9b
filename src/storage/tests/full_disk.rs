//! A file system without room in the middle of writing.
//!
//! Key invariant: what was accepted waits for room, nothing is given up for want of it, and whoever ends a log gets through.

use std::cell::Cell;
use std::rc::Rc;

use super::journal_failures::{is, log_of, soon};
use crate::io::{Failure, Simulated};
use crate::model::{Offset, TimestampMs};
use crate::storage::testing::{JOURNAL, Opened, limited_store, run, simulated_store, turns};
use crate::storage::{JournalLimits, LogSettings, StorageError, Store};

fn fill(device: &Simulated) {
    device.fail_writes_to(is("log"), Failure::StorageFull);
}

fn is_full<T>(answer: &Result<T, StorageError>) -> bool {
    answer.as_ref().err().is_some_and(StorageError::is_storage_full)
}

async fn one(seed: u64) -> (Rc<Simulated>, Rc<Store>, Opened) {
    let device = Simulated::new(seed);
    let store = simulated_store(&device, 1 << 20).await;
    let log = log_of(&store, 0).await;
    (device, store, log)
}

/// Waits in the background; the cell has the answer.
fn waiting(log: &Opened) -> Rc<Cell<Option<Result<(), StorageError>>>> {
    let answer = Rc::new(Cell::new(None));
    let (says, log, end) = (answer.clone(), log.log.clone(), log.log.log_end_offset());
    glommio::spawn_local(async move { says.set(Some(log.wait_durable(end).await)) }).detach();
    answer
}

#[test]
fn a_checkpoint_without_room_fails_and_nothing_is_given_up() {
    run(async {
        let (device, store, log) = one(1).await;
        log.put(1, 100).await;
        fill(&device);
        assert!(is_full(&soon(store.checkpoint()).await.expect("an answer")));
        assert!(!log.log.is_poisoned());
        assert_eq!(log.put(1, 100).await, 1, "the journal has its room already");
        assert!(is_full(&soon(store.checkpoint_if_due()).await.expect("an answer")));
        device.heal();
        store.checkpoint_if_due().await.expect("a checkpoint");
        assert_eq!(log.put(1, 100).await, 2);
        let store = simulated_store(&device.crash(), 1 << 20).await;
        assert_eq!(log_of(&store, 0).await.bases().await, [0, 1, 2]);
    });
}

#[test]
fn a_bypass_without_room_waits_and_so_does_its_producer() {
    run(async {
        let (device, store, log) = one(2).await;
        log.put(1, 100).await;
        fill(&device);
        log.append(1, 20_000, 1_000).expect("accepted");
        let answer = waiting(&log);
        turns(500).await;
        assert!(answer.take().is_none(), "it waits");
        assert!(!log.log.is_poisoned());
        assert!(is_full(&soon(store.checkpoint()).await.expect("a checkpoint does not wait with it")));
        log.append(1, 100, 1_000).expect("accepted");
        let later = waiting(&log);
        turns(500).await;
        assert!(later.take().is_none() && log.log.durable_end_offset() == Offset(1), "the order is kept");
        device.heal();
        soon(log.log.wait_durable(Offset(3))).await.expect("an answer").expect("durable");
        turns(5).await;
        assert!(matches!(answer.take(), Some(Ok(()))));
        let store = simulated_store(&device.crash(), 1 << 20).await;
        assert_eq!(log_of(&store, 0).await.bases().await, [0, 1, 2]);
    });
}

/// The record of a log that only has no room must not stand for one that is given up: what is in flight is acknowledged later.
#[test]
fn a_checkpoint_without_room_never_covers_what_is_in_flight() {
    for seed in 0..100 {
        run(async {
            let (device, store, log) = one(seed).await;
            log.put(1, 100).await;
            store.checkpoint().await.expect("a checkpoint");
            fill(&device);
            log.append(1, 100, 1_000).expect("accepted");
            let answer = waiting(&log);
            turns(device.choose(6)).await;
            let _ = soon(store.checkpoint()).await.expect("an answer");
            soon(log.log.wait_durable(Offset(2))).await.expect("an answer").expect("durable");
            turns(5).await;
            assert!(matches!(answer.take(), Some(Ok(()))));
            let store = simulated_store(&device.crash(), 1 << 20).await;
            assert_eq!(log_of(&store, 0).await.bases().await, [0, 1], "seed {seed}");
        });
    }
}

#[test]
fn a_full_journal_waits_for_room_too() {
    run(async {
        let limits = JournalLimits { first_file_bytes: 28 << 10, bytes_max: 28 << 10, ..JOURNAL };
        let device = Simulated::new(3);
        let store = limited_store(&device, limits).await;
        let log = log_of(&store, 0).await;
        fill(&device);
        let mut acknowledged = 0;
        loop {
            log.append(1, 100, 1_000).expect("accepted");
            let answer = waiting(&log);
            turns(2_000).await;
            match answer.take() {
                Some(answer) => answer.expect("durable"),
                None => break,
            }
            acknowledged += 1;
            assert!(acknowledged < 20, "the journal has no room for that many");
        }
        assert!(!log.log.is_poisoned());
        device.heal();
        soon(log.log.wait_durable(Offset(acknowledged + 1))).await.expect("an answer").expect("durable");
        assert_eq!(log.put(1, 100).await, acknowledged + 1);
    });
}

#[test]
fn a_manifest_without_room_is_written_later() {
    run(async {
        let limits = JournalLimits { first_file_bytes: 28 << 10, bytes_max: 28 << 10, ..JOURNAL };
        let device = Simulated::new(4);
        let store = limited_store(&device, limits).await;
        let log = log_of(&store, 0).await;
        device.fail_writes_to(is("manifest"), Failure::StorageFull);
        // Checkpoints still write the segments, so records become durable there; the journal stays full.
        for at in 0..20 {
            log.append(1, 3_000, 1_000).expect("accepted");
            let durable = soon(log.log.wait_durable(Offset(at + 1))).await.expect("an answer");
            durable.expect("durable");
        }
        let start = log.log.clone();
        let moved = glommio::spawn_local(async move { start.advance_log_start(Offset(5)).await });
        turns(2_000).await;
        assert!(!log.log.is_poisoned() && log.log.log_start_offset() == Offset(0), "it waits");
        device.heal();
        soon(moved).await.expect("an answer").expect("the journal has room again");
        let store = limited_store(&device.crash(), limits).await;
        let log = log_of(&store, 0).await;
        assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(5), Offset(20)));
    });
}

#[test]
fn a_rolled_segment_that_cannot_be_ended_is_ended_later() {
    run(async {
        let (device, store, log) = one(5).await;
        log.log.update_settings(LogSettings { segment_bytes: 400, ..log.log.settings() });
        for _ in 0..3 {
            log.put(1, 100).await;
        }
        let first = std::path::Path::new("/simulated/orders-0/00000000000000000000.log");
        let changes = Cell::new(0);
        // A reservation and a write, then the cut at the end.
        let is_cut = move |path: &std::path::Path| {
            changes.set(changes.get() + u32::from(path == first));
            path == first && changes.get() == 3
        };
        device.fail_writes_to(is_cut, Failure::StorageFull);
        assert!(is_full(&soon(store.checkpoint()).await.expect("an answer")));
        assert!(device.content(first).expect("there").len() > 2 * 161, "the reservation is still there");
        store.checkpoint().await.expect("a checkpoint");
        assert_eq!(device.content(first).expect("there").len(), 2 * 161, "cut to its batches");
    });
}

#[test]
fn closing_a_log_without_room_ends_and_answers_everybody() {
    run(async {
        let (device, store, log) = one(6).await;
        log.put(1, 100).await;
        fill(&device);
        log.append(1, 20_000, 1_000).expect("accepted");
        let answer = waiting(&log);
        turns(50).await;
        assert!(soon(log.log.close()).await.expect("it ends").is_err());
        turns(50).await;
        assert!(matches!(answer.take(), Some(Err(StorageError::Poisoned(_)))));
        assert!(soon(store.close()).await.expect("it ends").is_err());
        let store = simulated_store(&device.crash(), 1 << 20).await;
        assert_eq!(log_of(&store, 0).await.bases().await[0], 0, "what was acknowledged is in the journal");
    });
}

#[test]
fn who_still_waits_for_the_journal_when_it_is_closed_gets_an_error() {
    run(async {
        let limits = JournalLimits { first_file_bytes: 28 << 10, bytes_max: 56 << 10, ..JOURNAL };
        let device = Simulated::new(8);
        let store = limited_store(&device, limits).await;
        let log = log_of(&store, 0).await;
        device.fail_writes_to(|path| !path.to_string_lossy().contains("-0000.journal"), Failure::StorageFull);
        for at in 0..6 {
            log.append(1, 3_000, 1_000).expect("accepted");
            let _ = soon(log.log.wait_durable(Offset(at + 1))).await;
        }
        let start = log.log.clone();
        let moved = glommio::spawn_local(async move { start.advance_log_start(Offset(3)).await });
        turns(2_000).await;
        assert!(soon(store.close()).await.expect("it ends").is_err());
        device.heal();
        let _ = soon(store.checkpoint()).await.expect("an answer");
        let answer = soon(moved).await.expect("an answer");
        assert!(matches!(answer, Err(StorageError::Poisoned(_))), "{answer:?}");
        let store = limited_store(&device.crash(), limits).await;
        assert_eq!(log_of(&store, 0).await.log.log_end_offset(), Offset(6), "no file was begun anew");
    });
}

#[test]
fn removing_a_log_without_room_gets_through_also_while_retention_waits() {
    run(async {
        let (device, store, log) = one(7).await;
        log.put(1, 100).await;
        fill(&device);
        log.append(1, 20_000, 1_000).expect("accepted");
        let answer = waiting(&log);
        log.log.update_settings(LogSettings { retention_ms: 1, ..log.log.settings() });
        let retained = soon(log.log.apply_retention(TimestampMs(1 << 40))).await.expect("an answer");
        assert!(is_full(&retained), "{retained:?}");
        let cut = soon(log.log.truncate_to(Offset(0))).await.expect("an answer");
        assert!(is_full(&cut), "{cut:?}");
        soon(log.log.remove()).await.expect("it ends").expect("removed");
        assert!(matches!(answer.take(), Some(Err(StorageError::Closed))));
        soon(store.checkpoint()).await.expect("an answer").expect("nobody else lacks room");
    });
}
