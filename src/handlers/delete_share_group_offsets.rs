//! DeleteShareGroupOffsets (KIP-932): a share group without members forgets where it is on some topics.
//!
//! Key invariant: the group notes the deletion before it begins, and its end after it is durable. A topic whose offsets are
//! deleted is answered once, with its id; whatever else is named is told that there is nothing to delete.

use std::collections::{BTreeMap, BTreeSet};
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
            let asked = request.topics.iter().map(|topic| (&topic.topic_name, known(&topic.topic_name)));
            DeleteShareGroupOffsetsResponse::default().with_responses(responses(asked, &deleted))
        }
        Err(error) => DeleteShareGroupOffsetsResponse::default()
            .with_error_code(errors::of_group(&error).code())
            .with_error_message(Some(text(error.to_string()))),
    }
}

/// The answer to each name, given the partitions whose states were to be deleted.
fn responses<'a>(
    asked: impl Iterator<Item = (&'a TopicName, Option<TopicId>)>,
    deleted: &share_states::Each<()>,
) -> Vec<DeleteShareGroupOffsetsResponseTopic> {
    let mut failures: BTreeMap<TopicId, Option<&GroupError>> = BTreeMap::new();
    for (id, outcome) in deleted {
        let failure = failures.entry(id.topic_id).or_default();
        *failure = failure.or(outcome.as_ref().err());
    }
    let mut told = BTreeSet::new();
    let mut responses = vec![];
    for (name, id) in asked {
        let answer =
            DeleteShareGroupOffsetsResponseTopic::default().with_topic_name(TopicName(text(&*name.0)));
        match id.and_then(|id| Some((id, failures.get(&id)?))) {
            Some((id, _)) if !told.insert(id) => {}
            Some((id, None)) => responses.push(answer.with_topic_id(id.0)),
            Some((id, Some(error))) => responses.push(
                answer
                    .with_topic_id(id.0)
                    .with_error_code(errors::of_group(error).code())
                    .with_error_message(Some(text(error.to_string()))),
            ),
            None => responses.push(
                answer
                    .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
                    .with_error_message(Some(text("There are no offsets of this topic."))),
            ),
        }
    }
    responses
}

async fn delete(
    server: &Rc<Server>,
    group: &GroupId,
    topics: BTreeSet<TopicId>,
) -> Result<share_states::Each<()>, GroupError> {
    if group.as_str().is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PartitionIndex;

    #[test]
    fn what_is_deleted_is_answered_once_and_what_is_not_there_each_time() {
        let id = |number: u128| TopicId(uuid::Uuid::from_u128(number));
        let of = |number: u128, index: i32| TopicPartition {
            topic_id: id(number),
            partition: PartitionIndex(index),
        };
        let failed = Err(GroupError::NotCoordinator);
        let deleted = [(of(1, 0), Ok(())), (of(1, 1), Ok(())), (of(2, 0), Ok(())), (of(2, 1), failed)].into();
        let names = ["a", "b", "empty", "gone"].map(|name| TopicName(text(name)));
        let [a, b, empty, gone] = &names;
        let asked = [
            (a, Some(id(1))),
            (b, Some(id(2))),
            (a, Some(id(1))),
            (empty, Some(id(3))),
            (empty, Some(id(3))),
            (gone, None),
        ];
        let responses = responses(asked.into_iter(), &deleted);
        let told: Vec<(&str, TopicId, i16)> = responses
            .iter()
            .map(|topic| (topic.topic_name.0.as_str(), TopicId(topic.topic_id), topic.error_code))
            .collect();
        let none = |name| (name, TopicId::ZERO, 3);
        assert_eq!(told, [("a", id(1), 0), ("b", id(2), 16), none("empty"), none("empty"), none("gone")]);
    }
}
