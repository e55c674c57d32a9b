//! DeleteShareGroupOffsets (KIP-932): a share group without members forgets where it is on some topics.
//!
//! Key invariant: the group notes the deletion before it begins, and its end after it is durable.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::delete_share_group_offsets_response::DeleteShareGroupOffsetsResponseTopic;
use kafka_protocol::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse, TopicName};

use super::topics::text;
use super::{Server, errors, share_states};
use crate::coordinator::{GroupError, GroupId};
use crate::model::{TopicId, TopicPartition};
use crate::protocol::ErrorCode;

/// Answers one request.
pub async fn handle(
    server: &Rc<Server>,
    request: DeleteShareGroupOffsetsRequest,
) -> DeleteShareGroupOffsetsResponse {
    let group = GroupId::from(request.group_id.0.as_str());
    let image = server.shard().image();
    let known = |name: &TopicName| image.topic(&name.0).map(|topic| topic.id);
    let topics = request.topics.iter().filter_map(|topic| known(&topic.topic_name)).collect();
    match delete(server, &group, topics).await {
        Ok(deleted) => {
            let answer = |name: &TopicName| {
                let answer = DeleteShareGroupOffsetsResponseTopic::default()
                    .with_topic_name(TopicName(text(name.0.as_str())))
                    .with_topic_id(known(name).map(|id| id.0).unwrap_or_default());
                refusal(known(name), &deleted).map_or(answer.clone(), |(code, message)| {
                    answer.with_error_code(code.code()).with_error_message(Some(text(message)))
                })
            };
            let responses = request.topics.iter().map(|topic| answer(&topic.topic_name)).collect();
            DeleteShareGroupOffsetsResponse::default().with_responses(responses)
        }
        Err(error) => DeleteShareGroupOffsetsResponse::default()
            .with_error_code(errors::of_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

/// Why a topic's offsets are not deleted.
fn refusal(topic: Option<TopicId>, deleted: &share_states::Each<()>) -> Option<(ErrorCode, String)> {
    let none = (ErrorCode::UnknownTopicOrPartition, "There are no offsets of this topic.".to_owned());
    let Some(topic) = topic else { return Some(none) };
    let mut of_topic = deleted.iter().filter(|(id, _)| id.topic_id == topic).peekable();
    if of_topic.peek().is_none() {
        return Some(none);
    }
    let failed = of_topic.find_map(|(_, outcome)| outcome.as_ref().err());
    failed.map(|error| (errors::of_group(error), error.to_string()))
}

async fn delete(
    server: &Rc<Server>,
    group: &GroupId,
    topics: BTreeSet<TopicId>,
) -> Result<share_states::Each<()>, GroupError> {
    let id = group.clone();
    let begun = server.shard().groups(group.as_str(), move |groups, turn, actions| {
        groups.share_delete_offsets(&id, &topics, turn, actions)
    });
    let ids: BTreeSet<TopicPartition> = begun.await.flatten()?.partitions;
    let deleted = share_states::delete(server, group, ids).await;
    let failed: BTreeSet<TopicId> =
        deleted.iter().filter(|(_, outcome)| outcome.is_err()).map(|(id, _)| id.topic_id).collect();
    let done: BTreeSet<TopicId> =
        deleted.keys().map(|id| id.topic_id).filter(|topic| !failed.contains(topic)).collect();
    if !done.is_empty() {
        let id = group.clone();
        let told = server.shard().groups(group.as_str(), move |groups, turn, actions| {
            groups.share_offsets_deleted(&id, &done, turn, actions)
        });
        told.await.flatten()?;
    }
    Ok(deleted)
}
