//! Which partition of an internal topic keeps the state of a group.
//!
//! Key invariant: a pure function of the name and the number of partitions, the same as in Kafka and in every run: a group
//! finds its state where any broker before left it.

use crate::model::PartitionIndex;

/// The partition of `key` (a group's id, a transactional id, or `group:topic:partition` of a share partition) among
/// `partitions`, which is at least 1.
pub fn partition_of(key: &str, partitions: i32) -> PartitionIndex {
    // Java's `abs` of the smallest integer is negative, so Kafka masks the sign away instead.
    PartitionIndex((java_hash(key) & 0x7fff_ffff) % partitions.max(1))
}

/// `String.hashCode` of Java: over UTF-16 units, not bytes or characters.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        let cases = [
            ("", 0),
            ("a", 97),
            ("my-group", -1_906_497_762),
            ("console-consumer-12345", 158_455_506),
            ("polygenelubricants", i32::MIN),
            ("größe", 98_762_257),
            ("消费者", 28_099_956),
            ("\u{1f600}", 1_772_899),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash(text), hash, "{text:?}");
        }
    }

    #[test]
    fn a_group_has_kafkas_partition() {
        assert_eq!(partition_of("", 50), PartitionIndex(0));
        assert_eq!(
            partition_of("polygenelubricants", 50),
            PartitionIndex(0),
            "the sign alone is no partition"
        );
        assert_eq!(partition_of("my-group", 50), PartitionIndex(36));
        assert_eq!(partition_of("my-group", 0), PartitionIndex(0), "no division by zero, whatever is asked");
    }
}
