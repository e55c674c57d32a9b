//! OffsetFetch: what is committed.
//!
//! Key invariant: reads only. A partition without an offset answers -1, and so does every partition of a group that is not
//! there; neither is an error.

use std::sync::Arc;

use super::{CommittedOffset, TopicRef, kinds};
use crate::coordinator::GroupError;
use crate::coordinator::group::{Group, Groups, Turn};
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TopicId};

/// What a client asks of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOffsets {
    /// From version 9 on, of a member of a consumer group.
    pub member_id: Option<String>,
    /// -1 of a client that is no member.
    pub member_epoch: i32,
    /// `None` asks for all that the group has.
    pub topics: Option<Vec<FetchTopic>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTopic {
    pub topic: TopicRef,
    pub partitions: Vec<PartitionIndex>,
}

/// What is committed for partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Empty if there is no topic of the id that was asked for.
    pub name: Arc<str>,
    /// Of the topic that has the name now; zero if none has.
    pub id: TopicId,
    pub partitions: Vec<FetchedPartition>,
}

/// What is committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub partition: PartitionIndex,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// `None` is the empty text.
    pub metadata: Option<Arc<str>>,
    pub error: Option<GroupError>,
}

impl FetchedPartition {
    fn of(partition: PartitionIndex, committed: Option<CommittedOffset<'_>>) -> Self {
        Self {
            partition,
            offset: committed.map_or(Offset::NONE, |committed| committed.offset),
            leader_epoch: committed.map_or(LeaderEpoch::UNKNOWN, |committed| committed.leader_epoch),
            metadata: committed.and_then(|committed| committed.metadata.cloned()),
            error: None,
        }
    }

    fn refused(partition: PartitionIndex, error: GroupError) -> Self {
        Self { error: Some(error), ..Self::of(partition, None) }
    }
}

impl Groups {
    /// What is committed, in the order of the request, or by names and partitions where all is asked for. There are no
    /// transactions, so every offset is stable.
    pub fn fetch(
        &self,
        id: &str,
        fetch: &FetchOffsets,
        turn: &Turn<'_>,
    ) -> Result<Vec<FetchedTopic>, GroupError> {
        let group = match self.get(id) {
            Some(group) if kinds::check_fetch(&group.kind, fetch)? => Some(group),
            _ => None,
        };
        Ok(match &fetch.topics {
            Some(topics) => topics.iter().map(|topic| fetch_topic(group, topic, turn)).collect(),
            None => group.map(|group| fetch_all(group, turn)).unwrap_or_default(),
        })
    }
}

fn fetch_topic(group: Option<&Group>, asked: &FetchTopic, turn: &Turn<'_>) -> FetchedTopic {
    let found = asked.topic.find(turn.image);
    let (name, id): (&str, TopicId) = match (&asked.topic, &found) {
        (_, Ok(found)) => (&found.name, found.id),
        // Kafka looks a name up in the group alone, whether there is such a topic or not.
        (TopicRef::Name(name), Err(_)) => (name, TopicId::ZERO),
        (TopicRef::Id(id), Err(refusal)) => {
            let refuse = |partition: &PartitionIndex| FetchedPartition::refused(*partition, refusal.clone());
            let partitions = asked.partitions.iter().map(refuse).collect();
            return FetchedTopic { name: Arc::default(), id: *id, partitions };
        }
    };
    let fetch = |partition: &PartitionIndex| {
        FetchedPartition::of(*partition, group.and_then(|group| group.offsets.get(name, *partition)))
    };
    FetchedTopic { name: name.into(), id, partitions: asked.partitions.iter().map(fetch).collect() }
}

fn fetch_all(group: &Group, turn: &Turn<'_>) -> Vec<FetchedTopic> {
    let fetch = |name: &Arc<str>| {
        let committed = group.offsets.of_topic(name);
        FetchedTopic {
            name: name.clone(),
            id: turn.image.topic(name).map_or(TopicId::ZERO, |topic| topic.id),
            partitions: committed.map(|(partition, is)| FetchedPartition::of(partition, Some(is))).collect(),
        }
    };
    group.offsets.topics().map(fetch).collect()
}
