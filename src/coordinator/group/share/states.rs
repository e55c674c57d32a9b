//! Which share partitions of a group have state at the share coordinator: initializing it, setting its start, deleting it.
//!
//! Key invariant: a partition is assigned only when its state is initialized, so its records have a place to be kept at. What
//! is noted as initializing is tried again after a while; a state that was initialized twice with one epoch is the same.

use std::collections::{BTreeMap, BTreeSet};

use super::request::Initialize;
use super::{Groups, Kind, ShareGroup, ShareGroupState, Turn, named};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::share::{NamedPartitions, StatePartitionsValue};
use crate::coordinator::{Actions, GroupError, GroupId};
use crate::metadata::Image;
use crate::model::{PartitionIndex, TimestampMs, TopicId, TopicPartition};

/// How long the share coordinator has to initialize state before it is asked again.
const INITIALIZE_RETRY_MS: i64 = 10_000;

/// The state partitions of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StatePartitions {
    initializing: BTreeSet<TopicPartition>,
    initialized: BTreeSet<TopicPartition>,
    deleting: BTreeSet<TopicId>,
    names: BTreeMap<TopicId, String>,
    /// When those initializing are to be tried again. Not durable.
    retry_at: Option<TimestampMs>,
}

/// States whose start is to be set, or which are to be deleted, at the share coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetChange {
    pub state_epoch: i32,
    pub partitions: BTreeSet<TopicPartition>,
}

impl StatePartitions {
    pub fn is_initialized(&self, partition: &TopicPartition) -> bool {
        self.initialized.contains(partition)
    }

    pub fn of(value: &StatePartitionsValue) -> Self {
        let mut states = Self::default();
        for (named, into) in
            [(&value.initializing, &mut states.initializing), (&value.initialized, &mut states.initialized)]
        {
            for topic in named {
                let topic_id = topic.topic_id;
                states.names.insert(topic_id, topic.topic.clone());
                into.extend(
                    topic
                        .partitions
                        .iter()
                        .map(|partition| TopicPartition { topic_id, partition: *partition }),
                );
            }
        }
        for (id, name) in &value.deleting {
            states.names.insert(*id, name.clone());
            states.deleting.insert(*id);
        }
        states
    }

    /// What a restart finds again.
    pub fn value(&self) -> StatePartitionsValue {
        let name = |id: &TopicId| self.names.get(id).cloned().unwrap_or_default();
        let named = |partitions: &BTreeSet<TopicPartition>| {
            let topics = super::by_topic(partitions).into_iter();
            let topics = topics.map(|topic| NamedPartitions {
                topic: name(&topic.topic_id),
                topic_id: topic.topic_id,
                partitions: topic.partitions,
            });
            topics.collect()
        };
        StatePartitionsValue {
            initializing: named(&self.initializing),
            initialized: named(&self.initialized),
            deleting: self.deleting.iter().map(|id| (*id, name(id))).collect(),
        }
    }
}

impl ShareGroup {
    /// The partitions with state.
    pub fn initialized_partitions(&self) -> &BTreeSet<TopicPartition> {
        &self.states.initialized
    }

    /// The partitions with state, or about to have it.
    pub fn state_partitions(&self) -> BTreeSet<TopicPartition> {
        self.states.initialized.union(&self.states.initializing).copied().collect()
    }

    /// Notes the partitions whose state is to be initialized now.
    pub(super) fn begin_initializing(
        &mut self,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Option<Initialize> {
        let subscribed: BTreeSet<&str> = self
            .members
            .values()
            .flat_map(|member| &member.value.subscribed_topics)
            .map(String::as_str)
            .collect();
        let known = |partition: &TopicPartition| {
            self.states.initialized.contains(partition) || self.states.initializing.contains(partition)
        };
        let mut fresh = BTreeSet::new();
        for topic in subscribed.into_iter().filter_map(|name| turn.image.topic(name)) {
            let indexes = (0..topic.partitions.len() as i32).map(PartitionIndex);
            let partitions = indexes.map(|partition| TopicPartition { topic_id: topic.id, partition });
            fresh.extend(partitions.filter(|partition| !known(partition)));
        }
        let again =
            self.states.retry_at.is_none_or(|at| at <= turn.now) && !self.states.initializing.is_empty();
        if fresh.is_empty() && !again {
            return None;
        }
        if !fresh.is_empty() {
            self.states.initializing.extend(fresh.iter().copied());
            self.write_states(turn.image, actions);
        }
        let asked = if again { self.states.initializing.clone() } else { fresh };
        self.states.retry_at = Some(TimestampMs(turn.now.get().saturating_add(INITIALIZE_RETRY_MS)));
        Some(Initialize { state_epoch: self.epoch, partitions: named(&asked, turn.image) })
    }

    /// Forgets the states of topics that are gone; the share coordinator does so by itself.
    pub(super) fn forget_deleted_topics(&mut self, image: &Image, actions: &mut Actions) {
        let before = self.states.clone();
        let exists = |id: TopicId| image.topic_by_id(id).is_some();
        self.states.initializing.retain(|partition| exists(partition.topic_id));
        self.states.initialized.retain(|partition| exists(partition.topic_id));
        self.states.deleting.retain(|id| exists(*id));
        self.states.names.retain(|id, _| exists(*id));
        if self.states != before {
            self.write_states(image, actions);
        }
    }

    fn write_states(&mut self, image: &Image, actions: &mut Actions) {
        for partition in self.states.initializing.iter().chain(&self.states.initialized) {
            if let Some(topic) = image.topic_by_id(partition.topic_id) {
                self.states.names.insert(topic.id, topic.name.clone());
            }
        }
        actions.records.push(GroupRecord::ShareStatePartitions(self.id.clone(), Some(self.states.value())));
    }

    fn alter_offsets(
        &mut self,
        partitions: BTreeSet<TopicPartition>,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> OffsetChange {
        let is_fresh = |partition: &&TopicPartition| !self.states.is_initialized(partition);
        let fresh: Vec<TopicPartition> = partitions.iter().filter(is_fresh).copied().collect();
        if !fresh.is_empty() {
            self.states.initializing.extend(fresh);
            self.write_states(turn.image, actions);
        }
        OffsetChange { state_epoch: self.epoch, partitions }
    }

    fn must_be_empty(&self) -> Result<(), GroupError> {
        match self.state() {
            ShareGroupState::Empty => Ok(()),
            ShareGroupState::Stable => Err(GroupError::NonEmptyGroup),
        }
    }
}

impl Groups {
    /// The share coordinator has initialized the state of these partitions; they are assigned with the next heartbeat.
    pub fn share_initialized(
        &mut self,
        id: &GroupId,
        partitions: &BTreeSet<TopicPartition>,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<(), GroupError> {
        self.change_share(id, |group| {
            let exists = |partition: &TopicPartition| turn.image.topic_by_id(partition.topic_id).is_some();
            let before = group.states.clone();
            for partition in partitions.iter().filter(|partition| exists(partition)) {
                group.states.initializing.remove(partition);
                group.states.initialized.insert(*partition);
            }
            if group.states != before {
                group.write_states(turn.image, actions);
                // The next heartbeat looks what there is to assign.
                group.seen = None;
            }
            Ok(())
        })
    }

    /// AlterShareGroupOffsets: the epoch with which the caller sets the start of the partitions; then it says
    /// [`Self::share_initialized`]. A group that is not there comes into being, unless there is nothing to set. The group's
    /// epoch stays: what is under way from before is fenced by the share coordinator.
    pub fn share_alter_offsets(
        &mut self,
        id: &GroupId,
        partitions: BTreeSet<TopicPartition>,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<OffsetChange, GroupError> {
        if self.get(id.as_str()).is_none_or(|group| group.is_nothing()) {
            if partitions.is_empty() {
                return Ok(OffsetChange { state_epoch: 0, partitions });
            }
            return self.change(id, |group| {
                let mut new = ShareGroup::new(id.clone());
                new.write_group(actions);
                let change = new.alter_offsets(partitions, turn, actions);
                group.kind = Kind::Share(Box::new(new));
                Ok(change)
            });
        }
        self.change_share(id, |group| {
            group.must_be_empty()?;
            Ok(group.alter_offsets(partitions, turn, actions))
        })
    }

    /// DeleteShareGroupOffsets: notes that the states of these topics are on their way out; the caller deletes them and says
    /// [`Self::share_offsets_deleted`].
    pub fn share_delete_offsets(
        &mut self,
        id: &GroupId,
        topics: &BTreeSet<TopicId>,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<OffsetChange, GroupError> {
        self.change_share(id, |group| {
            group.must_be_empty()?;
            let partitions: BTreeSet<TopicPartition> = group
                .state_partitions()
                .into_iter()
                .filter(|partition| topics.contains(&partition.topic_id))
                .collect();
            if !partitions.is_empty() {
                group.states.deleting.extend(partitions.iter().map(|partition| partition.topic_id));
                group.write_states(turn.image, actions);
            }
            Ok(OffsetChange { state_epoch: group.epoch, partitions })
        })
    }

    /// The states of these topics are gone.
    pub fn share_offsets_deleted(
        &mut self,
        id: &GroupId,
        topics: &BTreeSet<TopicId>,
        turn: &Turn<'_>,
        actions: &mut Actions,
    ) -> Result<(), GroupError> {
        self.change_share(id, |group| {
            group.states.initializing.retain(|partition| !topics.contains(&partition.topic_id));
            group.states.initialized.retain(|partition| !topics.contains(&partition.topic_id));
            group.states.deleting.retain(|topic| !topics.contains(topic));
            group.states.names.retain(|topic, _| !topics.contains(topic));
            group.write_states(turn.image, actions);
            Ok(())
        })
    }

    /// DeleteGroups of a share group: the partitions whose states the caller has to delete before the group is.
    pub fn share_deletion(&self, id: &str) -> Result<BTreeSet<TopicPartition>, GroupError> {
        let group = self.share(id)?;
        group.must_be_empty()?;
        Ok(group.state_partitions())
    }
}
