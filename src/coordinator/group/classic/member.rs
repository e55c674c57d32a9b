//! A member of a classic group.
//!
//! Key invariant: a member waits for at most one thing: to be joined, or to be given its assignment.

use bytes::Bytes;

use crate::coordinator::{InstanceId, MemberId, Ticket};

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: MemberId,
    pub instance_id: Option<InstanceId>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Names with the member's own bytes, in its order of preference, each name once.
    pub protocols: Vec<(String, Bytes)>,
    /// What the leader gave it; empty before that.
    pub assignment: Bytes,
    /// Its JoinGroup that waits.
    pub(super) joining: Option<Ticket>,
    /// Its SyncGroup that waits.
    pub(super) syncing: Option<Ticket>,
    /// Whether it has not been told its first generation yet.
    pub(super) is_new: bool,
}

impl Member {
    /// What it sent for this protocol.
    pub fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, metadata)| metadata)
    }

    /// Whether it counts as alive without heartbeats: its client waits for an answer of ours. One that is new and waits may have
    /// gone away long ago.
    pub(super) fn is_alive_by_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }
}
