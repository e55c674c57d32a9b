//! Classic groups: `GroupMetadataKey` (version 2) and `GroupMetadataValue`.
//!
//! Key invariant: written when a generation is complete, so a reader finds members with their assignments.

use bytes::Bytes;

use crate::coordinator::{InstanceId, MemberId};
use crate::model::TimestampMs;

/// A generation of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroupValue {
    /// `consumer`, `connect` or whatever else the members speak; empty of a group without members that had none.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<MemberId>,
    /// When the group entered its present state; offsets of an empty group expire from then on.
    pub state_since: TimestampMs,
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberValue {
    pub id: MemberId,
    pub instance_id: Option<InstanceId>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// What the member sent for the chosen protocol; opaque.
    pub subscription: Bytes,
    /// What the leader gave it; opaque.
    pub assignment: Bytes,
}
