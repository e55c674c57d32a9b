//! Members that go: of their own will, for a while, or because they were late. And the end of the group.
//!
//! Key invariant: what a member had is free as soon as it is gone, not before; tombstones are written in Kafka's order, so
//! that no record of a member follows its last one.

use super::ConsumerGroup;
use super::alarms::Alarm;
use super::member::{Current, STATIC_LEAVE_EPOCH};
use super::request::{HeartbeatAnswer, HeartbeatRequest};
use crate::coordinator::group::Turn;
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{Actions, GroupError, GroupId, MemberId};

impl ConsumerGroup {
    /// Which member a request to leave is about.
    pub(super) fn leaving(&self, request: &HeartbeatRequest) -> Result<MemberId, GroupError> {
        match &request.instance_id {
            None => self.known(&request.member_id),
            Some(instance) => self.known_static(instance, &request.member_id),
        }
    }

    /// A static member leaves to come back: its partitions stay with it until its session ends.
    pub(super) fn leave_for_now(&mut self, id: &MemberId, actions: &mut Actions) -> HeartbeatAnswer {
        if let Some(member) = self.members.get(id.as_str()) {
            let current = Current {
                epoch: STATIC_LEAVE_EPOCH,
                revoking: Assignment::default(),
                ..member.current.clone()
            };
            let value = Some(current.to_value());
            self.emit(GroupRecord::ConsumerCurrent(self.id.clone(), id.clone(), value), actions);
        }
        // It is not late with giving up: it has stopped.
        self.cancel_alarm(id, Alarm::Rebalance);
        self.checked();
        answer(id, STATIC_LEAVE_EPOCH)
    }

    /// Removes members; the others are assigned anew at their next heartbeats.
    pub(super) fn remove(&mut self, turn: &Turn<'_>, ids: &[MemberId], actions: &mut Actions) {
        for id in ids {
            self.emit_tombstones(id, actions);
            self.cancel_alarms(id);
        }
        self.drop_unused_patterns(actions);
        self.bump(turn, true, actions);
        self.checked();
    }

    /// A member's last records.
    pub(super) fn emit_tombstones(&mut self, id: &MemberId, actions: &mut Actions) {
        let group = &self.id;
        let records = [
            GroupRecord::ConsumerCurrent(group.clone(), id.clone(), None),
            GroupRecord::ConsumerTargetMember(group.clone(), id.clone(), None),
            GroupRecord::ConsumerMember(group.clone(), id.clone(), None),
        ];
        for record in records {
            self.emit(record, actions);
        }
    }

    /// Forgets patterns that no member has any more.
    pub(super) fn drop_unused_patterns(&mut self, actions: &mut Actions) {
        let resolved = self.subscriptions.resolved().keys();
        let unused: Vec<String> =
            resolved.filter(|pattern| !self.subscriptions.has_pattern(pattern)).cloned().collect();
        for pattern in unused {
            self.emit(GroupRecord::ConsumerRegex(self.id.clone(), pattern, None), actions);
        }
    }

    /// Appends the last records of the group and of all in it. The caller forgets the group.
    pub fn push_tombstones(&self, group: &GroupId, actions: &mut Actions) {
        let of_each = |record: fn(GroupId, MemberId) -> GroupRecord| -> Vec<GroupRecord> {
            self.members.keys().map(|id| record(group.clone(), id.clone())).collect()
        };
        let records = &mut actions.records;
        records.extend(of_each(|group, id| GroupRecord::ConsumerCurrent(group, id, None)));
        records.extend(of_each(|group, id| GroupRecord::ConsumerTargetMember(group, id, None)));
        records.push(GroupRecord::ConsumerTarget(group.clone(), None));
        records.extend(of_each(|group, id| GroupRecord::ConsumerMember(group, id, None)));
        let patterns = self.subscriptions.resolved().keys();
        records.extend(patterns.map(|text| GroupRecord::ConsumerRegex(group.clone(), text.clone(), None)));
        records.push(GroupRecord::ConsumerPartitionMetadata(group.clone(), None));
        records.push(GroupRecord::ConsumerGroup(group.clone(), None));
    }
}

/// What a member that leaves is told.
pub(super) fn answer(member_id: &MemberId, member_epoch: i32) -> HeartbeatAnswer {
    HeartbeatAnswer { member_id: member_id.clone(), member_epoch, heartbeat_interval_ms: 0, assignment: None }
}
