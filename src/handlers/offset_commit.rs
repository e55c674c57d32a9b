//! OffsetCommit (KIP-211, KIP-345, KIP-848): keeps the offsets that a group has come to.
//!
//! Key invariant: every partition of the request is answered, in its order; one without an error is durable. A topic without
//! partitions is left out, as Kafka does.

use std::rc::Rc;

use super::{Server, errors};
use crate::coordinator::GroupId;
use crate::coordinator::group::offsets::{Commit, CommitPartition, CommitTopic, Committed, TopicRef};
use crate::model::{LeaderEpoch, Offset, PartitionIndex};
use crate::protocol::ErrorCode;
use crate::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};

/// From this version on topics are named by id.
const TOPIC_IDS_FROM: i16 = 10;
/// A client that leaves the retention to the broker says so with this.
const NO_RETENTION: i64 = -1;

/// Commits and answers each partition.
pub async fn handle(server: &Rc<Server>, request: OffsetCommitRequest, version: i16) -> OffsetCommitResponse {
    let (id, commit) = (GroupId::from(&*request.group_id), commit_of(&request, version));
    let event = server
        .shard()
        .groups(&request.group_id, move |groups, turn, actions| groups.commit(&id, commit, turn, actions));
    match event.await {
        Ok(answers) => answer(request.topics, &answers),
        Err(refusal) => refuse_all(request.topics, errors::of_group(&refusal)),
    }
}

/// How a request names a topic.
pub(super) fn topic_ref(name: &str, id: crate::model::TopicId, by_id: bool) -> TopicRef {
    if by_id { TopicRef::Id(id) } else { TopicRef::Name(name.to_owned()) }
}

fn commit_of(request: &OffsetCommitRequest, version: i16) -> Commit {
    let topic = |topic: &OffsetCommitRequestTopic| CommitTopic {
        topic: topic_ref(&topic.name, topic.topic_id, version >= TOPIC_IDS_FROM),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| CommitPartition {
                partition: PartitionIndex(partition.partition_index),
                offset: Offset(partition.committed_offset),
                leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                metadata: partition
                    .committed_metadata
                    .as_deref()
                    .filter(|text| !text.is_empty())
                    .map(Into::into),
            })
            .collect(),
    };
    Commit {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        generation: request.generation_id_or_member_epoch,
        version,
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms != NO_RETENTION),
        topics: request.topics.iter().map(topic).collect(),
    }
}

fn answer(topics: Vec<OffsetCommitRequestTopic>, answers: &Committed) -> OffsetCommitResponse {
    let topics = topics.into_iter().zip(answers).map(|(topic, answers)| {
        let code = |answer: &Result<(), _>| answer.as_ref().err().map_or(ErrorCode::None, errors::of_group);
        answered(topic, answers.iter().map(code))
    });
    response(topics)
}

fn refuse_all(topics: Vec<OffsetCommitRequestTopic>, code: ErrorCode) -> OffsetCommitResponse {
    let topics = topics.into_iter().map(|topic| answered(topic, std::iter::repeat(code)));
    response(topics)
}

fn response(topics: impl Iterator<Item = OffsetCommitResponseTopic>) -> OffsetCommitResponse {
    let topics = topics.filter(|topic| !topic.partitions.is_empty());
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}

fn answered(
    topic: OffsetCommitRequestTopic,
    codes: impl Iterator<Item = ErrorCode>,
) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter().zip(codes).map(|(partition, code)| {
        OffsetCommitResponsePartition { partition_index: partition.partition_index, error_code: code.code() }
    });
    OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions: partitions.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::GroupError;
    use crate::handlers::topics::text;
    use crate::model::TopicId;
    use crate::protocol::offset_commit::OffsetCommitRequestPartition;

    fn request(retention_time_ms: i64) -> OffsetCommitRequest {
        let partition = |partition_index, metadata: Option<&str>| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 7,
            committed_leader_epoch: -1,
            committed_metadata: metadata.map(text),
        };
        OffsetCommitRequest {
            group_id: text("g"),
            retention_time_ms,
            topics: vec![OffsetCommitRequestTopic {
                name: text("a"),
                topic_id: TopicId(uuid::Uuid::from_u128(3)),
                partitions: vec![partition(4, None), partition(5, Some("")), partition(6, Some("x"))],
            }],
            ..OffsetCommitRequest::default()
        }
    }

    #[test]
    fn requests_are_taken_as_they_are_meant() {
        let commit = commit_of(&request(-1), 9);
        assert_eq!((commit.generation, commit.retention_ms), (-1, None));
        assert_eq!(commit.topics[0].topic, TopicRef::Name("a".to_owned()));
        let metadata: Vec<_> = commit.topics[0].partitions.iter().map(|at| at.metadata.as_deref()).collect();
        assert_eq!(metadata, [None, None, Some("x")]);
        let commit = commit_of(&request(0), 10);
        assert_eq!(commit.retention_ms, Some(0), "not to be kept at all");
        assert_eq!(commit.topics[0].topic, TopicRef::Id(TopicId(uuid::Uuid::from_u128(3))));
    }

    #[test]
    fn each_partition_has_its_answer() {
        let answers =
            vec![vec![Ok(()), Err(GroupError::OffsetMetadataTooLarge), Err(GroupError::UnknownTopicId)]];
        let response = answer(request(-1).topics, &answers);
        let codes = |response: &OffsetCommitResponse| -> Vec<(i32, i16)> {
            let partitions = response.topics[0].partitions.iter();
            partitions.map(|at| (at.partition_index, at.error_code)).collect()
        };
        assert_eq!(codes(&response), [(4, 0), (5, 12), (6, 100)]);
        let response = refuse_all(request(-1).topics, ErrorCode::NotCoordinator);
        assert_eq!(codes(&response), [(4, 16), (5, 16), (6, 16)]);
        assert_eq!(&*response.topics[0].name, "a");
    }

    #[test]
    fn a_topic_without_partitions_is_left_out() {
        let mut topics = request(-1).topics;
        topics.insert(
            0,
            OffsetCommitRequestTopic { name: text("none"), ..OffsetCommitRequestTopic::default() },
        );
        let names = |response: OffsetCommitResponse| -> Vec<String> {
            response.topics.iter().map(|topic| topic.name.to_string()).collect()
        };
        let answers = vec![vec![], vec![Ok(()), Ok(()), Ok(())]];
        assert_eq!(names(answer(topics.clone(), &answers)), ["a"]);
        assert_eq!(names(refuse_all(topics, ErrorCode::NotCoordinator)), ["a"]);
    }
}
