//! Consumer groups (KIP-848): ConsumerGroupHeartbeat, server-side assignment, reconciliation.
//!
//! Key invariant: a partition is in the assignment of at most one member, whatever the epochs of the others.

use super::Turn;
use crate::coordinator::Actions;
use crate::model::TimestampMs;

/// A consumer group.
#[derive(Debug, Default)]
pub struct ConsumerGroup {}

impl ConsumerGroup {
    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        None
    }

    /// Does what is due by now.
    pub fn on_time(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {}
}
