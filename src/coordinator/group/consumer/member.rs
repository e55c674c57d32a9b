//! A member of a consumer group: what it said of itself, and where it is on its way to its target.
//!
//! Key invariant: names of topics are sorted and each there once, an empty pattern is none: so equal subscriptions are equal
//! values, and records of equal state are equal.

use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::records::consumer::{CurrentValue, MemberState, MemberValue};

/// The epoch with which a member joins.
pub(super) const JOIN_EPOCH: i32 = 0;
/// The epoch with which a member leaves, and that of one that is not reconciled yet.
pub(super) const LEAVE_EPOCH: i32 = -1;
/// The epoch with which a static member leaves to come back.
pub(super) const STATIC_LEAVE_EPOCH: i32 = -2;

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it said of itself.
    pub value: MemberValue,
    /// What it has.
    pub current: Current,
}

/// A member's epochs and partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: MemberState,
    /// It may work on these.
    pub assigned: Assignment,
    /// It is to give these up, and has not said yet that it did.
    pub revoking: Assignment,
}

impl Default for Current {
    /// Of a member that just joined.
    fn default() -> Self {
        Self {
            epoch: JOIN_EPOCH,
            previous_epoch: LEAVE_EPOCH,
            state: MemberState::Stable,
            assigned: Assignment::default(),
            revoking: Assignment::default(),
        }
    }
}

impl Default for Member {
    fn default() -> Self {
        Self { value: nobody(), current: Current::default() }
    }
}

/// A member that has said nothing yet.
pub(super) fn nobody() -> MemberValue {
    MemberValue {
        instance_id: None,
        rack_id: None,
        client_id: String::new(),
        client_host: String::new(),
        subscribed_topics: vec![],
        subscribed_regex: None,
        rebalance_timeout_ms: -1,
        server_assignor: None,
        classic: None,
    }
}

/// The value with its names and pattern in the form in which they are compared.
pub(super) fn normal(mut value: MemberValue) -> MemberValue {
    value.subscribed_topics.sort_unstable();
    value.subscribed_topics.dedup();
    value.subscribed_regex = value.subscribed_regex.filter(|regex| !regex.is_empty());
    value
}

impl Member {
    /// Whether it speaks the classic protocol within the group.
    pub fn is_classic(&self) -> bool {
        self.value.classic.is_some()
    }

    /// Whether it has what the target of this epoch gives it.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == target_epoch
    }
}

impl Current {
    /// As its record has it.
    pub(super) fn to_value(&self) -> CurrentValue {
        CurrentValue {
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            state: self.state,
            assigned: self.assigned.to_list(),
            pending_revocation: self.revoking.to_list(),
        }
    }

    /// From its record.
    pub(super) fn from_value(value: &CurrentValue) -> Self {
        Self {
            epoch: value.epoch,
            previous_epoch: value.previous_epoch,
            state: value.state,
            assigned: Assignment::from_list(&value.assigned),
            revoking: Assignment::from_list(&value.pending_revocation),
        }
    }
}
