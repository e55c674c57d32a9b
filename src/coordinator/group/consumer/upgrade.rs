//! A classic group becomes a consumer group, when a member of the new protocol joins (KIP-848).
//!
//! Key invariant: the members keep their partitions, also lost ones that they may still work on, and their generation is their
//! epoch: who speaks the classic protocol notices no more than one rebalance. A group that cannot be understood in full stays
//! as it is.

use super::ConsumerGroup;
use super::classic::by_id;
use super::embedded;
use super::member::{Current, normal};
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::group::classic::{self, ClassicGroup};
use crate::coordinator::group::space::bytes_of;
use crate::coordinator::group::{CONSUMER_GROUP_BYTES_MAX, MEMBER_FIXED_BYTES, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::{
    ClassicMember, GroupValue, MemberState, MemberValue, TargetMemberValue, TargetValue,
};
use crate::coordinator::{Actions, GroupError, MemberId};

/// A member as the consumer group will have it.
struct Migrated {
    id: MemberId,
    value: MemberValue,
    assigned: Assignment,
    /// What it said that it has when it last joined.
    claimed: Assignment,
}

/// The consumer group that this group becomes, and the records of it.
pub(super) fn upgraded(
    turn: &Turn<'_>,
    classic: &ClassicGroup,
    actions: &mut Actions,
) -> Result<ConsumerGroup, GroupError> {
    let settings = &turn.settings.consumer;
    let cannot = |why: &str| {
        let text = format!("Cannot upgrade classic group {} to consumer group because {why}.", classic.id());
        GroupError::GroupIdNotFound(text)
    };
    if !settings.migration.upgrades() {
        return Err(cannot("online upgrade is disabled"));
    }
    if !classic.is_consumer_type() {
        return Err(cannot("the group does not use the consumer embedded protocol"));
    }
    if classic.members().len() > settings.members_max as usize {
        return Err(cannot("the group size exceeds the consumer group maximum size"));
    }
    let mut taken = Assignment::default();
    let mut members: Vec<Migrated> = vec![];
    let mut bytes = 0;
    for member in classic.members() {
        let migrated = migrated(turn, classic, member, &mut taken).map_err(cannot)?;
        // Topics take more as names than in the bytes that they came in.
        bytes += MEMBER_FIXED_BYTES + bytes_of(&migrated.value);
        if bytes > CONSUMER_GROUP_BYTES_MAX {
            return Err(cannot("its members take too much memory"));
        }
        members.push(migrated);
    }
    // A cooperative member works on what it loses until it hears its assignment; whether it has is not known before it joins again.
    for member in &mut members {
        let claimed = std::mem::take(&mut member.claimed);
        member.claimed = claimed.iter().filter(|at| !taken.contains(at.0, at.1)).collect();
        member.claimed.iter().for_each(|at| taken.insert(at.0, at.1));
    }
    let mut group = ConsumerGroup::new(classic.id().clone());
    group.adopt(turn, classic.generation(), &members, actions);
    Ok(group)
}

fn migrated(
    turn: &Turn<'_>,
    classic: &ClassicGroup,
    member: &classic::Member,
    taken: &mut Assignment,
) -> Result<Migrated, &'static str> {
    const MALFORMED: &str = "the embedded consumer protocol is malformed";
    let chosen = classic.protocol().and_then(|name| member.metadata(name));
    let said = chosen.or_else(|| member.protocols.first().map(|(_, bytes)| bytes)).ok_or(MALFORMED)?;
    let subscription = embedded::subscription(said).ok_or(MALFORMED)?;
    let assigned = embedded::assigned(&member.assignment).ok_or(MALFORMED)?;
    if assigned.has_user_data {
        return Err(
            "an unsupported custom assignor is in use. Please refer to the documentation or switch to a \
                    default assignor before re-attempting the upgrade",
        );
    }
    let mut partitions = Assignment::from_list(&by_id(&assigned.partitions, turn.image));
    // A leader may have given a partition twice: the first one has it.
    partitions = partitions.iter().filter(|at| !taken.contains(at.0, at.1)).collect();
    partitions.iter().for_each(|at| taken.insert(at.0, at.1));
    let claimed = Assignment::from_list(&by_id(&subscription.owned, turn.image));
    let value = normal(MemberValue {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topics: subscription.topics,
        subscribed_regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    });
    Ok(Migrated { id: member.id.clone(), value, assigned: partitions, claimed })
}

impl ConsumerGroup {
    /// Takes over members with what they have, in the order of Kafka's records.
    fn adopt(&mut self, turn: &Turn<'_>, generation: i32, members: &[Migrated], actions: &mut Actions) {
        let group = self.id.clone();
        let mut records = vec![];
        let each = |record: &dyn Fn(&Migrated) -> GroupRecord| members.iter().map(record).collect::<Vec<_>>();
        records.extend(each(&|of| {
            GroupRecord::ConsumerMember(group.clone(), of.id.clone(), Some(of.value.clone()))
        }));
        let value = GroupValue { epoch: generation, metadata_hash: 0 };
        records.push(GroupRecord::ConsumerGroup(group.clone(), Some(value)));
        records.extend(each(&|of| {
            let value = TargetMemberValue { partitions: of.assigned.to_list() };
            GroupRecord::ConsumerTargetMember(group.clone(), of.id.clone(), Some(value))
        }));
        let value = TargetValue { assignment_epoch: generation };
        records.push(GroupRecord::ConsumerTarget(group.clone(), Some(value)));
        records.extend(each(&|of| {
            let gives_up = !of.claimed.is_empty();
            let current = Current {
                epoch: generation,
                previous_epoch: generation,
                state: if gives_up { MemberState::UnrevokedPartitions } else { MemberState::Stable },
                assigned: of.assigned.clone(),
                revoking: of.claimed.clone(),
            };
            GroupRecord::ConsumerCurrent(group.clone(), of.id.clone(), Some(current.to_value()))
        }));
        for record in records {
            self.emit(record, actions);
        }
        for Migrated { id, .. } in members {
            self.renew_session(turn, id);
        }
    }
}
