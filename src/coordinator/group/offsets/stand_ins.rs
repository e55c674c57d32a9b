//! What committed offsets ask of kinds that do not say it yet.
//!
//! Key invariant: nothing here outlives the kinds' own methods of the same names, which take precedence over a trait's.

use crate::coordinator::group::Turn;
use crate::coordinator::group::consumer::ConsumerGroup;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{Actions, GroupError, GroupId};

/// Of a consumer group.
pub trait ConsumerStandIn: Sized {
    fn validate_commit(&self, member_id: &str, epoch: i32, _version: i16) -> Result<(), GroupError> {
        self.validate_fetch(member_id, epoch)
    }
    fn validate_fetch(&self, member_id: &str, epoch: i32) -> Result<(), GroupError> {
        if epoch < 0 { Ok(()) } else { Err(GroupError::UnknownMemberId(member_id.to_owned())) }
    }
    fn is_empty(&self) -> bool {
        true
    }
    fn state_name(&self) -> &'static str {
        "Empty"
    }
    fn is_subscribed_to(&self, _topic: &str) -> bool {
        false
    }
    fn push_tombstones(&self, id: &GroupId, actions: &mut Actions) {
        actions.records.push(GroupRecord::ConsumerTarget(id.clone(), None));
        actions.records.push(GroupRecord::ConsumerGroup(id.clone(), None));
    }
    fn replay(&mut self, _record: GroupRecord) {}
    fn on_loaded(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {}
    fn on_metadata(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {}
}

impl ConsumerStandIn for ConsumerGroup {}
