//! What an offset costs in memory. The sizes are computed from what is reserved, and printed.

use super::*;
use crate::coordinator::records::offsets::OffsetKey;

/// The most that an offset without metadata may cost, in bytes, in a group that has many.
const BYTES_PER_OFFSET_MAX: usize = 70;
/// The most that a group with a single offset may cost, in bytes, without its names.
const BYTES_PER_GROUP_MAX: usize = 400;

fn filled(groups: usize, partitions: i32) -> Groups {
    let mut filled = Groups::default();
    for group in 0..groups {
        let id = GroupId::from(format!("group-{group}"));
        for partition in 0..partitions {
            let key = OffsetKey {
                group: id.clone(),
                topic: "a-topic".into(),
                partition: PartitionIndex(partition),
            };
            let value = OffsetValue {
                offset: Offset(1),
                leader_epoch: LeaderEpoch(0),
                metadata: "".into(),
                committed_at: TimestampMs(1),
                expires_at: None,
                topic_id: TopicId(uuid::Uuid::from_u128(1)),
            };
            filled.replay_offset(&key, Some(&value));
        }
    }
    filled
}

fn offset_bytes(groups: &Groups) -> usize {
    groups.iter().map(|(_, group)| group.offsets().heap_bytes()).sum()
}

#[test]
fn a_million_offsets_are_cheap() {
    let many = filled(100, 1_000);
    let per_offset = offset_bytes(&many) / 100_000;
    println!("{per_offset} bytes per offset in groups of 1,000");
    assert!(per_offset <= BYTES_PER_OFFSET_MAX);
    let single = filled(10_000, 1);
    let per_group = offset_bytes(&single) / 10_000 + size_of::<(GroupId, crate::coordinator::group::Group)>();
    println!("{per_group} bytes per group of one offset, without names and the map's slack");
    assert!(per_group <= BYTES_PER_GROUP_MAX);
    assert_eq!((many.names.len(), single.names.len()), (1, 1), "names are shared");
}
