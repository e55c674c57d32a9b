//! Who a request comes from, and whether it is to be heard.
//!
//! Key invariant: a member is heard in its epoch only, or in the one before if it may have missed the answer that told it the
//! new one: then it has no partition that it lost since.

use super::ConsumerGroup;
use super::member::{JOIN_EPOCH, Member, STATIC_LEAVE_EPOCH};
use crate::coordinator::group::space::bytes_of;
use crate::coordinator::group::{CONSUMER_GROUP_BYTES_MAX, MEMBER_FIXED_BYTES};
use crate::coordinator::records::consumer::{MemberValue, TopicPartitions};
use crate::coordinator::{GroupError, MemberId};

/// The first version of OffsetCommit that has member epochs.
const EPOCHS_FROM: i16 = 9;

impl ConsumerGroup {
    /// The member of that id.
    pub(super) fn known(&self, id: &str) -> Result<MemberId, GroupError> {
        let known = self.members.get_key_value(id).map(|(id, _)| id.clone());
        known.ok_or_else(|| self.unknown(id))
    }

    /// What a member hears that the group does not know.
    pub(super) fn unknown(&self, id: &str) -> GroupError {
        GroupError::UnknownMemberId(format!("Member {id} is not a member of group {}.", self.id))
    }

    /// The member of that id, which is the static member of that instance.
    pub(super) fn known_static(&self, instance: &str, id: &str) -> Result<MemberId, GroupError> {
        let Some(owner) = self.statics.get(instance) else {
            return Err(GroupError::UnknownMemberId(format!("Instance id {instance} is unknown.")));
        };
        if owner.as_str() == id {
            return Ok(owner.clone());
        }
        Err(GroupError::FencedInstanceId(format!(
            "Static member {id} with instance id {instance} was fenced by member {owner}."
        )))
    }

    /// Refuses a static member that joins while another one holds its place.
    pub(super) fn check_released(
        &self,
        instance: &str,
        id: &str,
        owner: &MemberId,
    ) -> Result<(), GroupError> {
        let member = self.members.get(owner.as_str());
        if member.is_none_or(|member| member.current.epoch == STATIC_LEAVE_EPOCH || member.is_classic()) {
            return Ok(());
        }
        Err(GroupError::UnreleasedInstanceId(format!(
            "Static member {id} with instance id {instance} cannot join the group because the instance id is \
             owned by {owner} member."
        )))
    }

    /// Refuses a new member where the group is full.
    pub(super) fn check_room(&self, members_max: u32, id: &str) -> Result<(), GroupError> {
        let full = self.members.len() >= members_max as usize;
        if !full || self.members.contains_key(id) {
            return Ok(());
        }
        Err(GroupError::GroupMaxSizeReached(format!(
            "The consumer group has reached its maximum capacity of {members_max} members."
        )))
    }

    /// Bytes that this member brought, or the one of this instance id.
    pub fn brought_by(&self, id: &str, instance_id: Option<&str>) -> Option<usize> {
        let of_instance = instance_id.and_then(|instance| self.statics.get(instance));
        let member = self.members.get(of_instance.map_or(id, MemberId::as_str));
        member.map(|member| bytes_of(&member.value))
    }

    /// Refuses what a member says of itself if the group has no room for it, unless it is less than what `holder`, the member
    /// itself or the one whose place it takes, said before.
    pub(super) fn check_space(&self, holder: &str, value: &MemberValue) -> Result<(), GroupError> {
        let before = self.brought_by(holder, None);
        let (before, brings) = (before.map_or(0, |bytes| MEMBER_FIXED_BYTES + bytes), bytes_of(value));
        let brings = MEMBER_FIXED_BYTES + brings;
        if brings <= before || self.member_bytes() - before + brings <= CONSUMER_GROUP_BYTES_MAX {
            return Ok(());
        }
        Err(GroupError::GroupMaxSizeReached(format!(
            "The members of group {} may take {CONSUMER_GROUP_BYTES_MAX} bytes.",
            self.id
        )))
    }

    /// Whether an offset commit is accepted. One without a member (a negative epoch) is while the group is empty.
    ///
    /// # Errors
    /// Unknown member; stale member epoch, or illegal generation of a member on the classic protocol; unsupported version of a
    /// member on the new protocol that commits with a version of OffsetCommit below 9, which has no member epochs.
    pub fn validate_commit(&self, member_id: &str, epoch: i32, version: i16) -> Result<(), GroupError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or_else(|| self.unknown(member_id))?;
        if version < EPOCHS_FROM && !member.is_classic() {
            let text =
                "OffsetCommit version 9 or above must be used by members using the modern group protocol";
            return Err(GroupError::UnsupportedVersion(text.to_owned()));
        }
        check_epoch_is(member, epoch)
    }

    /// Whether an OffsetFetch (from version 9 on) is accepted. One that names no member is.
    ///
    /// # Errors
    /// Unknown member; stale member epoch, or illegal generation of a member on the classic protocol.
    pub fn validate_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), GroupError> {
        let Some(member_id) = member_id else {
            return if epoch < 0 { Ok(()) } else { Err(self.unknown("null")) };
        };
        let member = self.members.get(member_id).ok_or_else(|| self.unknown(member_id))?;
        check_epoch_is(member, epoch)
    }
}

fn check_epoch_is(member: &Member, epoch: i32) -> Result<(), GroupError> {
    let expected = member.current.epoch;
    if epoch == expected {
        return Ok(());
    }
    if member.is_classic() {
        return Err(GroupError::IllegalGeneration);
    }
    Err(GroupError::StaleMemberEpoch(format!(
        "The received member epoch {epoch} does not match the expected member epoch {expected}."
    )))
}

/// Refuses a heartbeat from another epoch than the member's.
pub(super) fn check_epoch(
    member: &Member,
    epoch: i32,
    owned: Option<&[TopicPartitions]>,
) -> Result<(), GroupError> {
    let current = &member.current;
    // A member that joins again starts from nothing.
    if epoch == JOIN_EPOCH || epoch == current.epoch {
        return Ok(());
    }
    let has_only_its_own = owned.is_some_and(|owned| {
        owned.iter().all(|of| of.partitions.iter().all(|at| current.assigned.contains(of.topic_id, *at)))
    });
    if epoch < current.epoch && epoch == current.previous_epoch && has_only_its_own {
        return Ok(());
    }
    let than = if epoch > current.epoch { "greater" } else { "smaller" };
    Err(GroupError::FencedMemberEpoch(format!(
        "The consumer group member has a {than} member epoch ({epoch}) than the one known by the group \
         coordinator ({}). The member must abandon all its partitions and rejoin.",
        current.epoch
    )))
}
