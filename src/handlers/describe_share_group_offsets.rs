//! DescribeShareGroupOffsets (KIP-932, KIP-1226): where a share group is on its partitions, and how far behind.
//!
//! Key invariant: what there is no state of, be it for want of the group, the topic or the partition, is no error: it has the
//! start offset -1, and no lag.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::topics::text;
use super::{Server, errors, share_states};
use crate::coordinator::share::StateSummary;
use crate::coordinator::{GroupError, GroupId};
use crate::model::{Offset, PartitionIndex, TopicId, TopicPartition};
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
    let (asked, known) = match asked.topics {
        Some(topics) => (topics, Ok(BTreeSet::new())),
        None => (vec![], initialized(server, asked.group_id.to_string()).await),
    };
    match known {
        Ok(known) => {
            let group = GroupId::from(answer.group_id.as_str());
            let topics = topics(server, &group, asked, known).await;
            DescribeShareGroupOffsetsResponseGroup { topics, ..answer }
        }
        Err(error) => DescribeShareGroupOffsetsResponseGroup {
            error_code: errors::of_group(&error).code(),
            error_message: Some(text(error.to_string())),
            ..answer
        },
    }
}

/// All that the group has state of; nothing if there is no such share group.
async fn initialized(server: &Rc<Server>, group: String) -> Result<BTreeSet<TopicPartition>, GroupError> {
    let id = group.clone();
    let known = server.shard().groups(&id, move |groups, _, _| {
        groups.share(&group).map_or_else(|_| BTreeSet::new(), |group| group.initialized_partitions().clone())
    });
    known.await
}

/// Describes the partitions of `asked` and those of `known`.
async fn topics(
    server: &Rc<Server>,
    group: &GroupId,
    asked: Vec<DescribeShareGroupOffsetsRequestTopic>,
    known: BTreeSet<TopicPartition>,
) -> Vec<DescribeShareGroupOffsetsResponseTopic> {
    let image = server.shard().image();
    let mut answers: BTreeMap<TopicId, DescribeShareGroupOffsetsResponseTopic> = BTreeMap::new();
    let (mut ids, mut absent, mut unknown) = (known, BTreeSet::new(), vec![]);
    for topic in asked {
        let Some(found) = image.topic(&topic.topic_name) else {
            unknown.push(not_there(&topic));
            continue;
        };
        for partition in topic.partitions.iter().copied().map(PartitionIndex) {
            let there = if found.partition(partition).is_some() { &mut ids } else { &mut absent };
            there.insert(TopicPartition { topic_id: found.id, partition });
        }
        answers.entry(found.id).or_insert_with(|| named(found.id, &found.name));
    }
    for id in absent {
        let topic = answers.entry(id.topic_id).or_default();
        topic.partitions.push(stateless(id.partition.get()));
    }
    for (id, summary) in share_states::summaries(server, group, ids).await {
        let name = image.topic_by_id(id.topic_id).map(|topic| topic.name.as_str()).unwrap_or_default();
        let topic = answers.entry(id.topic_id).or_insert_with(|| named(id.topic_id, name));
        topic.partitions.push(partition(server, id, summary).await);
    }
    answers.into_values().chain(unknown).collect()
}

fn named(id: TopicId, name: &str) -> DescribeShareGroupOffsetsResponseTopic {
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: text(name),
        topic_id: id,
        ..DescribeShareGroupOffsetsResponseTopic::default()
    }
}

async fn partition(
    server: &Rc<Server>,
    id: TopicPartition,
    summary: Result<Option<StateSummary>, GroupError>,
) -> DescribeShareGroupOffsetsResponsePartition {
    let mut answer = stateless(id.partition.get());
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

/// A partition without state.
fn stateless(index: i32) -> DescribeShareGroupOffsetsResponsePartition {
    DescribeShareGroupOffsetsResponsePartition {
        partition_index: index,
        start_offset: Offset::NONE.get(),
        lag: -1,
        ..DescribeShareGroupOffsetsResponsePartition::default()
    }
}

fn not_there(topic: &DescribeShareGroupOffsetsRequestTopic) -> DescribeShareGroupOffsetsResponseTopic {
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: text(topic.topic_name.as_str()),
        partitions: topic.partitions.iter().map(|index| stateless(*index)).collect(),
        ..DescribeShareGroupOffsetsResponseTopic::default()
    }
}
