//! The start offsets of share groups (KIP-932): reading, moving and deleting them.
//!
//! Key invariant: a share group has one start offset per partition; what lies behind it may be partly acknowledged.
//! Which offsets make sense is left to the callers.

use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::{AlterShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequest};

use super::{ByPartition, at_coordinator, group_id, refuse, refuse_partition, text, unanswered};
use crate::cli::client::cluster::topic_name;
use crate::cli::client::{ClientError, Cluster};
use crate::model::{Offset, PartitionIndex};
use crate::protocol::share_group_offsets::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsResponsePartition,
};

/// DescribeShareGroupOffsets has told the lag since this version (KIP-1226).
const LAG_FROM: i16 = 1;

/// Where a share group is on a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first record that is not done with; `None` where nothing was read yet.
    pub start: Option<Offset>,
    pub lag: Lag,
}

/// How far behind a share group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// So many records are not done with. Those behind the start that are do not count.
    Told(u64),
    /// The broker does not know: nobody has read since the start was set.
    Unknown,
    /// The broker is too old to tell.
    Untold,
}

impl Position {
    fn of(partition: &DescribeShareGroupOffsetsResponsePartition, version: i16) -> Self {
        let lag = match u64::try_from(partition.lag) {
            _ if version < LAG_FROM => Lag::Untold,
            Ok(records) => Lag::Told(records),
            Err(_) => Lag::Unknown,
        };
        Self { start: Some(Offset(partition.start_offset)).filter(|offset| offset.get() >= 0), lag }
    }
}

/// Where the group is on every partition that it has to do with.
pub async fn fetch(cluster: &Cluster, group: &str) -> Result<ByPartition<Position>, ClientError> {
    let entry = DescribeShareGroupOffsetsRequestGroup { group_id: text(group), topics: None };
    let request = DescribeShareGroupOffsetsRequest { groups: vec![entry] };
    at_coordinator(cluster, group, async |_, connection| {
        let version = connection.version_of::<DescribeShareGroupOffsetsRequest>()?;
        let answer = connection.call(&request).await?;
        let described = answer.groups.into_iter().next().ok_or_else(|| unanswered(group))?;
        refuse(group, described.error_code, described.error_message)?;
        let mut positions = ByPartition::new();
        for topic in described.topics {
            let of_topic: &mut std::collections::BTreeMap<_, _> =
                positions.entry(topic.topic_name.to_string()).or_default();
            for partition in topic.partitions {
                let index = partition.partition_index;
                refuse_partition(group, &topic.topic_name, index, partition.error_code)?;
                of_topic.insert(PartitionIndex(index), Position::of(&partition, version));
            }
        }
        Ok(positions)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_told_unknown_or_untold() {
        let position = |start_offset, lag, version| {
            let partition = DescribeShareGroupOffsetsResponsePartition {
                start_offset,
                lag,
                ..DescribeShareGroupOffsetsResponsePartition::default()
            };
            Position::of(&partition, version)
        };
        let start = Some(Offset(7));
        assert_eq!(position(7, 3, 1), Position { start, lag: Lag::Told(3) });
        assert_eq!(position(7, -1, 1), Position { start, lag: Lag::Unknown });
        assert_eq!(position(7, -1, 0), Position { start, lag: Lag::Untold });
        assert_eq!(position(-1, -1, 1), Position { start: None, lag: Lag::Unknown });
    }
}
