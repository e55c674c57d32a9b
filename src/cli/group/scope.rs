//! Which partitions a command is about: `--topic NAME`, `--topic NAME:0,1,2`, repeated.
//!
//! Key invariant: a partition that is named exists, or that is the answer. What is done with them is left to the actions.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::client::{Cluster, TopicFacts, offsets};
use crate::cli::failure::Failure;
use crate::model::PartitionIndex;

/// A topic and those of its partitions that were named; all of them if none was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicScope {
    topic: String,
    partitions: Vec<i32>,
}

/// A topic and the partitions of it that are meant.
pub type Meant = (TopicFacts, BTreeSet<PartitionIndex>);

/// Reads `NAME` or `NAME:0,1,2`; a topic's name has no colon.
pub fn topic_scope(text: &str) -> Result<TopicScope, String> {
    let (topic, listed) = text.split_once(':').unwrap_or((text, ""));
    let index = |part: &str| part.trim().parse::<i32>().ok().filter(|index| *index >= 0);
    let listed = listed.split(',').filter(|part| !part.trim().is_empty());
    let partitions: Option<Vec<i32>> = listed.map(index).collect();
    match partitions {
        Some(partitions) if !topic.is_empty() => Ok(TopicScope { topic: topic.to_owned(), partitions }),
        _ => Err(format!("{text:?} is not of the form TOPIC or TOPIC:0,1,2")),
    }
}

/// What `scopes` mean, by topic.
pub async fn resolve(cluster: &Cluster, scopes: &[TopicScope]) -> Result<Vec<Meant>, Failure> {
    let mut meant: BTreeMap<String, Meant> = BTreeMap::new();
    for scope in scopes {
        let topic = cluster.topic(&scope.topic, false).await?;
        let mut partitions = BTreeSet::new();
        for index in &scope.partitions {
            partitions.insert(offsets::partition_of(&topic, *index)?.index);
        }
        if scope.partitions.is_empty() {
            partitions.extend(topic.partitions.iter().map(|partition| partition.index));
        }
        let entry = meant.entry(scope.topic.clone()).or_insert_with(|| (topic, BTreeSet::new()));
        entry.1.extend(partitions);
    }
    Ok(meant.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_partitions() {
        let scope = |topic: &str, partitions: &[i32]| {
            Ok(TopicScope { topic: topic.to_owned(), partitions: partitions.to_vec() })
        };
        assert_eq!(topic_scope("t"), scope("t", &[]));
        assert_eq!(topic_scope("a.b-c:0, 2"), scope("a.b-c", &[0, 2]));
        assert_eq!(topic_scope("t:"), scope("t", &[]));
        for wrong in ["", ":1", "t:x", "t:-1", "t:1:2", "t:99999999999"] {
            assert!(topic_scope(wrong).is_err(), "{wrong}");
        }
    }
}
