//! The map of groups, what is due in them, and what is read from the log.
//!
//! Key invariant: after each event the deadline kept for a group is the group's own; a group that has neither members, nor
//! offsets, nor a record in the log is not in the map.

use hashbrown::HashMap;

use super::Turn;
use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;
use super::offsets::{CommittedOffsets, TopicNames, Upkeep};
use super::share::ShareGroup;
use crate::coordinator::{Actions, GroupId, Timers};
use crate::model::TimestampMs;

/// Groups whose deadlines are met in one event: their records are one batch.
const DUE_GROUPS_MAX: usize = 64;

/// What a group is; it decides which requests it takes.
#[derive(Debug, Default)]
pub enum Kind {
    /// Offsets only: committed by a client that assigns its partitions itself.
    #[default]
    Simple,
    Classic(Box<ClassicGroup>),
    Consumer(Box<ConsumerGroup>),
    Share(Box<ShareGroup>),
}

/// A group.
#[derive(Debug, Default)]
pub struct Group {
    pub(super) kind: Kind,
    pub(super) offsets: CommittedOffsets,
}

impl Group {
    /// What kind it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its state under Kafka's name, such as `Stable`.
    pub fn state_name(&self) -> &'static str {
        super::offsets::state_name(&self.kind)
    }

    /// Its committed offsets.
    pub fn offsets(&self) -> &CommittedOffsets {
        &self.offsets
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.kind, Kind::Simple) && self.offsets.is_empty()
    }

    fn next_deadline(&self) -> Option<TimestampMs> {
        match &self.kind {
            Kind::Simple => None,
            Kind::Classic(group) => group.next_deadline(),
            Kind::Consumer(group) => group.next_deadline(),
            Kind::Share(group) => group.next_deadline(),
        }
    }
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug, Default)]
pub struct Groups {
    pub(super) groups: HashMap<GroupId, Group>,
    /// Names of topics that offsets were committed for, each in memory once.
    pub(super) names: TopicNames,
    pub(super) upkeep: Upkeep,
    /// What the members of all groups take.
    pub(super) member_bytes: usize,
    timers: Timers<GroupId>,
}

impl Groups {
    /// The group of this id.
    pub fn get(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// All groups, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.groups.iter()
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.timers.next().into_iter().chain(self.upkeep_deadline()).min()
    }

    /// Changes one group, which is made if it is not there and forgotten if nothing of it is left. Every event of a group
    /// goes through here, so that its deadline is kept.
    pub(super) fn change<A>(&mut self, id: &GroupId, event: impl FnOnce(&mut Group) -> A) -> A {
        let group = self.groups.entry(id.clone()).or_default();
        self.member_bytes -= group.member_bytes();
        let answer = event(group);
        self.member_bytes += group.member_bytes();
        match group.next_deadline() {
            Some(at) => self.timers.set(id.clone(), at),
            None => self.timers.cancel(id),
        }
        if group.is_nothing() {
            self.groups.remove(id.as_str());
        }
        answer
    }

    /// All records are read: the groups are served from now on.
    pub fn on_loaded(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        self.begin_upkeep(turn);
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.change(&id, |group| match &mut group.kind {
                Kind::Simple => {}
                Kind::Classic(group) => group.on_loaded(turn, actions),
                Kind::Consumer(group) => group.on_loaded(turn, actions),
                Kind::Share(group) => group.on_loaded(turn, actions),
            });
        }
    }

    /// The topics have changed.
    pub fn on_metadata(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        self.on_topics_changed(turn);
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.change(&id, |group| match &mut group.kind {
                // The members' leader looks at the topics itself.
                Kind::Simple | Kind::Classic(_) => {}
                Kind::Consumer(group) => group.on_metadata(turn, actions),
                Kind::Share(group) => group.on_metadata(turn, actions),
            });
        }
    }

    /// Does what is due by now, for some groups at a time: [`Self::next_deadline`] says whether there are more.
    pub fn on_time(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        self.on_upkeep_due(turn, actions);
        if !actions.records.is_empty() {
            // A batch has room for either.
            return;
        }
        // What an event sets anew may lie in the past; then it waits for the next call.
        let due: Vec<GroupId> =
            std::iter::from_fn(|| self.timers.pop_due(turn.now)).take(DUE_GROUPS_MAX).collect();
        for id in due {
            self.change(&id, |group| match &mut group.kind {
                Kind::Simple => {}
                Kind::Classic(group) => group.on_time(turn, actions),
                Kind::Consumer(_) => group.consumer_on_time(turn, actions),
                Kind::Share(group) => group.on_time(turn, actions),
            });
        }
    }
}
