//! Members of a consumer group that speak the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup (KIP-848, online
//! migration). Joining takes the place of a heartbeat that says what the member has.
//!
//! Key invariant: the generation of such a member is its epoch, and it is told to join again whenever a heartbeat of the new
//! protocol would have told it another assignment. Nobody leads: the broker assigns.

use bytes::Bytes;

use super::ConsumerGroup;
use super::alarms::Alarm;
use super::embedded::{self, NamedPartitions};
use super::heartbeat::Place;
use super::member::{Member, nobody, normal};
use super::request::MEMBER_BYTES_MAX;
use crate::coordinator::group::Turn;
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::group::classic::{JoinRequest, Joined, SyncRequest, Synced};
use crate::coordinator::records::consumer::{ClassicMember, MemberState, MemberValue, TopicPartitions};
use crate::coordinator::{Actions, GroupError, InstanceId, MemberId};
use crate::metadata::Image;
use crate::model::PartitionIndex;

/// The protocol type of members that can live in a consumer group.
pub(super) const CONSUMER: &str = "consumer";

/// A member that has joined, before it is told so.
pub(super) struct Entrant {
    pub answer: Joined,
    /// Whether its subscription is another one than that of the static member whose place it took.
    pub changed: bool,
}

impl ConsumerGroup {
    /// JoinGroup of a member of a group that is not empty. `becomes_classic` tells whether the group is a classic one as soon
    /// as this member has taken the place of that static member.
    pub(super) fn classic_join(
        &mut self,
        turn: &Turn<'_>,
        request: &JoinRequest,
        actions: &mut Actions,
        becomes_classic: impl Fn(&Self, &MemberId) -> bool,
    ) -> Result<(Entrant, bool), GroupError> {
        self.check_room(turn.settings.consumer.members_max, &request.member_id)?;
        self.check_protocols(request)?;
        let is_unknown = request.member_id.is_empty();
        let id: MemberId =
            if is_unknown { request.fresh.to_string().into() } else { request.member_id.as_str().into() };
        if is_unknown && request.instance_id.is_none() && request.requires_known_member {
            return Err(GroupError::MemberIdRequired(id));
        }
        let (place, id) = self.classic_place(id, request)?;
        let Some(subscription) =
            request.protocols.first().and_then(|(_, bytes)| embedded::subscription(bytes))
        else {
            let text = format!("The subscription of member {id} cannot be read.");
            return Err(GroupError::InconsistentGroupProtocol(text));
        };
        if place == Place::New && !is_unknown && !subscription.owned.is_empty() {
            // It was removed, and has yet to hear of it: what it believes to have may be with others. Without anything it may
            // be one that was told this id.
            return Err(self.unknown(id.as_str()));
        }
        check_size(request)?;
        let holder = if let Place::Of(owner) = &place { owner } else { &id };
        let known = self.members.get(holder).map_or_else(nobody, |member| member.value.clone());
        let owned = by_id(&subscription.owned, turn.image);
        let value = said(&known, request, subscription.topics, subscription.rack);
        self.check_space(holder.as_str(), &value)?;
        let mut downgrades = false;
        if let Some(instance) = &request.instance_id
            && let Some(owner) = self.statics.get(instance.as_str()).cloned()
        {
            downgrades = becomes_classic(self, &owner);
        }
        if let Place::Of(owner) = &place {
            self.replace(owner, &id, actions);
        }
        let change = self.update(&id, value, place == Place::New, actions);
        if downgrades && change.any() {
            // The classic group rebalances at once, so there is nothing to be gained from a target of this one.
            self.drop_unused_patterns(actions);
        } else {
            self.settle(turn, &id, change, Some(&owned), actions);
        }
        self.cancel_alarm(&id, Alarm::Join);
        self.cancel_alarm(&id, Alarm::Rebalance);
        self.renew_session(turn, &id);
        self.set_alarm(turn.now, &id, Alarm::Sync, request.rebalance_timeout_ms);
        self.checked();
        let answer = Joined {
            member_id: id.clone(),
            generation: self.members[&id].current.epoch,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol: request.protocols.first().map(|(name, _)| name.clone()),
            leader: MemberId::from(""),
            skip_assignment: false,
            members: vec![],
        };
        Ok((Entrant { answer, changed: change.any() }, downgrades))
    }

    fn classic_place(&self, id: MemberId, request: &JoinRequest) -> Result<(Place, MemberId), GroupError> {
        let owner =
            request.instance_id.as_ref().map(|instance| (instance, self.statics.get(instance.as_str())));
        match owner {
            Some((_, Some(owner))) if request.member_id.is_empty() => Ok((Place::Of(owner.clone()), id)),
            Some((instance, _)) if !request.member_id.is_empty() => {
                Ok((Place::Known, self.known_static(instance.as_str(), id.as_str())?))
            }
            _ if self.members.contains_key(id.as_str()) => Ok((Place::Known, id)),
            _ => Ok((Place::New, id)),
        }
    }

    /// Refuses protocols of which none is supported by all others that speak the classic protocol.
    fn check_protocols(&self, request: &JoinRequest) -> Result<(), GroupError> {
        let others = || self.members.values().filter_map(|member| member.value.classic.as_ref());
        let by_all = |name: &str| others().all(|other| other.protocols.iter().any(|(of, _)| of == name));
        if request.protocol_type == CONSUMER && request.protocols.iter().any(|(name, _)| by_all(name)) {
            return Ok(());
        }
        let text = format!("Member {}'s protocols are not supported.", request.member_id);
        Err(GroupError::InconsistentGroupProtocol(text))
    }

    /// SyncGroup: the member asks for what its step gave it.
    pub(super) fn classic_sync(
        &mut self,
        turn: &Turn<'_>,
        request: &SyncRequest,
    ) -> Result<Synced, GroupError> {
        let instance_id = request.instance_id.as_ref().map(InstanceId::as_str);
        let id = self.classic_member(&request.member_id, instance_id, request.generation)?;
        let member = &self.members[&id];
        let (name, subscription) = first_protocol(member);
        let other = |told: &Option<String>, own: &str| told.as_deref().is_some_and(|told| told != own);
        if other(&request.protocol_type, CONSUMER) || other(&request.protocol, name) {
            let text = format!("The protocol of member {id} is {name} of type {CONSUMER}.");
            return Err(GroupError::InconsistentGroupProtocol(text));
        }
        // A member that is to give something up has joined already, and is told to join again when it has.
        let revoking = member.current.state == MemberState::UnrevokedPartitions;
        if self.epoch > member.current.epoch && !revoking {
            self.expect_join(turn, &id);
            return Err(GroupError::RebalanceInProgress);
        }
        let assignment = bytes_of(&member.current.assigned, subscription, turn.image);
        self.cancel_alarm(&id, Alarm::Sync);
        self.renew_session(turn, &id);
        Ok(Synced {
            protocol_type: request.protocol_type.clone(),
            protocol: request.protocol.clone(),
            assignment,
        })
    }

    /// Heartbeat: the member is alive, and hears whether to join again.
    pub(in crate::coordinator::group) fn classic_heartbeat(
        &mut self,
        turn: &Turn<'_>,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        let id = self.classic_member(member_id, instance_id, generation)?;
        self.renew_session(turn, &id);
        let current = &self.members[&id].current;
        let rejoins = current.epoch < self.epoch
            || match current.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits(&id),
                MemberState::Stable | MemberState::Unknown => false,
            };
        if rejoins {
            self.expect_join(turn, &id);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a partition of the member's target is still with another one.
    fn waits(&self, id: &MemberId) -> bool {
        let (Some(member), Some(target)) = (self.members.get(id), self.targets.get(id)) else { return false };
        target.iter().any(|at| !member.current.assigned.contains(at.0, at.1) && self.owners.contains_key(&at))
    }

    /// The member is to join within its rebalance timeout, counted from when it was first told so.
    fn expect_join(&mut self, turn: &Turn<'_>, id: &MemberId) {
        if self.alarms.deadline(&(id.clone(), Alarm::Join)).is_none() {
            let timeout_ms = self.members[id].value.rebalance_timeout_ms;
            self.set_alarm(turn.now, id, Alarm::Join, timeout_ms);
        }
    }

    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<MemberId, GroupError> {
        let id = match instance_id {
            None => self.known(member_id)?,
            Some(instance) => self.known_static(instance, member_id)?,
        };
        self.check_classic(&id)?;
        if self.members[&id].current.epoch == generation {
            Ok(id)
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    /// Which member LeaveGroup means, by its id, or by its instance id alone as an administrator has it. It may speak either
    /// protocol: whoever administers a group removes members with LeaveGroup alone.
    pub(super) fn classic_leaving(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<MemberId, GroupError> {
        match instance_id {
            None => self.known(member_id),
            Some(instance) if member_id.is_empty() => {
                let owner = self.statics.get(instance).cloned();
                let unknown = || GroupError::UnknownMemberId(format!("Instance id {instance} is unknown."));
                owner.ok_or_else(unknown)
            }
            Some(instance) => self.known_static(instance, member_id),
        }
    }

    fn check_classic(&self, id: &MemberId) -> Result<(), GroupError> {
        if self.members.get(id).is_some_and(Member::is_classic) {
            return Ok(());
        }
        Err(GroupError::UnknownMemberId(format!("Member {id} does not use the classic protocol.")))
    }
}

/// Refuses a member that would not fit into its record.
fn check_size(request: &JoinRequest) -> Result<(), GroupError> {
    let protocols = request.protocols.iter().map(|(name, bytes)| name.len() + bytes.len());
    // The topics are in the subscription, and by themselves.
    if 2 * protocols.sum::<usize>() + request.client_id.len() <= MEMBER_BYTES_MAX {
        return Ok(());
    }
    Err(GroupError::GroupTooLarge(format!("A member may take {MEMBER_BYTES_MAX} bytes.")))
}

/// What is known of a member after it joined.
fn said(
    known: &MemberValue,
    request: &JoinRequest,
    topics: Vec<String>,
    rack: Option<String>,
) -> MemberValue {
    normal(MemberValue {
        instance_id: request.instance_id.clone().or_else(|| known.instance_id.clone()),
        rack_id: rack.or_else(|| known.rack_id.clone()),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        subscribed_topics: topics,
        // The classic protocol has no patterns that the broker knows of.
        subscribed_regex: None,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        server_assignor: known.server_assignor.clone(),
        classic: Some(ClassicMember {
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
        }),
    })
}

/// The protocol that a member on the classic protocol prefers, with its subscription.
fn first_protocol(member: &Member) -> (&str, &[u8]) {
    let first = member.value.classic.as_ref().and_then(|classic| classic.protocols.first());
    first.map_or(("", &[]), |(name, bytes)| (name, bytes))
}

/// Partitions by the ids of topics that exist.
pub(super) fn by_id(named: &[NamedPartitions], image: &Image) -> Vec<TopicPartitions> {
    let topics = named.iter().filter_map(|(name, partitions)| {
        let topic_id = image.topic(name)?.id;
        Some(TopicPartitions {
            topic_id,
            partitions: partitions.iter().copied().map(PartitionIndex).collect(),
        })
    });
    topics.collect()
}

/// An assignment in the version of this subscription. Topics that are gone are left out.
pub(super) fn bytes_of(assigned: &Assignment, subscription: &[u8], image: &Image) -> Bytes {
    let named = assigned.topics().filter_map(|(id, partitions)| {
        let name = image.topic_by_id(id)?.name.clone();
        Some((name, partitions.iter().map(|at| at.get()).collect()))
    });
    let version = embedded::subscription(subscription).map_or(0, |subscription| subscription.version);
    embedded::assignment(version, &named.collect::<Vec<_>>())
}
