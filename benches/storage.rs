//! What a log costs: an append that waits for the device, a group of them, a read from memory, a read from the device.
//!
//! Run with `cargo bench --bench storage`. It writes to a directory under `target/`, at most a few hundred MB at a time: the
//! file system there is what is measured.

use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelog::io::{Disk, DiskLimits};
use corelog::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use corelog::record::Codec;
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::storage::{Log, LogObserver, LogPlace, LogSettings, ReadLimit, Store, StoreLimits};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A log keeps this much, so that a long run does not fill the disk.
const KEPT_BYTES: i64 = 128 << 20;

struct Nobody;

impl LogObserver for Nobody {
    fn durable_advanced(&self, _end: Offset) {}

    fn producer_snapshot(&self) -> Bytes {
        Bytes::new()
    }

    fn poisoned(&self) {}
}

fn batch(records: usize, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..records {
        let value = vec![b'v'; value_bytes];
        builder.append(&NewRecord { timestamp: TimestampMs(1), value: Some(&value), ..NewRecord::default() });
    }
    builder.build(Offset::ZERO).expect("it has records")
}

async fn new_log(directory: &std::path::Path, cache_bytes_max: u64) -> Rc<Log> {
    let disk = Disk::open(directory, DiskLimits::default()).await.expect("a directory that can be used");
    let store = Store::new(disk, StoreLimits { cache_bytes_max, ..StoreLimits::default() });
    let place =
        LogPlace { topic: "bench".into(), topic_id: TopicId::default(), partition: PartitionIndex(0) };
    let settings = LogSettings {
        segment_bytes: 64 << 20,
        retention_bytes: KEPT_BYTES,
        delete_delay_ms: 0,
        ..LogSettings::default()
    };
    Log::open(&store, place, settings, Rc::new(Nobody), &mut |_| {}).await.expect("a new log")
}

async fn append_durably(log: &Rc<Log>, batch: &[u8], appends: usize) {
    for _ in 0..appends {
        log.append(batch, LeaderEpoch(0), TimestampMs(1)).expect("accepted");
    }
    log.wait_durable(log.log_end_offset()).await.expect("durable");
}

async fn close(log: &Rc<Log>) {
    log.close().await.expect("closed");
    log.store().disk().quiesce().await;
}

/// Runs `body` on an executor of its own, with a directory that is removed afterwards.
fn on_executor<F: Future<Output = Duration>>(body: impl FnOnce(PathBuf) -> F) -> Duration {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory under target");
    let executor = glommio::LocalExecutorBuilder::default().make().expect("io_uring works here");
    executor.run(body(directory.path().to_path_buf()))
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_durable");
    for (name, batch, appends) in [
        ("one_of_1_kb", batch(1, 1_000), 1),
        ("64_of_1_kb", batch(1, 1_000), 64),
        ("16_of_100_kb", batch(100, 1_000), 16),
    ] {
        group.throughput(Throughput::Bytes((batch.len() * appends) as u64));
        group.sample_size(10).measurement_time(Duration::from_secs(3)).bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                on_executor(async |directory| {
                    let log = new_log(&directory, 64 << 20).await;
                    let measured = Cell::new(Duration::ZERO);
                    for round in 0..rounds {
                        let start = Instant::now();
                        append_durably(&log, &batch, appends).await;
                        measured.set(measured.get() + start.elapsed());
                        if round % 64 == 63 {
                            log.apply_retention(TimestampMs(1)).await.expect("applied");
                        }
                    }
                    close(&log).await;
                    measured.get()
                })
            });
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    const BATCHES: usize = 320;
    let batch = batch(100, 1_000);
    let bytes = batch.len() * BATCHES;
    let mut group = criterion.benchmark_group("read_32_mb");
    group.throughput(Throughput::Bytes(bytes as u64));
    for (name, cache_bytes_max) in [("from_memory", 256 << 20), ("from_the_device", 0)] {
        group.sample_size(10).measurement_time(Duration::from_secs(3)).bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                on_executor(async |directory| {
                    let log = new_log(&directory, cache_bytes_max).await;
                    append_durably(&log, &batch, BATCHES).await;
                    let end = log.log_end_offset();
                    let limit = ReadLimit { end, bytes_max: 1 << 20, at_least_one: true };
                    let start = Instant::now();
                    for _ in 0..rounds {
                        let mut at = Offset::ZERO;
                        while at < end {
                            at = log.read(at, limit).await.expect("readable").next_offset;
                        }
                    }
                    let elapsed = start.elapsed();
                    close(&log).await;
                    elapsed
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appends, reads);
criterion_main!(benches);
