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

    /// Forgets offsets of topics that were deleted; those of a topic that has the name now stay. Returns whether more is left:
    /// an event's records are one batch, so the caller asks again until nothing is.
    pub fn on_topics_deleted(&mut self, topics: &[Arc<str>], turn: &Turn<'_>, actions: &mut Actions) -> bool {
        let concerned = self.groups.iter().filter(|(_, group)| stale(group, topics, turn).next().is_some());
        let mut ids: Vec<GroupId> = concerned.map(|(id, _)| id.clone()).collect();
        // In an order of its own, so that the same events give the same records.
        ids.sort_unstable();
        for id in &ids {
            let room = TOMBSTONES_PER_TURN_MAX.saturating_sub(actions.records.len());
            let more = self.change(id, |group| {
                let mut gone: Vec<_> = stale(group, topics, turn).take(room.saturating_add(1)).collect();
                let more = gone.len() > room;
                gone.truncate(room);
                // From the end, so that none is moved for the sake of another.
                for (topic, partition) in gone.iter().rev() {
                    group.offsets.remove(topic, *partition);
                    push_tombstone(id, topic, *partition, actions);
                }
                more
            });
            if more {
                return true;
            }
        }
        self.names.sweep();
        false
    }

    /// The topics that offsets are committed for and that are not there (any more), in order: deleted while nobody looked
    /// after these groups. For [`Self::on_topics_deleted`], once they are loaded and the image is known to be the newest.
    pub fn missing_topics(&self, turn: &Turn<'_>) -> Vec<Arc<str>> {
        let missing = self.names.iter().filter(|name| turn.image.topic(name).is_none());
        let mut missing: Vec<Arc<str>> = missing.cloned().collect();
        missing.sort_unstable();
        missing
    }
}

/// The offsets of a group that were committed for these topics before they were deleted.
fn stale<'a>(
    group: &'a Group,
    topics: &'a [Arc<str>],
    turn: &Turn<'a>,
) -> impl Iterator<Item = (Arc<str>, PartitionIndex)> + 'a {
    let image = turn.image;
    topics.iter().flat_map(move |topic| {
        let now = image.topic(topic).map(|topic| topic.id);
        let stale = group.offsets.of_topic(topic).filter(move |(_, offset)| Some(offset.topic_id) != now);
        stale.map(move |(partition, _)| (topic.clone(), partition))
    })
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
