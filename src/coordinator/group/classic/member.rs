//! A member of a classic group.
//!
//! Key invariant: a member waits for at most one thing: to be joined, or to be given its assignment.

use bytes::Bytes;

use crate::coordinator::{InstanceId, MemberId, Ticket};

/// What a protocol takes besides its name and the member's bytes.
const PROTOCOL_FIXED_BYTES: usize = 64;

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

    /// Bytes that its client decides over.
    pub(super) fn brought_bytes(&self) -> usize {
        let instance = self.instance_id.as_ref().map_or(0, |id| id.as_str().len());
        let names = self.id.as_str().len() + instance + self.client_id.len();
        names + protocols_bytes(&self.protocols)
    }

    /// Whether it counts as alive without heartbeats: its client waits for an answer of ours. One that is new and waits may have
    /// gone away long ago.
    pub(super) fn is_alive_by_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }
}

/// Bytes that protocols take.
pub(super) fn protocols_bytes(protocols: &[(String, Bytes)]) -> usize {
    protocols.iter().map(|(name, bytes)| PROTOCOL_FIXED_BYTES + name.len() + bytes.len()).sum()
}
