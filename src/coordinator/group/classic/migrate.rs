//! Classic groups and consumer groups become one another (KIP-848): what a consumer group's code needs for it.
//!
//! Key invariant: no request is forgotten when a group changes its kind.

use bytes::Bytes;

use super::commit::CONSUMER;
use super::member::Member;
use super::{ClassicGroup, Due, State, Turn};
use crate::coordinator::{Actions, GroupError, GroupId, InstanceId, MemberId};

/// A member of a consumer group that speaks the classic protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrant {
    pub id: MemberId,
    pub instance_id: Option<InstanceId>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Names with the member's own bytes, in its order of preference.
    pub protocols: Vec<(String, Bytes)>,
}

impl ClassicGroup {
    /// The group that a consumer group becomes when the last member that spoke the new protocol is gone. `assign` makes each
    /// member's assignment, given what the member sent for the protocol that is chosen. The caller writes it down and, unless a
    /// static member takes over from the one that left, calls [`Self::rebalance`].
    pub fn downgraded(
        turn: &Turn<'_>,
        id: GroupId,
        generation: i32,
        migrants: Vec<Migrant>,
        mut assign: impl FnMut(&MemberId, &[u8]) -> Bytes,
    ) -> Self {
        let mut group = Self::new(id, turn.now);
        group.generation = generation;
        group.protocol_type = Some(CONSUMER.to_owned());
        for migrant in migrants {
            group.roster.insert(Member {
                id: migrant.id,
                instance_id: migrant.instance_id,
                client_id: migrant.client_id,
                client_host: migrant.client_host,
                rebalance_timeout_ms: migrant.rebalance_timeout_ms,
                session_timeout_ms: migrant.session_timeout_ms,
                protocols: migrant.protocols,
                assignment: Bytes::new(),
                joining: None,
                syncing: None,
                is_new: false,
            });
        }
        if !group.roster.is_empty() {
            group.state = State::Stable;
            group.protocol = group.roster.select_protocol();
        }
        group.read_topics();
        for id in group.roster.ids() {
            let protocol = group.protocol.as_deref().unwrap_or_default();
            let subscription =
                group.member(id.as_str()).and_then(|member| member.metadata(protocol)).cloned();
            let assignment = assign(&id, &subscription.unwrap_or_default());
            group.roster.set_assignment(id.as_str(), assignment);
            group.renew_session(turn, &id);
        }
        group
    }

    /// Asks all members to join again.
    pub fn rebalance(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        if matches!(self.state, State::Stable | State::CompletingRebalance) {
            self.prepare_rebalance(turn, actions);
        }
        self.check_in_debug();
    }

    /// The group becomes a consumer group: whoever waits is to try again. The caller writes the tombstone ([`Self::delete`]) and
    /// drops the group.
    pub fn dissolve(&mut self, actions: &mut Actions) {
        for id in self.roster.ids() {
            if let Some(ticket) = self.roster.set_joining(id.as_str(), None) {
                actions.joined.push((ticket, Err(GroupError::RebalanceInProgress)));
            }
            if let Some(ticket) = self.roster.set_syncing(id.as_str(), None) {
                actions.synced.push((ticket, Err(GroupError::RebalanceInProgress)));
            }
        }
        self.timers.cancel(&Due::Join);
    }
}
