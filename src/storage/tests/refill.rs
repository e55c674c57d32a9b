//! What the cache dropped comes back for readers who are a little late.

use std::rc::Rc;

use crate::io::{IoClass, Simulated};
use crate::model::Offset;
use crate::storage::testing::{Opened, open, real_store_with, run, settings, simulated_store, turns};
use crate::storage::{LogSettings, ReadLimit, Store, TryRead};

/// The cache takes a sixteenth of it at once, and a quarter for readers.
const CACHE_BYTES: u64 = 16 << 20;
/// Two of the sixteenths.
const BATCHES: i64 = 20;
const BATCH_BYTES: usize = 100_000;

/// Segments that hold all of it.
fn wide() -> LogSettings {
    LogSettings { segment_bytes: 64 << 20, ..settings() }
}

fn limit(bytes_max: u32) -> ReadLimit {
    ReadLimit { end: Offset(i64::MAX), bytes_max, at_least_one: true }
}

fn reads(store: &Rc<Store>) -> u64 {
    [IoClass::TailRead, IoClass::ColdRead].map(|class| store.disk().io_counts(class).operations).iter().sum()
}

fn is_cached(log: &Opened, offset: i64) -> bool {
    matches!(log.log.try_read(Offset(offset), limit(1)), TryRead::Cached(_))
}

/// A log of so many batches of one record, all of them in its segments.
async fn filled(store: &Rc<Store>, settings: LogSettings, batches: i64) -> Opened {
    let log = open(store, settings).await.expect("a new log");
    for _ in 0..batches {
        log.put(1, BATCH_BYTES).await;
    }
    store.checkpoint().await.expect("written");
    log
}

/// What one reader brings back: all that follows, one read ahead of it. Both kinds of device.
async fn comes_back_once(store: Rc<Store>) {
    let log = filled(&store, wide(), BATCHES).await;
    assert!(store.cache().used_bytes() <= CACHE_BYTES / 16 + (1 << 20));
    assert!(!is_cached(&log, 0) && is_cached(&log, BATCHES - 1));
    let before = reads(&store);
    let expected: Vec<i64> = (0..BATCHES).collect();
    assert_eq!(log.bases().await, expected);
    let first = reads(&store) - before;
    assert!((1..=4).contains(&first), "{first} reads of up to 1 MiB for {BATCHES} batches");
    assert!((0..BATCHES).all(|offset| is_cached(&log, offset)));
    assert_eq!(log.bases().await, expected);
    assert_eq!(reads(&store) - before, first);
    // And it goes on from there.
    log.put(1, BATCH_BYTES).await;
    store.checkpoint().await.expect("written");
    assert_eq!(log.bases().await.len() as i64, BATCHES + 1);
    log.log.close().await.expect("closed");
    store.close().await.expect("a manifest");
}

#[test]
fn what_was_dropped_a_short_while_ago_comes_back_with_one_reader_and_serves_the_next() {
    run(async {
        comes_back_once(simulated_store(&Simulated::new(1), CACHE_BYTES).await).await;
    });
    let directory = tempfile::tempdir().expect("a directory");
    run(async { comes_back_once(real_store_with(directory.path(), CACHE_BYTES).await).await });
}

#[test]
fn what_was_dropped_long_ago_stays_in_its_file() {
    run(async {
        let store = simulated_store(&Simulated::new(1), CACHE_BYTES).await;
        let log = filled(&store, wide(), 4 * BATCHES).await;
        log.log.read(Offset(0), limit(1)).await.expect("readable");
        turns(100).await;
        assert!(!is_cached(&log, 0));
        assert!(store.cache().used_bytes() <= CACHE_BYTES / 16 + (1 << 20));
        assert_eq!(log.bases().await.len() as i64, 4 * BATCHES);
        assert!(store.cache().used_bytes() <= CACHE_BYTES / 4 + (1 << 20));
    });
}

#[test]
fn readers_who_come_together_share_one_read() {
    run(async {
        let store = simulated_store(&Simulated::new(1), CACHE_BYTES).await;
        let log = filled(&store, wide(), BATCHES).await;
        let before = reads(&store);
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let log = log.log.clone();
                glommio::spawn_local(
                    async move { log.read(Offset(0), limit(1)).await.map(|slices| slices.len()) },
                )
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.expect("readable"), BATCH_BYTES + 61);
        }
        turns(100).await;
        // A simulated device always has something more urgent to do than to read ahead.
        assert_eq!(reads(&store) - before, 1);
    });
}

#[test]
fn what_is_cut_or_deleted_while_it_comes_back_stays_away() {
    for interval in 0..12 {
        run(async move {
            let store = simulated_store(&Simulated::new(interval), CACHE_BYTES).await;
            let log = filled(&store, wide(), BATCHES).await;
            let reader = log.log.clone();
            let read = glommio::spawn_local(async move { drop(reader.read(Offset(0), limit(1)).await) });
            turns(interval).await;
            log.log.truncate_to(Offset(3)).await.expect("cut");
            log.observed.durable.set(3);
            log.log.producers_rebuilt();
            for _ in 0..3 {
                log.append(1, 50_000, 2_000).expect("accepted");
            }
            log.log.wait_durable(log.log.log_end_offset()).await.expect("durable");
            read.await;
            turns(100).await;
            let sizes: Vec<u32> = log.headers().await.iter().map(|header| header.size_bytes).collect();
            assert_eq!(sizes, [100_061, 100_061, 100_061, 50_061, 50_061, 50_061]);
            assert_eq!(
                log.log.state.borrow().chunks.iter().filter(|chunk| chunk.next_offset() > Offset(6)).count(),
                0
            );
        });
        run(async move {
            let store = simulated_store(&Simulated::new(interval), CACHE_BYTES).await;
            let log = filled(&store, LogSettings { segment_bytes: 300_000, ..wide() }, BATCHES).await;
            let reader = log.log.clone();
            let read = glommio::spawn_local(async move { drop(reader.read(Offset(0), limit(1)).await) });
            turns(interval).await;
            log.log.advance_log_start(Offset(5)).await.expect("deleted");
            read.await;
            turns(100).await;
            assert_eq!(log.bases().await, (5..BATCHES).collect::<Vec<_>>());
        });
    }
}
