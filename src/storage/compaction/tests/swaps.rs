//! Every state that a crash can leave of a swap, put together by hand, and what a start makes of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::storage::testing::{run, simulated_file, simulated_store};

type Files = BTreeMap<String, Vec<u8>>;

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.cindex";
const CLEANED: &str = "00000000000000000000.log.cleaned";
const LOG_SWAP: &str = "00000000000000000000.00000000000000000006.log.swap";
const INDEX_SWAP: &str = "00000000000000000000.00000000000000000006.cindex.swap";

fn files(device: &Rc<Simulated>) -> Files {
    let content = |path: PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        (name, device.content(&path).expect("it is listed"))
    };
    device.files().into_iter().map(|(path, _)| content(path)).collect()
}

/// The files of a log of three segments and an active one, before and after the three became one.
async fn before_and_after() -> (Files, Files) {
    let device = Simulated::new(1);
    let log = fresh(&device).await;
    for (at, key) in ["a", "b", "a"].into_iter().enumerate() {
        log.put(&[(key, Some("1")), ("x", Some("2"))], at as i64).await;
        log.roll().await;
    }
    log.put(&[("end", Some("1"))], 9).await;
    let before = files(&device);
    log.compact(100).await;
    for _ in 0..50 {
        futures_lite::future::yield_now().await;
    }
    let after = files(&device);
    assert!(
        !after.keys().any(|name| name.contains("swap") || name.contains("deleted")),
        "{:?}",
        after.keys()
    );
    (before, after)
}

/// Opens a log of these files; the offsets of its records and the files it leaves.
async fn opened(files_there: &Files) -> (Vec<i64>, Files) {
    let device = Simulated::new(2);
    let store = simulated_store(&device, 10_000).await;
    let directory = testing::place().directory(store.disk().directory());
    store.disk().create_directory(&directory).await.expect("new");
    for (name, content) in files_there {
        store.disk().replace_file(&simulated_file(name), content.clone()).await.expect("written");
    }
    let log = open(&store, settings()).await.expect("it opens");
    assert_eq!(log.log.log_end_offset(), Offset(7));
    let offsets = log.records().await.iter().map(|record| record.0).collect();
    (offsets, files(&device))
}

const OLD: [i64; 7] = [0, 1, 2, 3, 4, 5, 6];
const NEW: [i64; 4] = [2, 4, 5, 6];

fn is_segment(name: &str) -> bool {
    ["00000000000000000000", "00000000000000000002", "00000000000000000004"]
        .iter()
        .any(|base| name.strip_prefix(base) == Some(".log"))
}

#[test]
fn before_the_commit_the_old_segments_count() {
    run(async {
        let (before, after) = before_and_after().await;
        assert_eq!(opened(&before).await.0, OLD);
        for with_sidecar in [false, true] {
            let mut there = before.clone();
            there.insert(CLEANED.to_owned(), after[LOG][..50].to_vec());
            if with_sidecar {
                there.insert(INDEX_SWAP.to_owned(), after[INDEX].clone());
            }
            let (offsets, left) = opened(&there).await;
            assert_eq!(offsets, OLD);
            assert_eq!(
                left.keys().collect::<Vec<_>>(),
                before.keys().collect::<Vec<_>>(),
                "the rest is gone"
            );
        }
    });
}

#[test]
fn after_the_commit_the_new_segment_counts_whatever_is_left_of_the_old() {
    run(async {
        let (before, after) = before_and_after().await;
        assert_eq!(opened(&after).await.0, NEW);
        let old: Vec<String> = before.keys().filter(|name| is_segment(name)).cloned().collect();
        assert_eq!(old.len(), 3);
        for gone in 0..=3 {
            for sidecar in [Some(INDEX_SWAP), Some(INDEX), None] {
                let mut there = before.clone();
                for name in &old[..gone] {
                    let content = there.remove(name).expect("it was there");
                    there.insert(format!("{name}.deleted"), content);
                }
                there.insert(LOG_SWAP.to_owned(), after[LOG].clone());
                match sidecar {
                    Some(name) => there.insert(name.to_owned(), after[INDEX].clone()),
                    None => there.remove(INDEX),
                };
                let (offsets, left) = opened(&there).await;
                assert_eq!(offsets, NEW, "{gone} {sidecar:?}");
                assert_eq!(left[LOG], after[LOG]);
                assert_eq!(
                    left.keys().filter(|name| !name.contains("compaction")).collect::<Vec<_>>(),
                    after.keys().filter(|name| !name.contains("compaction")).collect::<Vec<_>>()
                );
            }
        }
    });
}

/// Reads from one end to the other in small steps, as a consumer does; nothing of `newest` may be passed over.
async fn read_in_order(log: &Compacted, device: &Simulated, newest: &[i64], end: i64) {
    let mut from = 0;
    while from < end {
        // What was read ahead waits meanwhile.
        for _ in 0..device.choose(60) {
            futures_lite::future::yield_now().await;
        }
        let limit = ReadLimit { end: Offset(end), bytes_max: 300, at_least_one: true };
        let slices = log.log.read(Offset(from), limit).await.expect("no error");
        let mut found = Vec::new();
        slices.bytes.iter().for_each(|slice| split(slice, &mut found));
        for (header, _) in found {
            let base = header.base_offset.0;
            let passed = newest.iter().find(|at| **at >= from && **at < base);
            assert_eq!(passed, None, "read from {from}, got {base}");
            from = header.next_offset().0;
        }
    }
}

#[test]
fn a_reader_in_order_passes_over_nothing() {
    run(async {
        for seed in 0..40 {
            let device = Simulated::new(seed);
            let log = Rc::new(fresh(&device).await);
            for n in 0..100 {
                let key = format!("{}", n % 45);
                log.put(&[(&key, Some("a value of some length")), ("x", Some("y"))], n).await;
            }
            log.roll().await;
            let newest: Vec<i64> = (55..100).map(|n| n * 2).collect();
            let compaction = {
                let log = log.clone();
                glommio::spawn_local(async move {
                    for _ in 0..12 {
                        log.log.compact(log.round(500, 24 * 6)).await.expect("no failure");
                    }
                })
            };
            for _ in 0..3 {
                read_in_order(&log, &device, &newest, 200).await;
            }
            compaction.await;
            read_in_order(&log, &device, &newest, 200).await;
        }
    });
}

#[test]
fn readers_of_the_old_segments_see_no_error() {
    run(async {
        let device = Simulated::new(3);
        let log = Rc::new(fresh(&device).await);
        for n in 0..200 {
            let key = format!("{}", n % 90);
            log.put(&[(&key, Some("a value of some length")), ("x", Some("y"))], n).await;
        }
        log.roll().await;
        let newest: Vec<i64> = (110..200).map(|n| n * 2).collect();
        let readers: Vec<_> = (0..8)
            .map(|reader| {
                let (log, device, newest) = (log.clone(), device.clone(), newest.clone());
                glommio::spawn_local(async move {
                    for _ in 0..60 {
                        let from = device.choose(399) as i64 + i64::from(reader == 0);
                        let limit = ReadLimit { end: Offset(400), bytes_max: 500, at_least_one: true };
                        let slices = log.log.read(Offset(from), limit).await.expect("no error");
                        let header = BatchHeader::parse_whole(&slices.bytes[0]).expect("a whole batch");
                        assert!(header.next_offset().0 > from);
                        let skipped = newest.iter().find(|at| **at >= from && **at < header.base_offset.0);
                        assert_eq!(skipped, None, "read from {from}, got {}", header.base_offset);
                    }
                })
            })
            .collect();
        for now in [500, 3_000] {
            // One key at a time makes many swaps.
            while log.log.compact(log.round(now, 24 * 20)).await.expect("no failure").read_bytes > 0 {}
        }
        for reader in readers {
            reader.await;
        }
        assert_eq!(log.records().await.len(), 91);
    });
}
