//! Which partition of an internal topic keeps the state of a group.
//!
//! Key invariant: a pure function of the name and the number of partitions, the same as in Kafka and in every run: a group
//! finds its state where any broker before left it.

use crate::model::PartitionIndex;

/// The partition of `key` (a group's id, a transactional id, or `group:topic:partition` of a share partition) among the
/// `partitions` of the topic; 0 if it had none.
pub fn partition_of(key: &str, partitions: usize) -> PartitionIndex {
    // The smallest integer has no absolute value; Kafka takes 0 for it.
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX).max(1);
    PartitionIndex(java_hash(key).checked_abs().unwrap_or(0) % partitions)
}

/// `String.hashCode` of Java: over UTF-16 units, not bytes or characters.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_partitions_are_javas() {
        // What `hashCode` and `Utils.abs` of Kafka 4.2 give on a JVM.
        let cases = [
            ("", 0, 0, 0),
            ("a", 97, 47, 6),
            ("my-group", -1_906_497_762, 12, 1),
            ("console-consumer-12345", 158_455_506, 6, 6),
            ("polygenelubricants", i32::MIN, 0, 0),
            ("größe", 98_762_257, 7, 6),
            ("消费者", 28_099_956, 6, 3),
            ("\u{1f600}", 1_772_899, 49, 2),
        ];
        for (text, hash, of_50, of_7) in cases {
            assert_eq!(java_hash(text), hash, "{text:?}");
            assert_eq!(partition_of(text, 50), PartitionIndex(of_50), "{text:?}");
            assert_eq!(partition_of(text, 7), PartitionIndex(of_7), "{text:?}");
        }
    }

    #[test]
    fn a_topic_without_partitions_is_not_divided_by() {
        assert_eq!(partition_of("my-group", 0), PartitionIndex(0));
    }
}
