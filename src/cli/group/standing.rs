//! Where a group stands: per partition what it has committed, where the log ends, and who reads it.
//!
//! Key invariant: the offsets are asked for before the ends of the logs, so a lag may be too large by what came between,
//! never negative. That of a share group is the broker's, which knows what is done with behind the start; one that is too old
//! to tell leaves the records from the start to the end. How it is shown is left to `describe`.

use std::collections::BTreeSet;

use crate::cli::client::groups::share::{Lag, Position};
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
    /// Records that the group has before it; `None` if nobody knows.
    pub lag: Option<u64>,
    /// Which of the members reads it. Members of a share group all may.
    pub member: Option<usize>,
}

/// Where a group is on a partition, as its coordinator tells.
#[derive(Clone, Copy)]
struct Reached {
    offset: Option<Offset>,
    lag: Lag,
}

impl Reached {
    /// Nothing is known.
    const NOWHERE: Self = Self { offset: None, lag: Lag::Untold };

    fn lag(&self, end: Option<Offset>) -> Option<u64> {
        let behind = |(offset, end): (Offset, Offset)| u64::try_from(end.since(offset)).unwrap_or(0);
        match self.lag {
            Lag::Told(records) => Some(records),
            Lag::Unknown => None,
            Lag::Untold => self.offset.zip(end).map(behind),
        }
    }
}

impl Standing {
    /// The sum of the lags that are known; `None` if the group has offsets but no lag is known.
    pub fn lag(&self) -> Option<u64> {
        sum(&self.rows)
    }

    /// Asks where the group of these facts stands.
    pub async fn of(cluster: &Cluster, facts: GroupFacts) -> Result<Self, ClientError> {
        let reached = reached_of(cluster, &facts).await?;
        let mut partitions: BTreeSet<(String, PartitionIndex)> = BTreeSet::new();
        for (topic, of_topic) in &reached {
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
        let rows = partitions.iter().map(|(topic, partition)| {
            let place = reached.get(topic).and_then(|of_topic| of_topic.get(partition));
            let place = place.copied().unwrap_or(Reached::NOWHERE);
            let end = ends.get(topic).and_then(|of_topic| of_topic.get(partition)).copied();
            Row {
                topic: topic.clone(),
                partition: *partition,
                offset: place.offset,
                end,
                lag: place.lag(end),
                member: reader_of(&facts, topic, *partition),
            }
        });
        let rows = rows.collect();
        Ok(Self { facts, rows })
    }
}

/// The offsets of a group of any type. A share group's partitions without one are left out.
pub async fn offsets_of(cluster: &Cluster, facts: &GroupFacts) -> Result<ByPartition<Offset>, ClientError> {
    let reached = reached_of(cluster, facts).await?;
    Ok(each(reached, |place| place.offset))
}

async fn reached_of(cluster: &Cluster, facts: &GroupFacts) -> Result<ByPartition<Reached>, ClientError> {
    if facts.kind != GroupType::Share {
        let offsets = committed::fetch(cluster, &facts.group, false).await?;
        return Ok(each(offsets, |offset| Some(Reached { offset: Some(offset), lag: Lag::Untold })));
    }
    let positions = share::fetch(cluster, &facts.group).await?;
    let place = |Position { start, lag }| start.map(|start| Reached { offset: Some(start), lag });
    Ok(each(positions, place))
}

/// What `of` makes of each partition; those that it makes nothing of are left out.
fn each<A, B>(all: ByPartition<A>, of: impl Fn(A) -> Option<B>) -> ByPartition<B> {
    let topics = all.into_iter().map(|(topic, of_topic)| {
        let known = of_topic.into_iter().filter_map(|(partition, one)| Some((partition, of(one)?)));
        (topic, known.collect())
    });
    topics.collect()
}

fn sum(rows: &[Row]) -> Option<u64> {
    let mut known = rows.iter().filter_map(|row| row.lag).peekable();
    let asked = rows.iter().any(|row| row.offset.is_some() && row.end.is_some());
    if asked && known.peek().is_none() {
        return None;
    }
    Some(known.fold(0, u64::saturating_add))
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
    fn a_lag_that_is_not_told_needs_both_ends_and_is_never_negative() {
        let lag = |offset: Option<i64>, end: Option<i64>, lag: Lag| {
            Reached { offset: offset.map(Offset), lag }.lag(end.map(Offset))
        };
        assert_eq!(lag(Some(3), Some(10), Lag::Untold), Some(7));
        assert_eq!(lag(Some(10), Some(3), Lag::Untold), Some(0));
        assert_eq!((lag(None, Some(3), Lag::Untold), lag(Some(3), None, Lag::Untold)), (None, None));
        // What is done with behind the start of a share group is not behind it.
        assert_eq!(lag(Some(3), Some(10), Lag::Told(2)), Some(2));
        assert_eq!(lag(Some(3), None, Lag::Told(2)), Some(2));
        assert_eq!(lag(Some(3), Some(10), Lag::Unknown), None);
    }

    #[test]
    fn a_sum_of_lags_is_not_made_up_of_none() {
        let row = |offset: Option<i64>, lag: Option<u64>| Row {
            topic: "t".to_owned(),
            partition: PartitionIndex(0),
            offset: offset.map(Offset),
            end: Some(Offset(9)),
            lag,
            member: None,
        };
        assert_eq!(sum(&[]), Some(0));
        assert_eq!(sum(&[row(None, None)]), Some(0), "nothing was read, so nothing is behind");
        assert_eq!(sum(&[row(Some(1), Some(2)), row(Some(1), None), row(Some(1), Some(3))]), Some(5));
        assert_eq!(sum(&[row(Some(1), None)]), None);
    }
}
