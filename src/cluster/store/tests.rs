//! Tests of the metadata store against real files: reopening, folding into snapshots, damage.

use super::*;
use crate::metadata::ClusterId;
use crate::model::{BrokerId, ProducerId};
use std::collections::BTreeMap;

const NODE: BrokerId = BrokerId(1);

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn reopen(directory: &Path) -> (Store, Image) {
    Store::open(directory, NODE).expect("the store opens")
}

/// Appends one command and applies it to the image.
fn append(store: &mut Store, image: &mut Image, command: Command) {
    let id = LogId { term: store.term(), index: image.applied().index + 1 };
    image.apply(id, &command).expect("the command fits");
    store.append(&[(id, command)], image).expect("it is written");
}

fn init() -> Command {
    Command::InitCluster { cluster_id: ClusterId(uuid::Uuid::from_u128(9)), features: BTreeMap::new() }
}

fn producer_ids(n: u64) -> Command {
    Command::SetProducerIds { broker: NODE, next: ProducerId(n as i64 * 1000) }
}

#[test]
fn a_new_store_is_empty_and_its_terms_rise() {
    let directory = directory();
    let (store, image) = reopen(directory.path());
    assert_eq!((store.term(), store.committed(), image), (1, LogId::ZERO, Image::default()));
    drop(store);
    assert_eq!(reopen(directory.path()).0.term(), 2);
}

#[test]
fn what_was_appended_is_read_back() {
    let directory = directory();
    let (mut store, mut image) = reopen(directory.path());
    append(&mut store, &mut image, init());
    append(&mut store, &mut image, producer_ids(1));
    drop(store);
    let (mut store, mut read) = reopen(directory.path());
    assert_eq!(read, image);
    append(&mut store, &mut read, producer_ids(2));
    assert_eq!(store.committed(), LogId { term: 2, index: 3 });
    drop(store);
    assert_eq!(reopen(directory.path()).1, read);
}

#[test]
fn the_log_is_folded_into_snapshots() {
    let directory = directory();
    let (mut store, mut image) = reopen(directory.path());
    let commands: Vec<(LogId, Command)> = std::iter::once(init())
        .chain((1..SNAPSHOT_COMMANDS_MAX + 5).map(producer_ids))
        .zip(1..)
        .map(|(command, index)| (LogId { term: 1, index }, command))
        .collect();
    for batch in commands.chunks(300) {
        batch.iter().for_each(|(id, command)| image.apply(*id, command).expect("the command fits"));
        store.append(batch, &image).expect("it is written");
    }
    let entries = |store: &Store| {
        let transaction = store.database.begin_read().unwrap();
        redb::ReadableTableMetadata::len(&transaction.open_table(LOG).unwrap()).unwrap()
    };
    assert_eq!(entries(&store), 0, "the fourth batch passed the bound and was folded with all before it");
    append(&mut store, &mut image, producer_ids(2_000));
    assert_eq!(entries(&store), 1);
    drop(store);
    let (store, read) = reopen(directory.path());
    assert_eq!((&read, store.committed()), (&image, image.applied()));
}

#[test]
fn a_batch_is_written_whole() {
    let directory = directory();
    let (mut store, mut image) = reopen(directory.path());
    let batch = [(LogId { term: 1, index: 1 }, init()), (LogId { term: 1, index: 2 }, producer_ids(1))];
    batch.iter().for_each(|(id, command)| image.apply(*id, command).expect("the command fits"));
    store.append(&batch, &image).expect("it is written");
    store.append(&[], &image).expect("nothing is nothing");
    drop(store);
    assert_eq!(reopen(directory.path()).1.applied().index, 2);
}

/// Changes the store's tables behind its back, then opens it.
fn opened_after(
    change: impl FnOnce(&mut redb::Table<u64, &[u8]>, &mut redb::Table<&str, &[u8]>),
) -> StoreError {
    let directory = directory();
    let (mut store, mut image) = reopen(directory.path());
    for command in [init(), producer_ids(1), producer_ids(2)] {
        append(&mut store, &mut image, command);
    }
    let transaction = store.database.begin_write().unwrap();
    change(&mut transaction.open_table(LOG).unwrap(), &mut transaction.open_table(STATE).unwrap());
    transaction.commit().unwrap();
    drop(store);
    Store::open(directory.path(), NODE).err().expect("a damaged store is refused")
}

#[test]
fn damage_is_told_and_never_guessed_away() {
    let flipped = opened_after(|log, _| {
        let mut value = log.get(2).unwrap().unwrap().value().to_vec();
        value[10] ^= 1;
        log.insert(2, &*value).unwrap();
    });
    let gap = opened_after(|log, _| drop(log.remove(2).unwrap()));
    let short = opened_after(|log, _| drop(log.remove(3).unwrap()));
    let misfit = opened_after(|log, _| {
        log.insert(3, &*framed(&Entry { term: 1, command: init() })).unwrap();
    });
    let unread = opened_after(|_, state| {
        state.insert(SNAPSHOT, &b"xx"[..]).unwrap();
    });
    for (error, detail) in [
        (flipped, "command 2: its checksum does not match"),
        (gap, "command 2 is missing"),
        (short, "it ends at 1.2, but 1.3 was written"),
        (misfit, "the cluster is initialised already"),
        (unread, "snapshot: it is shorter than a checksum"),
    ] {
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(detail), "{error}");
    }
}

#[test]
fn files_that_are_no_database_are_refused() {
    for content in [vec![0_u8; 5_000], b"not a database".repeat(1_000), Vec::from(*b"x")] {
        let directory = directory();
        std::fs::write(directory.path().join("metadata.redb"), &content).unwrap();
        let error = Store::open(directory.path(), NODE).err().expect("it is no store");
        assert!(error.to_string().contains("metadata.redb"), "{error}");
    }
}

#[test]
fn a_truncated_or_overwritten_database_is_refused_or_read_whole() {
    let directory = directory();
    let (mut store, mut image) = reopen(directory.path());
    for command in [init(), producer_ids(1), producer_ids(2)] {
        append(&mut store, &mut image, command);
    }
    drop(store);
    let path = directory.path().join("metadata.redb");
    let whole = std::fs::read(&path).unwrap();
    let mut seen = 0;
    for at in (0..whole.len()).step_by(509).take(400) {
        let mut broken = whole.clone();
        broken[at..whole.len().min(at + 64)].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, &broken).unwrap();
        match Store::open(directory.path(), NODE) {
            Ok((_, read)) => assert_eq!(read, image, "damage at {at} changed the metadata unnoticed"),
            Err(error) => {
                seen += 1;
                assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Io { .. }), "{error}");
            }
        }
    }
    assert!(seen > 0, "some of the damage hits what is read");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(Store::open(directory.path(), NODE).is_err());
}

/// The store on a simulated device.
fn on(device: &simulated::Device) -> Result<(Store, Image), StoreError> {
    let database = Builder::new().create_with_backend(device.clone());
    Store::over(
        database.map_err(|error| damaged(Path::new("simulated"), error))?,
        Path::new("simulated"),
        NODE,
    )
}

#[test]
fn a_failed_write_is_an_error_and_leaves_what_was_durable() {
    let device = simulated::Device::default();
    let (mut store, mut image) = on(&device).expect("a new store opens");
    append(&mut store, &mut image, init());
    device.fail();
    let mut after = image.clone();
    let id = LogId { term: store.term(), index: 2 };
    after.apply(id, &producer_ids(1)).expect("the command fits");
    let error = store.append(&[(id, producer_ids(1))], &after).expect_err("the device failed");
    assert!(matches!(error, StoreError::Write { .. }), "{error}");
    let (_, read) = on(&device.after_power_loss(|| false)).expect("the store opens");
    assert_eq!(read, image);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    /// Whatever the device kept of what was not flushed: every appended command is there, and at most the one that was
    /// being appended besides.
    #[test]
    fn a_power_loss_takes_nothing_that_was_appended(
        commands in 1..12_u64,
        seed in proptest::prelude::any::<u64>(),
        fold in proptest::prelude::any::<bool>(),
    ) {
        let device = simulated::Device::default();
        let (mut store, mut image) = on(&device).expect("a new store opens");
        append(&mut store, &mut image, init());
        let before = if fold { SNAPSHOT_COMMANDS_MAX - 5 } else { 0 };
        // So many that some of the next commands are folded into a snapshot with these.
        let many: Vec<(LogId, Command)> =
            (1..=before).map(|n| (LogId { term: store.term(), index: n + 1 }, producer_ids(n))).collect();
        many.iter().for_each(|(id, command)| image.apply(*id, command).expect("the command fits"));
        store.append(&many, &image).expect("they are written");
        let mut random = seed | 1;
        let mut keep = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % 2 == 0
        };
        for n in 1..=commands {
            append(&mut store, &mut image, producer_ids(before + n));
            let (_, read) = on(&device.after_power_loss(&mut keep)).expect("the store opens");
            proptest::prop_assert_eq!(&read, &image);
        }
    }
}
