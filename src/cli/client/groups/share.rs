//! The start offsets of share groups (KIP-932): reading, moving and deleting them.
//!
//! Key invariant: a share group has one start offset per partition; what lies behind it may be partly acknowledged.
//! Which offsets make sense is left to the callers.

use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequest,
};

use super::{ByPartition, at_coordinator, group_id, refuse, refuse_partition, unanswered};
use crate::cli::client::cluster::topic_name;
use crate::cli::client::{ClientError, Cluster};
use crate::model::{Offset, PartitionIndex};

/// The start offset of every partition that the group has to do with; `None` where nothing was read yet.
pub async fn fetch(cluster: &Cluster, group: &str) -> Result<ByPartition<Option<Offset>>, ClientError> {
    let entry = DescribeShareGroupOffsetsRequestGroup::default().with_group_id(group_id(group));
    let request = DescribeShareGroupOffsetsRequest::default().with_groups(vec![entry.with_topics(None)]);
    at_coordinator(cluster, group, async |_, connection| {
        let answer = connection.call(&request).await?;
        let described = answer.groups.into_iter().next().ok_or_else(|| unanswered(group))?;
        refuse(group, described.error_code, described.error_message)?;
        let mut offsets = ByPartition::new();
        for topic in described.topics {
            let of_topic: &mut std::collections::BTreeMap<_, _> =
                offsets.entry(topic.topic_name.to_string()).or_default();
            for partition in topic.partitions {
                refuse_partition(group, &topic.topic_name, partition.partition_index, partition.error_code)?;
                let offset = Some(Offset(partition.start_offset)).filter(|offset| offset.get() >= 0);
                of_topic.insert(PartitionIndex(partition.partition_index), offset);
            }
        }
        Ok(offsets)
    })
    .await
}

/// Sets start offsets of a share group without members.
pub async fn alter(cluster: &Cluster, group: &str, offsets: &ByPartition<Offset>) -> Result<(), ClientError> {
    let topics = offsets.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|(index, offset)| {
            AlterShareGroupOffsetsRequestPartition::default()
                .with_partition_index(index.get())
                .with_start_offset(offset.get())
        });
        AlterShareGroupOffsetsRequestTopic::default()
            .with_topic_name(topic_name(topic))
            .with_partitions(partitions.collect())
    });
    let request =
        AlterShareGroupOffsetsRequest::default().with_group_id(group_id(group)).with_topics(topics.collect());
    at_coordinator(cluster, group, async |_, connection| {
        let answer = connection.call(&request).await?;
        refuse(group, answer.error_code, answer.error_message)?;
        for topic in &answer.responses {
            for partition in &topic.partitions {
                refuse_partition(group, &topic.topic_name, partition.partition_index, partition.error_code)?;
            }
        }
        Ok(())
    })
    .await
}

/// Deletes all that a share group without members knows of a topic.
pub async fn delete(cluster: &Cluster, group: &str, topic: &str) -> Result<(), ClientError> {
    let entry = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(topic_name(topic));
    let request =
        DeleteShareGroupOffsetsRequest::default().with_group_id(group_id(group)).with_topics(vec![entry]);
    at_coordinator(cluster, group, async |_, connection| {
        let answer = connection.call(&request).await?;
        refuse(group, answer.error_code, answer.error_message)?;
        let result = answer.responses.into_iter().next().ok_or_else(|| unanswered(group))?;
        let subject = format!("group {group}, topic {topic}");
        if result.error_code != 0 {
            let message = result.error_message.map(|text| text.to_string());
            return Err(ClientError::refused(subject, result.error_code, message));
        }
        Ok(())
    })
    .await
}
