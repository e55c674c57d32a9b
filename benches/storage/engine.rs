//! The storage engine as the cases use it: opened, filled, closed, or left as a crash would.
//!
//! Key invariant: all cases open stores and logs here, so that a change of how that is done is a change of this file.

use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use corelog::io::{Disk, DiskLimits};
use corelog::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use corelog::record::Codec;
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::storage::{
    CompactionLimits, CompactionReport, CompactionRound, CompactionSettings, JournalLimits, JournalStart,
    Log, LogObserver, LogPlace, LogSettings, ReadLimit, Store, StoreLimits, Takeover, load_journals,
    plan_replay,
};

use crate::measure::{Done, Measured};

/// Logs that are opened, first written, or closed at the same time, as a shard does it.
const AT_ONCE: usize = 32;
/// The time of all appends.
const NOW: TimestampMs = TimestampMs(1_000);

struct Nobody;

impl LogObserver for Nobody {
    fn durable_advanced(&self, _end: Offset) {}

    fn producer_snapshot(&self) -> Bytes {
        Bytes::new()
    }

    fn poisoned(&self) {}
}

/// A batch as clients send it.
#[derive(Clone)]
pub struct Batch {
    pub bytes: Bytes,
    pub records: u64,
}

impl Batch {
    /// A batch of `records` with values of `value_bytes` each.
    pub fn new(records: u64, value_bytes: usize) -> Self {
        let mut builder = BatchBuilder::new(Codec::None);
        let value = vec![b'v'; value_bytes];
        for _ in 0..records {
            builder.append(&NewRecord { timestamp: NOW, value: Some(&value), ..NewRecord::default() });
        }
        Self { bytes: builder.build(Offset::ZERO).expect("it has records"), records }
    }

    /// As [`Self::new`], the key of each record by its number.
    pub fn keyed(records: u64, value_bytes: usize, key: impl Fn(u64) -> u64) -> Self {
        let mut builder = BatchBuilder::new(Codec::None);
        let value = vec![b'v'; value_bytes];
        for record in 0..records {
            let key = key(record).to_be_bytes();
            builder.append(&NewRecord {
                timestamp: NOW,
                key: Some(&key),
                value: Some(&value),
                ..NewRecord::default()
            });
        }
        Self { bytes: builder.build(Offset::ZERO).expect("it has records"), records }
    }

    fn done(&self) -> Done {
        Done { records: self.records, bytes: self.bytes.len() as u64 }
    }
}

/// Lets this process open as many files as it may: the baselines have one for each partition.
pub fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, opening says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A directory under `target/` that is removed with its contents when this is dropped.
pub fn new_directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory under target")
}

/// Runs `body` on an executor of its own, on a disk in `directory`.
pub fn on_executor<T, F: Future<Output = T>>(
    directory: &tempfile::TempDir,
    body: impl FnOnce(Rc<Disk>) -> F,
) -> T {
    let executor = glommio::LocalExecutorBuilder::default().make().expect("io_uring works here");
    executor.run(async {
        let path: PathBuf = directory.path().to_path_buf();
        let disk = Disk::open(&path, DiskLimits::default()).await.expect("a directory that can be used");
        let result = body(disk.clone()).await;
        disk.quiesce().await;
        result
    })
}

/// One shard's logs.
pub struct Engine {
    store: Rc<Store>,
    takeover: Takeover,
    pub logs: Vec<Rc<Log>>,
}

impl Engine {
    /// Opens `partitions` logs, which are there or not.
    pub async fn open(disk: &Rc<Disk>, partitions: usize, cache_bytes_max: u64) -> Rc<Self> {
        Self::open_measured(disk, partitions, cache_bytes_max).await.0
    }

    /// As [`Self::open`], with how long each log took.
    pub async fn open_measured(
        disk: &Rc<Disk>,
        partitions: usize,
        cache_bytes_max: u64,
    ) -> (Rc<Self>, Measured) {
        let start = Instant::now();
        let mut measured = Measured::new();
        let (store, takeover) = open_store(disk, cache_bytes_max).await;
        let opened = {
            let store = store.clone();
            many(partitions, async move |number| {
                let begun = Instant::now();
                let log = open_log(&store, number, settings()).await;
                (log, begun.elapsed())
            })
            .await
        };
        let mut logs = Vec::with_capacity(partitions);
        for (log, wait) in opened {
            measured.count(Done { records: 0, bytes: 0 }, wait);
            logs.push(log);
        }
        measured.elapsed = start.elapsed();
        (Rc::new(Self { store, takeover, logs }), measured)
    }

    /// Opens `others` logs that are not compacted, and behind them one that is, in segments of 16 MiB.
    pub async fn open_with_compacted(disk: &Rc<Disk>, others: usize, cache_bytes_max: u64) -> Rc<Self> {
        let (store, takeover) = open_store(disk, cache_bytes_max).await;
        let mut logs = vec![];
        for number in 0..others {
            logs.push(open_log(&store, number, settings()).await);
        }
        let compaction =
            CompactionSettings { compact: true, dirty_ratio_min_ppm: 0, ..CompactionSettings::default() };
        let settings = LogSettings { segment_bytes: 16 << 20, compaction, ..settings() };
        logs.push(open_log(&store, others, settings).await);
        Rc::new(Self { store, takeover, logs })
    }

    /// One round of compaction over all that may be compacted.
    pub async fn compact(&self, log: usize) -> CompactionReport {
        let log = &self.logs[log];
        let round = CompactionRound {
            now: NOW,
            stable_end: log.durable_end_offset(),
            producers: Default::default(),
            limits: CompactionLimits::default(),
        };
        log.compact(round).await.expect("nothing fails")
    }

    /// Writes what is only in the journal to the segments.
    pub async fn checkpoint(&self) {
        self.store.checkpoint().await.expect("written");
    }

    /// Ends a recovery as a broker does: what was replayed is written, the old journal goes.
    pub async fn take_over(&self) {
        self.takeover.complete(&self.store, 0).await.expect("written");
    }

    /// Appends to a log and waits until that is durable.
    pub async fn append(&self, log: usize, batch: &Batch) -> Done {
        self.store.room().await;
        let log = &self.logs[log % self.logs.len()];
        log.append(&batch.bytes, LeaderEpoch(0), NOW).expect("accepted");
        log.wait_durable(log.log_end_offset()).await.expect("durable");
        batch.done()
    }

    /// Appends `batches` to every log, durably.
    pub async fn fill(self: &Rc<Self>, batch: &Batch, batches: usize) {
        let (engine, batch) = (self.clone(), batch.clone());
        many(self.logs.len(), async move |number| {
            for _ in 0..batches {
                engine.append(number, &batch).await;
            }
        })
        .await;
    }

    /// Reads once, from `at`, at most `bytes_max`; goes on at the start after the end.
    pub async fn read(&self, log: usize, at: Offset, bytes_max: u32) -> (Offset, Done) {
        let log = &self.logs[log % self.logs.len()];
        let end = log.durable_end_offset();
        let limit = ReadLimit { end, bytes_max, at_least_one: true };
        let slices = log.read(at, limit).await.expect("readable");
        let bytes = slices.bytes.iter().map(|slice| slice.len() as u64).sum();
        let records = (slices.next_offset.0 - at.0) as u64;
        let next = if slices.next_offset >= end { log.log_start_offset() } else { slices.next_offset };
        (next, Done { records, bytes })
    }

    /// Records that are durable, in all logs.
    pub fn durable_records(&self) -> u64 {
        self.logs.iter().map(|log| (log.durable_end_offset().0 - log.log_start_offset().0) as u64).sum()
    }

    /// Closes all logs in order.
    pub async fn close(self: Rc<Self>) {
        let logs = self.logs.clone();
        let store = logs.first().map(|log| log.store().clone());
        many(logs.len(), async move |number| logs[number].close().await.expect("closed")).await;
        if let Some(store) = store {
            store.close().await.expect("a manifest");
        }
    }
}

async fn open_store(disk: &Rc<Disk>, cache_bytes_max: u64) -> (Rc<Store>, Takeover) {
    let files = load_journals(disk.directory()).expect("a readable directory");
    let recovered = Arc::new(plan_replay(files).expect("journals of this version"));
    let takeover = Takeover::new(&recovered, 1);
    let mut journal = JournalLimits::default();
    // For the measurement in docs/decisions/0007.
    if let Some(bytes) = std::env::var("BYPASS_BYTES").ok().and_then(|bytes| bytes.parse().ok()) {
        journal.bypass_bytes = bytes;
    }
    let limits = StoreLimits { cache_bytes_max, journal, ..StoreLimits::default() };
    let start = JournalStart { shard: 0, journal: 1, recovered };
    (Store::open(disk.clone(), limits, start).await.expect("a journal"), takeover)
}

fn settings() -> LogSettings {
    LogSettings { retention_ms: -1, delete_delay_ms: 0, ..LogSettings::default() }
}

async fn open_log(store: &Rc<Store>, number: usize, settings: LogSettings) -> Rc<Log> {
    let partition = PartitionIndex(number as i32);
    let place = LogPlace { topic: "bench".into(), topic_id: TopicId(uuid::Uuid::from_u128(7)), partition };
    Log::open(store, place, settings, Rc::new(Nobody), &mut |_| {}).await.expect("a log that can be used")
}

/// `each(0..count)`, so many at once as a shard does it; the results in order.
async fn many<T: 'static, F>(count: usize, each: F) -> Vec<T>
where
    F: AsyncFn(usize) -> T + 'static,
{
    let each = Rc::new(each);
    let workers: Vec<_> = (0..AT_ONCE.min(count))
        .map(|worker| {
            let each = each.clone();
            glommio::spawn_local(async move {
                let mut results = vec![];
                for number in (worker..count).step_by(AT_ONCE) {
                    results.push((number, each(number).await));
                }
                results
            })
        })
        .collect();
    let mut results = vec![];
    for worker in workers {
        results.extend(worker.await);
    }
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
