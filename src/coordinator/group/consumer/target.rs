//! The target of each member, and its steps towards it.
//!
//! Key invariant: a target is made for an epoch of the group from what the members are subscribed to in it; only what changed
//! is written.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::ConsumerGroup;
use super::member::Current;
use super::reconcile::Step;
use crate::config::GroupSettings;
use crate::coordinator::group::Turn;
use crate::coordinator::group::assignor::{Assignment, Assignor, MemberSpec, Spec, Topic};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::{TargetMemberValue, TargetValue, TopicPartitions};
use crate::coordinator::{Actions, MemberId};
use crate::metadata::Image;

impl ConsumerGroup {
    /// The assignor that most members ask for, of those that may be; the broker's default without a wish.
    pub(super) fn assignor(&self, settings: &GroupSettings) -> Assignor {
        let names = &settings.consumer.assignors;
        let mut wishes: HashMap<&str, usize> = HashMap::new();
        for member in self.members.values() {
            if let Some(name) = &member.value.server_assignor {
                *wishes.entry(name).or_default() += 1;
            }
        }
        let wishes = wishes.into_iter().filter(|(name, _)| names.iter().any(|of| of == name));
        // Where two have as many wishes, the name decides: so all brokers choose the same.
        let most =
            wishes.max_by_key(|(name, count)| (*count, *name)).and_then(|(name, _)| Assignor::named(name));
        let default = || names.iter().find_map(|name| Assignor::named(name));
        most.or_else(default).unwrap_or(Assignor::Uniform)
    }

    /// Makes a target for the group's epoch.
    pub(super) fn assign(&mut self, turn: &Turn<'_>, actions: &mut Actions) {
        let spec = self.spec(turn.image);
        let assigned = self.assignor(turn.settings).assign(&spec);
        let changed: Vec<(MemberId, TargetMemberValue)> = spec
            .members
            .iter()
            .zip(assigned)
            .filter(|(member, assigned)| member.target != Some(assigned))
            .map(|(member, assigned)| {
                (member.id.clone(), TargetMemberValue { partitions: assigned.to_list() })
            })
            .collect();
        for (id, value) in changed {
            self.emit(GroupRecord::ConsumerTargetMember(self.id.clone(), id, Some(value)), actions);
        }
        let value = TargetValue { assignment_epoch: self.epoch };
        self.emit(GroupRecord::ConsumerTarget(self.id.clone(), Some(value)), actions);
    }

    /// What the assignor is given: members by id, topics by name.
    fn spec(&self, image: &Image) -> Spec<'_> {
        let mut spec = Spec::default();
        let mut positions: HashMap<&str, usize> = HashMap::new();
        for name in self.subscriptions.topics() {
            if let Some(topic) = image.topic(name) {
                let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
                positions.insert(name, spec.topics.len());
                spec.topics.push(Topic { id: topic.id, partitions });
            }
        }
        // Most groups have one subscription: members that said the same share it, and so do those who mean the same.
        let mut said: HashMap<(&[String], Option<&str>), usize> = HashMap::new();
        let mut meant: HashMap<Vec<usize>, usize> = HashMap::new();
        for (id, member) in &self.members {
            let pattern = member.value.subscribed_regex.as_deref();
            let names = &member.value.subscribed_topics[..];
            let subscription = *said.entry((names, pattern)).or_insert_with(|| {
                let matched = pattern.map_or(&[][..], |pattern| self.subscriptions.matched(pattern));
                let all: BTreeSet<usize> = names
                    .iter()
                    .chain(matched)
                    .filter_map(|name| positions.get(name.as_str()).copied())
                    .collect();
                let all: Vec<usize> = all.into_iter().collect();
                *meant.entry(all).or_insert_with_key(|all| {
                    spec.subscriptions.push(all.clone());
                    spec.subscriptions.len() - 1
                })
            });
            let instance_id = member.value.instance_id.as_ref();
            spec.members.push(MemberSpec { id, instance_id, subscription, target: self.targets.get(id) });
        }
        spec
    }

    /// One step of a member towards its target; whether that changed what it is assigned.
    pub(super) fn reconcile(
        &mut self,
        turn: &Turn<'_>,
        id: &MemberId,
        subscription_changed: bool,
        owned: Option<&[TopicPartitions]>,
        actions: &mut Actions,
    ) -> bool {
        let Some(member) = self.members.get(id.as_str()) else { return false };
        if !subscription_changed && member.is_reconciled_to(self.target_epoch) {
            return false;
        }
        let nothing = Assignment::default();
        let next: Current = Step {
            current: &member.current,
            target_epoch: self.target_epoch,
            target: self.targets.get(id.as_str()).unwrap_or(&nothing),
            subscription_changed,
            owned,
            is_subscribed: &|topic| {
                let topic = turn.image.topic_by_id(topic);
                topic.is_some_and(|topic| self.subscriptions.member_has(&member.value, &topic.name))
            },
            is_free: &|topic, partition| !self.owners.contains_key(&(topic, partition)),
        }
        .taken();
        if next == member.current {
            return false;
        }
        let reassigned = next.assigned != member.current.assigned;
        let value = Some(next.to_value());
        self.emit(GroupRecord::ConsumerCurrent(self.id.clone(), id.clone(), value), actions);
        self.watch_revocation(turn.now, id);
        reassigned
    }
}
