//! The name of a share partition, and which partition of `__share_group_state` keeps its state.
//!
//! Key invariant: the same key goes to the same partition of the state topic as in Kafka.

use crate::coordinator::partition_of;
pub use crate::coordinator::records::share_state::SharePartitionKey;
use crate::model::{PartitionIndex, TopicPartition};

impl SharePartitionKey {
    /// The text that is hashed, and that FindCoordinator takes for share groups: `group:topicId:partition`.
    pub fn coordinator_key(&self) -> String {
        format!("{}:{}:{}", self.group, self.topic_id, self.partition)
    }

    /// The partition whose records these are.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic_id: self.topic_id, partition: self.partition }
    }

    /// Which of the `partitions` of `__share_group_state` keeps the state.
    pub fn coordinator_partition(&self, partitions: usize) -> PartitionIndex {
        partition_of(&self.coordinator_key(), partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::GroupId;
    use crate::model::TopicId;

    #[test]
    fn keys_are_hashed_with_the_topics_id_as_kafka_writes_it() {
        let topic_id = TopicId(uuid::Uuid::from_u128(1));
        let key = SharePartitionKey { group: GroupId::from("share"), topic_id, partition: PartitionIndex(3) };
        assert_eq!(key.coordinator_key(), "share:AAAAAAAAAAAAAAAAAAAAAQ:3");
        assert_eq!(key.coordinator_partition(50), partition_of("share:AAAAAAAAAAAAAAAAAAAAAQ:3", 50));
    }
}
