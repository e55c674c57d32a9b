//! AlterShareGroupOffsets (KIP-932): sets where a share group without members goes on.
//!
//! Key invariant: the new start has a new state epoch, so nothing that is under way from before can change it.

use std::collections::BTreeMap;
use std::rc::Rc;

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
            let answer = |topic| answer(&image, topic, &altered);
            AlterShareGroupOffsetsResponse::default()
                .with_responses(request.topics.iter().map(answer).collect())
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
    let (id, partitions) = (group.clone(), starts.keys().copied().collect());
    let begun = server.shard().groups(group.as_str(), move |groups, turn, actions| {
        groups.share_alter_offsets(&id, partitions, turn, actions)
    });
    let change = begun.await.flatten()?;
    let ids = change.partitions;
    // Kafka's clients send offsets of 0 and more; others would be taken for none.
    let starts = starts.into_iter().map(|(id, start)| (id, start.max(Offset::ZERO))).collect();
    let altered = share_states::initialize(server, group, change.state_epoch, starts).await;
    share_states::forget(server, group, ids).await;
    let done = altered.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| *id).collect();
    let id = group.clone();
    let told = server.shard().groups(group.as_str(), move |groups, turn, actions| {
        groups.share_initialized(&id, &done, turn, actions)
    });
    told.await.flatten()?;
    Ok(altered)
}

fn answer(
    image: &Image,
    topic: &AlterShareGroupOffsetsRequestTopic,
    altered: &share_states::Each<()>,
) -> AlterShareGroupOffsetsResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let answer = AlterShareGroupOffsetsResponsePartition::default().with_partition_index(index);
        let outcome = find(image, topic, index).and_then(|id| altered.get(&id));
        match outcome {
            Some(Ok(())) => answer,
            Some(Err(error)) => answer
                .with_error_code(errors::of_group(error).code())
                .with_error_message(Some(text(error.to_string()))),
            None => answer
                .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
                .with_error_message(Some(text(ErrorCode::UnknownTopicOrPartition.message()))),
        }
    });
    let id = image.topic(&topic.topic_name.0).map(|topic| topic.id.0).unwrap_or_default();
    AlterShareGroupOffsetsResponseTopic::default()
        .with_topic_name(TopicName(text(topic.topic_name.0.as_str())))
        .with_topic_id(id)
        .with_partitions(partitions.collect())
}
