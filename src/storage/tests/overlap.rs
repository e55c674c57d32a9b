//! Two groups of the journal in flight.
//!
//! Key invariant: whichever of them the device ends first and whatever a crash leaves of them, the first is answered first, and
//! the second is there only if the first is.

use std::rc::Rc;

use futures_lite::future::yield_now;

use super::journal_failures::{is, log_of, soon};
use crate::io::{Failure, Simulated};
use crate::model::Offset;
use crate::storage::journal::{FILE_HEADER_BLOCK_BYTES, Group};
use crate::storage::testing::{Opened, recovered, run, simulated_store};
use crate::storage::{StorageError, Store};

const SEEDS: u64 = 300;
const BLOCK: usize = 4096;

/// Groups that have left so far.
fn left(store: &Store) -> u64 {
    let committer = store.committer();
    committer.ring.borrow().next_sequence() - u64::from(committer.departing.get())
}

/// Appends a batch and waits until its group has left; false if that takes so long that the group waits for something.
async fn send(log: &Opened, payload: usize) -> bool {
    let store = log.log.store().clone();
    let before = left(&store);
    log.append(1, payload, 1_000).expect("accepted");
    for _ in 0..6 {
        if left(&store) > before {
            return true;
        }
        yield_now().await;
    }
    false
}

fn journal_of(device: &Simulated) -> Vec<u8> {
    let file = device.files().into_iter().find(|(path, _)| is("journal")(path));
    device.content(&file.expect("it is there").0).expect("a file")
}

fn is_durable(log: &Opened) -> bool {
    log.log.durable_end_offset() >= Offset(1)
}

/// Three logs in a store on this device.
async fn three_logs(device: &Rc<Simulated>) -> [Opened; 3] {
    let store = simulated_store(device, 1 << 20).await;
    [log_of(&store, 0).await, log_of(&store, 1).await, log_of(&store, 2).await]
}

/// Of three logs the first has a batch in flight, the second too if that did not end before.
async fn two_in_flight(device: &Rc<Simulated>, payload: usize) -> Option<[Opened; 3]> {
    let logs = three_logs(device).await;
    let both = send(&logs[0], payload).await && send(&logs[1], 100).await && !is_durable(&logs[0]);
    both.then_some(logs)
}

#[test]
fn a_crash_keeps_the_second_only_with_the_first() {
    let (mut met, mut dropped) = (0, 0);
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let Some([first, second, _]) = two_in_flight(&device, 100).await else { return };
            met += 1;
            for _ in 0..device.choose(12) {
                yield_now().await;
                assert!(is_durable(&first) || !is_durable(&second), "seed {seed}: answered out of order");
            }
            let acknowledged = [is_durable(&first), is_durable(&second)];
            let device = device.crash();
            let content = journal_of(&device);
            let reads =
                |number: usize| Group::read(&content[FILE_HEADER_BLOCK_BYTES + number * BLOCK..]).is_ok();
            dropped += u32::from(reads(1) && !reads(0));
            let damages = recovered(&device).damages().to_vec();
            assert!(damages.is_empty(), "seed {seed}: a crash damages nothing: {damages:?}");
            let [first, second, _] = three_logs(&device).await;
            let ends = [first.log.log_end_offset().0, second.log.log_end_offset().0];
            let expected = if reads(0) { [1, i64::from(reads(1))] } else { [0, 0] };
            assert_eq!(ends, expected, "seed {seed}");
            for (end, acknowledged) in ends.into_iter().zip(acknowledged) {
                assert!(end == 1 || !acknowledged, "seed {seed}: an acknowledged batch is lost");
            }
            assert_eq!((first.put(1, 70).await, second.put(1, 70).await), (ends[0], ends[1]));
        });
    }
    assert!(met > 20 && dropped > 0, "{met} met, {dropped} dropped with the first");
}

#[test]
fn a_third_group_waits_for_the_first() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let Some([first, second, third]) = two_in_flight(&device, 100).await else { return };
            if send(&third, 100).await {
                assert!(is_durable(&first), "seed {seed}: three in flight");
            }
            // More for a log that is in flight waits too, and is not written twice.
            first.append(1, 100, 1_000).expect("accepted");
            met += 1;
            for (log, end) in [(&first, 2), (&second, 1), (&third, 1)] {
                soon(log.log.wait_durable(Offset(end))).await.expect("an answer").expect("durable");
            }
            let [first, _, third] = three_logs(&device.crash()).await;
            assert_eq!(first.bases().await, [0, 1]);
            assert_eq!(third.bases().await, [0]);
        });
    }
    assert!(met > 20);
}

#[test]
fn a_log_is_in_one_group_in_flight_at_most() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let [first, second, _] = three_logs(&device).await;
            assert!(send(&first, 100).await);
            first.append(1, 100, 1_000).expect("accepted");
            let overlaps = send(&second, 100).await && !is_durable(&first);
            for (log, end) in [(&first, 2), (&second, 1)] {
                soon(log.log.wait_durable(Offset(end))).await.expect("an answer").expect("durable");
            }
            let entries = |number: usize| {
                let content = journal_of(&device);
                let group =
                    Group::read(&content[FILE_HEADER_BLOCK_BYTES + number * BLOCK..]).expect("a group");
                group.entries().map(|entry| (entry.place.partition, entry.offset.0)).collect::<Vec<_>>()
            };
            if overlaps {
                met += 1;
                assert_eq!(
                    [entries(0), entries(1), entries(2)],
                    [[(0, 0)], [(1, 0)], [(0, 1)]],
                    "seed {seed}"
                );
            }
        });
    }
    assert!(met > 20);
}

#[test]
fn what_follows_a_group_that_fails_late_is_not_answered() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let [first, second, _] = three_logs(&device).await;
            second.put(1, 100).await;
            device.fail_writes_late_to(is("journal"), Failure::Device);
            assert!(send(&first, 100).await);
            device.heal();
            let store = first.log.store();
            let before = left(store);
            if second.append(1, 100, 1_000).is_err() {
                // It failed before anything could follow.
                return;
            }
            // An entry without records too.
            let log = second.log.clone();
            let moved = glommio::spawn_local(async move { log.advance_log_start(Offset(1)).await });
            yield_now().await;
            yield_now().await;
            met += u32::from(left(store) > before);
            for (log, end) in [(&first, 1), (&second, 2)] {
                let answer = soon(log.log.wait_durable(Offset(end))).await.expect("an answer");
                assert!(matches!(answer, Err(StorageError::Poisoned(_))), "seed {seed}: {answer:?}");
            }
            let moved = soon(moved).await.expect("an answer");
            assert!(matches!(moved, Err(StorageError::Poisoned(_))), "seed {seed}: {moved:?}");
            let recovered = recovered(&device.crash());
            assert!(recovered.damages().is_empty(), "seed {seed}: {:?}", recovered.damages());
        });
    }
    assert!(met > 20, "{met}");
}

#[test]
fn nothing_leaves_behind_a_large_group() {
    for seed in 0..SEEDS {
        run(async {
            assert!(two_in_flight(&Simulated::new(seed), 20_000).await.is_none(), "seed {seed}");
        });
    }
}

#[test]
fn a_second_group_that_fails_leaves_the_first_its_answer() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let [first, second, _] = three_logs(&device).await;
            assert!(send(&first, 100).await);
            device.fail_writes_to(is("journal"), Failure::Device);
            send(&second, 100).await;
            met += u32::from(!is_durable(&first));
            soon(first.log.wait_durable(Offset(1))).await.expect("an answer").expect("durable");
            let answer = soon(second.log.wait_durable(Offset(1))).await.expect("an answer");
            assert!(matches!(answer, Err(StorageError::Poisoned(_))), "{answer:?}");
            assert!(first.observed.poisoned.get() && second.observed.poisoned.get());
            let [first, ..] = three_logs(&device.crash()).await;
            assert_eq!(first.bases().await, [0]);
        });
    }
    assert!(met > 20);
}
