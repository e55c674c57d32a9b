//! First and next offsets of partitions, by ListOffsets.
//!
//! Key invariant: each partition is asked of its leader, as metadata has it at that moment; where leaders are moving it is
//! asked again, within the time limit.

use std::collections::BTreeMap;
use std::time::Instant;

use corelog::protocol::ErrorCode;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::cluster::{RETRY_PAUSE, topic_name};
use super::{ClientError, Cluster, TopicFacts};

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first that is still there.
    Earliest,
    /// The one that the next record gets.
    Latest,
}

impl OffsetAt {
    /// What ListOffsets is asked for instead of a timestamp.
    const fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
        }
    }
}

impl Cluster {
    /// The offsets at `at` of these partitions of a topic, in their order.
    pub async fn offsets(
        &mut self,
        topic: &str,
        partitions: &[i32],
        at: OffsetAt,
    ) -> Result<Vec<i64>, ClientError> {
        let deadline = self.deadline();
        let names = [topic.to_owned()];
        loop {
            let located = self.locate(&names).await?;
            let asked = match located.first() {
                Some(facts) => self.ask_leaders(facts, partitions, at).await,
                None => Err(ClientError::UnknownTopic { topic: topic.to_owned() }),
            };
            match asked {
                Err(error) if error.is_retriable() && Instant::now() < deadline => {
                    glommio::timer::sleep(RETRY_PAUSE).await;
                }
                settled => return settled,
            }
        }
    }

    async fn ask_leaders(
        &mut self,
        topic: &TopicFacts,
        wanted: &[i32],
        at: OffsetAt,
    ) -> Result<Vec<i64>, ClientError> {
        let subject = |partition: i32| format!("the offset of partition {partition} of topic {}", topic.name);
        let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for index in wanted {
            let known = topic.partitions.iter().find(|partition| partition.index == *index);
            let leader = known.map_or(-1, |partition| partition.leader);
            if leader < 0 {
                let code = match known {
                    Some(_) => ErrorCode::LeaderNotAvailable,
                    None => ErrorCode::UnknownTopicOrPartition,
                };
                return Err(ClientError::refused(subject(*index), code.code(), None));
            }
            let asked = ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(at.timestamp());
            by_leader.entry(leader).or_default().push(asked);
        }
        let mut offsets = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let asked =
                ListOffsetsTopic::default().with_name(topic_name(&topic.name)).with_partitions(partitions);
            let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
            let answer = self.call_broker(leader, |_| request.clone()).await?;
            for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                let index = partition.partition_index;
                if partition.error_code != 0 {
                    return Err(ClientError::refused(subject(index), partition.error_code, None));
                }
                offsets.insert(index, partition.offset);
            }
        }
        let missing = |index: &i32| {
            ClientError::refused(subject(*index), -1, Some("the broker's answer leaves it out"))
        };
        wanted.iter().map(|index| offsets.get(index).copied().ok_or_else(|| missing(index))).collect()
    }
}
