//! What a round leaves, case by case.

use super::*;
use crate::io::IoClass;
use crate::storage::testing::{run, simulated_store};

fn owned(records: &[(i64, &str, Option<&str>)]) -> Vec<(i64, String, Option<String>)> {
    records.iter().map(|(o, k, v)| (*o, (*k).to_owned(), v.map(str::to_owned))).collect()
}

#[test]
fn the_newest_record_of_each_key_stays_at_its_offset() {
    run(async {
        let log = fresh(&Simulated::new(1)).await;
        log.put(&[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))], 10).await;
        log.put(&[("c", Some("1"))], 20).await;
        log.roll().await;
        log.put(&[("c", Some("2")), ("a", Some("3"))], 30).await;
        log.roll().await;
        log.put(&[("b", Some("9"))], 40).await;
        let report = log.compact(100).await;
        let wanted = [(1, "b", Some("1")), (4, "c", Some("2")), (5, "a", Some("3")), (6, "b", Some("9"))];
        assert_eq!(log.records().await, owned(&wanted), "the active segment is left alone");
        assert_eq!((report.removed_records, report.replaced_segments, report.new_segments), (3, 2, 1));
        assert!(report.complete);
        let dirt = log.log.dirtiness(TimestampMs(100), Offset(7)).await.expect("known");
        assert_eq!((dirt.first_dirty, dirt.dirty_bytes), (Offset(6), 0));
        let again = log.compact(200).await;
        assert_eq!((again.read_bytes, again.complete), (0, true), "there is nothing to do");
    });
}

#[test]
fn a_start_finds_what_was_left() {
    run(async {
        let device = Simulated::new(2);
        let log = fresh(&device).await;
        for n in 0..40 {
            log.put(&[("a", Some("x")), (if n == 3 { "only" } else { "b" }, Some("y"))], n).await;
        }
        log.roll().await;
        log.compact(100).await;
        let (before, segments) = (log.records().await, log.log.segments());
        assert_eq!(before.iter().map(|r| r.0).collect::<Vec<_>>(), [7, 78, 79]);
        for without_sidecars in [false, true] {
            if without_sidecars {
                for (path, _) in device.files() {
                    let name = path.to_string_lossy();
                    if name.ends_with(".cindex") || name.ends_with(".producers") {
                        device.damage(&path, Vec::clear);
                    }
                }
            }
            let store = simulated_store(&device, 10_000).await;
            let again = open(&store, settings()).await.expect("it opens");
            assert_eq!(again.records().await, before);
            assert_eq!(again.log.log_end_offset(), Offset(80));
            assert_eq!(again.log.segments()[..1], segments[..1]);
        }
    });
}

#[test]
fn a_gap_without_a_sidecar_is_damage_where_nothing_is_compacted() {
    run(async {
        let device = Simulated::new(3);
        let log = fresh(&device).await;
        log.put(&[("a", Some("1"))], 1).await;
        log.put(&[("a", Some("2"))], 2).await;
        log.put(&[("b", Some("3"))], 3).await;
        log.roll().await;
        log.put(&[("c", Some("4"))], 4).await;
        log.compact(100).await;
        let store = simulated_store(&device, 10_000).await;
        let deleting = LogSettings { compaction: CompactionSettings::default(), ..settings() };
        assert!(open(&store, deleting).await.is_ok(), "the sidecar says that nothing is missing");
        let sidecar = testing::simulated_file("00000000000000000000.cindex");
        device.damage(&sidecar, Vec::clear);
        assert!(matches!(open(&store, deleting).await, Err(StorageError::Corrupt { .. })));
        assert!(open(&store, settings()).await.is_ok());
    });
}

#[test]
fn a_tombstone_stays_for_its_time_after_it_was_found() {
    run(async {
        let log = fresh(&Simulated::new(4)).await;
        log.put(&[("a", Some("1")), ("b", Some("1"))], 10).await;
        log.put(&[("a", None)], 20).await;
        log.roll().await;
        log.put(&[("z", Some("1"))], 30).await;
        log.compact(5_000).await;
        assert_eq!(log.records().await, owned(&[(1, "b", Some("1")), (2, "a", None), (3, "z", Some("1"))]));
        let horizon = log.batches().await[1].0.delete_horizon();
        assert_eq!(
            horizon,
            Some(TimestampMs(6_000)),
            "counted from when it was found, not from when it was sent"
        );
        for (now, there) in [(5_999, true), (6_000, false)] {
            log.roll().await;
            log.put(&[("z", Some("1"))], now).await;
            log.compact(now).await;
            let found = log.records().await.iter().any(|(_, key, _)| key == "a");
            assert_eq!(found, there, "at {now}");
        }
    });
}

#[test]
fn aborted_records_go_and_markers_follow_when_they_are_old() {
    run(async {
        let log = fresh(&Simulated::new(5)).await;
        let in_transaction = |id, key, value| batch(of_producer(id, 0).transactional(), &[(key, value)], 10);
        log.put(&[("a", Some("old"))], 10).await;
        log.append(&in_transaction(1, "a", Some("aborted")), 10).expect("accepted");
        log.append(&in_transaction(2, "b", Some("committed")), 10).expect("accepted");
        log.append(&marker(1, false, 10), 10).expect("accepted");
        log.append(&marker(2, true, 10), 10).expect("accepted");
        // Both producers went on elsewhere: nothing of them is needed here.
        log.producers.last.borrow_mut().clear();
        log.put(&[("c", Some("1"))], 10).await;
        log.roll().await;
        log.compact(100).await;
        let offsets = |batches: Vec<(BatchHeader, Bytes)>| -> Vec<i64> {
            batches.iter().map(|(header, _)| header.base_offset.0).collect()
        };
        assert_eq!(offsets(log.batches().await), [0, 2, 3, 4, 5], "the aborted record is gone");
        for now in [200, 1_200] {
            log.put(&[("z", Some("1"))], 10).await;
            log.roll().await;
            log.compact(now).await;
            let at = log.batches().await;
            let abort = at.iter().find(|(header, _)| header.base_offset == Offset(3));
            let horizon = abort.map(|(header, _)| header.delete_horizon());
            let wanted = (now == 200).then_some(Some(TimestampMs(1_200)));
            assert_eq!(horizon, wanted, "the marker had no records left at 200");
            assert!(offsets(at).contains(&4), "the other marker still has one");
        }
    });
}

#[test]
fn what_is_not_decided_is_not_touched() {
    run(async {
        let log = fresh(&Simulated::new(6)).await;
        log.put(&[("a", Some("1")), ("a", Some("2"))], 10).await;
        log.roll().await;
        log.append(&batch(of_producer(1, 0).transactional(), &[("b", Some("1")), ("b", Some("2"))], 10), 10)
            .expect("accepted");
        log.put(&[("c", Some("1")), ("c", Some("2"))], 10).await;
        log.roll().await;
        log.compact(100).await;
        let offsets = async || log.records().await.iter().map(|record| record.0).collect::<Vec<_>>();
        assert_eq!(offsets().await, [1, 2, 3, 4, 5]);
        // The marker lies in the active segment.
        log.append(&marker(1, false, 10), 10).expect("accepted");
        log.settle().await;
        log.compact(100).await;
        assert_eq!(offsets().await, [1, 5, 6], "the records, and the marker as one");
        let batches = log.batches().await;
        let kept = batches.iter().find(|(header, _)| header.base_offset == Offset(2)).expect("kept empty");
        assert_eq!((kept.0.record_count, kept.0.last_sequence()), (0, Sequence(1)), "its producer may go on");
    });
}

#[test]
fn each_producer_keeps_its_last_batch() {
    run(async {
        let device = Simulated::new(7);
        let log = fresh(&device).await;
        for sequence in 0..3 {
            log.append(&batch(of_producer(1, sequence), &[("a", Some("1"))], 10), 10).expect("accepted");
            log.append(&batch(of_producer(2, sequence), &[("a", Some("2"))], 10), 10).expect("accepted");
        }
        log.put(&[("a", Some("3"))], 10).await;
        log.roll().await;
        log.producers.last.borrow_mut().remove(&2);
        log.compact(100).await;
        let facts: Vec<_> = log.batches().await;
        let facts: Vec<_> =
            facts.iter().map(|(h, _)| (h.base_offset.0, h.record_count, h.last_sequence().0)).collect();
        assert_eq!(facts, [(4, 0, 2), (6, 1, -1)], "the forgotten one keeps nothing");
    });
}

#[test]
fn the_end_of_a_round_stays_as_a_batch() {
    run(async {
        let log = fresh(&Simulated::new(8)).await;
        log.put(&[("a", Some("1"))], 10).await;
        log.append(&batch(of_producer(1, 0).transactional(), &[("b", Some("1"))], 10), 10).expect("accepted");
        log.append(&marker(1, false, 10), 10).expect("accepted");
        log.append(&batch(of_producer(1, 1).transactional(), &[("b", Some("1"))], 10), 10).expect("accepted");
        log.settle().await;
        log.roll().await;
        log.append(&marker(1, false, 10), 10).expect("accepted");
        log.settle().await;
        log.producers.last.borrow_mut().clear();
        log.compact(100).await;
        let bases: Vec<_> =
            log.batches().await.iter().map(|(h, _)| (h.base_offset.0, h.record_count)).collect();
        assert_eq!(bases, [(0, 1), (2, 1), (3, 0), (4, 1)]);
    });
}

#[test]
fn a_log_of_which_nothing_is_left_keeps_its_end() {
    run(async {
        let device = Simulated::new(13);
        let log = fresh(&device).await;
        log.put(&[("a", None)], 10).await;
        log.roll().await;
        log.compact(100).await;
        // Another round over all of it, as after a lost mark.
        log.log.save_cleaned_to(Offset(0)).await.expect("written");
        log.compact(5_000).await;
        assert_eq!(log.records().await, []);
        assert_eq!(log.log.max_timestamp(Offset(1)).await.expect("no error"), None);
        assert_eq!(log.log.offset_for_timestamp(TimestampMs(0), Offset(1)).await.expect("no error"), None);
        for without_sidecars in [false, true] {
            if without_sidecars {
                device.damage(&testing::simulated_file("00000000000000000000.cindex"), Vec::clear);
                device.damage(&testing::simulated_file("00000000000000000001.producers"), Vec::clear);
            }
            let store = simulated_store(&device, 10_000).await;
            let again = open(&store, settings()).await.expect("it opens");
            assert_eq!((again.log.log_end_offset(), again.records().await.len()), (Offset(1), 0));
            assert_eq!(again.log.max_timestamp(Offset(1)).await.expect("no error"), None);
        }
    });
}

#[test]
fn the_largest_timestamp_is_found_among_what_is_left() {
    run(async {
        let log = fresh(&Simulated::new(14)).await;
        log.put(&[("a", Some("1"))], 70).await;
        log.append(&batch(of_producer(1, 0), &[("b", Some("1"))], 90), 90).expect("accepted");
        log.put(&[("b", Some("2"))], 60).await;
        log.roll().await;
        log.compact(1_000).await;
        let found = log.log.max_timestamp(Offset(3)).await.expect("no error");
        assert_eq!(found.map(|(at, offset, _)| (at.0, offset.0)), Some((70, 0)), "90 has no record left");
        let later = log.log.offset_for_timestamp(TimestampMs(71), Offset(3)).await.expect("no error");
        assert_eq!(later, None);
    });
}

#[test]
fn more_keys_than_fit_take_more_rounds() {
    run(async {
        for codec in Codec::ALL {
            let log = fresh(&Simulated::new(9)).await;
            for n in 0..60 {
                let keys = [n % 23, (n + 7) % 23, (n + 11) % 23].map(|key| format!("key {key}"));
                let records: Vec<_> = keys.iter().map(|key| (key.as_str(), Some("value"))).collect();
                log.append(&batch(BatchBuilder::new(codec), &records, n), n).expect("accepted");
                log.settle().await;
            }
            log.roll().await;
            let mut rounds = 0;
            let mut first_dirty = Offset(0);
            loop {
                // Two keys fit, fewer than a batch has.
                let report = log.log.compact(log.round(100, 3 * 24)).await.expect("nothing fails");
                if report.read_bytes == 0 {
                    break;
                }
                let dirt = log.log.dirtiness(TimestampMs(100), Offset(180)).await.expect("known");
                assert!(dirt.first_dirty > first_dirty, "every round gets on");
                assert!(
                    report.map_used_percent == 100 || dirt.first_dirty == Offset(180),
                    "a round uses its map"
                );
                first_dirty = dirt.first_dirty;
                rounds += 1;
            }
            assert!(rounds > 20, "{rounds}");
            let mut keys: Vec<_> = log.records().await.into_iter().map(|record| record.1).collect();
            keys.sort();
            keys.dedup();
            assert_eq!((keys.len(), log.records().await.len()), (23, 23), "one record of each key");
        }
    });
}

#[test]
fn a_round_under_way_leaves_alone_what_changed_beneath_it() {
    run(async {
        let log = fresh(&Simulated::new(10)).await;
        for n in 0..40 {
            log.put(&[("a", Some("1")), ("b", Some("2"))], n).await;
        }
        log.roll().await;
        let compaction = {
            let (inner, round) = (log.log.clone(), log.round(100, 1 << 20));
            glommio::spawn_local(async move { inner.compact(round).await })
        };
        futures_lite::future::yield_now().await;
        log.log.truncate_to(Offset(51)).await.expect("cut");
        log.log.producers_rebuilt();
        let report = compaction.await.expect("no failure");
        assert!(!report.complete, "{report:?}");
        let newest = log.records().await;
        assert_eq!(newest.last().map(|record| record.0), Some(49));
        log.put(&[("z", Some("1"))], 50).await;
        log.roll().await;
        assert!(log.compact(200).await.complete);
        let offsets: Vec<_> = log.records().await.iter().map(|record| record.0).collect();
        assert_eq!(offsets, [48, 49, 50], "the mark of before does not count");
    });
}

#[test]
fn a_cut_where_compaction_left_nothing_forgets_no_producer() {
    run(async {
        let device = Simulated::new(15);
        let log = fresh(&device).await;
        log.put(&[("b", Some("1"))], 1).await;
        log.put(&[("a", Some("1")), ("a", Some("2"))], 1).await;
        log.roll().await;
        log.put(&[("a", Some("3"))], 2).await;
        log.roll().await;
        log.put(&[("c", Some("1"))], 3).await;
        // Each segment by itself: the first one ends before the second begins.
        log.log.update_settings(LogSettings { segment_bytes: 100, ..settings() });
        log.compact(100).await;
        assert_eq!(log.log.segments()[0].next_offset, Offset(3));
        assert_eq!(log.log.truncate_to(Offset(2)).await.expect("cut"), Offset(1));
        log.log.producers_rebuilt();
        log.append(&batch(of_producer(7, 0), &[("d", Some("1"))], 4), 4).expect("accepted");
        log.settle().await;
        let after = device.crash();
        let again = open(&simulated_store(&after, 10_000).await, settings()).await.expect("it opens");
        assert_eq!(again.records().await, owned(&[(0, "b", Some("1")), (1, "d", Some("1"))]));
        assert_eq!(again.producers.last.borrow().get(&7), Some(&(0, 0, 1)));
    });
}

#[test]
fn what_a_round_learnt_does_not_count_after_a_cut() {
    run(async {
        let mut exchanged = 0;
        for turns in 0..120 {
            let log = fresh(&Simulated::new(turns)).await;
            log.put(&[("a", Some("1")), ("x", Some("1"))], 1).await;
            log.roll().await;
            log.put(&[("a", Some("2")), ("y", Some("1"))], 2).await;
            log.roll().await;
            let (inner, round) = (log.log.clone(), log.round(100, 1 << 20));
            let compaction = glommio::spawn_local(async move { inner.compact(round).await });
            for _ in 0..turns {
                futures_lite::future::yield_now().await;
            }
            log.log.truncate_to(Offset(2)).await.expect("cut");
            log.log.producers_rebuilt();
            let was_exchanged = log.records().await.first().is_none_or(|first| first.0 > 0);
            exchanged += i32::from(was_exchanged);
            // The same offsets and bytes again, but another key.
            log.put(&[("x", Some("2")), ("y", Some("1"))], 2).await;
            log.roll().await;
            compaction.await.expect("no failure");
            let mut left = log.records().await;
            left.retain(|record| record.0 != 1);
            let mut wanted = vec![(0, "a", Some("1")), (2, "x", Some("2")), (3, "y", Some("1"))];
            wanted.drain(..usize::from(was_exchanged));
            assert_eq!(left, owned(&wanted), "after {turns} turns");
            log.put(&[("q", Some("1"))], 3).await;
            log.roll().await;
            log.compact(100).await;
            wanted.push((4, "q", Some("1")));
            assert_eq!(log.records().await, owned(&wanted), "after {turns} turns");
        }
        assert!((10..110).contains(&exchanged), "{exchanged} cuts came after the exchange");
    });
}

#[test]
fn segments_of_the_same_size_after_a_cut_are_others() {
    run(async {
        let log = fresh(&Simulated::new(17)).await;
        for value in ["1", "2"] {
            log.put(&[("a", Some(value))], 1).await;
            log.roll().await;
        }
        let (segments, generation) = (log.log.candidates(), log.log.compaction.generation());
        assert!(log.log.are_in_place(&segments[..2], generation));
        assert!(!log.log.are_in_place(&segments, generation), "the last one is active");
        log.log.truncate_to(Offset(1)).await.expect("cut");
        log.log.producers_rebuilt();
        assert!(!log.log.are_in_place(&segments[..2], log.log.compaction.generation()));
        log.put(&[("b", Some("2"))], 1).await;
        log.roll().await;
        assert!(log.log.are_in_place(&segments[..2], log.log.compaction.generation()), "they look the same");
        assert!(!log.log.are_in_place(&segments[..2], generation));
    });
}

#[test]
fn damage_stops_a_round_and_is_kept() {
    run(async {
        let device = Simulated::new(11);
        let log = fresh(&device).await;
        for n in 0..10 {
            log.put(&[("a", Some("1"))], n).await;
        }
        log.roll().await;
        let file = testing::simulated_file("00000000000000000000.log");
        let before = device.content(&file).expect("there");
        device.damage(&file, |bytes| bytes[100] ^= 1);
        let result = log.log.compact(log.round(100, 1 << 20)).await;
        assert!(matches!(result, Err(StorageError::Corrupt { .. })), "{result:?}");
        device.damage(&file, |bytes| bytes.clone_from(&before));
        assert!(!device.files().iter().any(|(path, _)| path.to_string_lossy().contains("cleaned")));
        assert!(log.compact(100).await.complete, "it is not poisoned");
    });
}

#[test]
fn without_space_nothing_begins() {
    run(async {
        let device = Simulated::new(12);
        let log = fresh(&device).await;
        log.put(&[("a", Some("1")), ("a", Some("2"))], 1).await;
        log.roll().await;
        device.set_free_bytes(1_000);
        let store = simulated_store(&device, 10_000).await;
        let full = open(&store, settings()).await.expect("it opens");
        let result = full.log.compact(full.round(100, 1 << 20)).await;
        assert!(matches!(result, Err(StorageError::DiskFull)), "{result:?}");
    });
}

/// Beside what clients wait for, no read or write takes more than a quarter of a virtual disk's queue (0025).
#[test]
fn reads_and_writes_are_small_while_others_wait_for_the_device() {
    run(async {
        let store = simulated_store(&Simulated::new(4), 10_000).await;
        let log = open(&store, LogSettings { segment_bytes: 8 << 20, ..settings() }).await.expect("a log");
        let value = "v".repeat(100_000);
        for n in 0..25 {
            log.put(&[(&format!("{n}"), Some(&value))], n).await;
        }
        log.roll().await;
        let disk = store.disk();
        // A write of the journal that goes on until compaction has ended.
        let urgent = disk.write_buffer(4096, IoClass::Journal).await.expect("memory");
        let before = disk.io_counts(IoClass::Compaction);
        let report = log.compact(100).await;
        let after = disk.io_counts(IoClass::Compaction);
        drop(urgent);
        assert_eq!((report.removed_records, report.complete), (0, true));
        let (operations, bytes) = (after.operations - before.operations, after.bytes - before.bytes);
        assert!(bytes >= 2_500_000, "{bytes}");
        assert!(bytes / operations <= 256 << 10, "{operations} operations, {bytes} bytes");
    });
}
