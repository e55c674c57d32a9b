//! Consumer groups among the groups of a partition: which group a request is for, and of what kind it is after it.
//!
//! Key invariant: a refused request leaves no group behind that was not there before, and none of another kind.

use super::describe::DescribedConsumerGroup;
use super::leave::answer;
use super::member::{JOIN_EPOCH, STATIC_LEAVE_EPOCH};
use super::request::{HeartbeatAnswer, HeartbeatRequest};
use super::upgrade::upgraded;
use super::{ConsumerGroup, ConsumerGroupState};
use crate::coordinator::group::classic::{JoinRequest, Leaving, Left, SyncRequest};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::{Actions, GroupError, GroupId, Ticket};

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
        if request.member_epoch >= JOIN_EPOCH && request.says_more() {
            let member = (&*request.member_id, request.instance_id.as_deref());
            self.check_space(group_id, member, request.brings_bytes())?;
        }
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
            _ if group_id.is_empty() => Err(GroupError::InvalidGroupId),
            None => Err(GroupError::GroupIdNotFound(format!("Group {group_id} not found."))),
            Some(Kind::Consumer(group)) => Ok(group.describe(turn)),
            Some(_) => Err(not_consumer(group_id)),
        }
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
        if let Kind::Consumer(group) = &mut self.kind {
            return group.heartbeat(turn, request, actions);
        }
        // What comes of it takes effect as a whole or not at all.
        let mut made = Actions::default();
        let mut group = match &mut self.kind {
            Kind::Simple | Kind::Classic(_) if !joins => {
                return Err(GroupError::GroupIdNotFound(format!("Consumer group {id} not found.")));
            }
            Kind::Simple => ConsumerGroup::new(id.clone()),
            Kind::Classic(classic) if classic.is_empty() => ConsumerGroup::new(id.clone()),
            Kind::Classic(classic) => upgraded(turn, classic, &mut made)?,
            Kind::Share(_) | Kind::Consumer(_) => return Err(not_consumer(id.as_str())),
        };
        let answer = group.heartbeat(turn, request, &mut made)?;
        if let Kind::Classic(classic) = &mut self.kind {
            classic.dissolve(actions);
            classic.delete(actions);
        }
        actions.records.append(&mut made.records);
        self.kind = Kind::Consumer(Box::new(group));
        Ok(answer)
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
        self.consumer_depart(turn, std::slice::from_ref(&member), actions);
        Ok(answer(&member, request.member_epoch))
    }

    /// Does what is due by now in a consumer group.
    pub(in crate::coordinator::group) fn consumer_on_time(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        if let Kind::Consumer(group) = &mut self.kind {
            let late = group.late(turn.now);
            self.consumer_depart(turn, &late, actions);
        }
    }

    /// An empty consumer group gives way to a classic one: its last records are written, and its offsets stay.
    pub(in crate::coordinator::group) fn consumer_gives_way(&mut self, actions: &mut Actions) {
        if let Kind::Consumer(group) = &self.kind
            && group.is_empty()
        {
            group.push_tombstones(&group.id, actions);
            self.kind = Kind::Simple;
        }
    }

    /// JoinGroup at a consumer group that is not empty. It is answered at once: the broker assigns, so nobody has to wait.
    pub(in crate::coordinator::group) fn consumer_classic_join(
        &mut self,
        turn: &Turn<'_>,
        request: &JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) {
        let Kind::Consumer(group) = &mut self.kind else { return };
        let becomes_classic = |group: &ConsumerGroup, owner: &_| {
            group.becomes_classic_without(turn, std::slice::from_ref(owner), true)
        };
        let answer = match group.classic_join(turn, request, actions, becomes_classic) {
            Ok((entrant, downgrades)) => {
                if downgrades {
                    // Nobody hears of what is still on its way to it, unless all join again.
                    let rebalances = entrant.changed || group.state() != ConsumerGroupState::Stable;
                    self.downgrade(turn, rebalances, actions);
                }
                Ok(entrant.answer)
            }
            Err(error) => Err(error),
        };
        actions.joined.push((ticket, answer));
    }

    /// SyncGroup at a consumer group; answered at once.
    pub(in crate::coordinator::group) fn consumer_classic_sync(
        &mut self,
        turn: &Turn<'_>,
        request: &SyncRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) {
        if let Kind::Consumer(group) = &mut self.kind {
            actions.synced.push((ticket, group.classic_sync(turn, request)));
        }
    }

    /// LeaveGroup at a consumer group. A member that is named twice leaves once, and is answered twice.
    pub(in crate::coordinator::group) fn consumer_classic_leave(
        &mut self,
        turn: &Turn<'_>,
        leaving: Vec<Leaving>,
        actions: &mut Actions,
    ) -> Vec<Left> {
        let Kind::Consumer(group) = &self.kind else { return vec![] };
        let mut gone = vec![];
        let mut left = vec![];
        for Leaving { member_id, instance_id, .. } in leaving {
            let found = group.classic_leaving(&member_id, instance_id.as_deref());
            let outcome = found.map(|id| {
                if !gone.contains(&id) {
                    gone.push(id);
                }
            });
            left.push(Left { member_id, instance_id, outcome });
        }
        self.consumer_depart(turn, &gone, actions);
        left
    }
}

fn not_consumer(id: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {id} is not a consumer group."))
}
