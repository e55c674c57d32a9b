//! Journals and manifests that no crash explains.
//!
//! Key invariant: partitions that may have lost something acknowledged stay offline and untouched, all others serve, and the
//! files are kept until an operator decided.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::journal_failures::partition;
use crate::io::Simulated;
use crate::model::Offset;
use crate::record::crc32c;
use crate::storage::testing::{Opened, open_at, recovered, run, settings, simulated_shard};
use crate::storage::{
    JournalFiles, JournalStart, Recovered, ReplayError, StorageError, Store, Takeover, plan_replay,
};

const BLOCK: usize = 4096;

fn journal_file(name: &str) -> PathBuf {
    Path::new("/simulated/journal").join(name)
}

async fn store(device: &Rc<Simulated>, shard: u16, recovered: &Arc<Recovered>) -> Rc<Store> {
    let start = JournalStart { shard, journal: device.choose(u64::MAX), recovered: recovered.clone() };
    simulated_shard(device, 1 << 20, start).await.expect("a journal")
}

async fn opened(store: &Rc<Store>, number: i32) -> Result<Opened, StorageError> {
    open_at(store, partition(number), settings()).await
}

/// All files of the data directory with what is in them.
fn everything(device: &Simulated) -> Vec<(PathBuf, Vec<u8>)> {
    let files = device.files().into_iter();
    files.map(|(path, _)| (path.clone(), device.content(&path).expect("there"))).collect()
}

/// What a start loads after an operator moved these files away.
fn without(device: &Simulated, names: &[String]) -> JournalFiles {
    let files = everything(device).into_iter().filter_map(|(path, content)| {
        let name = path.file_name()?.to_str()?.to_owned();
        (!names.contains(&name)).then(|| (name, Bytes::from(content)))
    });
    JournalFiles::of(files)
}

/// Two shards: partition 0 in the first, partition 1 in the second; four batches each, a group for each batch. A checkpoint of
/// both came after the first batch.
async fn two_shards(seed: u64) -> Rc<Simulated> {
    let device = Simulated::new(seed);
    let nothing = recovered(&device);
    let stores = [store(&device, 0, &nothing).await, store(&device, 1, &nothing).await];
    for (number, store) in stores.iter().enumerate() {
        let log = opened(store, number as i32).await.expect("a new log");
        for at in 0..4 {
            log.put(1, 100).await;
            if at == 0 {
                store.checkpoint().await.expect("a checkpoint");
            }
        }
    }
    device.crash()
}

/// Opens both partitions in one shard; the first is suspect, the second is whole. Returns the store and the takeover.
async fn suspect_and_whole(device: &Rc<Simulated>) -> (Rc<Store>, Takeover, Opened) {
    let recovered = recovered(device);
    let takeover = Takeover::new(&recovered, 1);
    let store = store(device, 0, &recovered).await;
    let error = opened(&store, 0).await.err().expect("it stays offline");
    assert!(matches!(error, StorageError::Suspect(_)), "{error}");
    assert!(error.to_string().contains("0000000000000001-0000"), "it names the files: {error}");
    let whole = opened(&store, 1).await.expect("the other opens");
    assert_eq!(whole.bases().await, [0, 1, 2, 3]);
    whole.put(1, 100).await;
    (store, takeover, whole)
}

#[test]
fn a_damaged_group_in_the_middle_keeps_its_partition_offline_until_the_files_are_moved_away() {
    run(async {
        let device = two_shards(1).await;
        let name = "0000000000000001-0000-0000.journal";
        // The third of four groups.
        device.damage(&journal_file(name), |bytes| bytes[3 * BLOCK + 200] ^= 1);
        let segment = Path::new("/simulated/orders-0/00000000000000000000.log");
        let before = device.content(segment).expect("a segment");
        let (store, takeover, _whole) = suspect_and_whole(&device).await;
        takeover.complete(&store, 1).await.expect("taken over");
        assert_eq!(device.content(segment), Some(before), "it is untouched");
        assert!(device.content(&journal_file(name)).is_some(), "old files are kept");
        // So it is at the next start.
        let device = device.crash();
        let recovered = recovered(&device);
        let store_of_next = store_next(&device, &recovered).await;
        let error = opened(&store_of_next, 0).await.err().expect("still offline");
        assert!(matches!(error, StorageError::Suspect(_)), "{error}");
        assert_eq!(opened(&store_of_next, 1).await.expect("open").log.log_end_offset(), Offset(5));
        // The operator moves the files away that the message names, and accepts the loss.
        let device = device.crash();
        let recovered = Arc::new(plan_replay(without(&device, &[name.to_owned()])).expect("a known format"));
        let store = store_next(&device, &recovered).await;
        let log = opened(&store, 0).await.expect("it opens");
        assert_eq!(log.bases().await, [0], "what the last checkpoint had");
        assert_eq!(log.put(1, 100).await, 1);
        let other = opened(&store, 1).await.expect("open");
        assert_eq!(other.log.log_end_offset(), Offset(5));
        Takeover::new(&recovered, 1).complete(&store, 0).await.expect("taken over");
        let old = |path: &Path| path.to_string_lossy().contains("/journal/0000000000000001-");
        assert!(!device.files().iter().any(|(path, _)| old(path) && !path.ends_with(name)));
    });
}

async fn store_next(device: &Rc<Simulated>, recovered: &Arc<Recovered>) -> Rc<Store> {
    store(device, 0, recovered).await
}

#[test]
fn a_damaged_manifest_does_the_same_and_without_it_the_journal_is_taken_from_its_beginning() {
    run(async {
        let device = two_shards(2).await;
        let name = "0000000000000001-0000.manifest";
        device.damage(&journal_file(name), |bytes| bytes[30] ^= 1);
        let (store, takeover, _whole) = suspect_and_whole(&device).await;
        takeover.complete(&store, 1).await.expect("taken over");
        assert!(device.content(&journal_file(name)).is_some(), "old files are kept");
        let device = device.crash();
        let recovered = Arc::new(plan_replay(without(&device, &[name.to_owned()])).expect("a known format"));
        let store = store_next(&device, &recovered).await;
        let log = opened(&store, 0).await.expect("it opens");
        assert_eq!(log.bases().await, [0, 1, 2, 3], "nothing is lost: the first group is still there");
        assert_eq!(log.replayed.batches, [0, 1, 2, 3]);
    });
}

#[test]
fn a_partition_that_began_after_the_damaged_start_serves() {
    run(async {
        let device = two_shards(3).await;
        let (first, second) = (recovered(&device), 7);
        let store_of_second = store(&device, 0, &first).await;
        opened(&store_of_second, second).await.expect("a new log").put(1, 100).await;
        let device = device.crash();
        device
            .damage(&journal_file("0000000000000001-0000-0000.journal"), |bytes| bytes[3 * BLOCK + 200] ^= 1);
        let (store, ..) = suspect_and_whole(&device).await;
        assert_eq!(opened(&store, second).await.expect("it opens").bases().await, [0]);
    });
}

#[test]
fn the_last_group_is_the_one_whose_damage_looks_like_a_crash() {
    run(async {
        let device = two_shards(4).await;
        device
            .damage(&journal_file("0000000000000001-0000-0000.journal"), |bytes| bytes[4 * BLOCK + 200] ^= 1);
        let recovered = recovered(&device);
        assert!(recovered.damages().is_empty(), "{:?}", recovered.damages());
        let store = store_next(&device, &recovered).await;
        assert_eq!(opened(&store, 0).await.expect("it opens").bases().await, [0, 1, 2]);
    });
}

#[test]
fn a_journal_of_another_version_stops_the_start_and_nothing_is_touched() {
    run(async {
        let device = two_shards(5).await;
        for (name, format_at, covered) in
            [("0000000000000001-0001-0000.journal", 4, 0..28), ("0000000000000001-0001.manifest", 4, 0..20)]
        {
            let device = device.crash();
            device.damage(&journal_file(name), |bytes| {
                bytes[format_at] = 2;
                let at = covered.end;
                let crc = crc32c(&bytes[covered]).to_le_bytes();
                bytes[at..at + 4].copy_from_slice(&crc);
            });
            let before = everything(&device);
            let ReplayError::UnknownFormat { file, found } =
                plan_replay(without(&device, &[])).expect_err("the start is refused");
            assert_eq!((file.as_str(), found), (name, 2));
            assert_eq!(everything(&device), before);
        }
    });
}

#[test]
fn files_that_a_start_was_making_do_not_count() {
    run(async {
        let device = two_shards(6).await;
        let disk_of = store_next(&device, &recovered(&device)).await;
        let device = {
            drop(disk_of);
            device.crash()
        };
        device.damage(&journal_file("0000000000000002-0000-0000.journal"), |bytes| bytes.fill(0));
        let found = recovered(&device);
        assert!(found.damages().is_empty(), "{:?}", found.damages());
        let store = store_next(&device, &found).await;
        for number in 0..2 {
            assert_eq!(opened(&store, number).await.expect("it opens").bases().await, [0, 1, 2, 3]);
        }
        device.damage(&journal_file("0000000000000002-0000-0000.journal"), |bytes| bytes.truncate(100));
        assert!(recovered(&device).damages().is_empty());
    });
}
