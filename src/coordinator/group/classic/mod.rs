//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! Key invariant: within a generation each member has the assignment that the generation's leader gave it, and no member of an
//! earlier generation is heard.

mod request;

pub use request::{JoinRequest, Joined, JoinedMember, SyncRequest, Synced};

use super::Turn;
use crate::coordinator::Actions;
use crate::model::TimestampMs;

/// A classic group.
#[derive(Debug, Default)]
pub struct ClassicGroup {}

impl ClassicGroup {
    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        None
    }

    /// Does what is due by now.
    pub fn on_time(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {}
}
