//! One step of a member towards its target: what it keeps, gives up and gets.
//!
//! Key invariant: a partition is given only if nobody has it, and counts as had until its member said that it gave it up. A
//! member stays in its epoch while it gives up, and comes to the target's with what is free of it.

use super::member::Current;
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::records::consumer::{MemberState, TopicPartitions};
use crate::model::{PartitionIndex, TopicId};

/// What a step depends on.
pub(super) struct Step<'a> {
    pub current: &'a Current,
    pub target_epoch: i32,
    pub target: &'a Assignment,
    /// Whether the subscription changed with this request: topics that are no longer in it go at once.
    pub subscription_changed: bool,
    /// What the member said that it has.
    pub owned: Option<&'a [TopicPartitions]>,
    /// Whether the member is subscribed to a topic that exists.
    pub is_subscribed: &'a dyn Fn(TopicId) -> bool,
    /// Whether nobody has a partition.
    pub is_free: &'a dyn Fn(TopicId, PartitionIndex) -> bool,
}

impl Step<'_> {
    /// Where the step leads; the same if the member can only wait.
    pub fn taken(&self) -> Current {
        match self.current.state {
            MemberState::Stable if self.current.epoch != self.target_epoch => self.toward_target(),
            MemberState::UnrevokedPartitions if !self.still_has(&self.current.revoking) => {
                self.toward_target()
            }
            MemberState::Stable | MemberState::UnrevokedPartitions if self.subscription_changed => {
                self.unsubscribed()
            }
            MemberState::Stable | MemberState::UnrevokedPartitions => self.current.clone(),
            // A member in a state of a newer broker was told to rejoin before: it has nothing now.
            MemberState::UnreleasedPartitions | MemberState::Unknown => self.toward_target(),
        }
    }

    /// Whether the member may still work on any of these: it said so, or did not say.
    fn still_has(&self, partitions: &Assignment) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|of| of.partitions.iter().any(|at| partitions.contains(of.topic_id, *at)))
    }

    /// Takes away what is not subscribed to any more, and leaves the rest as it is.
    fn unsubscribed(&self) -> Current {
        let mut revoking = self.current.revoking.clone();
        let mut assigned = Assignment::default();
        let mut changed = false;
        for (topic, partition) in self.current.assigned.iter() {
            if (self.is_subscribed)(topic) {
                assigned.insert(topic, partition);
            } else {
                revoking.insert(topic, partition);
                changed = true;
            }
        }
        if !changed {
            return self.current.clone();
        }
        let next = Current { previous_epoch: self.current.epoch, assigned, ..self.current.clone() };
        if self.still_has(&revoking) {
            Current { state: MemberState::UnrevokedPartitions, revoking, ..next }
        } else {
            next
        }
    }

    /// Towards the target as far as it goes.
    fn toward_target(&self) -> Current {
        let current = self.current;
        let wanted = |topic, partition| self.target.contains(topic, partition) && (self.is_subscribed)(topic);
        let (mut assigned, mut revoking) = (Assignment::default(), Assignment::default());
        for (topic, partition) in current.assigned.iter() {
            let place = if wanted(topic, partition) { &mut assigned } else { &mut revoking };
            place.insert(topic, partition);
        }
        let epoch = if current.state == MemberState::Unknown { self.target_epoch } else { current.epoch };
        let next = Current { epoch, previous_epoch: current.epoch, ..Current::default() };
        if !revoking.is_empty() && self.still_has(&revoking) {
            return Current { state: MemberState::UnrevokedPartitions, assigned, revoking, ..next };
        }
        let mut waits = false;
        for (topic, partition) in self.target.iter() {
            if current.assigned.contains(topic, partition) || !(self.is_subscribed)(topic) {
                continue;
            }
            // What the member itself is giving up is not with anybody else.
            let free = (self.is_free)(topic, partition) || current.revoking.contains(topic, partition);
            if free {
                assigned.insert(topic, partition);
            } else {
                waits = true;
            }
        }
        let state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        Current { epoch: self.target_epoch, state, assigned, ..next }
    }
}
