//! Readers and lookups while segments are deleted under them: out of range is all they may see.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;

use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchHeader, Codec};
use crate::storage::testing::{Opened, open, real_store, run, settings, simulated_store};
use crate::storage::{Log, LogSettings, ReadLimit, StorageError, Store};

const RECORDS: i64 = 3;
const READERS: u64 = 4;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as i64
    }
}

/// What the tasks share.
struct Scene {
    log: Rc<Log>,
    done: Cell<bool>,
    out_of_range: Cell<u64>,
    read: Cell<u64>,
    found: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// A batch whose records have the timestamps `first` and on.
fn batch(codec: Codec, first: i64) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for timestamp in first..first + RECORDS {
        let timestamp = TimestampMs(timestamp);
        builder.append(&NewRecord { timestamp, value: Some(&[3; 60]), ..NewRecord::default() });
    }
    builder.build(Offset(0)).expect("it has records")
}

/// Appends batches whose records' timestamps are their offsets.
async fn append(scene: Rc<Scene>, batches: i64) {
    for n in 0..batches {
        let codec = Codec::ALL[n as usize % Codec::ALL.len()];
        let appended = scene.log.append(&batch(codec, n * RECORDS), LeaderEpoch(0), TimestampMs(n));
        let appended = appended.expect("accepted");
        assert_eq!(appended.base_offset.0, n * RECORDS);
        scene.log.wait_durable(appended.last_offset.plus(1)).await.expect("durable");
    }
    scene.done.set(true);
}

/// Moves the log start, by size and by DeleteRecords.
async fn delete(scene: Rc<Scene>, mut random: Random) {
    while !scene.done.get() {
        if random.below(2) == 0 {
            scene.log.apply_retention(TimestampMs(0)).await.expect("applied");
        } else {
            let (start, end) = (scene.log.log_start_offset(), scene.log.durable_end_offset());
            let to = Offset(start.0 + random.below((end.since(start) + 1).min(9)));
            scene.log.advance_log_start(to).await.expect("advanced");
        }
        glommio::executor().yield_task_queue_now().await;
    }
}

/// Reads near the log start.
async fn read(scene: Rc<Scene>, mut random: Random) {
    while !scene.done.get() {
        let end = scene.log.durable_end_offset();
        let near = scene.log.log_start_offset().0 + random.below(12) - 3;
        let from = Offset(near.clamp(0, end.0));
        let bytes_max = [1, 300, 100_000][random.below(3) as usize];
        match scene.log.read(from, ReadLimit { end, bytes_max, at_least_one: true }).await {
            Ok(slices) => {
                check_slices(&slices.bytes, from);
                count(&scene.read);
            }
            Err(StorageError::OutOfRange { offset, start, .. }) => {
                assert!(offset == from && from < start, "{from} is not below {start}");
                count(&scene.out_of_range);
            }
            Err(error) => panic!("reading at {from}: {error}"),
        }
        glommio::executor().yield_task_queue_now().await;
    }
}

fn check_slices(slices: &[Bytes], from: Offset) {
    let mut at = from;
    for slice in slices {
        let mut rest = slice.clone();
        while !rest.is_empty() {
            let header = BatchHeader::parse_whole(&rest).expect("a whole batch");
            header.check_crc(&rest).expect("an intact batch");
            assert!(header.base_offset <= at && at < header.next_offset(), "{at} is not in {header:?}");
            at = header.next_offset();
            let _ = rest.split_to(header.size_bytes as usize);
        }
    }
}

/// Asks for offsets by time: there is always an answer, and it is exact.
async fn look_up(scene: Rc<Scene>, mut random: Random) {
    while !scene.done.get() {
        let before = scene.log.log_start_offset();
        let end = scene.log.durable_end_offset();
        let asked = (before.0 + random.below(10) - 2).max(0);
        let found = scene.log.offset_for_timestamp(TimestampMs(asked), end).await.expect("answered");
        match found {
            Some((timestamp, offset, _)) => {
                let after = scene.log.log_start_offset().0;
                assert_eq!(timestamp.0, offset.0);
                assert!(
                    offset.0 >= asked.max(before.0) && offset.0 <= asked.max(after),
                    "{offset} for {asked}"
                );
                count(&scene.found);
            }
            None => {
                assert!(asked.max(scene.log.log_start_offset().0) >= end.0, "nothing for {asked} below {end}")
            }
        }
        let latest = scene.log.max_timestamp(end).await.expect("answered");
        let gone = scene.log.log_start_offset() >= end;
        assert!(gone || latest.is_some_and(|(_, offset, _)| offset.0 == end.0 - 1), "{latest:?} below {end}");
        glommio::executor().yield_task_queue_now().await;
    }
}

async fn stress(store: Rc<Store>, seed: u64, batches: i64) -> Rc<Scene> {
    // Two or three batches to a segment, at most three or four segments.
    let tiny =
        LogSettings { segment_bytes: 700, retention_bytes: 2_000, index_interval_bytes: 1, ..settings() };
    let Opened { log, observed: _observed, .. } = open(&store, tiny).await.expect("a new log");
    let cell = || Cell::new(0);
    let scene =
        Rc::new(Scene { log, done: Cell::new(false), out_of_range: cell(), read: cell(), found: cell() });
    let mut tasks = vec![glommio::spawn_local(delete(scene.clone(), Random(seed)))];
    for reader in 0..READERS {
        tasks.push(glommio::spawn_local(read(scene.clone(), Random(seed ^ (reader + 1) << 32))));
        tasks.push(glommio::spawn_local(look_up(scene.clone(), Random(seed ^ (reader + 9) << 32))));
    }
    append(scene.clone(), batches).await;
    for task in tasks {
        task.await;
    }
    assert!(scene.log.log_start_offset().0 > 0, "something was deleted");
    scene.log.close().await.expect("closed");
    scene
}

#[test]
fn readers_of_deleted_segments_are_out_of_range_and_never_fail() {
    for seed in 0..12 {
        run(async {
            // Without a cache every read is of a file.
            let store = simulated_store(&Simulated::new(seed), 0).await;
            let scene = stress(store, seed, 150).await;
            let seen = [&scene.out_of_range, &scene.read, &scene.found].map(Cell::get);
            assert!(seen.iter().all(|count| *count > 0), "each kind of answer was seen: {seen:?}");
        });
    }
}

#[test]
fn nor_do_they_on_a_real_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    run(async {
        let store = real_store(directory.path()).await;
        stress(store, 77, 10).await;
    });
}
