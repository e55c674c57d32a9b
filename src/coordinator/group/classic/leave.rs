//! LeaveGroup: one member or several, by their ids or by their instance ids.
//!
//! Key invariant: all members of a request go before a rebalance begins, so that there is one.

use super::{ClassicGroup, State, Turn, unknown_member};
use crate::coordinator::{Actions, GroupError};

/// A member that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Empty: the member is named by its instance id, as an administrator does it.
    pub member_id: String,
    pub instance_id: Option<String>,
    /// The client's own words (KIP-800).
    pub reason: Option<String>,
}

/// What came of it: the ids as they were sent, and why the member stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub outcome: Result<(), GroupError>,
}

impl ClassicGroup {
    /// Lets members go.
    pub(super) fn on_leave(
        &mut self,
        turn: &Turn<'_>,
        leaving: Vec<Leaving>,
        actions: &mut Actions,
    ) -> Vec<Left> {
        let mut left = Vec::with_capacity(leaving.len());
        for Leaving { member_id, instance_id, .. } in leaving {
            let outcome = self.let_go(&member_id, instance_id.as_deref(), actions);
            left.push(Left { member_id, instance_id, outcome });
        }
        if left.iter().any(|left| left.outcome.is_ok()) && self.state != State::Empty {
            self.rebalance_or_complete(turn, actions);
        }
        self.check_in_debug();
        left
    }

    fn let_go(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        actions: &mut Actions,
    ) -> Result<(), GroupError> {
        if self.remove_pending(member_id) {
            return Ok(());
        }
        let id = if member_id.is_empty() {
            let known = instance_id.and_then(|instance_id| self.roster.static_member(instance_id));
            known.cloned().ok_or_else(|| unknown_member(member_id, &self.id))?
        } else {
            self.validate_member(member_id, instance_id)?
        };
        self.remove_member(id.as_str(), actions);
        Ok(())
    }
}
