//! The committed offsets of classic and consumer groups: reading, moving and deleting them.
//!
//! Key invariant: offsets are moved as one who is no member, which the coordinator accepts only of a group without
//! members. Which offsets make sense is left to the callers.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse,
};

use super::{ByPartition, at_coordinator, group_id, refuse, refuse_partition, unanswered};
use crate::cli::client::cluster::topic_name;
use crate::cli::client::{ClientError, Cluster};
use crate::model::{Offset, PartitionIndex};

/// OffsetFetch has carried a list of groups since this version (KIP-709).
const FETCH_MANY: i16 = 8;
/// OffsetFetch can wait for transactions that end since this version (KIP-447).
const FETCH_STABLE: i16 = 7;

/// Every offset that `group` has committed. `stable` waits for transactions that are about to move some.
pub async fn fetch(cluster: &Cluster, group: &str, stable: bool) -> Result<ByPartition<Offset>, ClientError> {
    at_coordinator(cluster, group, async |_, connection| {
        let version = connection.version_of::<OffsetFetchRequest>()?;
        let request = match version {
            FETCH_MANY.. => {
                let entry = OffsetFetchRequestGroup::default().with_group_id(group_id(group));
                OffsetFetchRequest::default().with_groups(vec![entry.with_topics(None)])
            }
            _ => OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(None),
        };
        let request = request.with_require_stable(stable && version >= FETCH_STABLE);
        offsets_of(group, connection.call(&request).await?)
    })
    .await
}

/// The offsets in an answer about one group, in whichever of the two layouts it has.
fn offsets_of(group: &str, answer: OffsetFetchResponse) -> Result<ByPartition<Offset>, ClientError> {
    refuse(group, answer.error_code, None)?;
    let mut offsets = ByPartition::new();
    let mut take = |topic: &str, partition: i32, offset: i64, code: i16| {
        refuse_partition(group, topic, partition, code)?;
        if offset >= 0 {
            let of_topic: &mut BTreeMap<_, _> = offsets.entry(topic.to_owned()).or_default();
            of_topic.insert(PartitionIndex(partition), Offset(offset));
        }
        Ok::<_, ClientError>(())
    };
    for topic in &answer.topics {
        for p in &topic.partitions {
            take(&topic.name, p.partition_index, p.committed_offset, p.error_code)?;
        }
    }
    for answered in &answer.groups {
        refuse(group, answered.error_code, None)?;
        for topic in &answered.topics {
            for p in &topic.partitions {
                take(&topic.name, p.partition_index, p.committed_offset, p.error_code)?;
            }
        }
    }
    Ok(offsets)
}

/// Sets offsets of a group without members; a group that does not exist comes into being.
pub async fn alter(cluster: &Cluster, group: &str, offsets: &ByPartition<Offset>) -> Result<(), ClientError> {
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(commit_topics(offsets));
    at_coordinator(cluster, group, async |_, connection| {
        check_commit(group, &connection.call(&request).await?)
    })
    .await
}

/// The topics of an OffsetCommit.
pub(in crate::cli::client) fn commit_topics(offsets: &ByPartition<Offset>) -> Vec<OffsetCommitRequestTopic> {
    let partition = |(index, offset): (&PartitionIndex, &Offset)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index.get())
            .with_committed_offset(offset.get())
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some("".into()))
    };
    let topics = offsets.iter().map(|(topic, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(partitions.iter().map(partition).collect())
    });
    topics.collect()
}

/// The first refusal in an answer to OffsetCommit.
pub(in crate::cli::client) fn check_commit(
    group: &str,
    answer: &OffsetCommitResponse,
) -> Result<(), ClientError> {
    for topic in &answer.topics {
        for partition in &topic.partitions {
            refuse_partition(group, &topic.name, partition.partition_index, partition.error_code)?;
        }
    }
    Ok(())
}

/// Deletes the offsets of `partitions`; the group's members, if any, must not be subscribed to the topic.
pub async fn delete(
    cluster: &Cluster,
    group: &str,
    topic: &str,
    partitions: &[PartitionIndex],
) -> Result<(), ClientError> {
    let partition =
        |index: &PartitionIndex| OffsetDeleteRequestPartition::default().with_partition_index(index.get());
    let entry = OffsetDeleteRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(partitions.iter().map(partition).collect());
    let request = OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![entry]);
    at_coordinator(cluster, group, async |_, connection| {
        let answer = connection.call(&request).await?;
        refuse(group, answer.error_code, None)?;
        let answered = answer.topics.first().ok_or_else(|| unanswered(group))?;
        answered.partitions.iter().try_for_each(|partition| {
            refuse_partition(group, topic, partition.partition_index, partition.error_code)
        })
    })
    .await
}
