//! Share groups (KIP-932): their members and what they are assigned.
//!
//! Key invariant: a partition may be with several members; each subscribed partition is with at least one while there are members.

use super::Turn;
use crate::coordinator::Actions;
use crate::model::TimestampMs;

/// A share group.
#[derive(Debug, Default)]
pub struct ShareGroup {}

impl ShareGroup {
    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        None
    }

    /// Does what is due by now.
    pub fn on_time(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {}
}
