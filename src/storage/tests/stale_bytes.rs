//! Bytes on the device that stand for nothing: torn groups, earlier rounds of the journal, torn tails of segments.
//!
//! Key invariant: what nobody was answered for is kept or gone as a whole, and once it is gone it never comes back.

use std::path::PathBuf;
use std::rc::Rc;

use crate::io::Simulated;
use crate::model::Offset;
use crate::storage::testing::{
    JOURNAL, Opened, batch_at, bypassing_store, limited_store, open, recovered, run, settings, simulated_file,
};
use crate::storage::{JournalLimits, Store};

const SECTOR_BYTES: usize = 512;

/// A journal of one file with room for five groups of a block.
async fn small_store(device: &Rc<Simulated>) -> Rc<Store> {
    limited_store(device, JournalLimits { first_file_bytes: 24 << 10, bytes_max: 24 << 10, ..JOURNAL }).await
}

async fn small(device: &Rc<Simulated>) -> Opened {
    open(&small_store(device).await, settings()).await.expect("it opens")
}

fn journal(incarnation: u64) -> PathBuf {
    format!("/simulated/journal/{incarnation:016x}-0000-0000.journal").into()
}

/// Design, section 4, journal. The rule: a group counts only if its checksum covers all of it (`Group::read`).
#[test]
fn a_torn_group_is_not_replayed_and_what_was_before_it_is() {
    run(async {
        let device = Simulated::new(1);
        let log = small(&device).await;
        log.put(2, 100).await;
        log.put(1, 100).await;
        let before = device.content(&journal(1)).expect("a journal");
        log.put(1, 5_000).await;
        let after = device.content(&journal(1)).expect("a journal");
        let sectors = || before.chunks(SECTOR_BYTES).zip(after.chunks(SECTOR_BYTES)).enumerate();
        let changed: Vec<usize> = sectors().filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect();
        assert!(changed.len() > 8, "the group has several sectors");
        let all = (1u64 << changed.len()) - 1;
        let drawn: Vec<u64> = (0..100).map(|_| device.choose(all)).collect();
        let but_one = (0..changed.len()).map(|missing| all & !(1 << missing));
        for written in but_one.chain(drawn).chain([0, all]) {
            let device = device.crash();
            device.damage(&journal(1), |bytes| {
                bytes.copy_from_slice(&before);
                let written = changed.iter().enumerate().filter(|(bit, _)| written >> bit & 1 == 1);
                for (_, sector) in written {
                    let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
                    bytes[range.clone()].copy_from_slice(&after[range]);
                }
            });
            assert!(recovered(&device).damages().is_empty(), "a torn tail is no damage: {written:b}");
            let log = small(&device).await;
            let expected: &[i64] = if written == all { &[0, 2, 3] } else { &[0, 2] };
            assert_eq!(log.bases().await, expected, "{written:b}");
            assert_eq!(log.put(1, 10).await, if written == all { 4 } else { 3 });
        }
    });
}

/// The rule: groups below the manifest's sequence do not count, whatever lies behind the newest (`Scan::from_sequence`). Here
/// an earlier round ends in a cut: taken again, it would take what was acknowledged since.
#[test]
fn groups_of_earlier_rounds_of_a_journal_file_are_never_replayed() {
    run(async {
        for later in 1..5 {
            let device = Simulated::new(later as u64);
            let log = small(&device).await;
            for _ in 0..4 {
                log.put(1, 100).await;
            }
            // The fifth and last group; then a checkpoint.
            assert_eq!(log.log.truncate_to(Offset(1)).await.expect("cut"), Offset(1));
            log.observed.durable.set(1);
            log.observed.batches.set(1);
            log.log.producers_rebuilt();
            for at in 0..later {
                assert_eq!(log.put(1, 50).await, 1 + at);
            }
            let device = device.crash();
            let content = device.content(&journal(1)).expect("a journal");
            let groups = content.chunks(4096).filter(|block| block.starts_with(b"CLJG")).count();
            assert_eq!(groups, 5, "what was not overwritten is still there");
            assert!(recovered(&device).damages().is_empty());
            let log = small(&device).await;
            assert_eq!(log.bases().await, (0..=later).collect::<Vec<i64>>());
        }
    });
}

/// Design, section 4, recovery. The rule: beyond the last valid batch a segment is cut, durably, before it is served
/// (`Recovery::cut`). Else a batch that lies behind the torn one comes back once another fills the place of that.
#[test]
fn a_torn_tail_never_comes_back_after_a_second_crash() {
    run(async {
        let device = Simulated::new(3);
        let log = open(&bypassing_store(&device).await, settings()).await.expect("a new log");
        log.put(1, 100).await;
        let device = device.crash();
        let path = simulated_file("00000000000000000000.log");
        device.damage(&path, |bytes| {
            bytes.truncate(161);
            // One write of two batches: of the first a sector is missing.
            let mut torn = batch_at(1, 1, 8_192 - 161 - 61);
            torn[3_000..3_512].fill(0);
            bytes.extend(torn);
            bytes.extend(batch_at(2, 1, 100));
        });
        let log = open(&bypassing_store(&device).await, settings()).await.expect("it opens");
        assert_eq!(log.bases().await, [0]);
        assert_eq!(log.put(1, 8_192 - 161 - 61).await, 1, "of the size of the torn one");
        for crashes in 0..3 {
            let device = device.crash();
            let log = open(&bypassing_store(&device).await, settings()).await.expect("it opens");
            assert_eq!(log.bases().await, [0, 1], "crash {crashes}");
        }
    });
}
