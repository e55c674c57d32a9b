//! Which shard owns a partition.
//!
//! Key invariant: the rule is written down and never depends on a seed or a process, so every shard and every test
//! computes the same owner. Directories do not record it: with another number of shards only the owners change.

use super::{PartitionIndex, ShardId, TopicId};

/// The shard that owns `partition` of `topic_id` among `shards`: `(fold(topic id) + partition) mod shards`.
///
/// The fold multiplies the two halves of the id apart (FNV-1a over its 16 bytes), so that topics start at different
/// shards, while consecutive partitions of one topic go to consecutive shards and spread evenly.
pub fn owner_shard(topic_id: TopicId, partition: PartitionIndex, shards: u16) -> ShardId {
    debug_assert!(shards > 0, "a broker has at least one shard");
    const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
    let folded = topic_id
        .0
        .as_bytes()
        .iter()
        .fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    // The high half: FNV's low bits depend on few of the input's bits.
    let start = (folded >> 32).wrapping_add(u64::from(partition.0.unsigned_abs()));
    ShardId((start % u64::from(shards.max(1))) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_spread_evenly() {
        let id = TopicId(uuid::Uuid::from_u128(0x1234_5678_9abc_def0));
        let mut counts = [0; 3];
        for partition in 0..300 {
            counts[owner_shard(id, PartitionIndex(partition), 3).index()] += 1;
        }
        assert_eq!(counts, [100, 100, 100]);
    }

    #[test]
    fn the_rule_is_fixed() {
        let id = TopicId(uuid::Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));
        let owners: Vec<u16> = (0..4).map(|p| owner_shard(id, PartitionIndex(p), 4).0).collect();
        let first = owners[0];
        assert_eq!(owners, (0..4).map(|p| (first + p) % 4).collect::<Vec<u16>>());
        assert_eq!(owner_shard(id, PartitionIndex(0), u16::MAX), ShardId(60973));
    }
}
