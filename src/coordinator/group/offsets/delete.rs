//! OffsetDelete and DeleteGroups; and topics that are gone.
//!
//! Key invariant: nothing that a member may need is deleted: a group with members stays, and so do the offsets of topics that
//! they are subscribed to.

use std::sync::Arc;

use super::{TOMBSTONES_PER_TURN_MAX, kinds};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::offsets::OffsetKey;
use crate::coordinator::{Actions, GroupError, GroupId};
use crate::model::PartitionIndex;

/// Topics with the partitions whose offsets are to be deleted.
pub type DeleteOffsets = Vec<(String, Vec<PartitionIndex>)>;

/// What became of each partition, in the order of the request: by topic, then by partition.
pub type DeletedOffsets = Vec<Vec<Result<(), GroupError>>>;

impl Groups {
    /// Deletes offsets of a group. A partition without one is no error.
    pub fn delete_offsets(
        &mut self,
        id: &GroupId,
        topics: &DeleteOffsets,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<DeletedOffsets, GroupError> {
        let group = self.get(id.as_str()).ok_or_else(|| not_found(id))?;
        kinds::check_delete_offsets(id, &group.kind)?;
        Ok(self.change(id, |group| {
            let delete = |(topic, partitions): &(String, Vec<PartitionIndex>)| {
                let image = turn.image.topic(topic);
                let subscribed = kinds::is_subscribed_to(&group.kind, topic);
                let delete = |partition: &PartitionIndex| {
                    if image.and_then(|image| image.partition(*partition)).is_none() {
                        return Err(GroupError::UnknownTopicOrPartition);
                    }
                    if subscribed {
                        return Err(GroupError::GroupSubscribedToTopic);
                    }
                    if group.offsets.remove(topic, *partition) {
                        push_tombstone(id, &topic.as_str().into(), *partition, actions);
                    }
                    Ok(())
                };
                partitions.iter().map(delete).collect()
            };
            topics.iter().map(delete).collect()
        }))
    }

    /// Deletes a group that has no members, with all its offsets. The state of a share group's partitions is deleted before,
    /// by whoever asks for this.
    pub fn delete_group(&mut self, id: &GroupId, actions: &mut Actions) -> Result<(), GroupError> {
        let group = self.get(id.as_str()).ok_or_else(|| not_found(id))?;
        if !kinds::is_empty(&group.kind) {
            return Err(GroupError::NonEmptyGroup);
        }
        self.change(id, |group| {
            for (topic, partition, _) in group.offsets.iter() {
                push_tombstone(id, topic, partition, actions);
            }
            forget(id, group, actions);
        });
        Ok(())
    }

    /// Forgets offsets of topics that were deleted. Returns whether more is left: an event's records are one batch, so the
    /// caller asks again until nothing is.
    pub fn on_topics_deleted(&mut self, topics: &[Arc<str>], actions: &mut Actions) -> bool {
        let concerned =
            |group: &Group| topics.iter().any(|topic| group.offsets.of_topic(topic).next().is_some());
        let ids = self.groups.iter().filter(|(_, group)| concerned(group));
        let mut ids: Vec<GroupId> = ids.map(|(id, _)| id.clone()).collect();
        // In an order of its own, so that the same events give the same records.
        ids.sort_unstable();
        for id in &ids {
            for topic in topics {
                let room = TOMBSTONES_PER_TURN_MAX.saturating_sub(actions.records.len());
                let gone = self.groups.get(id).into_iter().flat_map(|group| group.offsets.of_topic(topic));
                let mut gone: Vec<PartitionIndex> = gone.map(|(partition, _)| partition).collect();
                let more = gone.len() > room;
                gone.truncate(room);
                self.change(id, |group| {
                    // From the end, so that none is moved for the sake of another.
                    for partition in gone.iter().rev() {
                        group.offsets.remove(topic, *partition);
                        push_tombstone(id, topic, *partition, actions);
                    }
                });
                if more {
                    return true;
                }
            }
        }
        self.names.sweep();
        false
    }

    /// The topics that offsets are committed for and that are not there (any more): deleted while nobody looked after these
    /// groups. For [`Self::on_topics_deleted`] once they are loaded.
    pub fn missing_topics(&self, turn: &Turn<'_>) -> Vec<Arc<str>> {
        self.names.iter().filter(|name| turn.image.topic(name).is_none()).cloned().collect()
    }
}

pub(super) fn push_tombstone(
    id: &GroupId,
    topic: &Arc<str>,
    partition: PartitionIndex,
    actions: &mut Actions,
) {
    let key = OffsetKey { group: id.clone(), topic: topic.clone(), partition };
    actions.records.push(GroupRecord::OffsetCommit(key, None));
}

/// Forgets a group whose offsets are gone or have their tombstones; the map drops what is left.
pub(super) fn forget(id: &GroupId, group: &mut Group, actions: &mut Actions) {
    kinds::push_tombstones(id, &group.kind, actions);
    group.kind = Kind::Simple;
    group.offsets = Default::default();
}

fn not_found(id: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {id} not found."))
}
