//! JoinGroup: who is let in, under which id, and whether a rebalance follows.
//!
//! Key invariant: after the event the ticket is answered, or its member waits. A member that joins supports a protocol that all
//! others support.

use std::collections::HashSet;

use super::member::protocols_bytes;
use super::record::RECORD_BYTES_MAX;
use super::{
    ClassicGroup, Due, JoinRequest, Joined, Member, NEW_MEMBER_JOIN_MS, State, Turn, unknown_member,
};
use crate::coordinator::{Actions, GroupError, InstanceId, MemberId, Ticket};

/// Ids of one group that were given out and not used yet: a client that asks for ever new ones is refused beyond this.
pub(super) const PENDING_MEMBERS_MAX: usize = 10_000;
/// Protocols of one member; clients have one per assignor.
pub(super) const PROTOCOLS_MAX: usize = 1_000;

/// Bytes that the members of one group may bring, and of the ids that were given out. A member brings bytes for each of its
/// protocols, of which the group's record holds one.
pub(super) const GROUP_BYTES_MAX: usize = 8 * RECORD_BYTES_MAX;

/// The longest name of a client, instance, protocol or group, in bytes: with the rest of a member id it is what a record holds.
pub(super) const NAME_BYTES_MAX: usize = i16::MAX as usize - MEMBER_ID_SUFFIX_BYTES;
/// A dash and a UUID.
const MEMBER_ID_SUFFIX_BYTES: usize = 37;

/// What comes of a JoinGroup that is not refused.
enum Admitted {
    /// The member waits, or was answered together with all others.
    Waits,
    Now(Box<Joined>),
}

impl ClassicGroup {
    /// Lets a member in, or back in. The request's protocols have gone through [`bounded`].
    pub(super) fn on_join(
        &mut self,
        turn: &Turn<'_>,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) {
        match self.admit(turn, request, ticket, actions) {
            Ok(Admitted::Waits) => {}
            Ok(Admitted::Now(joined)) => actions.joined.push((ticket, Ok(*joined))),
            Err(error) => actions.joined.push((ticket, Err(error))),
        }
        self.check_in_debug();
    }

    fn admit(
        &mut self,
        turn: &Turn<'_>,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Result<Admitted, GroupError> {
        if !self.has_room_for(turn, &request.member_id) {
            // What is left of a member that comes too late goes, and nobody waits for it.
            self.remove_member(&request.member_id, actions);
            self.remove_pending(&request.member_id);
            self.complete_join_if_all_and_not_initial(turn, actions);
            return Err(GroupError::GroupMaxSizeReached(format!("group {} is full", self.id)));
        }
        if !self.supports(&request) {
            return Err(inconsistent(&request));
        }
        if !self.has_space_for(&request) {
            let text = format!("the members of group {} may bring {GROUP_BYTES_MAX} bytes", self.id);
            return Err(GroupError::GroupMaxSizeReached(text));
        }
        if request.member_id.is_empty() {
            self.admit_new(turn, request, ticket, actions)
        } else {
            self.admit_known(turn, request, ticket, actions)
        }
    }

    /// Whether one more member is allowed by `group.max.size`. While a rebalance is prepared those count that have joined it, so
    /// that the last ones to rejoin are left out when the limit was lowered.
    fn has_room_for(&self, turn: &Turn<'_>, member_id: &str) -> bool {
        let members_max = turn.settings.classic.members_max as usize;
        let member = self.roster.member(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.joining.is_some()) || self.roster.joining() < members_max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.roster.len() < members_max,
        }
    }

    /// Whether what the member brings is within the group's bound, or no more than it brought before.
    fn has_space_for(&self, request: &JoinRequest) -> bool {
        let instance = request.instance_id.as_ref().map_or("", InstanceId::as_str);
        let known = self.roster.static_member(instance).map_or(request.member_id.as_str(), MemberId::as_str);
        let before = self.roster.member(known).map_or(0, Member::brought_bytes);
        let brings = brings_bytes(request);
        brings <= before || self.roster.brought_bytes() - before + brings <= GROUP_BYTES_MAX
    }

    /// Whether the protocols go with those of all members.
    fn supports(&self, request: &JoinRequest) -> bool {
        match self.state {
            State::Empty => is_usable(request),
            _ => {
                self.protocol_type.as_deref() == Some(request.protocol_type.as_str())
                    && self.roster.supports_any(&request.protocols)
            }
        }
    }

    fn admit_new(
        &mut self,
        turn: &Turn<'_>,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Result<Admitted, GroupError> {
        let id = fresh_id(&request);
        if self.roster.contains(id.as_str()) || self.roster.is_pending(id.as_str()) {
            return Err(unknown_member(id.as_str(), &self.id));
        }
        if let Some(instance_id) = request.instance_id.clone() {
            return Ok(match self.roster.static_member(instance_id.as_str()).cloned() {
                Some(old_id) => self.replace_static(turn, (old_id, id), request, ticket, actions),
                None => self.add_member(turn, id, request, ticket, actions),
            });
        }
        if !request.requires_known_member {
            return Ok(self.add_member(turn, id, request, ticket, actions));
        }
        if self.roster.pending_count() >= PENDING_MEMBERS_MAX {
            let text =
                format!("too many members of group {} were given an id and have not joined yet", self.id);
            return Err(GroupError::GroupMaxSizeReached(text));
        }
        self.roster.add_pending(id.clone());
        self.set_timer(turn, Due::Session(id.clone()), request.session_timeout_ms);
        Err(GroupError::MemberIdRequired(id))
    }

    fn admit_known(
        &mut self,
        turn: &Turn<'_>,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Result<Admitted, GroupError> {
        if self.roster.is_pending(&request.member_id) {
            // Only members without an instance id are told an id first.
            if request.instance_id.is_some() {
                return Err(unknown_member(&request.member_id, &self.id));
            }
            let id = MemberId::from(request.member_id.as_str());
            return Ok(self.add_member(turn, id, request, ticket, actions));
        }
        let instance_id = request.instance_id.as_ref().map(InstanceId::as_str);
        let id = self.validate_member(&request.member_id, instance_id)?;
        let is_same = self.member(id.as_str()).is_some_and(|member| member.protocols == request.protocols);
        match self.state {
            State::Empty => Err(unknown_member(id.as_str(), &self.id)),
            State::PreparingRebalance => Ok(self.rejoin(turn, &id, request, ticket, actions)),
            // The member may not have received the answer to its first JoinGroup.
            State::CompletingRebalance if is_same => Ok(Admitted::Now(Box::new(self.joined(&id)))),
            State::CompletingRebalance => Ok(self.rejoin(turn, &id, request, ticket, actions)),
            // A leader rejoins when something that decides the assignment has changed, though its own metadata has not.
            State::Stable if is_same && !self.roster.is_leader(id.as_str()) => {
                Ok(Admitted::Now(Box::new(self.joined(&id))))
            }
            State::Stable => Ok(self.rejoin(turn, &id, request, ticket, actions)),
        }
    }

    fn add_member(
        &mut self,
        turn: &Turn<'_>,
        id: MemberId,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Admitted {
        if let Some(initial) = &mut self.initial {
            initial.member_came = true;
        }
        if self.roster.is_empty() {
            self.protocol_type = Some(request.protocol_type);
        }
        self.roster.insert(Member {
            id: id.clone(),
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols,
            assignment: bytes::Bytes::new(),
            joining: Some(ticket),
            syncing: None,
            is_new: true,
        });
        self.set_timer(turn, Due::Session(id), NEW_MEMBER_JOIN_MS);
        self.rebalance_or_complete(turn, actions);
        Admitted::Waits
    }

    fn rejoin(
        &mut self,
        turn: &Turn<'_>,
        id: &MemberId,
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Admitted {
        self.update_member(id, &request, ticket, actions);
        self.rebalance_or_complete(turn, actions);
        Admitted::Waits
    }

    fn update_member(&mut self, id: &MemberId, request: &JoinRequest, ticket: Ticket, actions: &mut Actions) {
        self.roster.set_protocols(id.as_str(), request.protocols.clone());
        self.roster.set_timeouts(id.as_str(), request.rebalance_timeout_ms, request.session_timeout_ms);
        if let Some(earlier) = self.roster.set_joining(id.as_str(), Some(ticket)) {
            // The client gave up on its earlier request.
            actions.joined.push((earlier, Err(GroupError::RebalanceInProgress)));
        }
    }

    /// A static member starts anew without its id: it takes the place of the member of its instance id (KIP-345). `ids` are the
    /// one it had and the one it gets.
    fn replace_static(
        &mut self,
        turn: &Turn<'_>,
        ids: (MemberId, MemberId),
        request: JoinRequest,
        ticket: Ticket,
        actions: &mut Actions,
    ) -> Admitted {
        let (old_id, id) = ids;
        let leader_before = self.leader().cloned();
        let Some(old) = self.roster.rename(old_id.as_str(), id.clone()) else { return Admitted::Waits };
        self.timers.cancel(&Due::Session(old_id));
        let fenced =
            || GroupError::FencedInstanceId("another client has joined with this instance id".to_owned());
        actions.joined.extend(old.joining.map(|ticket| (ticket, Err(fenced()))));
        actions.synced.extend(old.syncing.map(|ticket| (ticket, Err(fenced()))));
        self.renew_session(turn, &id);
        self.update_member(&id, &request, ticket, actions);
        match self.state {
            State::Stable if self.roster.select_protocol() == self.protocol && self.fits_record() => {
                self.roster.set_joining(id.as_str(), None);
                self.read_topics();
                actions.records.push(self.to_record());
                let mut joined = self.joined(&id);
                if request.supports_skipping_assignment {
                    joined.skip_assignment = self.roster.is_leader(id.as_str());
                } else if let Some(leader) = leader_before {
                    // An older client that leads must not assign anew, so it is told that its former self leads.
                    joined.leader = leader;
                    joined.members.clear();
                }
                Admitted::Now(Box::new(joined))
            }
            State::Stable | State::CompletingRebalance => {
                // The leader may have the old id in the assignment that it is working on.
                self.prepare_rebalance(turn, actions);
                Admitted::Waits
            }
            State::PreparingRebalance | State::Empty => {
                self.complete_join_if_all_and_not_initial(turn, actions);
                Admitted::Waits
            }
        }
    }

    /// What a member is told of the present generation.
    pub(super) fn joined(&self, id: &MemberId) -> Joined {
        let is_leader = self.roster.is_leader(id.as_str());
        Joined {
            member_id: id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader().unwrap_or(id).clone(),
            skip_assignment: false,
            members: if is_leader { self.joined_members() } else { vec![] },
        }
    }
}

/// A request as the group takes it: names and bytes that a record can hold, each protocol once, at most [`PROTOCOLS_MAX`].
pub(super) fn bounded(mut request: JoinRequest) -> Result<JoinRequest, GroupError> {
    let mut names = HashSet::new();
    let mut kept = Vec::new();
    for (name, metadata) in std::mem::take(&mut request.protocols) {
        if names.insert(name.clone()) {
            kept.push((name, metadata));
        }
    }
    if kept.len() > PROTOCOLS_MAX {
        let text = format!("a member may have {PROTOCOLS_MAX} protocols, not {}", kept.len());
        return Err(GroupError::InconsistentGroupProtocol(text));
    }
    if kept.iter().any(|(_, metadata)| metadata.len() > RECORD_BYTES_MAX) {
        let text = format!("a member's metadata is larger than {RECORD_BYTES_MAX} bytes");
        return Err(GroupError::GroupTooLarge(text));
    }
    request.protocols = kept;
    let instance = request.instance_id.as_ref().map_or(0, |id| id.as_str().len());
    let of_protocols = request.protocols.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let longest = [request.client_id.len(), instance, request.protocol_type.len(), of_protocols];
    if longest.into_iter().any(|bytes| bytes > NAME_BYTES_MAX) {
        return Err(GroupError::InvalidRequest(format!("a name is longer than {NAME_BYTES_MAX} bytes")));
    }
    Ok(request)
}

/// What a member brings, with the id that it has or gets.
pub(super) fn brings_bytes(request: &JoinRequest) -> usize {
    let instance = request.instance_id.as_ref().map_or(0, |id| id.as_str().len());
    let name = request.client_id.len().max(instance);
    let id = request.member_id.len().max(name + MEMBER_ID_SUFFIX_BYTES);
    id + instance + request.client_id.len() + protocols_bytes(&request.protocols)
}

/// Whether a member can be the first of a group.
pub(super) fn is_usable(request: &JoinRequest) -> bool {
    !request.protocol_type.is_empty() && !request.protocols.is_empty()
}

/// What a member hears whose protocols do not go with those of the others.
pub(super) fn inconsistent(request: &JoinRequest) -> GroupError {
    GroupError::InconsistentGroupProtocol(format!(
        "no protocol of type '{}' that the member has is supported by all members",
        request.protocol_type
    ))
}

/// An id as Kafka forms it: of the instance id or the client id.
fn fresh_id(request: &JoinRequest) -> MemberId {
    let name = request.instance_id.as_ref().map_or(request.client_id.as_str(), InstanceId::as_str);
    MemberId::from(format!("{name}-{}", request.fresh.hyphenated()))
}
