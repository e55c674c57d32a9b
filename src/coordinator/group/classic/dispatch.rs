//! The requests of the classic protocol, by the kind of the group that they are for.
//!
//! Key invariant: a group of offsets only becomes a classic one when it is joined, and keeps its offsets. What members of the
//! classic protocol ask of a consumer group is left to `consumer`.

use super::join::{NAME_BYTES_MAX, bounded, brings_bytes, inconsistent, is_usable};
use super::{ClassicGroup, DescribedGroup, JoinRequest, Leaving, Left, State, SyncRequest, unknown_member};
use crate::config::GroupSettings;
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::{Actions, GroupError, GroupId, InstanceId, Ticket};

impl Groups {
    /// JoinGroup: `actions.joined` has the answer to `ticket`, now or later.
    pub fn join(
        &mut self,
        turn: &Turn<'_>,
        id: &GroupId,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) {
        let checked = checked(turn.settings, id, request).and_then(|request| {
            let instance_id = request.instance_id.as_ref().map(InstanceId::as_str);
            self.check_space(id, (&request.member_id, instance_id), brings_bytes(&request))?;
            Ok(request)
        });
        match checked {
            Ok(request) => self.change(id, |group| join_group(turn, (id, group), request, ticket, actions)),
            Err(error) => actions.joined.push((ticket, Err(error))),
        }
    }

    /// SyncGroup: `actions.synced` has the answer to `ticket`, now or later.
    pub fn sync(
        &mut self,
        turn: &Turn<'_>,
        id: &GroupId,
        request: SyncRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) {
        let unknown = || unknown_member(&request.member_id, id);
        let refusal = match self.get(id.as_str()).map(Group::kind) {
            _ if id.as_str().is_empty() => GroupError::InvalidGroupId,
            Some(Kind::Classic(_)) => {
                return self.change(id, |group| match &mut group.kind {
                    Kind::Classic(group) => group.on_sync(turn, request, ticket, actions),
                    _ => actions.synced.push((ticket, Err(unknown_member(&request.member_id, id)))),
                });
            }
            Some(Kind::Consumer(_)) => {
                return self.change(id, |group| group.consumer_classic_sync(turn, &request, ticket, actions));
            }
            Some(Kind::Simple | Kind::Share(_)) | None => unknown(),
        };
        actions.synced.push((ticket, Err(refusal)));
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// `InvalidGroupId`, `UnknownMemberId`, `FencedInstanceId`, `IllegalGeneration`; `RebalanceInProgress` if the member is to
    /// join again.
    pub fn heartbeat(
        &mut self,
        turn: &Turn<'_>,
        id: &GroupId,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        match self.get(id.as_str()).map(Group::kind) {
            _ if id.as_str().is_empty() => Err(GroupError::InvalidGroupId),
            Some(Kind::Classic(_)) => self.change(id, |group| match &mut group.kind {
                Kind::Classic(group) => group.on_heartbeat(turn, member_id, instance_id, generation),
                _ => Err(unknown_member(member_id, id)),
            }),
            Some(Kind::Consumer(_)) => self.change(id, |group| match &mut group.kind {
                Kind::Consumer(group) => group.classic_heartbeat(turn, member_id, instance_id, generation),
                _ => Err(unknown_member(member_id, id)),
            }),
            Some(Kind::Simple | Kind::Share(_)) | None => Err(group_not_found(id)),
        }
    }

    /// LeaveGroup: what came of each member.
    ///
    /// # Errors
    /// `InvalidGroupId`; an unknown group is told member by member.
    pub fn leave(
        &mut self,
        turn: &Turn<'_>,
        id: &GroupId,
        leaving: Vec<Leaving>,
        actions: &mut Actions,
    ) -> Result<Vec<Left>, GroupError> {
        match self.get(id.as_str()).map(Group::kind) {
            _ if id.as_str().is_empty() => Err(GroupError::InvalidGroupId),
            Some(Kind::Classic(_)) => Ok(self.change(id, |group| match &mut group.kind {
                Kind::Classic(group) => group.on_leave(turn, leaving, actions),
                _ => nobody_left(id, leaving),
            })),
            Some(Kind::Consumer(_)) => {
                Ok(self.change(id, |group| group.consumer_classic_leave(turn, leaving, actions)))
            }
            Some(Kind::Simple | Kind::Share(_)) | None => Ok(nobody_left(id, leaving)),
        }
    }

    /// DescribeGroups. A group of offsets only is shown as an empty classic group.
    ///
    /// # Errors
    /// `GroupIdNotFound` if there is none, or it is of another kind; the text says which.
    pub fn describe_classic(&self, id: &str) -> Result<DescribedGroup, GroupError> {
        match self.get(id).map(Group::kind) {
            Some(Kind::Classic(group)) => Ok(group.describe()),
            Some(Kind::Simple) => {
                Ok(DescribedGroup { state: State::Empty.name(), ..DescribedGroup::default() })
            }
            Some(Kind::Consumer(_) | Kind::Share(_)) => {
                Err(GroupError::GroupIdNotFound(format!("Group {id} is not a classic group.")))
            }
            None => Err(GroupError::GroupIdNotFound(format!("Group {id} not found."))),
        }
    }
}

/// A JoinGroup whose fields are within bounds.
fn checked(settings: &GroupSettings, id: &GroupId, request: JoinRequest) -> Result<JoinRequest, GroupError> {
    if !(1..=NAME_BYTES_MAX).contains(&id.as_str().len()) {
        return Err(GroupError::InvalidGroupId);
    }
    let bounds = settings.classic.session_ms_min..=settings.classic.session_ms_max;
    if !bounds.contains(&request.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout);
    }
    bounded(request)
}

fn join_group(
    turn: &Turn<'_>,
    group: (&GroupId, &mut Group),
    request: JoinRequest,
    ticket: Ticket,
    actions: &mut Actions,
) {
    let (id, group) = group;
    if is_usable(&request) && request.member_id.is_empty() {
        group.consumer_gives_way(actions);
    }
    let refusal = match &mut group.kind {
        Kind::Classic(group) => return group.on_join(turn, request, ticket, actions),
        Kind::Simple if !is_usable(&request) => inconsistent(&request),
        Kind::Simple if !request.member_id.is_empty() => unknown_member(&request.member_id, id),
        Kind::Simple => {
            let mut classic = ClassicGroup::new(id.clone(), turn.now);
            // So that the group is there after a restart, though nobody has been given an assignment yet.
            actions.records.push(classic.to_record());
            classic.on_join(turn, request, ticket, actions);
            group.kind = Kind::Classic(Box::new(classic));
            return;
        }
        Kind::Consumer(consumer) if consumer.is_empty() && !request.member_id.is_empty() => {
            unknown_member(&request.member_id, id)
        }
        Kind::Consumer(consumer) if consumer.is_empty() => inconsistent(&request),
        Kind::Consumer(_) => return group.consumer_classic_join(turn, &request, ticket, actions),
        Kind::Share(_) => inconsistent(&request),
    };
    actions.joined.push((ticket, Err(refusal)));
}

fn nobody_left(id: &GroupId, leaving: Vec<Leaving>) -> Vec<Left> {
    let stays = |Leaving { member_id, instance_id, .. }: Leaving| Left {
        outcome: Err(unknown_member(&member_id, id)),
        member_id,
        instance_id,
    };
    leaving.into_iter().map(stays).collect()
}

fn group_not_found(id: &GroupId) -> GroupError {
    GroupError::UnknownMemberId(format!("Group {id} not found."))
}
