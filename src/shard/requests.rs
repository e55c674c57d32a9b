//! What shards ask each other for on behalf of clients: appends and reads, each a whole group per owner.
//!
//! Key invariant: appends happen when the call is delivered, in its order, before anything is awaited; what comes back
//! has only to become durable.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use super::Shard;
use super::stages::Began;
use crate::metrics::Stage;
use crate::model::{Offset, TimestampMs, TopicPartition};
use crate::partition::{Appended, Bounds, Partition, PartitionError, Read, ReadRequest};
use crate::record::BatchHeader;

/// One validated batch for one partition.
pub struct AppendEntry {
    pub partition: TopicPartition,
    pub batch: Bytes,
    pub header: BatchHeader,
    /// `acks=all`: refused with fewer in-sync replicas than the topic demands.
    pub all_replicas: bool,
}

/// What is answered for an appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendAnswer {
    pub base_offset: Offset,
    pub log_start: Offset,
    /// The greatest timestamp of a batch that was there already.
    pub duplicate_of: Option<TimestampMs>,
}

/// A group of appends to one shard; mostly one.
pub type AppendEntries = SmallVec<[AppendEntry; 1]>;

/// The answers to a group of appends, in its order.
pub type AppendAnswers = SmallVec<[Result<AppendAnswer, PartitionError>; 1]>;

/// When a group was checked and sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When that shard let go of it, if the request is timed.
    pub at: Began,
    /// The time at which it was checked.
    pub time: TimestampMs,
}

/// A group that was appended, though it need not be durable.
pub struct Appending {
    started: SmallVec<[Started; 1]>,
    at: Began,
}

type Started = Result<(Rc<Partition>, Appended), PartitionError>;

/// One partition to read.
pub struct ReadEntry {
    pub partition: TopicPartition,
    pub request: ReadRequest,
}

/// The answers to a group of reads, in its order.
pub type ReadAnswers = Vec<Result<Read, PartitionError>>;

impl Shard {
    /// Appends to partitions of this shard, now.
    pub fn append(&self, entries: &[AppendEntry], sent: Sent) -> Appending {
        let arrived = self.end_stage(Stage::ProduceRoute, sent.at);
        let started = entries.iter().map(|entry| self.append_one(entry, sent.time)).collect();
        Appending { started, at: self.end_stage(Stage::ProduceAppend, arrived) }
    }

    /// Waits until everything of a group that this shard appended is durable.
    pub async fn durable(&self, appending: &Appending) -> AppendAnswers {
        let mut answers = AppendAnswers::with_capacity(appending.started.len());
        for one in &appending.started {
            answers.push(match one {
                Ok((partition, appended)) => {
                    partition.durable(appended.durable_at).await.map(|()| AppendAnswer {
                        base_offset: appended.base_offset,
                        log_start: partition.bounds().log_start,
                        duplicate_of: appended.duplicate_of,
                    })
                }
                Err(error) => Err(error.clone()),
            });
        }
        self.end_stage(Stage::ProduceFlush, appending.at);
        answers
    }

    fn append_one(&self, entry: &AppendEntry, now: TimestampMs) -> Started {
        let partition = self.table().partition(entry.partition)?;
        if entry.all_replicas {
            self.check_in_sync(entry.partition, &partition)?;
        }
        let appended = partition.append(&entry.batch, &entry.header, now)?;
        if appended.duplicate_of.is_none() {
            let logs = &self.metrics().logs;
            logs.appended_records.add(u64::from(entry.header.record_count.unsigned_abs()));
            logs.appended_bytes.add(entry.batch.len() as u64);
        }
        Ok((partition, appended))
    }

    /// Whether enough replicas are in sync; no more are demanded than the partition has (KIP-966).
    fn check_in_sync(&self, id: TopicPartition, partition: &Partition) -> Result<(), PartitionError> {
        let topic = self.table().topic(id.topic_id).ok_or(PartitionError::Unknown)?;
        let placed = topic.image.partition(id.partition).ok_or(PartitionError::Unknown)?;
        let required = partition.settings().min_insync_replicas.min(placed.replicas.len() as u16);
        if placed.in_sync.len() < usize::from(required) {
            return Err(PartitionError::NotEnoughReplicas { required });
        }
        Ok(())
    }

    /// Reads partitions of this shard, together at most about `bytes_max`: a first batch comes whole.
    pub async fn read(
        self: Rc<Self>,
        entries: Vec<ReadEntry>,
        bytes_max: usize,
        sent: Instant,
    ) -> ReadAnswers {
        self.metrics().stages.record(Stage::FetchRoute, sent.elapsed());
        self.read_here(entries, bytes_max).await
    }

    /// As [`Shard::read`], for a reader that is on this shard.
    pub async fn read_here(&self, entries: Vec<ReadEntry>, bytes_max: usize) -> ReadAnswers {
        let mut answers = Vec::with_capacity(entries.len());
        let mut left = bytes_max;
        let mut found = false;
        for entry in entries {
            let answer = match self.table().partition(entry.partition) {
                Ok(partition) => {
                    let mut request = entry.request;
                    request.bytes_max = request.bytes_max.min(left);
                    request.at_least_one &= !found;
                    partition.read(request).await
                }
                Err(error) => Err(error),
            };
            if let Ok(read) = &answer {
                found |= !read.slices.is_empty();
                left = left.saturating_sub(read.slices.len());
            }
            answers.push(answer);
        }
        answers
    }

    /// High watermark and log start of a partition of this shard, for answers that carry them beside an error.
    pub fn bounds(&self, partition: TopicPartition) -> Option<Bounds> {
        self.table().partition(partition).ok().map(|partition| partition.bounds())
    }
}
