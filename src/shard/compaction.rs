//! Which log a shard compacts when: one at a time, the dirtiest first.
//!
//! Key invariant: compaction has a task queue of a low share and one read or write in flight, so requests do not notice it. A
//! log that cannot be compacted rests, longer each time, and holds up no other. What a round does is left to `storage`.

use std::rc::Rc;
use std::time::Duration;

use glommio::{Latency, Shares, Task};
use hashbrown::HashMap;

use super::Shard;
use crate::config::CleanerSettings;
use crate::model::{Offset, TimestampMs, TopicPartition};
use crate::partition::Partition;
use crate::storage::{CompactionLimits, CompactionReport, CompactionRound, StorageError};

/// Of 1000 that requests have.
const SHARES: usize = 50;
/// The shortest pause when there is nothing to do, whatever `log.cleaner.backoff.ms` says.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How long a log rests after a round that failed.
const REST_MS: i64 = 60_000;
/// The longest rest of a log whose rounds keep failing.
const REST_MS_MAX: i64 = 3_600_000;

/// A log that is left alone for a while.
#[derive(Clone, Copy, Debug)]
struct Resting {
    until: TimestampMs,
    /// How often in a row it failed; 0 if it only got no further.
    failures: u32,
}

/// The logs that rest.
#[derive(Debug, Default)]
struct Rests(HashMap<TopicPartition, Resting>);

impl Rests {
    fn is_awake(&self, id: TopicPartition, now: TimestampMs) -> bool {
        self.0.get(&id).is_none_or(|resting| resting.until <= now)
    }

    /// A round did what it could.
    fn succeeded(&mut self, id: TopicPartition) {
        self.0.remove(&id);
    }

    /// A round found nothing that it may do.
    fn stuck(&mut self, id: TopicPartition, now: TimestampMs, pause: Duration) {
        let until = TimestampMs(now.0.saturating_add(pause.as_millis() as i64));
        self.0.insert(id, Resting { until, failures: 0 });
    }

    fn failed(&mut self, id: TopicPartition, now: TimestampMs) {
        let failures = self.0.get(&id).map_or(0, |resting| resting.failures) + 1;
        let rest_ms = REST_MS.saturating_mul(1 << (failures - 1).min(10)).min(REST_MS_MAX);
        self.0.insert(id, Resting { until: TimestampMs(now.0.saturating_add(rest_ms)), failures });
    }

    /// Forgets what is no longer here.
    fn keep(&mut self, here: &[Rc<Partition>]) {
        self.0.retain(|id, _| here.iter().any(|partition| partition.id() == *id));
    }

    fn failing(&self) -> u64 {
        self.0.values().filter(|resting| resting.failures > 0).count() as u64
    }
}

impl Shard {
    /// Begins to compact logs; ends when the task is dropped.
    pub(super) fn begin_compaction(self: &Rc<Self>) -> Task<()> {
        let queue = glommio::executor().create_task_queue(
            Shares::Static(SHARES),
            Latency::NotImportant,
            "compaction",
        );
        glommio::spawn_local_into(self.clone().compact_logs(), queue).expect("the queue was just created")
    }

    async fn compact_logs(self: Rc<Self>) {
        let mut rests = Rests::default();
        loop {
            let settings = self.settings().topics.cleaner;
            let pause = Duration::from_millis(settings.backoff_ms).max(PAUSE_MIN);
            if settings.enabled {
                rests.keep(&self.table().ready());
                self.settle_closed_segments().await;
                while let Some((partition, first_dirty)) = self.dirtiest(&mut rests).await {
                    self.compact_one(&partition, first_dirty, &mut rests).await;
                    glommio::yield_if_needed().await;
                }
            }
            self.metrics().compaction.uncleanable.set(rests.failing());
            glommio::timer::sleep(pause).await;
        }
    }

    /// Has a checkpoint taken if closed segments of a compacted log wait for it: a quiet shard takes them rarely.
    async fn settle_closed_segments(&self) {
        let waits = |partition: &Rc<Partition>| {
            let log = partition.log();
            log.settings().compaction.compact && !log.is_poisoned() && log.waits_for_checkpoint()
        };
        if self.table().ready().iter().any(waits)
            && let Err(error) = self.store().checkpoint_if_due().await
        {
            tracing::warn!("compaction waits for a checkpoint, which failed: {error}");
        }
    }

    /// The log with the largest share of dirty bytes that is due, and where its dirty part begins.
    async fn dirtiest(&self, rests: &mut Rests) -> Option<(Rc<Partition>, Offset)> {
        let now = self.now();
        let mut found: Option<(Rc<Partition>, Offset)> = None;
        let (mut dirtiest_ppm, mut largest_ppm) = (0, 0);
        for partition in self.table().ready() {
            glommio::yield_if_needed().await;
            let settings = partition.log().settings().compaction;
            if !settings.compact || partition.log().is_poisoned() || !rests.is_awake(partition.id(), now) {
                continue;
            }
            match partition.log().dirtiness(now, partition.stable_end()).await {
                Ok(dirt) => {
                    largest_ppm = largest_ppm.max(dirt.ratio_ppm());
                    if dirt.is_due(&settings) && (found.is_none() || dirt.ratio_ppm() > dirtiest_ppm) {
                        dirtiest_ppm = dirt.ratio_ppm();
                        found = Some((partition, dirt.first_dirty));
                    }
                }
                Err(error) => {
                    tracing::warn!("cannot tell how dirty partition {:?} is: {error}", partition.id());
                    rests.failed(partition.id(), now);
                }
            }
        }
        self.metrics().compaction.dirty_ratio_max_percent.set(u64::from(largest_ppm / 10_000));
        found
    }

    async fn compact_one(&self, partition: &Partition, first_dirty: Offset, rests: &mut Rests) {
        let (id, now) = (partition.id(), self.now());
        let settings = self.settings().topics.cleaner;
        let round = CompactionRound {
            now,
            stable_end: partition.stable_end(),
            producers: partition.last_batches(),
            limits: limits(&settings, self.shards()),
        };
        match partition.log().compact(round).await {
            Ok(report) => {
                tracing::debug!("a round of compaction of partition {id:?}: {report:?}");
                self.count(&report);
                let after = partition.log().dirtiness(now, partition.stable_end()).await;
                let advanced = after.is_ok_and(|after| after.first_dirty > first_dirty);
                if advanced {
                    rests.succeeded(id);
                } else {
                    let pause = Duration::from_millis(settings.backoff_ms).max(PAUSE_MIN);
                    rests.stuck(id, now, pause);
                }
            }
            // It was deleted, or the broker stops.
            Err(StorageError::Closed) => rests.stuck(id, now, PAUSE_MIN),
            Err(error) => {
                tracing::error!("partition {id:?} cannot be compacted for now: {error}");
                rests.failed(id, now);
            }
        }
        self.metrics().compaction.uncleanable.set(rests.failing());
    }

    fn count(&self, report: &CompactionReport) {
        let compaction = &self.metrics().compaction;
        compaction.runs.increment();
        compaction.read_bytes.add(report.read_bytes);
        compaction.written_bytes.add(report.written_bytes);
        compaction.removed_records.add(report.removed_records);
        compaction.map_used_percent.set(report.map_used_percent);
    }
}

/// One shard's part of what the broker may use.
fn limits(settings: &CleanerSettings, shards: u16) -> CompactionLimits {
    let shards = u64::from(shards.max(1));
    CompactionLimits {
        map_bytes_max: settings.map_bytes / shards,
        map_load_percent: settings.map_load_percent,
        bytes_per_second: settings.bytes_per_second.map(|rate| (rate / shards).max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PartitionIndex, TopicId};

    const ID: TopicPartition =
        TopicPartition { topic_id: TopicId(uuid::Uuid::nil()), partition: PartitionIndex(0) };

    #[test]
    fn a_log_that_fails_rests_longer_each_time() {
        let mut rests = Rests::default();
        let mut now = 1_000;
        for rest_ms in [60_000, 120_000, 240_000] {
            rests.failed(ID, TimestampMs(now));
            assert!(!rests.is_awake(ID, TimestampMs(now + rest_ms - 1)));
            now += rest_ms;
            assert!(rests.is_awake(ID, TimestampMs(now)));
        }
        for _ in 0..100 {
            rests.failed(ID, TimestampMs(now));
        }
        assert!(rests.is_awake(ID, TimestampMs(now + REST_MS_MAX)));
        assert_eq!(rests.failing(), 1);
        rests.succeeded(ID);
        assert_eq!((rests.failing(), rests.is_awake(ID, TimestampMs(0))), (0, true));
        rests.stuck(ID, TimestampMs(10), Duration::from_millis(5));
        assert_eq!((rests.failing(), rests.is_awake(ID, TimestampMs(14))), (0, false));
        rests.keep(&[]);
        assert!(rests.is_awake(ID, TimestampMs(14)));
    }

    #[test]
    fn shards_share_what_the_broker_may_use() {
        let settings = CleanerSettings {
            enabled: true,
            backoff_ms: 1,
            bytes_per_second: Some(1_000),
            map_bytes: 128 << 20,
            map_load_percent: 90,
        };
        let limits = limits(&settings, 4);
        assert_eq!((limits.map_bytes_max, limits.bytes_per_second), (32 << 20, Some(250)));
    }
}
