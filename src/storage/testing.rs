//! What the tests of this room share.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::journal::{self, JournalFiles, Recovered};
use super::{
    JournalLimits, JournalStart, Log, LogObserver, LogPlace, LogSettings, ReadLimit, Replay, StorageError,
    Store, StoreLimits,
};
use crate::io::{Disk, DiskLimits, Simulated};
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use crate::record::{BatchHeader, crc32c};

/// A batch of `records` at `base` with a payload of `payload` bytes, with a right checksum. The records are filler: this
/// room never looks into them.
pub(crate) fn batch_at(base: i64, records: i32, payload: usize) -> Vec<u8> {
    batch(base, records, payload, 1_000)
}

/// As [`batch_at`], with its largest timestamp.
pub(crate) fn batch(base: i64, records: i32, payload: usize, timestamp: i64) -> Vec<u8> {
    let mut bytes = vec![0; 61 + payload];
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    bytes[27..35].copy_from_slice(&timestamp.to_be_bytes());
    bytes[35..43].copy_from_slice(&timestamp.to_be_bytes());
    bytes[43..51].copy_from_slice(&(-1i64).to_be_bytes());
    bytes[51..53].copy_from_slice(&(-1i16).to_be_bytes());
    bytes[53..57].copy_from_slice(&(-1i32).to_be_bytes());
    bytes[57..61].copy_from_slice(&records.to_be_bytes());
    for (at, byte) in bytes[61..].iter_mut().enumerate() {
        *byte = (at as u8).wrapping_mul(31).wrapping_add(base as u8) | 1;
    }
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    crate::record::patch_assigned(&mut bytes, Offset(base), LeaderEpoch(0));
    bytes
}

/// An observer that remembers what it was told.
#[derive(Default)]
pub(crate) struct Observed {
    pub durable: Cell<i64>,
    pub poisoned: Cell<bool>,
    /// Batches appended so far, which is what its snapshots say.
    pub batches: Cell<u64>,
}

impl LogObserver for Observed {
    fn durable_advanced(&self, end: Offset) {
        assert!(end.0 > self.durable.get(), "the durable end only rises");
        self.durable.set(end.0);
    }

    fn producer_snapshot(&self) -> Bytes {
        Bytes::copy_from_slice(&self.batches.get().to_le_bytes())
    }

    fn poisoned(&self) {
        self.poisoned.set(true);
    }
}

/// What a log replayed when it was opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub snapshot: Option<u64>,
    pub batches: Vec<i64>,
}

/// An open log and who watches it.
pub(crate) struct Opened {
    pub log: Rc<Log>,
    pub observed: Rc<Observed>,
    pub replayed: Replayed,
}

impl Opened {
    /// Appends a batch of `records` with the given timestamp and payload; returns its base offset.
    pub(crate) fn append(&self, records: i32, payload: usize, timestamp: i64) -> Result<i64, StorageError> {
        self.append_at(records, payload, timestamp, timestamp)
    }

    pub(crate) fn append_at(
        &self,
        records: i32,
        payload: usize,
        timestamp: i64,
        now: i64,
    ) -> Result<i64, StorageError> {
        let batch = batch(self.log.log_end_offset().0, records, payload, timestamp);
        let appended = self.log.append(&batch, LeaderEpoch(0), TimestampMs(now))?;
        self.observed.batches.set(self.observed.batches.get() + 1);
        Ok(appended.base_offset.0)
    }

    /// Appends and waits.
    pub(crate) async fn put(&self, records: i32, payload: usize) -> i64 {
        let base = self.append(records, payload, 1_000).expect("accepted");
        self.log.wait_durable(self.log.log_end_offset()).await.expect("durable");
        base
    }

    /// Base offsets of all batches that can be read, checking that each is whole and continues the one before.
    pub(crate) async fn bases(&self) -> Vec<i64> {
        self.headers().await.iter().map(|header| header.base_offset.0).collect()
    }

    /// As [`Self::bases`], the headers.
    pub(crate) async fn headers(&self) -> Vec<BatchHeader> {
        let end = self.log.durable_end_offset();
        let mut at = self.log.log_start_offset();
        let mut headers = Vec::new();
        while at < end {
            let limit = ReadLimit { end, bytes_max: 100_000, at_least_one: true };
            let slices = self.log.read(at, limit).await.expect("readable");
            assert!(!slices.is_empty(), "nothing at {at} below {end}");
            for slice in &slices.bytes {
                let mut rest = slice.clone();
                while !rest.is_empty() {
                    let header = BatchHeader::parse_whole(&rest).expect("a whole batch");
                    header.check_crc(&rest).expect("an intact batch");
                    let batch = rest.split_to(header.size_bytes as usize);
                    assert_eq!(
                        batch[61..],
                        batch_like(&header)[61..],
                        "the payload of {}",
                        header.base_offset
                    );
                    assert!(headers.is_empty() || header.base_offset == at, "no gap at {at}");
                    at = header.next_offset();
                    headers.push(header);
                }
            }
            assert_eq!(slices.next_offset, at);
        }
        headers
    }
}

fn batch_like(header: &BatchHeader) -> Vec<u8> {
    let payload = header.size_bytes as usize - 61;
    batch(header.base_offset.0, header.record_count, payload, header.max_timestamp.0)
}

/// The partition that tests use.
pub(crate) fn place() -> LogPlace {
    LogPlace {
        topic: "orders".into(),
        topic_id: TopicId(uuid::Uuid::from_u128(7)),
        partition: PartitionIndex(3),
    }
}

/// Opens the test partition's log.
pub(crate) async fn open(store: &Rc<Store>, settings: LogSettings) -> Result<Opened, StorageError> {
    open_at(store, place(), settings).await
}

/// Opens the log of any partition.
pub(crate) async fn open_at(
    store: &Rc<Store>,
    place: LogPlace,
    settings: LogSettings,
) -> Result<Opened, StorageError> {
    let observed = Rc::new(Observed::default());
    let mut replayed = Replayed::default();
    let mut replay = |event: Replay| match event {
        Replay::Snapshot(bytes) => {
            assert!(replayed.snapshot.is_none() && replayed.batches.is_empty(), "a snapshot comes first");
            replayed.snapshot = Some(u64::from_le_bytes(bytes[..].try_into().expect("eight bytes")));
        }
        Replay::Batch(header) => replayed.batches.push(header.base_offset.0),
    };
    let log = Log::open(store, place, settings, observed.clone(), &mut replay).await?;
    observed.batches.set(replayed.snapshot.unwrap_or(0) + replayed.batches.len() as u64);
    observed.durable.set(log.durable_end_offset().0);
    Ok(Opened { log, observed, replayed })
}

/// Small segments that are never cleaned up unless a test says so.
pub(crate) fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: 64 << 10,
        index_interval_bytes: 1024,
        retention_ms: -1,
        delete_delay_ms: 0,
        ..LogSettings::default()
    }
}

/// Runs a test on an executor of its own.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let executor = glommio::LocalExecutorBuilder::default().io_memory(1 << 20).make();
    executor.expect("io_uring works here").run(test)
}

/// A journal that is soon full, and a threshold that a few batches reach.
pub(crate) const JOURNAL: JournalLimits = JournalLimits {
    first_file_bytes: 64 << 10,
    bytes_max: 256 << 10,
    group_bytes_max: 16 << 10,
    bypass_bytes: 12 << 10,
    behind_bytes_max: 64 << 10,
    bypassed_bytes_max: 256 << 10,
};

/// A store over a directory of the real file system, after whatever earlier ones left there.
pub(crate) async fn real_store(directory: &std::path::Path) -> Rc<Store> {
    real_store_with(directory, 1 << 20).await
}

/// As [`real_store`], with so much memory for batches.
pub(crate) async fn real_store_with(directory: &std::path::Path, cache_bytes_max: u64) -> Rc<Store> {
    let limits = DiskLimits { reserve_bytes: 0, ..DiskLimits::default() };
    let recovered =
        journal::plan(journal::load(directory).expect("a readable directory")).expect("a known format");
    let disk = Disk::open(directory, limits).await.expect("a directory that can be used");
    let limits =
        StoreLimits { cache_bytes_max, undurable_bytes_max: 4 << 20, open_files_max: 4, journal: JOURNAL };
    let start = JournalStart { shard: 0, journal: 7, recovered: Arc::new(recovered) };
    Store::open(disk, limits, start).await.expect("a journal")
}

/// What the journals on a simulated disk hold.
pub(crate) fn recovered(device: &Simulated) -> Arc<Recovered> {
    let within = std::path::Path::new("/simulated/journal");
    let names = device.files().into_iter().filter(|(path, _)| path.parent() == Some(within));
    let files = names.filter_map(|(path, _)| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((name, Bytes::from(device.content(&path)?)))
    });
    Arc::new(journal::plan(JournalFiles::of(files)).expect("a known format"))
}

/// Lets all other tasks have `count` turns.
pub(crate) async fn turns(count: u64) {
    for _ in 0..count {
        futures_lite::future::yield_now().await;
    }
}

/// A store over a simulated disk, after whatever earlier ones left there.
pub(crate) async fn simulated_store(device: &Rc<Simulated>, cache_bytes_max: u64) -> Rc<Store> {
    let start = JournalStart { shard: 0, journal: device.choose(u64::MAX), recovered: recovered(device) };
    simulated_shard(device, cache_bytes_max, start).await.expect("a journal")
}

/// As [`simulated_store`]; every append goes straight to its segment, so that the journal knows nothing of it.
pub(crate) async fn bypassing_store(device: &Rc<Simulated>) -> Rc<Store> {
    let limits =
        JournalLimits { group_bytes_max: 1, bypass_bytes: 1, bypassed_bytes_max: u64::MAX, ..JOURNAL };
    limited_store(device, limits).await
}

/// As [`simulated_store`], with a journal of other bounds.
pub(crate) async fn limited_store(device: &Rc<Simulated>, journal: JournalLimits) -> Rc<Store> {
    let start = JournalStart { shard: 0, journal: device.choose(u64::MAX), recovered: recovered(device) };
    shard_within(device, (1 << 20, journal), start).await.expect("a journal")
}

/// One shard's store over a simulated disk.
pub(crate) async fn simulated_shard(
    device: &Rc<Simulated>,
    cache_bytes_max: u64,
    start: JournalStart,
) -> Result<Rc<Store>, StorageError> {
    shard_within(device, (cache_bytes_max, JOURNAL), start).await
}

/// As [`simulated_shard`], with other bounds.
pub(crate) async fn shard_within(
    device: &Rc<Simulated>,
    (cache_bytes_max, journal): (u64, JournalLimits),
    start: JournalStart,
) -> Result<Rc<Store>, StorageError> {
    let limits = DiskLimits { reserve_bytes: 1 << 20, ..DiskLimits::default() };
    let disk = Disk::simulated(device.clone(), limits).await.expect("the simulated disk is there");
    let limits = StoreLimits { cache_bytes_max, open_files_max: 2, journal, ..StoreLimits::default() };
    Store::open(disk, limits, start).await
}

/// A file of the test partition on a simulated disk.
pub(crate) fn simulated_file(name: &str) -> std::path::PathBuf {
    std::path::Path::new("/simulated/orders-3").join(name)
}
