//! A share group as the log has it.
//!
//! Key invariant: whatever the order that compaction leaves, replaying what is in the log gives the durable part of the state.

use super::{Member, ShareGroup, StatePartitions, one_by_one};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{GroupId, MemberId};

impl ShareGroup {
    /// Takes over a record of this group; those of other kinds are none of its business. The group's own tombstone is its
    /// map's.
    pub fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::ShareGroup(id, Some(value)) => {
                self.named(id);
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            GroupRecord::ShareMember(id, member, value) => {
                self.named(id);
                match value {
                    Some(value) => self.set_value(member, value),
                    None => self.drop_member(&member),
                }
            }
            GroupRecord::ShareTarget(id, value) => {
                self.named(id);
                self.target_epoch = value.map_or(0, |value| value.assignment_epoch);
            }
            GroupRecord::ShareTargetMember(id, member, value) => {
                self.named(id);
                match value {
                    Some(value) => _ = self.target.insert(member, one_by_one(&value.partitions)),
                    None => _ = self.target.remove(&member),
                }
            }
            GroupRecord::ShareCurrent(id, member, Some(value)) => {
                self.named(id);
                let member = self.replayed_member(member);
                member.epoch = value.epoch;
                member.previous_epoch = value.previous_epoch;
                member.assigned = one_by_one(&value.assigned);
            }
            GroupRecord::ShareCurrent(id, member, None) => {
                self.named(id);
                if let Some(member) = self.members.get_mut(&member) {
                    *member = Member { value: member.value.clone(), ..Member::default() };
                }
            }
            GroupRecord::ShareStatePartitions(id, value) => {
                self.named(id);
                self.states = value.as_ref().map(StatePartitions::of).unwrap_or_default();
            }
            _ => {}
        }
    }

    fn named(&mut self, id: GroupId) {
        self.id = id;
    }

    fn replayed_member(&mut self, id: MemberId) -> &mut Member {
        self.members.entry(id).or_default()
    }

    /// Drops what contradicts itself, as only a damaged log can have it.
    pub(super) fn mend(&mut self) {
        let members = &self.members;
        self.target.retain(|id, _| members.contains_key(id));
        self.target_epoch = self.target_epoch.min(self.epoch);
        for member in self.members.values_mut() {
            member.epoch = member.epoch.min(self.epoch);
        }
    }
}
