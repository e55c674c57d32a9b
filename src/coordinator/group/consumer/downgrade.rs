//! A consumer group becomes a classic group, when its last member of the new protocol is gone (KIP-848).
//!
//! Key invariant: the generation is the group's epoch, so that members in it hear of the rebalance and lose nothing before.

use super::ConsumerGroup;
use super::classic::bytes_of;
use super::member::Member;
use crate::coordinator::group::assignor::Assignment;
use crate::coordinator::group::classic::{ClassicGroup, Migrant};
use crate::coordinator::group::{Group, Kind, Turn};
use crate::coordinator::{Actions, MemberId};

impl ConsumerGroup {
    /// Whether nobody but members on the classic protocol would be left without these, and they may have a classic group.
    /// `replaced` tells that one comes for each that goes.
    pub(super) fn becomes_classic_without(&self, turn: &Turn<'_>, gone: &[MemberId], replaced: bool) -> bool {
        let left = self.members.len() - if replaced { 0 } else { gone.len().min(self.members.len()) };
        let others_are_classic =
            || self.members.iter().all(|(id, member)| member.is_classic() || gone.contains(id));
        // A group of classic members alone stays what it is until somebody goes who keeps it so.
        let is_mixed = || gone.iter().any(|id| !self.members.get(id).is_some_and(Member::is_classic));
        left > 0
            && turn.settings.consumer.migration.downgrades()
            && left <= turn.settings.classic.members_max as usize
            && (!replaced || is_mixed())
            && others_are_classic()
    }

    fn to_classic(&self, turn: &Turn<'_>) -> ClassicGroup {
        let migrants = self.members.iter().filter_map(|(id, member)| {
            let classic = member.value.classic.as_ref()?;
            Some(Migrant {
                id: id.clone(),
                instance_id: member.value.instance_id.clone(),
                client_id: member.value.client_id.clone(),
                client_host: member.value.client_host.clone(),
                rebalance_timeout_ms: member.value.rebalance_timeout_ms,
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic.protocols.clone(),
            })
        });
        ClassicGroup::downgraded(turn, self.id.clone(), self.epoch, migrants.collect(), |id, subscription| {
            bytes_of(&self.held_or_free(id), subscription, turn.image)
        })
    }

    /// What a member has, what it is to give up and may still work on, and of what it is to get that which nobody else has. Not
    /// just its target, as Kafka has it: should the group be upgraded again before the member has joined once more, what it has not
    /// given up yet would go to another.
    fn held_or_free(&self, id: &MemberId) -> Assignment {
        let current = self.members.get(id).map(|member| &member.current);
        let mut all = Assignment::default();
        let held =
            current.into_iter().flat_map(|current| current.assigned.iter().chain(current.revoking.iter()));
        let is_free = |at: &(_, _)| self.owners.get(at).is_none_or(|owner| owner == id);
        let due = self.targets.get(id).into_iter().flat_map(Assignment::iter).filter(is_free);
        held.chain(due).for_each(|(topic, partition)| all.insert(topic, partition));
        all
    }
}

impl Group {
    /// Members go: the group assigns anew, or becomes a classic one.
    pub(super) fn consumer_depart(&mut self, turn: &Turn<'_>, gone: &[MemberId], actions: &mut Actions) {
        let Kind::Consumer(group) = &mut self.kind else { return };
        if gone.is_empty() {
            return;
        }
        if !group.becomes_classic_without(turn, gone, false) {
            return group.remove(turn, gone, actions);
        }
        for id in gone {
            group.emit_tombstones(id, actions);
        }
        self.downgrade(turn, true, actions);
    }

    /// The consumer group, whose members all speak the classic protocol, becomes a classic group.
    pub(super) fn downgrade(&mut self, turn: &Turn<'_>, rebalances: bool, actions: &mut Actions) {
        let Kind::Consumer(group) = &self.kind else { return };
        group.push_tombstones(&group.id, actions);
        let mut classic = group.to_classic(turn);
        actions.records.push(classic.to_record());
        if rebalances {
            classic.rebalance(turn, actions);
        }
        self.kind = Kind::Classic(Box::new(classic));
    }
}
