//! Offsets of partitions by ListOffsets: the first, the next to be written, and those of a point in time.
//!
//! Key invariant: each partition is asked of its leader. What the offsets are for is left to the callers.

use std::cell::Cell;
use std::collections::BTreeMap;

use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::cluster::topic_name;
use super::retry::retrying;
use super::{ClientError, Cluster, PartitionFacts, TopicFacts};
use crate::model::{Offset, PartitionIndex, TimestampMs};
use crate::protocol::ErrorCode;

/// What ListOffsets is asked for instead of a timestamp.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first that is still there.
    Earliest,
    /// The one that the next record gets.
    Latest,
    /// That of the first record which is not older than this. A partition without one gets -1.
    At(TimestampMs),
}

impl Place {
    /// What ListOffsets calls it.
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => EARLIEST,
            Self::Latest => LATEST,
            Self::At(time) => time.get(),
        }
    }
}

/// Offsets by partition.
pub type Offsets = BTreeMap<PartitionIndex, Offset>;

/// The offsets at `place` of those partitions of `topic` that `wanted` says. Asks again for a while where leaders are
/// moving or starting.
pub async fn of_partitions(
    cluster: &Cluster,
    topic: &TopicFacts,
    wanted: impl Fn(&PartitionFacts) -> bool,
    place: Place,
) -> Result<Offsets, ClientError> {
    let first = Cell::new(true);
    let (first, wanted) = (&first, &wanted);
    retrying(cluster.timeout(), || async move {
        if first.replace(false) {
            return ask_leaders(cluster, topic, wanted, place).await;
        }
        let topic = cluster.topic(&topic.name, false).await?;
        ask_leaders(cluster, &topic, wanted, place).await
    })
    .await
}

async fn ask_leaders(
    cluster: &Cluster,
    topic: &TopicFacts,
    wanted: impl Fn(&PartitionFacts) -> bool,
    place: Place,
) -> Result<Offsets, ClientError> {
    let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in topic.partitions.iter().filter(|partition| wanted(partition)) {
        let leader = partition.leader.ok_or_else(|| ClientError::Leaderless {
            topic: topic.name.clone(),
            partition: partition.index.get(),
        })?;
        let entry = ListOffsetsPartition::default()
            .with_partition_index(partition.index.get())
            .with_current_leader_epoch(-1)
            .with_timestamp(place.timestamp());
        by_leader.entry(leader).or_default().push(entry);
    }
    let mut offsets = Offsets::new();
    for (leader, partitions) in by_leader {
        let asked =
            ListOffsetsTopic::default().with_name(topic_name(&topic.name)).with_partitions(partitions);
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
        let answer = cluster.broker(leader).await?.call(&request).await?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if partition.error_code != 0 {
                let subject = format!("partition {} of topic {}", partition.partition_index, topic.name);
                return Err(ClientError::refused(subject, partition.error_code, None));
            }
            offsets.insert(PartitionIndex(partition.partition_index), Offset(partition.offset));
        }
    }
    Ok(offsets)
}

/// The partition of `topic` with this index, or the broker's words for one that is not there.
pub fn partition_of(topic: &TopicFacts, index: i32) -> Result<&PartitionFacts, ClientError> {
    topic.partitions.iter().find(|partition| partition.index.get() == index).ok_or_else(|| {
        let message = format!("the topic has partitions 0 to {}", topic.partitions.len().saturating_sub(1));
        let subject = format!("partition {index} of topic {}", topic.name);
        ClientError::refused(subject, ErrorCode::UnknownTopicOrPartition.code(), Some(message))
    })
}
