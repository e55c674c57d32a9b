//! Consumer groups (KIP-848): group, members, target and current assignments, patterns.
//!
//! Key invariant: topics are named by id in assignments and by name in subscriptions.

use bytes::Bytes;

use crate::coordinator::InstanceId;
use crate::model::{PartitionIndex, TimestampMs, TopicId};

/// `ConsumerGroupMetadataValue`, and the same of share groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupValue {
    pub epoch: i32,
    /// Of the subscribed topics: another hash means other topics or partitions; 0 if not known.
    pub metadata_hash: i64,
}

/// `ConsumerGroupMemberMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub instance_id: Option<InstanceId>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
    pub subscribed_regex: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
    /// Of a member that speaks the classic protocol within the group.
    pub classic: Option<ClassicMember>,
}

/// What a member on the classic protocol said when it joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMember {
    pub session_timeout_ms: i32,
    /// Names with the member's own bytes, in its order of preference.
    pub protocols: Vec<(String, Bytes)>,
}

/// `ConsumerGroupTargetAssignmentMetadataValue`, and the same of share groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetValue {
    pub assignment_epoch: i32,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    pub topic_id: TopicId,
    pub partitions: Vec<PartitionIndex>,
}

/// `ConsumerGroupTargetAssignmentMemberValue`, and the same of share groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetMemberValue {
    pub partitions: Vec<TopicPartitions>,
}

/// Where a member is on its way to its target; the numbers are the records'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// 0: it has what it is to have, or all of it that is free.
    Stable,
    /// 1: it is to give partitions up and has not said yet that it did.
    UnrevokedPartitions,
    /// 2: partitions of its target are still with others.
    UnreleasedPartitions,
    /// 127: written by a newer broker.
    Unknown,
}

/// `ConsumerGroupCurrentMemberAssignmentValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentValue {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Vec<TopicPartitions>,
    pub pending_revocation: Vec<TopicPartitions>,
}

/// `ConsumerGroupRegularExpressionValue`: the topics that a pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexValue {
    pub topics: Vec<String>,
    /// The version of the metadata that was matched against.
    pub version: i64,
    pub at: TimestampMs,
}
