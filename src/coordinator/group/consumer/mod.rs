//! Consumer groups (KIP-848): ConsumerGroupHeartbeat, server-side assignment, reconciliation.
//!
//! Key invariant: a partition is in the assignment of at most one member, whatever the epochs of the others. What records hold
//! changes only through [`ConsumerGroup::replay`], live as on load, so both lead to the same state.

mod alarms;
mod classic;
mod describe;
mod downgrade;
mod embedded;
mod groups;
mod heartbeat;
mod leave;
mod member;
mod pattern;
mod reconcile;
mod replay;
mod request;
mod subscriptions;
mod target;
mod upgrade;
mod validate;

#[cfg(test)]
mod tests;

pub use describe::{DescribedConsumerGroup, DescribedMember};
pub use member::{Current, Member};
pub use pattern::{COMPILED_BYTES_MAX, PATTERN_BYTES_MAX};
pub use request::{Caller, HeartbeatAnswer, HeartbeatRequest, MEMBER_BYTES_MAX};

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::assignor::Assignment;
use super::{MEMBER_FIXED_BYTES, Turn};
use crate::coordinator::{Actions, GroupId, InstanceId, MemberId, Timers};
use crate::metadata::LogId;
use crate::model::{PartitionIndex, TimestampMs, TopicId};
use alarms::Alarm;
use subscriptions::Subscriptions;

/// A consumer group.
#[derive(Debug)]
pub struct ConsumerGroup {
    id: GroupId,
    /// Goes up with every change of members' subscriptions and of the topics they name.
    epoch: i32,
    /// The epoch that the target was made for.
    target_epoch: i32,
    metadata_hash: i64,
    members: BTreeMap<MemberId, Member>,
    targets: BTreeMap<MemberId, Assignment>,
    /// Who is which static member.
    statics: HashMap<InstanceId, MemberId>,
    /// Who has which partition, or is giving it up.
    owners: HashMap<(TopicId, PartitionIndex), MemberId>,
    subscriptions: Subscriptions,
    seen: Seen,
    alarms: Timers<(MemberId, Alarm)>,
}

/// Which metadata the group was compared with. A restart forgets it, and so compares once more.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// With the metadata hash.
    hashed: Option<LogId>,
    /// With the patterns, and when.
    matched: Option<(LogId, TimestampMs)>,
}

/// What a consumer group is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerGroupState {
    Empty,
    /// The target is older than the group's epoch.
    Assigning,
    /// Members are on their way to their targets.
    Reconciling,
    Stable,
}

impl ConsumerGroupState {
    /// As ListGroups and describe tell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

impl ConsumerGroup {
    /// A group without members, in epoch 0.
    pub fn new(id: GroupId) -> Self {
        Self {
            id,
            epoch: 0,
            target_epoch: 0,
            metadata_hash: 0,
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            statics: HashMap::new(),
            owners: HashMap::new(),
            subscriptions: Subscriptions::default(),
            seen: Seen::default(),
            alarms: Timers::default(),
        }
    }

    /// The group's epoch.
    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// The epoch that the target was made for.
    pub fn target_epoch(&self) -> i32 {
        self.target_epoch
    }

    /// All members, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&MemberId, &Member)> {
        self.members.iter()
    }

    /// What its members take of memory.
    pub fn member_bytes(&self) -> usize {
        self.subscriptions.bytes() + self.members.len() * MEMBER_FIXED_BYTES
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What a member is to have.
    pub fn target(&self, member: &str) -> Option<&Assignment> {
        self.targets.get(member)
    }

    /// What the group is about.
    pub fn state(&self) -> ConsumerGroupState {
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.epoch > self.target_epoch {
            ConsumerGroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// Whether a member is subscribed to the topic, by its name or by a pattern.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscriptions.is_subscribed(topic)
    }

    /// The state's name as clients see it.
    pub fn state_name(&self) -> &'static str {
        self.state().name()
    }

    /// When a member is late, so that `Group::consumer_on_time` is to be called.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.alarms.next()
    }

    /// Panics where the group contradicts itself; run after every event in debug builds.
    pub fn check_invariants(&self) {
        let mut partitions = 0;
        let mut subscriptions = Subscriptions::default();
        for (pattern, value) in self.subscriptions.resolved() {
            subscriptions.resolve(pattern, Some(value.clone()));
        }
        for (id, member) in &self.members {
            subscriptions.add(&member.value);
            for at in member.current.assigned.iter().chain(member.current.revoking.iter()) {
                partitions += 1;
                assert_eq!(self.owners.get(&at), Some(id), "group {}: owner of {at:?}", self.id);
            }
            if let Some(instance) = &member.value.instance_id {
                assert_eq!(self.statics.get(instance), Some(id), "group {}: static {instance}", self.id);
            }
            assert!(member.current.epoch <= self.epoch, "group {}: {id} is ahead", self.id);
        }
        assert_eq!(partitions, self.owners.len(), "group {}: partitions without an owner", self.id);
        assert_eq!(subscriptions, self.subscriptions, "group {}: subscriptions", self.id);
        assert!(self.target_epoch <= self.epoch, "group {}: the target is ahead", self.id);
        assert!(self.statics.len() <= self.members.len(), "group {}: static members", self.id);
    }

    /// Checks the invariants in debug builds.
    fn checked(&self) {
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// The topics have changed. Heartbeats look at them anyway: until then nobody could be told.
    pub fn on_metadata(&mut self, _turn: &Turn<'_>, _actions: &mut Actions) {}
}
