//! The records of `__consumer_offsets` and `__share_group_state`, in Kafka's own formats.
//!
//! Key invariant: what is encoded decodes to the same record, and Kafka 4.2 reads it. A record of a kind or version that is not
//! known is passed over with its key named, never an error of the whole partition. What records mean is left to the state
//! machines.

pub mod classic;
pub mod consumer;
pub mod offsets;
pub mod share;

use super::{GroupId, MemberId};

/// One record of `__consumer_offsets`: what it is about, and what holds now; `None` is a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    OffsetCommit(offsets::OffsetKey, Option<offsets::OffsetValue>),
    ClassicGroup(GroupId, Option<classic::ClassicGroupValue>),
    ConsumerGroup(GroupId, Option<consumer::GroupValue>),
    /// Written by older brokers only; Kafka 4.2 writes tombstones where it finds such records.
    ConsumerPartitionMetadata(GroupId),
    ConsumerMember(GroupId, MemberId, Option<consumer::MemberValue>),
    ConsumerTarget(GroupId, Option<consumer::TargetValue>),
    ConsumerTargetMember(GroupId, MemberId, Option<consumer::TargetMemberValue>),
    ConsumerCurrent(GroupId, MemberId, Option<consumer::CurrentValue>),
    /// The key is the group and the pattern.
    ConsumerRegex(GroupId, String, Option<consumer::RegexValue>),
    ShareGroup(GroupId, Option<consumer::GroupValue>),
    ShareMember(GroupId, MemberId, Option<share::MemberValue>),
    ShareTarget(GroupId, Option<consumer::TargetValue>),
    ShareTargetMember(GroupId, MemberId, Option<consumer::TargetMemberValue>),
    ShareCurrent(GroupId, MemberId, Option<share::CurrentValue>),
    ShareStatePartitions(GroupId, Option<share::StatePartitionsValue>),
}
