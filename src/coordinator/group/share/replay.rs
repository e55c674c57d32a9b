//! Share groups as the log has them.
//!
//! Key invariant: whatever the order that compaction leaves, replaying what is in the log gives the durable part of the state.

use super::{Groups, Member, ShareGroup, StatePartitions, one_by_one};
use crate::coordinator::group::Kind;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::{GroupId, MemberId};

impl Groups {
    /// Takes over a record of a share group; others are none of its business.
    pub(in crate::coordinator::group) fn replay_share(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::ShareGroup(id, Some(value)) => self.replayed(id, |group| {
                group.epoch = value.epoch;
                group.metadata_hash = value.metadata_hash;
            }),
            GroupRecord::ShareGroup(id, None) => self.change(&id, |group| {
                if matches!(group.kind, Kind::Share(_)) {
                    group.kind = Kind::Simple;
                }
            }),
            GroupRecord::ShareMember(id, member, Some(value)) => {
                self.replayed(id, |group| group.replayed_member(member).value = value);
            }
            GroupRecord::ShareMember(id, member, None) => self.replayed_if_there(id, |group| {
                group.members.remove(&member);
                group.target.remove(&member);
            }),
            GroupRecord::ShareTarget(id, Some(value)) => {
                self.replayed(id, |group| group.target_epoch = value.assignment_epoch);
            }
            GroupRecord::ShareTarget(id, None) => self.replayed_if_there(id, |group| group.target_epoch = 0),
            GroupRecord::ShareTargetMember(id, member, Some(value)) => self.replayed(id, |group| {
                group.target.insert(member, one_by_one(&value.partitions));
            }),
            GroupRecord::ShareTargetMember(id, member, None) => self.replayed_if_there(id, |group| {
                group.target.remove(&member);
            }),
            GroupRecord::ShareCurrent(id, member, Some(value)) => self.replayed(id, |group| {
                let member = group.replayed_member(member);
                member.epoch = value.epoch;
                member.previous_epoch = value.previous_epoch;
                member.assigned = one_by_one(&value.assigned);
            }),
            GroupRecord::ShareCurrent(id, member, None) => self.replayed_if_there(id, |group| {
                if let Some(member) = group.members.get_mut(&member) {
                    *member = Member { value: member.value.clone(), ..Member::default() };
                }
            }),
            GroupRecord::ShareStatePartitions(id, Some(value)) => {
                self.replayed(id, |group| group.states = StatePartitions::of(&value));
            }
            GroupRecord::ShareStatePartitions(id, None) => {
                self.replayed_if_there(id, |group| group.states = StatePartitions::default());
            }
            _ => {}
        }
    }

    /// Changes the share group of a record, which is made if it is not there.
    fn replayed(&mut self, id: GroupId, change: impl FnOnce(&mut ShareGroup)) {
        self.change(&id, |group| {
            if !matches!(group.kind, Kind::Share(_)) {
                group.kind = Kind::Share(Box::new(ShareGroup::new(id.clone())));
            }
            if let Kind::Share(group) = &mut group.kind {
                change(group);
            }
        });
    }

    /// The same for a tombstone, which makes nothing.
    fn replayed_if_there(&mut self, id: GroupId, change: impl FnOnce(&mut ShareGroup)) {
        self.change(&id, |group| {
            if let Kind::Share(group) = &mut group.kind {
                change(group);
            }
        });
    }
}

impl ShareGroup {
    fn replayed_member(&mut self, id: MemberId) -> &mut Member {
        self.members.entry(id).or_default()
    }

    /// Drops what contradicts itself: a log may end between two events' records, but a damaged one may hold anything.
    pub(super) fn mend(&mut self) {
        let members = &self.members;
        self.target.retain(|id, _| members.contains_key(id));
        self.target_epoch = self.target_epoch.min(self.epoch);
        for member in self.members.values_mut() {
            member.epoch = member.epoch.min(self.epoch);
        }
    }
}
