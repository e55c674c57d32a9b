//! Heartbeat: a member is alive, and hears whether it is to join again.
//!
//! Key invariant: only a member of the present generation is taken for alive by its heartbeat.

use super::{ClassicGroup, State, Turn, unknown_member};
use crate::coordinator::GroupError;

impl ClassicGroup {
    /// Renews a member's session. `RebalanceInProgress` asks it to join again.
    pub(super) fn on_heartbeat(
        &mut self,
        turn: &Turn<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        let id = self.validate_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match self.state {
            State::Empty => Err(unknown_member(member_id, &self.id)),
            State::PreparingRebalance => {
                self.renew_session(turn, &id);
                Err(GroupError::RebalanceInProgress)
            }
            State::CompletingRebalance | State::Stable => {
                self.renew_session(turn, &id);
                Ok(())
            }
        }
    }
}
