//! What the log says of groups, read back record by record.
//!
//! Key invariant: any record is taken in any order and never fails: compaction leaves of each key the last one, so a record may
//! speak of a group or member whose other records are gone or not yet read. A value makes its group of the record's kind; a
//! tombstone of another kind than the group's changes nothing.

use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;
#[allow(unused_imports)]
use super::share::ShareGroup;
use super::{Group, Groups, Kind};
use crate::coordinator::GroupId;
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::classic::ClassicGroupValue;
use crate::coordinator::records::offsets::{OffsetKey, OffsetValue};

impl Groups {
    /// Takes one record of the log, in the log's order.
    pub fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::OffsetCommit(key, value) => self.replay_offset(&key, value.as_ref()),
            GroupRecord::ClassicGroup(id, value) => self.replay_classic(&id, value),
            GroupRecord::ConsumerGroup(ref id, None) => self.forget_kind(&id.clone(), is_consumer),
            GroupRecord::ConsumerGroup(ref id, Some(_)) => self.replay_consumer(&id.clone(), true, record),
            // Older brokers' only; what it said is in the hash of the group's own record now.
            GroupRecord::ConsumerPartitionMetadata(..) => {}
            GroupRecord::ConsumerMember(ref id, _, ref value) => {
                self.replay_consumer(&id.clone(), value.is_some(), record);
            }
            GroupRecord::ConsumerTarget(ref id, ref value) => {
                self.replay_consumer(&id.clone(), value.is_some(), record);
            }
            GroupRecord::ConsumerTargetMember(ref id, _, ref value) => {
                self.replay_consumer(&id.clone(), value.is_some(), record);
            }
            GroupRecord::ConsumerCurrent(ref id, _, ref value) => {
                self.replay_consumer(&id.clone(), value.is_some(), record);
            }
            GroupRecord::ConsumerRegex(ref id, _, ref value) => {
                self.replay_consumer(&id.clone(), value.is_some(), record);
            }
            share => self.replay_share(share),
        }
    }

    /// Takes an offset. A group that is not there becomes a simple one.
    pub fn replay_offset(&mut self, key: &OffsetKey, value: Option<&OffsetValue>) {
        match value {
            Some(value) => {
                let topic = self.names.share(&key.topic, None);
                // Offsets set no deadlines, and a load may bring millions.
                match self.groups.get_mut(&key.group) {
                    Some(group) => group.offsets.put(&topic, key.partition, value),
                    None => self.change(&key.group, |group| group.offsets.put(&topic, key.partition, value)),
                }
            }
            None if self.groups.contains_key(&key.group) => {
                self.change(&key.group, |group| group.offsets.remove(&key.topic, key.partition));
            }
            None => {}
        }
    }

    fn replay_classic(&mut self, id: &GroupId, value: Option<ClassicGroupValue>) {
        match ClassicGroup::replay(id.clone(), value) {
            Some(classic) => self.change(id, |group| group.kind = Kind::Classic(Box::new(classic))),
            None => self.forget_kind(id, |kind| matches!(kind, Kind::Classic(_))),
        }
    }

    fn replay_consumer(&mut self, id: &GroupId, makes: bool, record: GroupRecord) {
        if !makes && !self.get(id.as_str()).is_some_and(|group| is_consumer(&group.kind)) {
            return;
        }
        self.change(id, |group| as_consumer(id, group).replay(record));
    }

    fn replay_share(&mut self, record: GroupRecord) {
        let (id, makes) = match &record {
            GroupRecord::ShareGroup(id, None) => return self.forget_kind(&id.clone(), is_share),
            GroupRecord::ShareGroup(id, Some(_)) => (id, true),
            GroupRecord::ShareMember(id, _, value) => (id, value.is_some()),
            GroupRecord::ShareTarget(id, value) => (id, value.is_some()),
            GroupRecord::ShareTargetMember(id, _, value) => (id, value.is_some()),
            GroupRecord::ShareCurrent(id, _, value) => (id, value.is_some()),
            GroupRecord::ShareStatePartitions(id, value) => (id, value.is_some()),
            _ => return,
        };
        let id = id.clone();
        if !makes && !self.get(id.as_str()).is_some_and(|group| is_share(&group.kind)) {
            return;
        }
        self.change(&id, |group| as_share(group).replay(record));
    }

    /// The group is of no kind any more; its offsets have tombstones of their own.
    fn forget_kind(&mut self, id: &GroupId, is_of_kind: impl Fn(&Kind) -> bool) {
        if self.get(id.as_str()).is_some_and(|group| is_of_kind(&group.kind)) {
            self.change(id, |group| group.kind = Kind::Simple);
        }
    }
}

fn is_consumer(kind: &Kind) -> bool {
    matches!(kind, Kind::Consumer(_))
}

fn is_share(kind: &Kind) -> bool {
    matches!(kind, Kind::Share(_))
}

fn as_consumer<'a>(id: &GroupId, group: &'a mut Group) -> &'a mut ConsumerGroup {
    if !is_consumer(&group.kind) {
        group.kind = Kind::Consumer(Box::new(ConsumerGroup::new(id.clone())));
    }
    match &mut group.kind {
        Kind::Consumer(consumer) => consumer,
        _ => unreachable!("it was made one above"),
    }
}

fn as_share(group: &mut Group) -> &mut ShareGroup {
    if !is_share(&group.kind) {
        group.kind = Kind::Share(Box::default());
    }
    match &mut group.kind {
        Kind::Share(share) => share,
        _ => unreachable!("it was made one above"),
    }
}
