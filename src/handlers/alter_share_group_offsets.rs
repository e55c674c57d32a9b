//! AlterShareGroupOffsets (KIP-932): sets where a share group without members goes on.
//!
//! Key invariant: nothing that is under way from before can change the new start; the share coordinator fences it. A group that
//! is not there comes into being, as with OffsetCommit.

use std::collections::BTreeMap;
use std::rc::Rc;

use indexmap::IndexMap;
use kafka_protocol::messages::alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::alter_share_group_offsets_response::{
    AlterShareGroupOffsetsResponsePartition, AlterShareGroupOffsetsResponseTopic,
};
use kafka_protocol::messages::{AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, TopicName};

use super::topics::text;
use super::{Server, errors, share_states};
use crate::coordinator::{GroupError, GroupId};
use crate::metadata::Image;
use crate::model::{Offset, PartitionIndex, TopicPartition};
use crate::protocol::ErrorCode;

/// Answers one request.
pub async fn handle(
    server: &Rc<Server>,
    request: AlterShareGroupOffsetsRequest,
) -> AlterShareGroupOffsetsResponse {
    let group = GroupId::from(request.group_id.0.as_str());
    let image = server.shard().image();
    let mut starts: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            if let Some(id) = find(&image, topic, partition.partition_index) {
                starts.insert(id, Offset(partition.start_offset));
            }
        }
    }
    match alter(server, &group, starts).await {
        Ok(altered) => {
            let responses = responses(&image, &request.topics, &altered);
            AlterShareGroupOffsetsResponse::default().with_responses(responses)
        }
        Err(error) => AlterShareGroupOffsetsResponse::default()
            .with_error_code(errors::of_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

fn find(image: &Image, topic: &AlterShareGroupOffsetsRequestTopic, index: i32) -> Option<TopicPartition> {
    let found = image.topic(&topic.topic_name.0)?;
    let partition = PartitionIndex(index);
    found.partition(partition).map(|_| TopicPartition { topic_id: found.id, partition })
}

async fn alter(
    server: &Rc<Server>,
    group: &GroupId,
    starts: BTreeMap<TopicPartition, Offset>,
) -> Result<share_states::Each<()>, GroupError> {
    if group.as_str().is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let (id, partitions) = (group.clone(), starts.keys().copied().collect());
    let begun = server.shard().groups(group.as_str(), move |groups, turn, actions| {
        groups.share_alter_offsets(&id, partitions, turn, actions)
    });
    let change = begun.await.flatten()?;
    if change.partitions.is_empty() {
        return Ok(share_states::Each::new());
    }
    // Kafka's clients send offsets of 0 and more; others would be taken for none.
    let starts = starts.into_iter().map(|(id, start)| (id, start.max(Offset::ZERO))).collect();
    let altered = share_states::initialize(server, group, change.state_epoch, starts).await;
    let done = altered.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| *id).collect();
    let id = group.clone();
    let told = server.shard().groups(group.as_str(), move |groups, turn, actions| {
        groups.share_initialized(&id, &done, turn, actions)
    });
    told.await.flatten()?;
    Ok(altered)
}

/// The answer to each partition, by topic; one that is named twice is answered in one place.
fn responses(
    image: &Image,
    asked: &[AlterShareGroupOffsetsRequestTopic],
    altered: &share_states::Each<()>,
) -> Vec<AlterShareGroupOffsetsResponseTopic> {
    let mut answers: IndexMap<&str, AlterShareGroupOffsetsResponseTopic> = IndexMap::new();
    for topic in asked {
        let name = topic.topic_name.0.as_str();
        let answer = answers.entry(name).or_insert_with(|| {
            let id = image.topic(name).map(|topic| topic.id.0).unwrap_or_default();
            let answer = AlterShareGroupOffsetsResponseTopic::default();
            answer.with_topic_name(TopicName(text(name))).with_topic_id(id)
        });
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        answer.partitions.extend(
            indexes.map(|index| partition(index, find(image, topic, index).and_then(|id| altered.get(&id)))),
        );
    }
    answers.into_values().collect()
}

fn partition(
    index: i32,
    outcome: Option<&Result<(), GroupError>>,
) -> AlterShareGroupOffsetsResponsePartition {
    let answer = AlterShareGroupOffsetsResponsePartition::default().with_partition_index(index);
    match outcome {
        Some(Ok(())) => answer,
        Some(Err(error)) => answer
            .with_error_code(errors::of_group(error).code())
            .with_error_message(Some(text(error.to_string()))),
        None => answer
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            .with_error_message(Some(text(ErrorCode::UnknownTopicOrPartition.message()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::topics::text;
    use kafka_protocol::messages::alter_share_group_offsets_request::AlterShareGroupOffsetsRequestPartition;

    #[test]
    fn a_topic_named_twice_is_answered_in_one_place() {
        let asked = |name: &str, indexes: &[i32]| {
            let partition =
                |index: &i32| AlterShareGroupOffsetsRequestPartition::default().with_partition_index(*index);
            AlterShareGroupOffsetsRequestTopic::default()
                .with_topic_name(TopicName(text(name)))
                .with_partitions(indexes.iter().map(partition).collect())
        };
        let asked = [asked("a", &[0, 0]), asked("b", &[]), asked("a", &[7])];
        let responses = responses(&Image::default(), &asked, &share_states::Each::new());
        let names: Vec<&str> = responses.iter().map(|topic| topic.topic_name.0.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let indexes = responses[0].partitions.iter().map(|one| (one.partition_index, one.error_code));
        assert_eq!(indexes.collect::<Vec<_>>(), [(0, 3), (0, 3), (7, 3)]);
    }
}
