//! ListOffsets (KIP-79, KIP-734, KIP-405, KIP-1005, KIP-1023): offsets by time or by meaning.

use std::rc::Rc;

use indexmap::IndexMap;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::{Server, errors, topics};
use crate::model::{LeaderEpoch, TimestampMs};
use crate::partition::{OffsetFound, OffsetQuery, PartitionError};
use crate::protocol::ErrorCode;

/// What a special timestamp asks for, and the first version that may.
const SPECIALS: [(i64, i16, OffsetQuery); 6] = [
    (-1, 0, OffsetQuery::Latest),
    (-2, 0, OffsetQuery::Earliest),
    (-3, 7, OffsetQuery::MaxTimestamp),
    (-4, 8, OffsetQuery::Earliest),
    (-5, 9, OffsetQuery::Tiered),
    (-6, 11, OffsetQuery::Tiered),
];

/// Answers every partition, each on the shard that owns it.
pub async fn handle(server: &Rc<Server>, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let repeated = repeated_partitions(&request.topics);
    // A topic that is named twice is answered once, and one without partitions not at all, as in Kafka.
    let mut answered: IndexMap<TopicName, IndexMap<i32, ListOffsetsPartitionResponse>> = IndexMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let answers = answered.entry(topic.name.clone()).or_default();
            if answers.contains_key(&partition.partition_index) {
                continue;
            }
            let again = repeated.contains(&(&*topic.name.0, partition.partition_index));
            let found = if again {
                Err(ErrorCode::InvalidRequest)
            } else {
                find(server, topic, partition, version).await
            };
            answers.insert(partition.partition_index, answer(partition.partition_index, found, version));
        }
    }
    let topics = answered.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_values().collect();
        ListOffsetsTopicResponse::default().with_name(name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// Partitions that the request names more than once; Kafka refuses them all.
fn repeated_partitions(topics: &[ListOffsetsTopic]) -> std::collections::HashSet<(&str, i32)> {
    let mut seen = std::collections::HashSet::new();
    let named = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (&*topic.name.0, partition.partition_index))
    });
    named.filter(|key| !seen.insert(*key)).collect()
}

async fn find(
    server: &Rc<Server>,
    topic: &ListOffsetsTopic,
    partition: &ListOffsetsPartition,
    version: i16,
) -> Result<OffsetFound, ErrorCode> {
    let query = query(partition.timestamp, version)?;
    let known = topics::by_name(server, &topic.name.0)?;
    let id = topics::partition(&known, partition.partition_index)?;
    let epoch = LeaderEpoch(if version >= 4 { partition.current_leader_epoch } else { -1 });
    let shard = server.shard();
    let asked = shard.on(shard.owner_of(id), move |owner| async move {
        let partition = owner.table().partition(id)?;
        partition.check_epoch(epoch)?;
        partition.find_offset(query).await
    });
    let found: Result<OffsetFound, PartitionError> = asked.await.map_err(errors::of_shard_gone)?;
    found.map_err(|error| errors::of_partition(&error))
}

fn query(timestamp: i64, version: i16) -> Result<OffsetQuery, ErrorCode> {
    if timestamp >= 0 {
        return Ok(OffsetQuery::AtTime(TimestampMs(timestamp)));
    }
    match SPECIALS.iter().find(|(special, ..)| *special == timestamp) {
        Some((_, from, query)) if version >= *from => Ok(*query),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn answer(index: i32, found: Result<OffsetFound, ErrorCode>, version: i16) -> ListOffsetsPartitionResponse {
    let (code, found) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, OffsetFound::NONE),
    };
    let epoch = if version >= 4 { found.leader_epoch.0 } else { -1 };
    ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(code.code())
        .with_timestamp(found.timestamp.0)
        .with_offset(found.offset.0)
        .with_leader_epoch(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specials_need_their_version() {
        assert_eq!(query(-3, 6), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(-3, 7), Ok(OffsetQuery::MaxTimestamp));
        assert_eq!(query(-6, 10), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(-7, 11), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(query(0, 1), Ok(OffsetQuery::AtTime(TimestampMs(0))));
    }
}
