//! What offsets need to know of a group: who may commit, and to which topics the members are subscribed.
//!
//! Key invariant: a member that is not of the present generation commits nothing.

use std::collections::BTreeSet;

use super::subscription::add_topics;
use super::{ClassicGroup, State, Turn};
use crate::coordinator::GroupError;

/// The protocol type whose subscriptions the broker can read.
pub(super) const CONSUMER: &str = "consumer";

impl ClassicGroup {
    /// Whether a commit is taken. Without a generation (-1) it is one of a client that assigns its partitions itself, or of an
    /// administrator, and is taken only while there are no members.
    ///
    /// # Errors
    /// `UnknownMemberId`, `FencedInstanceId`, `IllegalGeneration`; `RebalanceInProgress` of a member that has yet to learn what
    /// it is assigned.
    pub fn validate_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        is_transactional: bool,
    ) -> Result<(), GroupError> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(GroupError::IllegalGeneration);
            }
        } else if !is_transactional && !self.is_empty() {
            // Old versions of a transactional commit name no member; theirs are taken.
            return Err(super::unknown_member(member_id, &self.id));
        }
        if !is_transactional && self.state == State::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit that was taken shows that its member is alive.
    pub fn on_commit(&mut self, turn: &Turn<'_>, member_id: &str) {
        if let Some(id) = self.member(member_id).map(|member| member.id.clone()) {
            self.renew_session(turn, &id);
        }
    }

    /// Whether members are subscribed to the topic; of a `consumer` group whose subscriptions cannot be read, to any.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.topics.as_ref().map_or_else(|| self.is_consumer_type(), |topics| topics.contains(topic))
    }

    /// The topics that members of a `consumer` group are subscribed to; `None` if that cannot be known.
    pub fn subscribed_topics(&self) -> Option<&BTreeSet<String>> {
        self.topics.as_ref()
    }

    /// Whether its members speak the protocol type `consumer`.
    pub fn is_consumer_type(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Reads the subscriptions of this generation.
    pub(super) fn read_topics(&mut self) {
        self.topics = self.topics_of_members();
    }

    fn topics_of_members(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumer_type() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.roster.members() {
            add_topics(member.metadata(self.protocol.as_deref()?)?, &mut topics)?;
        }
        Some(topics)
    }
}
