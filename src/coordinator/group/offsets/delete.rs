//! OffsetDelete and DeleteGroups.
//!
//! Key invariant: nothing that a member may need is deleted: a group with members stays, and so do the offsets of topics that
//! they are subscribed to.

use std::sync::Arc;

use super::kinds;
use super::tombstones::{self, Room};
use crate::coordinator::group::{Group, Groups, Kind, Turn};
use crate::coordinator::{Actions, GroupError, GroupId};
use crate::model::PartitionIndex;

/// Topics with the partitions whose offsets are to be deleted.
pub type DeleteOffsets = Vec<(String, Vec<PartitionIndex>)>;

/// What became of each partition, in the order of the request: by topic, then by partition.
pub type DeletedOffsets = Vec<Vec<Result<(), GroupError>>>;

/// How far the deletion of a group has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    Done,
    /// Offsets are gone, but not all: the caller is to ask again.
    Begun,
}

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
        let mut gone = Vec::new();
        let answers = topics.iter().map(|topic| check_topic(group, topic, turn, &mut gone)).collect();
        // A partition that is named twice has one tombstone.
        gone.sort_unstable();
        gone.dedup();
        let mut room = Room::default();
        if !gone.iter().all(|(topic, _)| room.take(id, topic, "")) {
            let message = "The request deletes more offsets than fit into one batch.";
            return Err(GroupError::InvalidRequest(message.to_owned()));
        }
        self.change(id, |group| tombstones::remove(id, group, &gone, &mut Room::default(), actions));
        Ok(answers)
    }

    /// Deletes a group that has no members, with all its offsets. The state of a share group's partitions is deleted before,
    /// by whoever asks for this.
    pub fn delete_group(&mut self, id: &GroupId, actions: &mut Actions) -> Result<Deletion, GroupError> {
        let group = self.get(id.as_str()).ok_or_else(|| not_found(id))?;
        if !kinds::is_empty(&group.kind) {
            return Err(GroupError::NonEmptyGroup);
        }
        Ok(self.change(id, |group| {
            let all: Vec<_> =
                group.offsets.iter().map(|(topic, partition, _)| (topic.clone(), partition)).collect();
            if !tombstones::remove(id, group, &all, &mut Room::default(), actions) {
                return Deletion::Begun;
            }
            forget(id, group, actions);
            Deletion::Done
        }))
    }
}

/// What is to be said of the partitions of one topic; those whose offsets are to go are added to `gone`.
fn check_topic(
    group: &Group,
    (topic, partitions): &(String, Vec<PartitionIndex>),
    turn: &Turn<'_>,
    gone: &mut Vec<(Arc<str>, PartitionIndex)>,
) -> Vec<Result<(), GroupError>> {
    let image = turn.image.topic(topic);
    let subscribed = kinds::is_subscribed_to(&group.kind, topic);
    let name: Arc<str> = topic.as_str().into();
    let check = |partition: &PartitionIndex| {
        if image.and_then(|image| image.partition(*partition)).is_none() {
            return Err(GroupError::UnknownTopicOrPartition);
        }
        if subscribed {
            return Err(GroupError::GroupSubscribedToTopic);
        }
        if group.offsets.get(topic, *partition).is_some() {
            gone.push((name.clone(), *partition));
        }
        Ok(())
    };
    partitions.iter().map(check).collect()
}

/// Forgets a group that has no offsets; the map drops what is left.
pub(super) fn forget(id: &GroupId, group: &mut Group, actions: &mut Actions) {
    kinds::push_tombstones(id, &group.kind, actions);
    group.kind = Kind::Simple;
}

fn not_found(id: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {id} not found."))
}
