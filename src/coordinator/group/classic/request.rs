//! What members ask of a classic group, and what they are told.
//!
//! Key invariant: bytes of members (subscriptions, assignments) are opaque and copied out of the request that brought them.

use bytes::Bytes;

use crate::coordinator::{InstanceId, MemberId};

/// JoinGroup.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinRequest {
    /// Empty of a member that has no id yet.
    pub member_id: String,
    pub instance_id: Option<InstanceId>,
    pub client_id: String,
    /// The address as Kafka writes it: `/127.0.0.1`.
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<(String, Bytes)>,
    pub reason: Option<String>,
    /// Whether a member without an id is told one and has to join again (KIP-394, from version 4).
    pub requires_known_member: bool,
    /// Whether a leader that rejoins may be told to skip its assignment (KIP-814, from version 9).
    pub supports_skipping_assignment: bool,
    /// For the id of a new member: chance is the caller's.
    pub fresh: uuid::Uuid,
}

/// What a member is told when the join is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub member_id: MemberId,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: MemberId,
    pub skip_assignment: bool,
    /// For the leader alone; empty for all others.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinedMember {
    pub id: MemberId,
    pub instance_id: Option<InstanceId>,
    pub metadata: Bytes,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncRequest {
    pub member_id: String,
    pub instance_id: Option<InstanceId>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    /// From the leader; empty from all others.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// What a member is to work on.
#[derive(Clone, Debug, PartialEq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}
