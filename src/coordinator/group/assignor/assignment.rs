//! A set of partitions: what a member has, is to have, or is to give up.
//!
//! Key invariant: a topic without a partition is not in the set, so two sets of the same partitions are equal.

use std::collections::{BTreeMap, BTreeSet};

use crate::coordinator::records::consumer::TopicPartitions;
use crate::model::{PartitionIndex, TopicId};

/// Partitions by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    topics: BTreeMap<TopicId, BTreeSet<PartitionIndex>>,
}

impl Assignment {
    /// Whether it has no partition.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions it has.
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeSet::len).sum()
    }

    /// Whether it has this partition.
    pub fn contains(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.topics.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Adds a partition.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionIndex) {
        self.topics.entry(topic).or_default().insert(partition);
    }

    /// All partitions, by topic id, then by number.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> + '_ {
        self.topics.iter().flat_map(|(topic, partitions)| partitions.iter().map(|at| (*topic, *at)))
    }

    /// All topics with their partitions, by id.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<PartitionIndex>)> {
        self.topics.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// As records and requests have it.
    pub fn to_list(&self) -> Vec<TopicPartitions> {
        self.topics()
            .map(|(topic_id, partitions)| TopicPartitions {
                topic_id,
                partitions: partitions.iter().copied().collect(),
            })
            .collect()
    }

    /// From what records and requests have, in whatever order and however often.
    pub fn from_list(list: &[TopicPartitions]) -> Self {
        list.iter().flat_map(|of| of.partitions.iter().map(|at| (of.topic_id, *at))).collect()
    }
}

impl FromIterator<(TopicId, PartitionIndex)> for Assignment {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionIndex)>>(partitions: I) -> Self {
        let mut assignment = Self::default();
        for (topic, partition) in partitions {
            assignment.insert(topic, partition);
        }
        assignment
    }
}
