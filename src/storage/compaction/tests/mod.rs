//! Compaction of whole logs on a simulated disk, against a model of what was appended.

mod cases;
mod crash;
mod model;
mod swaps;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hashbrown::HashMap;

use super::super::testing;
use super::{CompactionLimits, CompactionReport, CompactionRound, CompactionSettings, LastBatch};
use crate::io::Simulated;
use crate::model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::record::builder::{BatchBuilder, NewRecord};
use crate::record::{BatchHeader, Codec};
use crate::storage::{Log, LogObserver, LogSettings, ReadLimit, Replay, StorageError, Store};

/// What a producer did last: its epoch, its last sequence number, the last offset of its last batch.
type Last = (i16, i32, i64);

/// A log's observer that knows its producers.
#[derive(Default)]
struct Producers {
    last: RefCell<BTreeMap<i64, Last>>,
    poisoned: Cell<bool>,
}

impl Producers {
    fn note(&self, header: &BatchHeader, base: i64) {
        if header.has_producer() && !header.is_control() {
            let end = base + i64::from(header.last_offset_delta);
            let last = (header.producer_epoch.0, header.last_sequence().0, end);
            self.last.borrow_mut().insert(header.producer_id.0, last);
        }
    }

    fn restore(&self, mut snapshot: &[u8]) {
        let mut last = self.last.borrow_mut();
        last.clear();
        while snapshot.has_remaining() {
            let id = snapshot.get_i64();
            last.insert(id, (snapshot.get_i16(), snapshot.get_i32(), snapshot.get_i64()));
        }
    }

    fn last_batches(&self) -> HashMap<ProducerId, LastBatch> {
        let last = self.last.borrow();
        let batch = |(id, last): (&i64, &Last)| {
            let batch = LastBatch { last_offset: Some(Offset(last.2)), epoch: ProducerEpoch(last.0) };
            (ProducerId(*id), batch)
        };
        last.iter().map(batch).collect()
    }
}

impl LogObserver for Producers {
    fn durable_advanced(&self, _end: Offset) {}

    fn producer_snapshot(&self) -> Bytes {
        let mut out = BytesMut::new();
        for (id, (epoch, sequence, offset)) in self.last.borrow().iter() {
            out.put_i64(*id);
            out.put_i16(*epoch);
            out.put_i32(*sequence);
            out.put_i64(*offset);
        }
        out.freeze()
    }

    fn poisoned(&self) {
        self.poisoned.set(true);
    }
}

/// A log that is compacted.
struct Compacted {
    log: Rc<Log>,
    producers: Rc<Producers>,
}

/// Segments of a few batches; the settings of compaction that tests change.
fn settings() -> LogSettings {
    let compaction = CompactionSettings {
        compact: true,
        delete_retention_ms: 1_000,
        dirty_ratio_min_ppm: 0,
        ..CompactionSettings::default()
    };
    LogSettings {
        segment_bytes: 2_000,
        index_interval_bytes: 200,
        segment_ms: -1,
        delete: false,
        compaction,
        ..testing::settings()
    }
}

async fn open(store: &Rc<Store>, settings: LogSettings) -> Result<Compacted, StorageError> {
    let producers = Rc::new(Producers::default());
    let mut replay = |event: Replay| match event {
        Replay::Snapshot(bytes) => producers.restore(&bytes),
        Replay::Batch(header) => producers.note(&header, header.base_offset.0),
    };
    let log = Log::open(store, testing::place(), settings, producers.clone(), &mut replay).await?;
    Ok(Compacted { log, producers })
}

async fn fresh(device: &Rc<Simulated>) -> Compacted {
    let store = testing::simulated_store(device, 10_000).await;
    open(&store, settings()).await.expect("an empty directory")
}

impl Compacted {
    fn append(&self, batch: &Bytes, now: i64) -> Result<i64, StorageError> {
        let header = BatchHeader::parse_whole(batch).expect("a test builds whole batches");
        let appended = self.log.append(batch, LeaderEpoch(0), TimestampMs(now))?;
        self.producers.note(&header, appended.base_offset.0);
        Ok(appended.base_offset.0)
    }

    /// Appends a batch of no producer with these keys and values, and waits for it.
    async fn put(&self, records: &[(&str, Option<&str>)], now: i64) -> i64 {
        let base = self.append(&batch(BatchBuilder::new(Codec::None), records, now), now).expect("accepted");
        self.settle().await;
        base
    }

    async fn settle(&self) {
        self.log.wait_durable(self.log.log_end_offset()).await.expect("durable");
        self.log.store().checkpoint().await.expect("written");
    }

    /// Closes the active segment, so that all of the log may be compacted.
    async fn roll(&self) {
        self.log.roll();
        self.log.kick();
        self.settle().await;
    }

    fn round(&self, now: i64, map_bytes_max: u64) -> CompactionRound {
        CompactionRound {
            now: TimestampMs(now),
            stable_end: self.log.durable_end_offset(),
            producers: self.producers.last_batches(),
            limits: CompactionLimits { map_bytes_max, ..CompactionLimits::default() },
        }
    }

    async fn compact(&self, now: i64) -> CompactionReport {
        self.log.compact(self.round(now, 1 << 20)).await.expect("nothing fails")
    }

    /// Every batch from the log start on, each whole and intact.
    async fn batches(&self) -> Vec<(BatchHeader, Bytes)> {
        let end = self.log.durable_end_offset();
        let mut at = self.log.log_start_offset();
        let mut batches = Vec::new();
        while at < end {
            let limit = ReadLimit { end, bytes_max: 3_000, at_least_one: true };
            let slices = self.log.read(at, limit).await.expect("readable");
            if slices.is_empty() {
                break;
            }
            for slice in &slices.bytes {
                split(slice, &mut batches);
            }
            assert!(slices.next_offset > at, "reads go on");
            at = slices.next_offset;
        }
        for pair in batches.windows(2) {
            assert!(pair[0].0.next_offset() <= pair[1].0.base_offset, "offsets ascend");
        }
        batches
    }

    /// Offset, key and value of every record.
    async fn records(&self) -> Vec<(i64, String, Option<String>)> {
        let mut found = Vec::new();
        for (_, batch) in self.batches().await {
            found.extend(texts(&batch));
        }
        found
    }
}

fn split(slice: &Bytes, batches: &mut Vec<(BatchHeader, Bytes)>) {
    let mut rest = slice.clone();
    while !rest.is_empty() {
        let header = BatchHeader::parse_whole(&rest).expect("a whole batch");
        header.check_crc(&rest).expect("an intact batch");
        batches.push((header, rest.split_to(header.size_bytes as usize)));
    }
}

fn texts(batch: &Bytes) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let records = crate::record::records(batch).expect("decompresses").map(|record| record.expect("sound"));
    records.map(|r| (r.offset.0, r.key.map_or(String::new(), text), r.value.map(text))).collect()
}

fn batch(mut builder: BatchBuilder, records: &[(&str, Option<&str>)], timestamp: i64) -> Bytes {
    for (key, value) in records {
        builder.append(&NewRecord {
            timestamp: TimestampMs(timestamp),
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            headers: &[],
        });
    }
    builder.build(Offset(0)).expect("it has records")
}

fn of_producer(id: i64, sequence: i32) -> BatchBuilder {
    BatchBuilder::new(Codec::None).producer(ProducerId(id), ProducerEpoch(0), Sequence(sequence))
}

/// The control batch that ends a transaction.
fn marker(id: i64, commit: bool, timestamp: i64) -> Bytes {
    let mut builder = of_producer(id, -1).transactional().control();
    builder.append(&NewRecord {
        timestamp: TimestampMs(timestamp),
        key: Some(&[0, 0, 0, u8::from(commit)]),
        value: Some(&[0; 6]),
        headers: &[],
    });
    builder.build(Offset(0)).expect("a record")
}
