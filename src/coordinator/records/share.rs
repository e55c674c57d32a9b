//! Share groups (KIP-932): members and assignments, and which share partitions have state.
//!
//! Key invariant: a share group's target and epoch records have the layout of a consumer group's.

use super::consumer::{MemberState, TopicPartitions};
use crate::model::{PartitionIndex, TopicId};

/// `ShareGroupMemberMetadataValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberValue {
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub subscribed_topics: Vec<String>,
}

/// `ShareGroupCurrentMemberAssignmentValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentValue {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Vec<TopicPartitions>,
}

/// Partitions of a topic, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    pub topic_id: TopicId,
    pub topic: String,
    pub partitions: Vec<PartitionIndex>,
}

/// `ShareGroupStatePartitionMetadataValue`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePartitionsValue {
    pub initializing: Vec<NamedPartitions>,
    pub initialized: Vec<NamedPartitions>,
    /// Topic ids with their names, whose state is on its way out.
    pub deleting: Vec<(TopicId, String)>,
}
