//! SyncGroup: the leader brings the assignment, all others ask for theirs.
//!
//! Key invariant: an assignment is given only to members of the generation that it was made for, and is in the record that goes
//! with the answer.

use std::collections::HashMap;

use bytes::Bytes;

use super::record::RECORD_BYTES_MAX;
use super::{ClassicGroup, Due, State, SyncRequest, Synced, Turn, unknown_member};
use crate::coordinator::{Actions, GroupError, InstanceId, MemberId, Ticket};

impl ClassicGroup {
    /// Takes the leader's assignment, or lets a member wait for it.
    pub(super) fn on_sync(
        &mut self,
        turn: &Turn<'_>,
        request: SyncRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) {
        match self.take_sync(turn, request, ticket, actions) {
            Ok(None) => {}
            Ok(Some(synced)) => actions.synced.push((ticket, Ok(synced))),
            Err(error) => actions.synced.push((ticket, Err(error))),
        }
        self.check_in_debug();
    }

    /// `None`: the member waits, or was answered together with all others.
    fn take_sync(
        &mut self,
        turn: &Turn<'_>,
        request: SyncRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Result<Option<Synced>, GroupError> {
        let id = self.validate_sync(&request)?;
        match self.state {
            State::Empty => Err(unknown_member(id.as_str(), &self.id)),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance => {
                self.synced(&id);
                if let Some(earlier) = self.roster.set_syncing(id.as_str(), Some(ticket)) {
                    // The client gave up on its earlier request.
                    actions.synced.push((earlier, Err(GroupError::RebalanceInProgress)));
                }
                if self.roster.is_leader(id.as_str()) {
                    self.take_assignments(turn, request.assignments, actions);
                }
                Ok(None)
            }
            State::Stable => {
                self.synced(&id);
                let assignment = self.member(id.as_str()).map(|member| member.assignment.clone());
                Ok(Some(self.synced_with(assignment.unwrap_or_default())))
            }
        }
    }

    fn validate_sync(&self, request: &SyncRequest) -> Result<MemberId, GroupError> {
        let instance_id = request.instance_id.as_ref().map(InstanceId::as_str);
        let id = self.validate_member(&request.member_id, instance_id)?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differ = |told: &Option<String>, own: &Option<String>| matches!((told, own), (Some(told), Some(own)) if told != own);
        if differ(&request.protocol_type, &self.protocol_type) || differ(&request.protocol, &self.protocol) {
            let text = "the protocol is not the one that this generation agreed on".to_owned();
            return Err(GroupError::InconsistentGroupProtocol(text));
        }
        Ok(id)
    }

    /// A member has asked for its assignment; when all have, nobody is awaited any more.
    fn synced(&mut self, id: &MemberId) {
        self.roster.pending_sync.remove(id);
        if self.roster.pending_sync.is_empty() {
            self.timers.cancel(&Due::Sync);
        }
    }

    /// The generation is complete: its assignment goes into a record, and to all who wait for it.
    fn take_assignments(&mut self, turn: &Turn<'_>, given: Vec<(MemberId, Bytes)>, actions: &mut Actions) {
        let mut given: HashMap<MemberId, Bytes> = given.into_iter().collect();
        for id in self.roster.ids() {
            let assignment = given.remove(&id).unwrap_or_default();
            self.roster.set_assignment(id.as_str(), assignment);
        }
        if !self.fits_record() {
            let text = format!("the group's metadata is larger than {RECORD_BYTES_MAX} bytes");
            self.refuse_assignments(turn, &GroupError::GroupTooLarge(text), actions);
            self.prepare_rebalance(turn, actions);
            return;
        }
        self.transition(turn, State::Stable);
        actions.records.push(self.to_record());
        for id in self.roster.ids() {
            let Some(ticket) = self.roster.set_syncing(id.as_str(), None) else { continue };
            let assignment = self.member(id.as_str()).map(|member| member.assignment.clone());
            actions.synced.push((ticket, Ok(self.synced_with(assignment.unwrap_or_default()))));
            // A session that ran out while the member waited was passed over.
            self.renew_session(turn, &id);
        }
    }

    fn synced_with(&self, assignment: Bytes) -> Synced {
        Synced { protocol_type: self.protocol_type.clone(), protocol: self.protocol.clone(), assignment }
    }
}
