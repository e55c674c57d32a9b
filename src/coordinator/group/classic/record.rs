//! A classic group in the log: what is written of it, and what comes back after a restart.
//!
//! Key invariant: what is written is read back as the same generation. Who waits for what, ids that were given out, and the other
//! protocols of a member are not kept: members tell again when they join.

use bytes::Bytes;

use super::member::Member;
use super::{ClassicGroup, State, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::classic::{ClassicGroupValue, ClassicMemberValue};
use crate::coordinator::{Actions, GroupId};
use crate::model::TimestampMs;

/// The largest record of a group that is written, in bytes, as estimated: a batch of it stays below Kafka's default of
/// `max.message.bytes`, 1 MiB.
pub(super) const RECORD_BYTES_MAX: usize = 1_000_000;
/// What a member takes in a record besides its names and bytes.
const MEMBER_FIXED_BYTES: usize = 32;
/// What says in a record that the time of a state is not known.
const NO_TIMESTAMP: TimestampMs = TimestampMs(-1);

impl ClassicGroup {
    /// The group as it was when this was written; `None` is a tombstone.
    pub fn replay(id: GroupId, value: Option<ClassicGroupValue>) -> Option<Self> {
        let value = value?;
        let protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        let mut group = Self::new(id, value.state_since);
        group.since = Some(value.state_since).filter(|since| *since != NO_TIMESTAMP);
        group.generation = value.generation;
        group.protocol_type = protocol_type;
        let supported = value.protocol.clone().unwrap_or_default();
        group.protocol = value.protocol;
        for member in value.members {
            let is_known = group.roster.contains(member.id.as_str())
                || member.instance_id.as_ref().is_some_and(|id| group.static_member(id.as_str()).is_some());
            if !is_known {
                group.roster.insert(member_of(member, &supported));
            }
        }
        if let Some(leader) = value.leader.filter(|id| group.roster.contains(id.as_str())) {
            group.roster.set_leader(Some(leader));
        }
        if !group.roster.is_empty() {
            group.state = State::Stable;
            group.protocol.get_or_insert_default();
        }
        group.read_topics();
        Some(group)
    }

    /// The log is read: from now on members are to be heard of. A group that is larger than is allowed now is rebalanced, so that
    /// the last to rejoin are left out.
    pub fn on_loaded(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        for id in self.roster.ids() {
            self.renew_session(turn, &id);
        }
        if self.roster.len() > turn.settings.classic.members_max as usize {
            self.prepare_rebalance(turn, actions);
        }
        self.check_in_debug();
    }

    /// The group as it is written.
    pub fn to_record(&self) -> GroupRecord {
        GroupRecord::ClassicGroup(self.id.clone(), Some(self.to_value()))
    }

    /// Writes that the group is gone. The caller forgets it; it must be empty.
    pub fn delete(&self, actions: &mut Actions) {
        actions.records.push(GroupRecord::ClassicGroup(self.id.clone(), None));
    }

    fn to_value(&self) -> ClassicGroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members().map(|member| ClassicMemberValue {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol).cloned().unwrap_or_default(),
            assignment: member.assignment.clone(),
        });
        ClassicGroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader().cloned(),
            state_since: self.since.unwrap_or(NO_TIMESTAMP),
            members: members.collect(),
        }
    }

    /// Whether the group's record is small enough to be written.
    pub(super) fn fits_record(&self) -> bool {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let size = |member: &Member| {
            let names = member.id.as_str().len() + member.client_id.len() + member.client_host.len();
            let instance = member.instance_id.as_ref().map_or(0, |id| id.as_str().len());
            let bytes = member.metadata(protocol).map_or(0, Bytes::len) + member.assignment.len();
            MEMBER_FIXED_BYTES + names + instance + bytes
        };
        self.members().map(size).sum::<usize>() <= RECORD_BYTES_MAX
    }
}

/// A member as it comes back: of its protocols only the one that was chosen is known.
fn member_of(value: ClassicMemberValue, protocol: &str) -> Member {
    let rebalance_timeout_ms =
        if value.rebalance_timeout_ms == -1 { value.session_timeout_ms } else { value.rebalance_timeout_ms };
    Member {
        id: value.id,
        instance_id: value.instance_id,
        client_id: value.client_id,
        client_host: value.client_host,
        rebalance_timeout_ms,
        session_timeout_ms: value.session_timeout_ms,
        protocols: vec![(protocol.to_owned(), value.subscription)],
        assignment: value.assignment,
        joining: None,
        syncing: None,
        is_new: false,
    }
}
