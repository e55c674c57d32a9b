//! Starts that find what several earlier ones left, and the log start, which no segment knows.
//!
//! Key invariant: how many shards a start has, and how many crashes came before its first checkpoint, changes nothing of what
//! its logs hold.

use std::rc::Rc;

use futures_lite::future::yield_now;

use super::journal_failures::partition;
use crate::io::Simulated;
use crate::model::Offset;
use crate::storage::testing::{
    JOURNAL, Opened, open, open_at, recovered, run, settings, shard_within, simulated_store,
};
use crate::storage::{JournalLimits, JournalStart, Recovered, Store, Takeover};

const PARTITIONS: i32 = 5;
const SEEDS: u64 = 200;
/// Appends to each log before files of a start are deleted.
const ROUNDS: i64 = 12;

/// One start with its shards' stores and logs.
struct Start {
    stores: Vec<Rc<Store>>,
    logs: Vec<Opened>,
    takeover: Takeover,
}

impl Start {
    async fn begin(device: &Rc<Simulated>, shards: u16) -> Self {
        let recovered = recovered(device);
        assert!(recovered.damages().is_empty(), "a crash damages nothing: {:?}", recovered.damages());
        let takeover = Takeover::new(&recovered, shards);
        let mut stores = vec![];
        for shard in 0..shards {
            stores.push(store(device, shard, &recovered).await);
        }
        let mut logs = vec![];
        for number in 0..PARTITIONS {
            let store = &stores[number as usize % stores.len()];
            logs.push(open_at(store, partition(number), settings()).await.expect("it opens"));
        }
        Self { stores, logs, takeover }
    }

    /// Appends to every log and waits.
    async fn put(&self) {
        for log in &self.logs {
            log.put(1, 100).await;
        }
    }

    async fn check(&self, batches: i64) {
        for (number, log) in self.logs.iter().enumerate() {
            assert_eq!(log.bases().await, (0..batches).collect::<Vec<i64>>(), "partition {number}");
        }
    }

    async fn take_over(&self) {
        for store in &self.stores {
            self.takeover.complete(store, 0).await.expect("taken over");
        }
    }
}

async fn store(device: &Rc<Simulated>, shard: u16, recovered: &std::sync::Arc<Recovered>) -> Rc<Store> {
    let start = JournalStart { shard, journal: device.choose(u64::MAX), recovered: recovered.clone() };
    let journal = JournalLimits { first_file_bytes: 36 << 10, bytes_max: 72 << 10, ..JOURNAL };
    shard_within(device, (1 << 20, journal), start).await.expect("a journal")
}

fn journals_of(device: &Simulated, incarnation: u64) -> usize {
    let prefix = format!("/simulated/journal/{incarnation:016x}-");
    device.files().iter().filter(|(path, _)| path.to_string_lossy().starts_with(&prefix)).count()
}

/// Design, section 4, recovery. The rule: journals are found by what they say, whatever the number of shards, and entries are merged
/// by partition over all starts and shards (`Recovered::note_entries`, `replay_of`).
#[test]
fn fewer_shards_more_shards_and_crashes_in_a_row_lose_nothing() {
    for seed in 0..20 {
        run(async {
            let mut device = Simulated::new(seed);
            let mut batches = 0;
            // No start gets to its first checkpoint.
            for shards in [3, 1, 4, 2] {
                let start = Start::begin(&device, shards).await;
                start.check(batches).await;
                start.put().await;
                batches += 1;
                device = device.crash();
            }
            assert!((1..5).all(|incarnation| journals_of(&device, incarnation) > 0), "all are still there");
            let start = Start::begin(&device, 3).await;
            start.check(batches).await;
            start.take_over().await;
            assert!((1..5).all(|incarnation| journals_of(&device, incarnation) == 0), "all were taken over");
            start.put().await;
            device = device.crash();
            Start::begin(&device, 2).await.check(batches + 1).await;
        });
    }
}

/// The rule: old files go in an order after each step of which nothing looks damaged (`Recovered::old_files`).
#[test]
fn a_crash_while_old_files_are_deleted_leaves_nothing_that_looks_damaged() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let start = Start::begin(&device, 2).await;
            // Often enough for files to be written anew: without its manifest a journal then looks damaged.
            for _ in 0..ROUNDS {
                start.put().await;
            }
            let device = device.crash();
            let first = journals_of(&device, 1);
            let start = Start::begin(&device, 1).await;
            start.put().await;
            let start = Rc::new(start);
            let taking = start.clone();
            glommio::spawn_local(async move {
                drop(taking.takeover.complete(&taking.stores[0], 0).await);
            })
            .detach();
            for _ in 0..1_000 {
                if journals_of(&device, 1) < first {
                    break;
                }
                yield_now().await;
            }
            for _ in 0..device.choose(8) {
                yield_now().await;
            }
            let device = device.crash();
            let left = journals_of(&device, 1);
            met += u32::from(left > 0 && left < first);
            let start = Start::begin(&device, 3).await;
            start.check(ROUNDS + 1).await;
            start.take_over().await;
            Start::begin(&device.crash(), 1).await.check(ROUNDS + 1).await;
        });
    }
    assert!(met > 0, "no crash came in the middle");
}

async fn again(device: &Rc<Simulated>) -> Opened {
    open(&simulated_store(device, 1 << 20).await, settings()).await.expect("it opens")
}

async fn ten(device: &Rc<Simulated>) -> Opened {
    let log = again(device).await;
    for _ in 0..10 {
        log.put(1, 100).await;
    }
    log
}

/// Design, section 4: DeleteRecords cannot be undone by a replay. The rule: the log start is in the journal before it is confirmed
/// (`Log::save_log_start`, `Past::of`).
#[test]
fn a_log_start_that_only_the_journal_has_counts() {
    run(async {
        let device = Simulated::new(1);
        let log = ten(&device).await;
        log.log.advance_log_start(Offset(4)).await.expect("advanced");
        let manifests = recovered(&device).replay_of(crate::storage::testing::place().in_journal()).record;
        assert!(manifests.is_none_or(|record| record.log_start == Offset(0)), "no manifest has it");
        let device = device.crash();
        let log = again(&device).await;
        assert_eq!(log.log.log_start_offset(), Offset(4));
        assert_eq!(log.bases().await, (4..10).collect::<Vec<i64>>());
        // And once more, before the first checkpoint.
        assert_eq!(again(&device.crash()).await.log.log_start_offset(), Offset(4));
    });
}

#[test]
fn a_log_all_of_whose_records_were_deleted_goes_on_where_it_ended() {
    for (seed, bulk) in [(2, 100), (3, 13_000)] {
        run(async {
            let device = Simulated::new(seed);
            let log = ten(&device).await;
            assert_eq!(log.put(1, bulk).await, 10);
            log.log.advance_log_start(Offset(11)).await.expect("advanced");
            let device = device.crash();
            let log = again(&device).await;
            assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(11), Offset(11)));
            assert_eq!(log.bases().await, [0; 0]);
            assert_eq!(log.put(1, 100).await, 11, "offsets are not used again");
            log.log.store().checkpoint().await.expect("a checkpoint");
            let log = again(&device.crash()).await;
            assert_eq!((log.log.log_start_offset(), log.bases().await), (Offset(11), vec![11]));
        });
    }
}

/// The rule: a checkpoint takes the log start that was asked for (`Bounds::start_asked`): the entry in flight is behind the tail
/// that it sets.
#[test]
fn a_checkpoint_that_begins_while_the_log_start_is_in_flight_has_it() {
    let mut met = 0;
    for seed in 0..SEEDS {
        run(async {
            let device = Simulated::new(seed);
            let log = ten(&device).await;
            log.log.store().checkpoint().await.expect("a checkpoint");
            let sequence = || log.log.store().committer().ring.borrow().next_sequence();
            let before = sequence();
            let moving = log.log.clone();
            let moved = glommio::spawn_local(async move { moving.advance_log_start(Offset(4)).await });
            while sequence() == before {
                yield_now().await;
            }
            met += u32::from(log.log.log_start_offset() == Offset(0));
            log.log.store().checkpoint().await.expect("a checkpoint");
            moved.await.expect("advanced");
            let log = again(&device.crash()).await;
            assert_eq!(log.log.log_start_offset(), Offset(4), "seed {seed}");
        });
    }
    assert!(met > 0, "the entry was never in flight");
}

/// The broker lets every log go once it is closed, and then closes the store.
#[test]
fn the_last_manifest_lists_logs_that_were_closed_and_let_go() {
    run(async {
        let device = Simulated::new(4);
        let log = ten(&device).await;
        log.log.advance_log_start(Offset(10)).await.expect("advanced");
        let store = log.log.store().clone();
        log.log.close().await.expect("closed");
        drop(log);
        store.close().await.expect("closed");
        let log = again(&device.crash()).await;
        assert_eq!((log.log.log_start_offset(), log.log.log_end_offset()), (Offset(10), Offset(10)));
        assert_eq!((log.replayed.snapshot, log.replayed.batches.len()), (Some(10), 0));
    });
}

#[test]
fn a_log_that_was_let_go_before_it_was_closed_keeps_the_journal() {
    run(async {
        let device = Simulated::new(5);
        let log = again(&device).await;
        log.put(1, 100).await;
        let store = log.log.store().clone();
        drop(log);
        assert!(store.checkpoint().await.is_err());
        assert_eq!(again(&device.crash()).await.bases().await, [0]);
    });
}
