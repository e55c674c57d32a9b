//! The name of a share partition, and which partition of `__share_group_state` keeps its state.
//!
//! Key invariant: the same key goes to the same partition of the state topic as in Kafka.

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

    /// Which of the `partitions` of `__share_group_state` keeps the state: Java's `String.hashCode`, made positive.
    pub fn coordinator_partition(&self, partitions: i32) -> PartitionIndex {
        coordinator_partition(&self.coordinator_key(), partitions)
    }
}

/// The same for the text of a key.
fn coordinator_partition(key: &str, partitions: i32) -> PartitionIndex {
    let hash =
        key.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka takes i32::MIN, which has no absolute value, for 0.
    PartitionIndex(hash.checked_abs().unwrap_or(0) % partitions.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::GroupId;
    use crate::model::TopicId;

    #[test]
    fn keys_are_hashed_as_java_hashes_them() {
        let topic_id = TopicId(uuid::Uuid::from_u128(1));
        let key = SharePartitionKey { group: GroupId::from("share"), topic_id, partition: PartitionIndex(3) };
        assert_eq!(key.coordinator_key(), "share:AAAAAAAAAAAAAAAAAAAAAQ:3");
        // `"share".hashCode()` is 109400031.
        assert_eq!(coordinator_partition("share", 50), PartitionIndex(31));
        // `"polygenelubricants".hashCode()` is the smallest of all integers.
        assert_eq!(coordinator_partition("polygenelubricants", 50), PartitionIndex(0));
    }
}
