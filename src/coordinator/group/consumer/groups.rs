//! Consumer groups among the groups of a partition: which group a request is for, and of what kind it is after it.
//!
//! Key invariant: a refused request leaves no group behind that was not there before.

use super::ConsumerGroup;
use super::describe::DescribedConsumerGroup;
use super::leave::answer;
use super::member::{JOIN_EPOCH, STATIC_LEAVE_EPOCH};
use super::request::{HeartbeatAnswer, HeartbeatRequest};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{Actions, GroupError, GroupId};

impl Groups {
    /// ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// Invalid request, unsupported assignor, invalid regular expression, unknown group (`GroupIdNotFound`) or member, fenced
    /// member epoch, unreleased or fenced instance id, group of maximal size.
    pub fn consumer_heartbeat(
        &mut self,
        turn: &Turn<'_>,
        group_id: &GroupId,
        request: &HeartbeatRequest,
        actions: &mut Actions,
    ) -> Result<HeartbeatAnswer, GroupError> {
        request.check(group_id.as_str(), turn.settings)?;
        self.change(group_id, |group| {
            if request.member_epoch < JOIN_EPOCH {
                group.consumer_leave(turn, group_id, request, actions)
            } else {
                group.consumer_heartbeat(turn, group_id, request, actions)
            }
        })
    }

    /// A group for ConsumerGroupDescribe.
    ///
    /// # Errors
    /// There is no such group, or it is of another kind (`GroupIdNotFound`).
    pub fn describe_consumer(
        &self,
        turn: &Turn<'_>,
        group_id: &str,
    ) -> Result<DescribedConsumerGroup, GroupError> {
        match self.get(group_id).map(Group::kind) {
            None => Err(GroupError::GroupIdNotFound(format!("Group {group_id} not found."))),
            Some(Kind::Consumer(group)) => Ok(group.describe(turn)),
            Some(_) => Err(not_consumer(group_id)),
        }
    }

    /// Takes in one record of a consumer group that was read from the log. Records of other kinds are left to others.
    pub fn replay_consumer(&mut self, record: &GroupRecord) {
        let Some((id, is_tombstone)) = subject(record) else { return };
        self.change(id, |group| {
            if !matches!(group.kind, Kind::Consumer(_)) {
                if is_tombstone {
                    return;
                }
                // Offsets may come before the group that they are of, and a log has no two kinds of one group at a time.
                group.kind = Kind::Consumer(Box::new(ConsumerGroup::new(id.clone())));
            }
            if let Kind::Consumer(consumer) = &mut group.kind {
                consumer.replay(record);
                if matches!(record, GroupRecord::ConsumerGroup(_, None)) {
                    group.kind = Kind::Simple;
                }
            }
        });
    }
}

impl Group {
    fn consumer_heartbeat(
        &mut self,
        turn: &Turn<'_>,
        id: &GroupId,
        request: &HeartbeatRequest,
        actions: &mut Actions,
    ) -> Result<HeartbeatAnswer, GroupError> {
        let joins = request.member_epoch == JOIN_EPOCH;
        match &mut self.kind {
            Kind::Consumer(group) => group.heartbeat(turn, request, actions),
            Kind::Simple if joins => {
                let mut group = Box::new(ConsumerGroup::new(id.clone()));
                let answer = group.heartbeat(turn, request, actions)?;
                self.kind = Kind::Consumer(group);
                Ok(answer)
            }
            Kind::Simple => Err(GroupError::GroupIdNotFound(format!("Consumer group {id} not found."))),
            Kind::Classic(_) | Kind::Share(_) => Err(not_consumer(id.as_str())),
        }
    }

    fn consumer_leave(
        &mut self,
        turn: &Turn<'_>,
        id: &GroupId,
        request: &HeartbeatRequest,
        actions: &mut Actions,
    ) -> Result<HeartbeatAnswer, GroupError> {
        let group = match &mut self.kind {
            Kind::Consumer(group) => group,
            Kind::Simple => return Err(GroupError::GroupIdNotFound(format!("Group {id} not found."))),
            Kind::Classic(_) | Kind::Share(_) => return Err(not_consumer(id.as_str())),
        };
        let member = group.leaving(request)?;
        if request.instance_id.is_some() && request.member_epoch == STATIC_LEAVE_EPOCH {
            return Ok(group.leave_for_now(&member, actions));
        }
        group.remove(turn, &[member.clone()], actions);
        Ok(answer(&member, request.member_epoch))
    }
}

fn not_consumer(id: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {id} is not a consumer group."))
}

/// The group that a record of a consumer group is about, and whether it is a tombstone.
fn subject(record: &GroupRecord) -> Option<(&GroupId, bool)> {
    match record {
        GroupRecord::ConsumerGroup(id, value) => Some((id, value.is_none())),
        GroupRecord::ConsumerMember(id, _, value) => Some((id, value.is_none())),
        GroupRecord::ConsumerTarget(id, value) => Some((id, value.is_none())),
        GroupRecord::ConsumerTargetMember(id, _, value) => Some((id, value.is_none())),
        GroupRecord::ConsumerCurrent(id, _, value) => Some((id, value.is_none())),
        GroupRecord::ConsumerRegex(id, _, value) => Some((id, value.is_none())),
        GroupRecord::ConsumerPartitionMetadata(id) => Some((id, true)),
        _ => None,
    }
}
