//! One replica's Kafka semantics over its log: append, read, producer state, high watermark, waiters.
//!
//! Key invariants: the high watermark is the contiguous durable end of the log, and no reader sees a record beyond it.
//! A batch is checked against its producer's state and appended in one step without an await, so two requests cannot
//! interleave. Bytes and files are the log's; which shard asks, and for whom, is the shard's.

mod error;
mod offsets;
mod producers;
mod watchers;

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

pub use error::PartitionError;
pub use offsets::{OffsetFound, OffsetQuery};
pub use producers::{Producer, ProducerTable, RecentBatch, SequenceError, Verdict};
pub use watchers::{Alarm, WatcherKey, Watchers};

use crate::config::TopicSettings;
use crate::metrics::ShardMetrics;
use crate::model::{LeaderEpoch, Offset, ProducerId, TimestampMs, TopicPartition};
use crate::record::BatchHeader;
use crate::storage::{
    CompactionSettings, LastBatch, Log, LogObserver, LogPlace, LogSettings, ReadLimit, Replay, Slices, Store,
    TryRead,
};

/// Producers that one partition remembers; beyond it the longest idle one is forgotten.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 20_000;

/// A partition that this shard owns and whose log is open.
pub struct Partition {
    id: TopicPartition,
    leader_epoch: Cell<LeaderEpoch>,
    settings: RefCell<Rc<TopicSettings>>,
    log: Rc<Log>,
    state: Rc<State>,
}

/// What the log tells, and what it asks for a snapshot of.
struct State {
    producers: RefCell<ProducerTable>,
    watchers: Watchers,
    metrics: Arc<ShardMetrics>,
}

/// Where a batch went, or where it is already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    /// The answer may leave when the log is durable up to here.
    pub durable_at: Offset,
    /// Of a batch that was there already: its greatest timestamp, which Kafka answers with.
    pub duplicate_of: Option<TimestampMs>,
}

/// What a reader asks of one partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest {
    pub offset: Offset,
    pub bytes_max: usize,
    /// Return the first batch even if it is larger than `bytes_max`.
    pub at_least_one: bool,
    pub current_epoch: LeaderEpoch,
    pub last_fetched_epoch: LeaderEpoch,
}

/// The offsets that every fetch answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub high_watermark: Offset,
    pub log_start: Offset,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Read {
    pub bounds: Bounds,
    pub slices: Slices,
    /// The reader's log departs from this one (KIP-595): the last epoch they share, and where it ends here.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

impl LogObserver for State {
    fn durable_advanced(&self, end: Offset) {
        self.watchers.advanced(end);
    }

    fn producer_snapshot(&self) -> Bytes {
        self.producers.borrow().snapshot()
    }

    fn poisoned(&self) {
        self.watchers.disturbed();
    }
}

impl Partition {
    /// Opens the partition's log, recovers it, and rebuilds what is known of its producers.
    pub async fn open(
        store: &Rc<Store>,
        place: LogPlace,
        leader_epoch: LeaderEpoch,
        settings: Rc<TopicSettings>,
        metrics: Arc<ShardMetrics>,
    ) -> Result<Rc<Self>, PartitionError> {
        let id = TopicPartition { topic_id: place.topic_id, partition: place.partition };
        let state = Rc::new(State { producers: RefCell::default(), watchers: Watchers::default(), metrics });
        let mut replayed = ProducerTable::default();
        let mut replay = |event: Replay| match event {
            Replay::Snapshot(bytes) => {
                if !replayed.restore(&bytes) {
                    tracing::warn!(
                        "a producer snapshot of partition {id:?} is not readable; it is passed over"
                    );
                }
            }
            Replay::Batch(header) => {
                replayed.record(&header, header.base_offset, PRODUCERS_PER_PARTITION_MAX);
            }
        };
        let log = Log::open(store, place, log_settings(id, &settings), state.clone(), &mut replay)
            .await
            .map_err(PartitionError::Unavailable)?;
        state.producers.replace(replayed);
        log.start_epoch(leader_epoch);
        let settings = RefCell::new(settings);
        Ok(Rc::new(Self { id, leader_epoch: Cell::new(leader_epoch), settings, log, state }))
    }

    /// The partition's identity.
    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// The epoch of this leader.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.get()
    }

    /// The topic settings in force.
    pub fn settings(&self) -> Rc<TopicSettings> {
        self.settings.borrow().clone()
    }

    /// The log beneath, for its maintenance and for facts about it.
    pub fn log(&self) -> &Rc<Log> {
        &self.log
    }

    /// High watermark and log start.
    pub fn bounds(&self) -> Bounds {
        Bounds { high_watermark: self.log.durable_end_offset(), log_start: self.log.log_start_offset() }
    }

    /// Takes over changed topic settings.
    pub fn update_settings(&self, settings: Rc<TopicSettings>) {
        self.log.update_settings(log_settings(self.id, &settings));
        self.settings.replace(settings);
    }

    /// Takes over a newer leader epoch; the log notes where it starts.
    pub fn start_epoch(&self, epoch: LeaderEpoch) {
        if epoch > self.leader_epoch.get() {
            self.leader_epoch.set(epoch);
            self.log.start_epoch(epoch);
        }
    }

    /// Appends a batch that was validated. It is in the log, though not durable, when this returns.
    pub fn append(
        &self,
        batch: &Bytes,
        header: &BatchHeader,
        now: TimestampMs,
    ) -> Result<Appended, PartitionError> {
        let mut producers = self.state.producers.borrow_mut();
        if header.has_producer()
            && let Verdict::Duplicate(first) = producers.check(header)?
        {
            return Ok(Appended {
                base_offset: first.base_offset,
                durable_at: first.last_offset.plus(1),
                duplicate_of: Some(first.timestamp),
            });
        }
        let epoch = self.leader_epoch.get();
        // A roll asks for a snapshot of the producers as they are before this batch.
        drop(producers);
        let appended = self.log.append(batch, epoch, now)?;
        producers = self.state.producers.borrow_mut();
        producers.record(header, appended.base_offset, PRODUCERS_PER_PARTITION_MAX);
        Ok(Appended {
            base_offset: appended.base_offset,
            durable_at: appended.last_offset.plus(1),
            duplicate_of: None,
        })
    }

    /// Waits until the log is durable up to `end`.
    pub async fn durable(&self, end: Offset) -> Result<(), PartitionError> {
        self.log.wait_durable(end).await.map_err(PartitionError::Storage)
    }

    /// Reads whole batches from `request.offset` up to the high watermark.
    pub async fn read(&self, request: ReadRequest) -> Result<Read, PartitionError> {
        self.check_epoch(request.current_epoch)?;
        let bounds = self.bounds();
        let end_offset = self.log.log_end_offset();
        if request.last_fetched_epoch.0 >= 0
            && let Some(diverging) = self.divergence(&request)?
        {
            return Ok(Read { bounds, slices: Slices::default(), diverging: Some(diverging) });
        }
        if request.offset < bounds.log_start || request.offset > end_offset {
            return Err(self.out_of_range(request.offset));
        }
        if request.offset >= bounds.high_watermark || (request.bytes_max == 0 && !request.at_least_one) {
            return Ok(Read { bounds, slices: Slices::default(), diverging: None });
        }
        let limit = ReadLimit {
            end: bounds.high_watermark,
            bytes_max: u32::try_from(request.bytes_max).unwrap_or(u32::MAX),
            at_least_one: request.at_least_one,
        };
        let slices = match self.log.try_read(request.offset, limit) {
            TryRead::Cached(slices) => {
                self.state.metrics.logs.cache_hits.increment();
                slices
            }
            TryRead::Cold => {
                self.state.metrics.logs.cache_misses.increment();
                self.log.read(request.offset, limit).await?
            }
            TryRead::OutOfRange { .. } => return Err(self.out_of_range(request.offset)),
        };
        Ok(Read { bounds, slices, diverging: None })
    }

    /// Rings `alarm` when the high watermark passes `offset`, or at once if it has.
    pub fn watch(&self, offset: Offset, alarm: &Rc<Alarm>) -> WatcherKey {
        let key = self.state.watchers.add(offset, alarm.clone());
        if self.log.durable_end_offset() > offset {
            alarm.ring();
        }
        key
    }

    /// Takes a watcher back.
    pub fn unwatch(&self, key: WatcherKey) {
        self.state.watchers.remove(key);
    }

    /// Wakes every waiting fetch, so that it sees that the partition has gone or changed.
    pub fn disturb(&self) {
        self.state.watchers.disturbed();
    }

    /// Deletes the records before `offset` (KIP-107); -1 means up to the high watermark. Returns the log start.
    pub async fn delete_records(&self, offset: Offset) -> Result<Offset, PartitionError> {
        let bounds = self.bounds();
        let target = if offset == Offset::NONE { bounds.high_watermark } else { offset };
        if target > bounds.high_watermark || target < Offset::ZERO {
            return Err(self.out_of_range(target));
        }
        self.log.advance_log_start(target).await?;
        Ok(self.log.log_start_offset())
    }

    /// The producers with state here, for DescribeProducers (KIP-664).
    pub fn producers(&self) -> Vec<(ProducerId, Producer)> {
        self.state.producers.borrow().iter().map(|(id, producer)| (id, producer.clone())).collect()
    }

    /// How many producers have state here.
    pub fn producer_count(&self) -> usize {
        self.state.producers.borrow().len()
    }

    /// The last batch of each producer with state here: compaction keeps what they need to go on.
    pub fn last_batches(&self) -> HashMap<ProducerId, LastBatch> {
        let producers = self.state.producers.borrow();
        let last = |producer: &Producer| LastBatch {
            last_offset: producer.recent.last().map(|batch| batch.last_offset),
            epoch: producer.epoch,
        };
        producers.iter().map(|(id, producer)| (id, last(producer))).collect()
    }

    /// Nothing at or above this offset is compacted.
    pub fn stable_end(&self) -> Offset {
        self.log.durable_end_offset()
    }

    /// Forgets producers that were idle for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn expire_producers(&self, now: TimestampMs, expiration_ms: i64) {
        self.state.producers.borrow_mut().expire(now, expiration_ms);
    }

    /// Compares the epoch that a client believes in with this leader's (KIP-320).
    pub fn check_epoch(&self, given: LeaderEpoch) -> Result<(), PartitionError> {
        let current = self.leader_epoch.get();
        match given {
            LeaderEpoch::UNKNOWN => Ok(()),
            older if older < current => Err(PartitionError::FencedEpoch { given, current }),
            newer if newer > current => Err(PartitionError::UnknownEpoch { given, current }),
            _ => Ok(()),
        }
    }

    /// Where the reader's log departs from this one, if it does. A reader that has seen a newer epoch than this leader
    /// knows is told that its offset is out of range, as in Kafka.
    fn divergence(&self, request: &ReadRequest) -> Result<Option<(LeaderEpoch, Offset)>, PartitionError> {
        let (epoch, end) = self.epoch_end(request.last_fetched_epoch);
        if epoch == LeaderEpoch::UNKNOWN {
            return Err(self.out_of_range(request.offset));
        }
        let departs = end < request.offset || epoch < request.last_fetched_epoch;
        Ok(departs.then_some((epoch, end)))
    }

    fn out_of_range(&self, requested: Offset) -> PartitionError {
        let Bounds { high_watermark, log_start } = self.bounds();
        PartitionError::OffsetOutOfRange { requested, start: log_start, end: high_watermark }
    }
}

/// How much earlier than `segment.ms` a partition rolls: below `segment.jitter.ms`, different for each partition and always
/// the same for one, so that segments begun together do not end together.
fn jitter_ms(id: TopicPartition, segment: &crate::config::Segment) -> i64 {
    let below = u64::try_from(segment.roll_jitter_ms.min(segment.roll_ms)).unwrap_or(0);
    let mut hash = DefaultHasher::new();
    id.hash(&mut hash);
    // Below an i64, and below `segment.ms`.
    hash.finish().checked_rem(below).unwrap_or(0) as i64
}

/// What the log needs to know of a topic's settings.
fn log_settings(id: TopicPartition, settings: &TopicSettings) -> LogSettings {
    let roll_ms = settings.segment.roll_ms - jitter_ms(id, &settings.segment);
    LogSettings {
        segment_bytes: settings.segment.bytes,
        // Records of the active segment are not compacted: it is closed in time.
        segment_ms: match settings.retention.compact {
            true => roll_ms.min(settings.compaction.lag_max_ms),
            false => roll_ms,
        },
        index_interval_bytes: settings.segment.index_interval_bytes,
        index_bytes: settings.segment.index_bytes,
        retention_ms: settings.retention.ms,
        retention_bytes: settings.retention.bytes,
        delete_delay_ms: settings.retention.delete_delay_ms,
        delete: settings.retention.delete,
        compaction: CompactionSettings {
            compact: settings.retention.compact,
            delete_retention_ms: settings.compaction.delete_retention_ms,
            lag_min_ms: settings.compaction.lag_min_ms,
            lag_max_ms: settings.compaction.lag_max_ms,
            dirty_ratio_min_ppm: (settings.compaction.dirty_ratio_min * 1e6).round() as u32,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BrokerSettings, TopicOverrides};
    use crate::model::{PartitionIndex, TopicId};

    fn segment_ms(partition: i32, roll: &str, jitter: &str) -> i64 {
        let settings = [("segment.ms", roll), ("segment.jitter.ms", jitter)];
        let overrides: TopicOverrides = settings.map(|(name, value)| (name.into(), value.into())).into();
        let id = TopicPartition { topic_id: TopicId::ZERO, partition: PartitionIndex(partition) };
        log_settings(id, &TopicSettings::effective(&overrides, &BrokerSettings::default())).segment_ms
    }

    #[test]
    fn jitter_spreads_the_partitions_below_their_age() {
        let spread: std::collections::BTreeSet<i64> =
            (0..100).map(|partition| segment_ms(partition, "10000", "3000")).collect();
        assert!(spread.len() > 80, "{spread:?}");
        assert!(spread.iter().all(|age| (7_001..=10_000).contains(age)), "{spread:?}");
        assert_eq!(segment_ms(1, "10000", "3000"), segment_ms(1, "10000", "3000"), "the same after a change");
        assert!((0..100).all(|partition| segment_ms(partition, "10", "9999") >= 1), "an age stays");
        assert_eq!(segment_ms(1, "10000", "0"), 10_000);
    }

    #[test]
    fn a_compacted_topic_closes_its_segments_in_time_for_compaction() {
        let log = |policy: &str| {
            let given = [
                ("cleanup.policy", policy),
                ("segment.ms", "5000"),
                ("max.compaction.lag.ms", "3000"),
                ("min.compaction.lag.ms", "7"),
                ("delete.retention.ms", "9"),
                ("min.cleanable.dirty.ratio", "0.3"),
            ];
            let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let overrides = TopicOverrides::from_iter(given);
            let id = TopicPartition { topic_id: TopicId::ZERO, partition: PartitionIndex(0) };
            log_settings(id, &TopicSettings::effective(&overrides, &BrokerSettings::default()))
        };
        let (deleted, both) = (log("delete"), log("compact,delete"));
        assert_eq!((deleted.segment_ms, deleted.delete, deleted.compaction.compact), (5_000, true, false));
        assert_eq!((both.segment_ms, both.delete), (3_000, true));
        let wanted = CompactionSettings {
            compact: true,
            delete_retention_ms: 9,
            lag_min_ms: 7,
            lag_max_ms: 3_000,
            dirty_ratio_min_ppm: 300_000,
        };
        assert_eq!(both.compaction, wanted);
    }
}
