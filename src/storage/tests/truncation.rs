//! Cuts of a log's end, and crashes at any point of them.
//!
//! Key invariant: after a crash a cut happened or it did not; one that was confirmed is never undone, and never repeated on
//! what was appended after it.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::yield_now;

use crate::io::{Failure, Simulated};
use crate::model::Offset;
use crate::storage::journal::EntryKind;
use crate::storage::testing::{
    Opened, open, place, recovered, run, settings, simulated_file, simulated_store,
};
use crate::storage::{LogSettings, StorageError, sidecar};

const SEEDS: u64 = 150;

/// Segments of two batches of 161 bytes.
fn tiny() -> LogSettings {
    LogSettings { segment_bytes: 400, ..settings() }
}

async fn again(device: &Rc<Simulated>) -> Opened {
    open(&simulated_store(device, 1 << 20).await, tiny()).await.expect("it opens")
}

/// Ten durable batches in segments of two, some of them in a manifest: fewer than a cut at 3 leaves, or more.
async fn ten(seed: u64) -> (Rc<Simulated>, Opened) {
    let device = Simulated::new(seed);
    let log = again(&device).await;
    for at in 0..10 {
        log.put(1, 100).await;
        if at == 6 * (seed % 2) {
            log.log.store().checkpoint().await.expect("a checkpoint");
        }
    }
    (device, log)
}

/// Whether the cut is in the journals of a disk.
fn is_marked(device: &Simulated) -> bool {
    let entries = recovered(device).replay_of(place().in_journal()).entries;
    entries.iter().any(|entry| entry.kind == EntryKind::Truncate)
}

/// Design, section 4: a truncation cannot be undone by a replay. The rule: the journal has the cut before any file changes, and
/// a start that finds it repeats it (`Past::cut`, `Findings::take_from`).
#[test]
fn a_crash_in_the_middle_of_a_cut_leaves_all_of_it_or_nothing() {
    let (mut undone, mut repeated, mut confirmed) = (0, 0, 0);
    for seed in 0..SEEDS {
        run(async {
            let (device, log) = ten(seed).await;
            let done = Rc::new(Cell::new(false));
            let (cutting, says) = (log.log.clone(), done.clone());
            glommio::spawn_local(async move { says.set(cutting.truncate_to(Offset(3)).await.is_ok()) })
                .detach();
            for _ in 0..device.choose(160) {
                yield_now().await;
            }
            let was_done = done.get();
            let device = device.crash();
            let is_marked = is_marked(&device);
            let log = again(&device).await;
            let end = log.log.log_end_offset().0;
            let expected: Vec<i64> = (0..end).collect();
            assert_eq!(log.bases().await, expected, "seed {seed}");
            assert!(end == 3 || end == 10, "seed {seed}: it ends at {end}");
            assert!(end == 3 || !(is_marked || was_done), "seed {seed}: a cut that was durable was undone");
            let covered = log.replayed.snapshot.unwrap_or(0) + log.replayed.batches.len() as u64;
            assert_eq!(covered, end as u64, "seed {seed}: the producers at exactly the end");
            undone += u32::from(end == 10);
            repeated += u32::from(is_marked);
            confirmed += u32::from(was_done);
        });
    }
    assert!(
        undone > 0 && repeated > 0 && confirmed > 0,
        "{undone} {repeated} {confirmed}: all of it was met"
    );
}

/// The rule: a log that was cut takes no append before a manifest covers the cut (the checkpoint at the end of `truncate_to`).
#[test]
fn what_is_appended_after_a_cut_is_not_cut_by_the_next_start() {
    run(async {
        for seed in 0..20 {
            let (device, log) = ten(seed).await;
            assert_eq!(log.log.truncate_to(Offset(3)).await.expect("cut"), Offset(3));
            log.observed.durable.set(3);
            log.log.producers_rebuilt();
            assert_eq!(log.put(1, 20_000).await, 3);
            let log = again(&device.crash()).await;
            assert_eq!(log.bases().await, [0, 1, 2, 3], "seed {seed}");
        }
    });
}

/// As above, for a cut that a start repeats (the checkpoint at the end of `Log::open`).
#[test]
fn what_is_appended_after_a_repeated_cut_is_not_cut_by_the_start_after_it() {
    let mut repeated = 0;
    for seed in 0..SEEDS {
        run(async {
            let (device, log) = ten(seed).await;
            let cutting = log.log.clone();
            glommio::spawn_local(async move { drop(cutting.truncate_to(Offset(3)).await) }).detach();
            for _ in 0..device.choose(100) {
                yield_now().await;
            }
            let device = device.crash();
            if !is_marked(&device) {
                return;
            }
            repeated += 1;
            let log = again(&device).await;
            assert_eq!(log.put(1, 20_000).await, 3);
            let log = again(&device.crash()).await;
            assert_eq!(log.bases().await, [0, 1, 2, 3], "seed {seed}");
        });
    }
    assert!(repeated > 0);
}

/// The rule: until the observer says that it knows the producers of what is left, a checkpoint names no end
/// (`State::end_unsettled`).
#[test]
fn a_checkpoint_between_a_cut_and_the_rebuilt_producers_does_not_take_those_of_before() {
    run(async {
        let (device, log) = ten(1).await;
        log.log.truncate_to(Offset(3)).await.expect("cut");
        log.log.store().checkpoint().await.expect("a checkpoint");
        let early = again(&device.crash()).await;
        assert_eq!((early.replayed.snapshot, &early.replayed.batches[..]), (Some(2), &[2][..]));
    });
    run(async {
        let (device, log) = ten(2).await;
        log.log.truncate_to(Offset(3)).await.expect("cut");
        log.observed.batches.set(3);
        log.log.producers_rebuilt();
        log.log.store().checkpoint().await.expect("a checkpoint");
        let settled = again(&device.crash()).await;
        assert_eq!((settled.replayed.snapshot, &settled.replayed.batches[..]), (Some(3), &[][..]));
    });
}

/// Retention took segments whose producers only a later snapshot knew; a cut took that snapshot.
#[test]
fn producers_of_deleted_records_outlive_a_cut() {
    run(async {
        let device = Simulated::new(5);
        let log = open(&simulated_store(&device, 1 << 20).await, settings()).await.expect("a new log");
        for _ in 0..5 {
            log.put(1, 100).await;
        }
        // Segments that a replay begins have no snapshot at their base.
        let device = device.crash();
        let log = again(&device).await;
        for _ in 0..2 {
            log.put(1, 100).await;
        }
        log.log.write_back(Offset(7)).await.expect("written");
        let snapshot = simulated_file("00000000000000000006.producers");
        assert!(device.content(&snapshot).is_some(), "the next segment has one");
        log.log.advance_log_start(Offset(5)).await.expect("advanced");
        log.log.truncate_to(Offset(5)).await.expect("cut");
        let log = again(&device.crash()).await;
        assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(5), Offset(5)));
        assert_eq!(log.replayed.batches, [0, 1, 2, 3, 4], "nothing else knows their producers");
        // The next snapshot that a start can rely on lets them go.
        for _ in 0..4 {
            log.put(1, 100).await;
        }
        log.log.write_back(Offset(9)).await.expect("written");
        log.log.advance_log_start(Offset(9)).await.expect("advanced");
        assert_eq!(log.log.segments()[0].base_offset, Offset(8));
    });
}

/// A cut within the batch that holds the log start leaves nothing; a snapshot of before would claim to know who wrote what.
#[test]
fn a_log_that_was_cut_below_its_start_has_no_producers() {
    run(async {
        let device = Simulated::new(6);
        let log = again(&device).await;
        for _ in 0..3 {
            log.put(4, 100).await;
        }
        log.log.write_back(Offset(12)).await.expect("written");
        // An earlier start left it.
        let left = sidecar::seal(sidecar::PRODUCERS, &19u64.to_le_bytes());
        let path = simulated_file("00000000000000000004.producers");
        log.log.store().disk().replace_file(&path, left).await.expect("written");
        log.log.advance_log_start(Offset(9)).await.expect("advanced");
        assert_eq!(log.log.truncate_to(Offset(9)).await.expect("cut"), Offset(9));
        let log = again(&device.crash()).await;
        assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(9), Offset(9)));
        assert_eq!((log.replayed.snapshot, &log.replayed.batches[..]), (None, &[][..]));
    });
}

/// What it left nobody knows before the next start, which repeats the cut.
#[test]
fn after_a_failed_cut_the_log_start_stays() {
    run(async {
        let (device, log) = ten(7).await;
        log.log.write_back(Offset(10)).await.expect("written");
        device.fail_writes_to(|path| path.starts_with("/simulated/orders-3"), Failure::Device);
        assert!(log.log.truncate_to(Offset(3)).await.is_err());
        device.heal();
        let refused = log.log.advance_log_start(Offset(10)).await;
        assert!(matches!(refused, Err(StorageError::Poisoned(_))), "{refused:?}");
        let log = again(&device.crash()).await;
        assert_eq!(log.bases().await, [0, 1, 2]);
    });
}

/// What the snapshot at the base of a segment says holds although the segment goes.
#[test]
fn a_cut_at_the_log_start_keeps_the_producers_of_what_was_deleted() {
    let (mut repeated, mut done) = (0, 0);
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let log = again(&device).await;
            for _ in 0..6 {
                log.put(1, 100).await;
            }
            log.log.write_back(Offset(6)).await.expect("written");
            log.log.advance_log_start(Offset(4)).await.expect("advanced");
            assert_eq!(log.log.segments()[0].base_offset, Offset(4));
            let cutting = log.log.clone();
            let cut = glommio::spawn_local(async move { cutting.truncate_to(Offset(4)).await });
            if seed % 4 == 0 {
                assert_eq!(cut.await.expect("cut"), Offset(4));
                done += 1;
            } else {
                cut.detach();
                for _ in 0..device.choose(60) {
                    yield_now().await;
                }
            }
            let device = device.crash();
            repeated += u32::from(is_marked(&device));
            let log = again(&device).await;
            let covered = log.replayed.snapshot.unwrap_or(0) + log.replayed.batches.len() as u64;
            assert_eq!(covered as i64, log.log.log_end_offset().0, "seed {seed}");
        });
    }
    assert!(repeated > 0 && done > 0, "{repeated} {done}");
}
