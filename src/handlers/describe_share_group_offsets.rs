//! DescribeShareGroupOffsets (KIP-932, KIP-1226): where a share group is on its partitions, and how far behind.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::topics::text;
use super::{Server, errors, share_states};
use crate::coordinator::share::StateSummary;
use crate::coordinator::{GroupError, GroupId};
use crate::model::{Offset, PartitionIndex, TopicId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::share_group_offsets::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsRequestTopic, DescribeShareGroupOffsetsResponse,
    DescribeShareGroupOffsetsResponseGroup, DescribeShareGroupOffsetsResponsePartition,
    DescribeShareGroupOffsetsResponseTopic,
};

/// Describes each group in turn.
pub async fn handle(
    server: &Rc<Server>,
    request: DescribeShareGroupOffsetsRequest,
) -> DescribeShareGroupOffsetsResponse {
    let mut groups = Vec::with_capacity(request.groups.len());
    let mut told = BTreeSet::new();
    for group in request.groups.into_iter().filter(|group| told.insert(group.group_id.to_string())) {
        groups.push(describe(server, group).await);
    }
    DescribeShareGroupOffsetsResponse { groups, ..DescribeShareGroupOffsetsResponse::default() }
}

async fn describe(
    server: &Rc<Server>,
    asked: DescribeShareGroupOffsetsRequestGroup,
) -> DescribeShareGroupOffsetsResponseGroup {
    let answer = DescribeShareGroupOffsetsResponseGroup {
        group_id: text(asked.group_id.as_str()),
        ..DescribeShareGroupOffsetsResponseGroup::default()
    };
    let name = asked.group_id.to_string();
    let known = server.shard().groups(&asked.group_id, move |groups, _, _| {
        groups.share(&name).map(|group| group.state_partitions())
    });
    match known.await.flatten() {
        Ok(known) => {
            let topics = topics(server, &GroupId::from(asked.group_id.as_str()), asked.topics, known).await;
            DescribeShareGroupOffsetsResponseGroup { topics, ..answer }
        }
        Err(error) => DescribeShareGroupOffsetsResponseGroup {
            error_code: errors::of_group(&error).code(),
            error_message: Some(text(error.to_string())),
            ..answer
        },
    }
}

async fn topics(
    server: &Rc<Server>,
    group: &GroupId,
    asked: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>,
    known: BTreeSet<TopicPartition>,
) -> Vec<DescribeShareGroupOffsetsResponseTopic> {
    let image = server.shard().image();
    let mut unknown = vec![];
    let ids: BTreeSet<TopicPartition> = match asked {
        None => known,
        Some(topics) => {
            let mut ids = BTreeSet::new();
            for topic in topics {
                match image.topic(&topic.topic_name) {
                    Some(found) => ids.extend(topic.partitions.iter().map(|index| TopicPartition {
                        topic_id: found.id,
                        partition: PartitionIndex(*index),
                    })),
                    None => unknown.push(not_there(&topic)),
                }
            }
            ids
        }
    };
    let mut answers: BTreeMap<TopicId, DescribeShareGroupOffsetsResponseTopic> = BTreeMap::new();
    for (id, summary) in share_states::summaries(server, group, ids).await {
        let name = image.topic_by_id(id.topic_id).map(|topic| topic.name.as_str()).unwrap_or_default();
        let topic = answers.entry(id.topic_id).or_insert_with(|| DescribeShareGroupOffsetsResponseTopic {
            topic_name: text(name),
            topic_id: id.topic_id,
            ..DescribeShareGroupOffsetsResponseTopic::default()
        });
        topic.partitions.push(partition(server, id, summary).await);
    }
    answers.into_values().chain(unknown).collect()
}

async fn partition(
    server: &Rc<Server>,
    id: TopicPartition,
    summary: Result<Option<StateSummary>, GroupError>,
) -> DescribeShareGroupOffsetsResponsePartition {
    let mut answer = DescribeShareGroupOffsetsResponsePartition {
        partition_index: id.partition.get(),
        start_offset: Offset::NONE.get(),
        lag: -1,
        ..DescribeShareGroupOffsetsResponsePartition::default()
    };
    match summary {
        Ok(Some(summary)) => {
            answer.start_offset = summary.start.get();
            answer.leader_epoch = summary.leader_epoch.get();
            if summary.start != Offset::NONE && summary.done_records >= 0 {
                answer.lag = lag(server, id, &summary).await.unwrap_or(-1);
            }
        }
        Ok(None) => {}
        Err(error) => {
            answer.error_code = errors::of_group(&error).code();
            answer.error_message = Some(text(error.to_string()));
        }
    }
    answer
}

/// Records between the start and the high watermark that are not done with.
async fn lag(server: &Rc<Server>, id: TopicPartition, summary: &StateSummary) -> Option<i64> {
    let shard = server.shard();
    let asked = shard.on(shard.owner_of(id), move |owner| async move { owner.bounds(id) });
    let high_watermark = asked.await.ok()??.high_watermark;
    Some((high_watermark.since(summary.start) - i64::from(summary.done_records)).max(0))
}

fn not_there(topic: &DescribeShareGroupOffsetsRequestTopic) -> DescribeShareGroupOffsetsResponseTopic {
    let code = ErrorCode::UnknownTopicOrPartition;
    let partition = |index: &i32| DescribeShareGroupOffsetsResponsePartition {
        partition_index: *index,
        start_offset: Offset::NONE.get(),
        lag: -1,
        error_code: code.code(),
        error_message: Some(text(code.message())),
        ..DescribeShareGroupOffsetsResponsePartition::default()
    };
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: text(topic.topic_name.as_str()),
        partitions: topic.partitions.iter().map(partition).collect(),
        ..DescribeShareGroupOffsetsResponseTopic::default()
    }
}
