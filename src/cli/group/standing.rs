//! Where a group stands: per partition what it has committed, where the log ends, and who reads it.
//!
//! Key invariant: the offsets are asked for before the ends of the logs, so a lag may be too large by what came between,
//! never negative. How it is shown is left to `describe`.

use std::collections::BTreeSet;

use crate::cli::client::groups::{ByPartition, GroupFacts, GroupType, committed, share};
use crate::cli::client::offsets::{self, Offsets, Place};
use crate::cli::client::{ClientError, Cluster, PartitionFacts};
use crate::model::{Offset, PartitionIndex};
use crate::protocol::ErrorCode;

/// A group and its partitions.
pub struct Standing {
    pub facts: GroupFacts,
    /// By topic and partition.
    pub rows: Vec<Row>,
}

/// One partition.
pub struct Row {
    pub topic: String,
    pub partition: PartitionIndex,
    /// What is committed; of a share group, where its records start.
    pub offset: Option<Offset>,
    /// Where the log ends; `None` if the partition has no leader or is gone.
    pub end: Option<Offset>,
    /// Which of the members reads it. Members of a share group all may.
    pub member: Option<usize>,
}

impl Row {
    /// Records between the offset and the end.
    pub fn lag(&self) -> Option<u64> {
        let (offset, end) = self.offset.zip(self.end)?;
        Some(u64::try_from(end.since(offset)).unwrap_or(0))
    }
}

impl Standing {
    /// The sum of the lags that are known.
    pub fn lag(&self) -> u64 {
        self.rows.iter().filter_map(Row::lag).fold(0, u64::saturating_add)
    }

    /// Asks where the group of these facts stands.
    pub async fn of(cluster: &Cluster, facts: GroupFacts) -> Result<Self, ClientError> {
        let offsets = offsets_of(cluster, &facts).await?;
        let mut partitions: BTreeSet<(String, PartitionIndex)> = BTreeSet::new();
        for (topic, of_topic) in &offsets {
            partitions.extend(of_topic.keys().map(|partition| (topic.clone(), *partition)));
        }
        for (topic, assigned) in facts.members.iter().flat_map(|member| &member.assigned) {
            partitions.extend(assigned.iter().map(|partition| (topic.clone(), PartitionIndex(*partition))));
        }
        let topics: BTreeSet<&String> = partitions.iter().map(|(topic, _)| topic).collect();
        let mut ends = ByPartition::new();
        for topic in topics {
            ends.insert(topic.clone(), ends_of(cluster, topic).await?);
        }
        let of = |offsets: &ByPartition<Offset>, topic: &str, partition: &PartitionIndex| {
            offsets.get(topic).and_then(|of_topic| of_topic.get(partition)).copied()
        };
        let rows = partitions.iter().map(|(topic, partition)| Row {
            topic: topic.clone(),
            partition: *partition,
            offset: of(&offsets, topic, partition),
            end: of(&ends, topic, partition),
            member: reader_of(&facts, topic, *partition),
        });
        let rows = rows.collect();
        Ok(Self { facts, rows })
    }
}

/// The offsets of a group of any type. A share group's partitions without one are left out.
pub async fn offsets_of(cluster: &Cluster, facts: &GroupFacts) -> Result<ByPartition<Offset>, ClientError> {
    if facts.kind != GroupType::Share {
        return committed::fetch(cluster, &facts.group, false).await;
    }
    let offsets = share::fetch(cluster, &facts.group).await?;
    let started = offsets.into_iter().map(|(topic, of_topic)| {
        let known = of_topic.into_iter().filter_map(|(partition, offset)| Some((partition, offset?)));
        (topic, known.collect())
    });
    Ok(started.collect())
}

fn reader_of(facts: &GroupFacts, topic: &str, partition: PartitionIndex) -> Option<usize> {
    if facts.kind == GroupType::Share {
        return None;
    }
    let reads = |assigned: &Vec<i32>| assigned.contains(&partition.get());
    facts.members.iter().position(|member| member.assigned.get(topic).is_some_and(reads))
}

/// The ends of those partitions that have a leader; none if the topic is gone.
async fn ends_of(cluster: &Cluster, topic: &str) -> Result<Offsets, ClientError> {
    let topic = match cluster.topic(topic, false).await {
        Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => return Ok(Offsets::new()),
        other => other?,
    };
    let led = |partition: &PartitionFacts| partition.leader.is_some();
    offsets::of_partitions(cluster, &topic, led, Place::Latest).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_needs_both_ends_and_is_never_negative() {
        let row = |offset: Option<i64>, end: Option<i64>| Row {
            topic: "t".to_owned(),
            partition: PartitionIndex(0),
            offset: offset.map(Offset),
            end: end.map(Offset),
            member: None,
        };
        assert_eq!(row(Some(3), Some(10)).lag(), Some(7));
        assert_eq!(row(Some(10), Some(3)).lag(), Some(0));
        assert_eq!((row(None, Some(3)).lag(), row(Some(3), None).lag()), (None, None));
    }
}
