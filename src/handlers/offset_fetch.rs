//! OffsetFetch (KIP-447, KIP-709, KIP-848): what groups have committed.
//!
//! Key invariant: what is answered is durable. There are no transactions yet, so every offset is stable; a group or offset
//! that is not there answers -1 and no error.

use std::collections::VecDeque;
use std::rc::Rc;

use kafka_protocol::protocol::StrBytes;

use super::offset_commit::topic_ref;
use super::topics::text;
use super::{Server, errors};
use crate::coordinator::GroupError;
use crate::coordinator::group::offsets::{FetchOffsets, FetchTopic, FetchedPartition, FetchedTopic};
use crate::model::{PartitionIndex, TopicId};
use crate::protocol::ErrorCode;
use crate::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};

/// Groups of one request that are asked at the same time: their coordinators are on all shards.
const GROUPS_AT_ONCE_MAX: usize = 16;
/// From this version on topics are named by id.
const TOPIC_IDS_FROM: i16 = 10;
/// From this version on a group has an error of its own; before, its partitions have it.
const GROUP_ERROR_FROM: i16 = 2;

/// Answers each group, in the order of the request.
pub async fn handle(server: &Rc<Server>, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    let asked = request.groups.into_iter().map(|group| {
        let server = server.clone();
        async move { fetch(&server, group, version).await }
    });
    let groups = in_order(asked, GROUPS_AT_ONCE_MAX).await;
    OffsetFetchResponse { groups, ..OffsetFetchResponse::default() }
}

/// Awaits all of `asked`, at most `at_once_max` at the same time; answers in their order.
async fn in_order<A: 'static>(
    asked: impl Iterator<Item = impl Future<Output = A> + 'static>,
    at_once_max: usize,
) -> Vec<A> {
    let mut answers = Vec::with_capacity(asked.size_hint().0);
    let mut running = VecDeque::with_capacity(at_once_max);
    for one in asked {
        if running.len() == at_once_max
            && let Some(first) = running.pop_front()
        {
            answers.push(first.await);
        }
        running.push_back(glommio::spawn_local(one));
    }
    for one in running {
        answers.push(one.await);
    }
    answers
}

async fn fetch(
    server: &Rc<Server>,
    group: OffsetFetchRequestGroup,
    version: i16,
) -> OffsetFetchResponseGroup {
    let fetch = fetch_of(&group, version);
    let id = group.group_id.to_string();
    let event =
        server.shard().groups(&group.group_id, move |groups, turn, _| groups.fetch(&id, &fetch, turn));
    match event.await.flatten() {
        Ok(topics) => answer(group.group_id, topics, version),
        Err(refusal) => refuse(group, errors::of_group(&refusal), version),
    }
}

fn fetch_of(group: &OffsetFetchRequestGroup, version: i16) -> FetchOffsets {
    let topic = |topic: &OffsetFetchRequestTopic| FetchTopic {
        topic: topic_ref(&topic.name, topic.topic_id, version >= TOPIC_IDS_FROM),
        partitions: topic.partition_indexes.iter().copied().map(PartitionIndex).collect(),
    };
    FetchOffsets {
        member_id: group.member_id.as_ref().map(ToString::to_string),
        member_epoch: group.member_epoch,
        topics: group.topics.as_ref().map(|topics| topics.iter().map(topic).collect()),
    }
}

fn answer(group_id: StrBytes, topics: Vec<FetchedTopic>, version: i16) -> OffsetFetchResponseGroup {
    let by_id = version >= TOPIC_IDS_FROM;
    // Where topics are named by id, one that is gone cannot be named. An id of no topic was asked for, and is answered.
    let named =
        topics.into_iter().filter(|topic| !by_id || topic.id != TopicId::ZERO || topic.name.is_empty());
    let topics = named.map(|topic| OffsetFetchResponseTopic {
        name: text(&*topic.name),
        topic_id: topic.id,
        partitions: topic.partitions.iter().map(partition).collect(),
    });
    OffsetFetchResponseGroup { group_id, topics: topics.collect(), error_code: 0 }
}

fn partition(found: &FetchedPartition) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: found.partition.get(),
        committed_offset: found.offset.get(),
        committed_leader_epoch: found.leader_epoch.get(),
        metadata: Some(text(found.metadata.as_deref().unwrap_or_default())),
        error_code: found.error.as_ref().map_or(0, |error: &GroupError| errors::of_group(error).code()),
    }
}

fn refuse(group: OffsetFetchRequestGroup, code: ErrorCode, version: i16) -> OffsetFetchResponseGroup {
    let mut response =
        OffsetFetchResponseGroup { group_id: group.group_id, error_code: code.code(), topics: vec![] };
    if version < GROUP_ERROR_FROM {
        let refuse = |index: i32| OffsetFetchResponsePartition {
            partition_index: index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(StrBytes::default()),
            error_code: code.code(),
        };
        let topics = group.topics.unwrap_or_default().into_iter().map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions: topic.partition_indexes.into_iter().map(refuse).collect(),
        });
        response.topics = topics.collect();
    }
    response
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::{LeaderEpoch, Offset};

    fn fetched(name: &str, id: u128, error: Option<GroupError>) -> FetchedTopic {
        let partition = FetchedPartition {
            partition: PartitionIndex(2),
            offset: Offset(5),
            leader_epoch: LeaderEpoch(1),
            metadata: None,
            error,
        };
        FetchedTopic {
            name: name.into(),
            id: TopicId(uuid::Uuid::from_u128(id)),
            partitions: vec![partition],
        }
    }

    #[test]
    fn groups_are_asked_at_the_same_time_and_answered_in_order() {
        let executor = glommio::LocalExecutorBuilder::default().io_memory(1 << 20).make().unwrap();
        executor.run(async {
            let running = Rc::new(Cell::new(0));
            let most = Rc::new(Cell::new(0));
            let one = |number: u32| {
                let (running, most) = (running.clone(), most.clone());
                async move {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    // The later ones are done first.
                    for _ in number..8 {
                        futures_lite::future::yield_now().await;
                    }
                    running.set(running.get() - 1);
                    number
                }
            };
            assert_eq!(in_order((0..8).map(one), 3).await, (0..8).collect::<Vec<_>>());
            assert_eq!((running.get(), most.get()), (0, 3));
        });
    }

    #[test]
    fn offsets_are_answered_with_texts_that_are_never_null() {
        let topics = vec![fetched("a", 1, None), fetched("gone", 0, None)];
        let group = answer(text("g"), topics, 9);
        let names: Vec<&str> = group.topics.iter().map(|topic| &*topic.name).collect();
        assert_eq!(names, ["a", "gone"], "a topic that is gone still has a name");
        assert_eq!(group.topics[0].partitions[0].committed_offset, 5);
        assert_eq!(group.topics[0].partitions[0].metadata.as_deref(), Some(""));
    }

    #[test]
    fn topics_that_are_gone_have_no_id_to_be_answered_with() {
        let topics = vec![
            fetched("a", 1, None),
            fetched("gone", 0, None),
            fetched("", 8, Some(GroupError::UnknownTopicId)),
            fetched("", 0, Some(GroupError::UnknownTopicId)),
        ];
        let group = answer(text("g"), topics, 10);
        let codes: Vec<i16> = group.topics.iter().map(|topic| topic.partitions[0].error_code).collect();
        let unknown = ErrorCode::UnknownTopicId.code();
        assert_eq!(codes, [0, unknown, unknown], "whoever asks for the id of no topic is told so");
    }

    #[test]
    fn a_refused_group_says_so_where_its_version_has_room() {
        let group = || OffsetFetchRequestGroup {
            group_id: text("g"),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: text("a"),
                partition_indexes: vec![3],
                ..OffsetFetchRequestTopic::default()
            }]),
            ..OffsetFetchRequestGroup::default()
        };
        let old = refuse(group(), ErrorCode::NotCoordinator, 1);
        assert_eq!(old.topics[0].partitions[0].error_code, ErrorCode::NotCoordinator.code());
        let new = refuse(group(), ErrorCode::NotCoordinator, 2);
        assert_eq!((new.topics.len(), new.error_code), (0, ErrorCode::NotCoordinator.code()));
    }
}
