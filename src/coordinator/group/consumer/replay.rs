//! Records of a consumer group: how each changes the state, live and on load.
//!
//! Key invariant: a record changes only what it is about, and may come without those that compaction dropped.

use super::ConsumerGroup;
use super::member::{Current, Member, normal};
use crate::coordinator::group::Turn;
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::{CurrentValue, MemberValue};
use crate::coordinator::{Actions, MemberId};

impl ConsumerGroup {
    /// Changes the state as the record says, and has it appended.
    pub(super) fn emit(&mut self, record: GroupRecord, actions: &mut Actions) {
        self.apply(&record);
        actions.records.push(record);
    }

    /// Changes the state as a record of this group says. Records of other kinds change nothing.
    pub fn replay(&mut self, record: GroupRecord) {
        self.apply(&record);
    }

    fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::ConsumerGroup(_, value) => {
                self.epoch = value.map_or(0, |value| value.epoch);
                self.metadata_hash = value.map_or(0, |value| value.metadata_hash);
            }
            GroupRecord::ConsumerMember(_, id, Some(value)) => self.set_member(id, value),
            GroupRecord::ConsumerMember(_, id, None) => self.drop_member(id),
            GroupRecord::ConsumerTarget(_, value) => {
                self.target_epoch = value.map_or(0, |value| value.assignment_epoch);
            }
            GroupRecord::ConsumerTargetMember(_, id, value) => match value {
                Some(value) => {
                    self.targets.insert(id.clone(), Assignment::from_list(&value.partitions));
                }
                None => {
                    self.targets.remove(id.as_str());
                }
            },
            GroupRecord::ConsumerCurrent(_, id, value) => self.set_current(id, value.as_ref()),
            GroupRecord::ConsumerRegex(_, pattern, value) => {
                self.subscriptions.resolve(pattern, value.clone());
            }
            _ => {}
        }
    }

    fn set_member(&mut self, id: &MemberId, value: &MemberValue) {
        let value = normal(value.clone());
        self.subscriptions.add(&value);
        if let Some(instance) = &value.instance_id {
            self.statics.insert(instance.clone(), id.clone());
        }
        match self.members.get_mut(id.as_str()) {
            Some(member) => {
                self.subscriptions.remove(&member.value);
                member.value = value;
            }
            None => {
                self.members.insert(id.clone(), Member { value, current: Current::default() });
            }
        }
    }

    fn drop_member(&mut self, id: &MemberId) {
        self.set_current(id, None);
        let Some(member) = self.members.remove(id.as_str()) else { return };
        self.subscriptions.remove(&member.value);
        if let Some(instance) = &member.value.instance_id
            && self.statics.get(instance.as_str()) == Some(id)
        {
            self.statics.remove(instance.as_str());
        }
    }

    fn set_current(&mut self, id: &MemberId, value: Option<&CurrentValue>) {
        let next = match value {
            Some(value) => Current::from_value(value),
            None if !self.members.contains_key(id.as_str()) => return,
            None => Current::default(),
        };
        // Compaction may have dropped what the member first said of itself, and left what it has before what it last said.
        let member = self.members.entry(id.clone()).or_default();
        let before = std::mem::replace(&mut member.current, next);
        for at in before.assigned.iter().chain(before.revoking.iter()) {
            if self.owners.get(&at) == Some(id) {
                self.owners.remove(&at);
            }
        }
        for at in member.current.assigned.iter().chain(member.current.revoking.iter()) {
            self.owners.insert(at, id.clone());
        }
    }

    /// After the last record was read: members have their time anew. Should the log give a partition to two members, the one
    /// in the lower epoch is removed, so that it stops to work on it.
    pub fn on_loaded(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        let mut rivals: Vec<MemberId> = vec![];
        let mut by_epoch: Vec<&MemberId> = self.members.keys().collect();
        by_epoch.sort_by_key(|id| std::cmp::Reverse(self.members[id.as_str()].current.epoch));
        self.owners.clear();
        for id in by_epoch {
            let current = &self.members[id.as_str()].current;
            let mut held = current.assigned.iter().chain(current.revoking.iter());
            if held.any(|at| self.owners.contains_key(&at)) {
                rivals.push(id.clone());
                continue;
            }
            for at in current.assigned.iter().chain(current.revoking.iter()) {
                self.owners.insert(at, id.clone());
            }
        }
        if !rivals.is_empty() {
            self.remove(turn, &rivals, actions);
        }
        let members: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in members {
            self.renew_session(turn, &id);
            self.watch_revocation(turn.now, &id);
        }
    }
}
