//! The share coordinator of one partition of `__share_group_state` (KIP-932): keeps for each share partition where it starts
//! and what has become of the records after that.
//!
//! Key invariants: whoever writes with another state epoch than the state's, or with an older leader epoch, is fenced. A snapshot
//! stands before the updates that build on it; after so many updates a new snapshot replaces both, so what a start has to read
//! is bounded once older records are deleted. Replaying the records that were pushed gives the same state.

mod hosted;

use std::collections::BTreeMap;
use std::ops::Bound;

use super::batch::overlay;
use super::partition::{Read, Write};
use super::{DeliveryState, SharePartitionKey, StateBatch};
use crate::coordinator::GroupError;
use crate::coordinator::records::share_state::{self, ShareRecord, SnapshotValue, UpdateValue};
use crate::metadata::Image;
use crate::model::{LeaderEpoch, Offset, TimestampMs};

/// Batches that one share partition may keep; more than its locks allow can only come from a faulty leader.
const BATCHES_MAX: usize = 100_000;

/// The number of records that are done with, until the partition's leader tells it.
const DONE_UNKNOWN: i32 = -1;

/// What an event wants done.
#[derive(Debug, Default)]
pub struct ShareActions {
    /// To be appended; the state has them already.
    pub records: Vec<ShareRecord>,
}

/// A share partition, told to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSummary {
    pub state_epoch: i32,
    pub leader_epoch: LeaderEpoch,
    /// [`Offset::NONE`] of one that has not been read yet.
    pub start: Offset,
    /// Records from the start on that are done with; -1 if not known.
    pub done_records: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    snapshot_epoch: i32,
    state_epoch: i32,
    leader_epoch: LeaderEpoch,
    start: Offset,
    done_records: i32,
    created_at: TimestampMs,
    written_at: TimestampMs,
    batches: Vec<StateBatch>,
    /// Updates since the snapshot.
    updates: u32,
}

/// The states of the share partitions of one coordinator partition.
#[derive(Debug, Default)]
pub struct ShareStates {
    states: BTreeMap<SharePartitionKey, State>,
}

impl ShareStates {
    /// Begins a state without a start offset ([`Offset::NONE`]), which the partition's leader then finds; the same again changes
    /// nothing. Or sets where it goes on: from then on whoever read it before is fenced, although the group may have no newer
    /// epoch since, so the state's runs ahead of it.
    pub fn initialize(
        &mut self,
        key: &SharePartitionKey,
        (state_epoch, start): (i32, Offset),
        now: TimestampMs,
        actions: &mut ShareActions,
    ) -> Result<(), GroupError> {
        let before = self.states.get(key);
        let known_epoch = before.map(|state| state.state_epoch);
        let state_epoch = match known_epoch {
            Some(known) if start != Offset::NONE => state_epoch.max(known.saturating_add(1)),
            Some(known) if known > state_epoch => return Err(GroupError::FencedStateEpoch),
            Some(known) if known == state_epoch => return Ok(()),
            _ => state_epoch,
        };
        let state = State {
            snapshot_epoch: before.map_or(0, |state| state.snapshot_epoch.saturating_add(1)),
            state_epoch,
            leader_epoch: before.map_or(LeaderEpoch(0), |state| state.leader_epoch),
            start,
            done_records: DONE_UNKNOWN,
            created_at: now,
            written_at: now,
            batches: vec![],
            updates: 0,
        };
        self.push_snapshot(key, state, actions);
        Ok(())
    }

    /// What is known of a share partition, for its leader, which fences those before it.
    pub fn read(
        &mut self,
        key: &SharePartitionKey,
        leader_epoch: LeaderEpoch,
        actions: &mut ShareActions,
    ) -> Result<Read, GroupError> {
        let Some(state) = self.states.get_mut(key) else {
            return Ok(Read { state_epoch: 0, start: Offset::NONE, batches: vec![] });
        };
        if leader_epoch < state.leader_epoch {
            return Err(GroupError::FencedLeaderEpoch);
        }
        if leader_epoch > state.leader_epoch {
            state.leader_epoch = leader_epoch;
            state.updates = state.updates.saturating_add(1);
            let update = UpdateValue {
                snapshot_epoch: state.snapshot_epoch,
                leader_epoch,
                start_offset: Offset::NONE,
                delivery_complete_count: state.done_records,
                batches: vec![],
            };
            actions.records.push(ShareRecord::Update(key.clone(), Some(update)));
        }
        Ok(Read { state_epoch: state.state_epoch, start: state.start, batches: state.batches.clone() })
    }

    /// Keeps what a leader says of its share partition.
    pub fn write(
        &mut self,
        key: &SharePartitionKey,
        write: &Write,
        (now, updates_max): (TimestampMs, u32),
        actions: &mut ShareActions,
    ) -> Result<(), GroupError> {
        let Some(state) = self.states.get_mut(key) else {
            let text = "The share partition is not initialized.";
            return Err(GroupError::InvalidRequest(text.to_owned()));
        };
        if write.leader_epoch < state.leader_epoch.get() {
            return Err(GroupError::FencedLeaderEpoch);
        }
        // A newer one is of a state that was deleted since, when this one had not begun.
        if write.state_epoch != state.state_epoch {
            return Err(GroupError::FencedStateEpoch);
        }
        let start = if write.start == Offset::NONE { state.start } else { write.start };
        let batches = overlay(&state.batches, &write.batches, start);
        if batches.len() > BATCHES_MAX {
            return Err(GroupError::InvalidRequest("The share partition has too many batches.".to_owned()));
        }
        state.leader_epoch = LeaderEpoch(write.leader_epoch);
        state.start = start;
        state.batches = batches;
        state.done_records = i32::try_from(write.done_records).unwrap_or(i32::MAX);
        state.written_at = now;
        state.updates = state.updates.saturating_add(1);
        if state.updates > updates_max {
            let next = State {
                snapshot_epoch: state.snapshot_epoch.saturating_add(1),
                created_at: now,
                updates: 0,
                ..state.clone()
            };
            self.push_snapshot(key, next, actions);
            return Ok(());
        }
        let update = UpdateValue {
            snapshot_epoch: state.snapshot_epoch,
            leader_epoch: state.leader_epoch,
            start_offset: write.start,
            delivery_complete_count: state.done_records,
            batches: write.batches.iter().map(as_written).collect(),
        };
        actions.records.push(ShareRecord::Update(key.clone(), Some(update)));
        Ok(())
    }

    /// What operators see.
    pub fn summary(&self, key: &SharePartitionKey) -> Option<StateSummary> {
        let state = self.states.get(key)?;
        Some(StateSummary {
            state_epoch: state.state_epoch,
            leader_epoch: state.leader_epoch,
            start: state.start,
            done_records: state.done_records,
        })
    }

    /// Forgets a state; none is no error.
    pub fn delete(&mut self, key: &SharePartitionKey, actions: &mut ShareActions) {
        if self.states.remove(key).is_some() {
            actions.records.push(ShareRecord::Snapshot(key.clone(), None));
        }
    }

    /// Writes up to `count` states beyond `after` anew, by key; returns the last of them, or `None` if there was none.
    pub fn snapshot(
        &mut self,
        after: Bound<SharePartitionKey>,
        count: usize,
        actions: &mut ShareActions,
    ) -> Option<SharePartitionKey> {
        let beyond = self.states.range((after, Bound::Unbounded)).take(count);
        let next: Vec<SharePartitionKey> = beyond.map(|(key, _)| key.clone()).collect();
        for key in &next {
            if let Some(state) = self.states.get(key).cloned() {
                let epoch = state.snapshot_epoch.saturating_add(1);
                self.push_snapshot(key, State { snapshot_epoch: epoch, updates: 0, ..state }, actions);
            }
        }
        next.last().cloned()
    }

    /// The topics have changed: states of those that are gone go too.
    pub fn on_metadata(&mut self, image: &Image, actions: &mut ShareActions) {
        let gone = |key: &&SharePartitionKey| image.topic_by_id(key.topic_id).is_none();
        let gone: Vec<SharePartitionKey> = self.states.keys().filter(gone).cloned().collect();
        for key in gone {
            self.delete(&key, actions);
        }
    }

    /// How many states there are.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Takes over a record of the log. An update without its snapshot, or of an older one, says nothing.
    pub fn replay(&mut self, record: ShareRecord) {
        match record {
            ShareRecord::Snapshot(key, Some(value)) => {
                self.states.insert(key, State::of(value));
            }
            ShareRecord::Snapshot(key, None) => {
                self.states.remove(&key);
            }
            ShareRecord::Update(key, Some(value)) => {
                if let Some(state) = self.states.get_mut(&key)
                    && state.snapshot_epoch == value.snapshot_epoch
                {
                    state.replay(&value);
                }
            }
            ShareRecord::Update(_, None) => {}
        }
    }

    fn push_snapshot(&mut self, key: &SharePartitionKey, state: State, actions: &mut ShareActions) {
        let value = SnapshotValue {
            snapshot_epoch: state.snapshot_epoch,
            state_epoch: state.state_epoch,
            leader_epoch: state.leader_epoch,
            start_offset: state.start,
            delivery_complete_count: state.done_records,
            created_at: state.created_at,
            written_at: state.written_at,
            batches: state.batches.iter().map(as_written).collect(),
        };
        self.states.insert(key.clone(), state);
        actions.records.push(ShareRecord::Snapshot(key.clone(), Some(value)));
    }
}

impl State {
    fn of(value: SnapshotValue) -> Self {
        let batches: Vec<StateBatch> = value.batches.iter().map(as_kept).collect();
        Self {
            snapshot_epoch: value.snapshot_epoch,
            state_epoch: value.state_epoch,
            leader_epoch: value.leader_epoch,
            start: value.start_offset,
            done_records: value.delivery_complete_count,
            created_at: value.created_at,
            written_at: value.written_at,
            batches: overlay(&[], &batches, value.start_offset),
            updates: 0,
        }
    }

    fn replay(&mut self, value: &UpdateValue) {
        if value.start_offset != Offset::NONE {
            self.start = value.start_offset;
        }
        if value.leader_epoch != LeaderEpoch::UNKNOWN {
            self.leader_epoch = value.leader_epoch;
        }
        let batches: Vec<StateBatch> = value.batches.iter().map(as_kept).collect();
        self.batches = overlay(&self.batches, &batches, self.start);
        self.done_records = value.delivery_complete_count;
        self.updates = self.updates.saturating_add(1);
    }
}

fn as_written(batch: &StateBatch) -> share_state::StateBatch {
    share_state::StateBatch {
        first_offset: batch.first,
        last_offset: batch.last,
        delivery_state: batch.state.id(),
        delivery_count: batch.deliveries,
    }
}

fn as_kept(batch: &share_state::StateBatch) -> StateBatch {
    StateBatch {
        first: batch.first_offset,
        last: batch.last_offset,
        state: DeliveryState::of(batch.delivery_state),
        deliveries: batch.delivery_count,
    }
}

#[cfg(test)]
mod tests;
