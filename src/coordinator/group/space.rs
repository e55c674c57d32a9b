//! What members may take of the coordinator's memory: all members of one group, and those of all groups of a partition.
//!
//! Key invariant: the sum over the groups is kept with every event, live as on load. A request that would bring more than is
//! left is refused before anything changes; one that brings no more than its member brought before never is, so a full
//! coordinator goes on with whom it has. A share group by itself is bounded by its number of members.

use super::{Group, Groups, Kind};
use crate::coordinator::records::{consumer, share};
use crate::coordinator::{GroupError, GroupId};

/// What a member takes beside what it brought: its entry, its deadlines, its place in the target.
pub const MEMBER_FIXED_BYTES: usize = 1_024;
/// What a name or a protocol takes beside its bytes.
const ENTRY_FIXED_BYTES: usize = 64;

/// Bytes that the members of one consumer group may take, with what their patterns matched: 16 times what the record of a
/// classic group may have. 1,000 members with 200 topics each, of names of 16 bytes, take this.
pub const CONSUMER_GROUP_BYTES_MAX: usize = 16_000_000;

/// Bytes that the members of all groups of one partition of `__consumer_offsets` may take: 1.6 GB if all 50 were full, and
/// room for 30,000 groups of one member in each.
pub const MEMBERS_BYTES_MAX: usize = 32_000_000;

/// What a member of a consumer group brought; nothing of one that has said nothing.
pub(super) fn bytes_of(value: &consumer::MemberValue) -> usize {
    let texts = [&value.rack_id, &value.subscribed_regex, &value.server_assignor];
    let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
    let instance = value.instance_id.as_ref().map_or(0, |id| id.as_str().len());
    let protocols = value.classic.iter().flat_map(|classic| &classic.protocols);
    let protocols = protocols.map(|(name, bytes)| ENTRY_FIXED_BYTES + name.len() + bytes.len());
    let caller = value.client_id.len() + value.client_host.len();
    caller + instance + texts + names_bytes(&value.subscribed_topics) + protocols.sum::<usize>()
}

/// What a member of a share group brought.
pub(super) fn bytes_of_share(value: &share::MemberValue) -> usize {
    let caller = value.client_id.len() + value.client_host.len();
    caller + value.rack_id.as_ref().map_or(0, String::len) + names_bytes(&value.subscribed_topics)
}

/// What a list of names takes.
pub(super) fn names_bytes(names: &[String]) -> usize {
    names.iter().map(|name| ENTRY_FIXED_BYTES + name.len()).sum()
}

impl Group {
    /// What its members take.
    pub(super) fn member_bytes(&self) -> usize {
        match &self.kind {
            Kind::Simple => 0,
            Kind::Classic(group) => group.brought_bytes() + group.members().len() * MEMBER_FIXED_BYTES,
            Kind::Consumer(group) => group.member_bytes(),
            Kind::Share(group) => group.brought_bytes() + group.member_count() * MEMBER_FIXED_BYTES,
        }
    }

    /// What one member takes.
    fn bytes_of_member(&self, member_id: &str, instance_id: Option<&str>) -> usize {
        let brought = match &self.kind {
            Kind::Classic(group) => group.brought_by(member_id, instance_id),
            Kind::Consumer(group) => group.brought_by(member_id, instance_id),
            Kind::Share(group) => group.brought_by(member_id),
            Kind::Simple => None,
        };
        brought.map_or(0, |bytes| MEMBER_FIXED_BYTES + bytes)
    }
}

impl Groups {
    /// What the members of all groups take, as it is kept.
    pub fn member_bytes(&self) -> usize {
        self.member_bytes
    }

    /// Refuses a member that brings more than there is left for all groups, and more than it brought before.
    pub(super) fn check_space(
        &self,
        group_id: &GroupId,
        (member_id, instance_id): (&str, Option<&str>),
        brings_bytes: usize,
    ) -> Result<(), GroupError> {
        let after = self.member_bytes + MEMBER_FIXED_BYTES + brings_bytes;
        if after <= MEMBERS_BYTES_MAX {
            return Ok(());
        }
        let group = self.get(group_id.as_str());
        let before = group.map_or(0, |group| group.bytes_of_member(member_id, instance_id));
        if MEMBER_FIXED_BYTES + brings_bytes <= before || after - before.min(after) <= MEMBERS_BYTES_MAX {
            return Ok(());
        }
        let text = "The members of this coordinator's groups have reached what they may take of its memory.";
        Err(GroupError::GroupMaxSizeReached(text.to_owned()))
    }
}
