//! When events stop, time goes on and all clients follow their protocols, the group comes to rest: nobody waits for ever.

use super::*;
use crate::coordinator::group::classic::State;

/// Rounds, of 2 s each: sessions of those that are gone have to end, and then a few rebalances.
const ROUNDS_MAX: usize = 150;
/// Rounds in which nothing changes any more.
const QUIET_ROUNDS: usize = 8;

impl Play {
    pub(super) fn settle(&mut self) {
        self.world.settings.consumer.migration = MigrationPolicy::Bidirectional;
        let mut rounds = 0;
        while !self.is_settled() {
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "{:?}\n{:?}", self.clients, self.world.groups.get("g"));
            self.round();
        }
        let works_on = |play: &Self| -> Vec<Assignment> {
            play.clients.iter().map(|client| client.works_on.clone()).collect()
        };
        let before = works_on(self);
        for _ in 0..QUIET_ROUNDS {
            self.round();
            assert!(self.is_settled(), "{:?}\n{:?}", self.clients, self.world.groups.get("g"));
        }
        assert_eq!(before, works_on(self));
        self.check_shares();
    }

    fn round(&mut self) {
        for client in 0..CLIENTS {
            self.act(client);
            self.next(client, false);
            self.check();
        }
        self.pass(2_000);
        self.check();
    }

    /// Whether everybody has what the group has for it, and nobody else is there.
    fn is_settled(&self) -> bool {
        let done = |client: &Client| match client.is_classic {
            true => client.old.waits.is_none() && client.old.next == classic::Next::Beat,
            false => client.new.is_done(),
        };
        let has = |client: &Client, share: Option<Assignment>| share.as_ref() == Some(&client.works_on);
        if !self.clients.iter().all(|client| client.joined && done(client)) {
            return false;
        }
        match self.world.groups.get("g").map(|group| &group.kind) {
            Some(Kind::Consumer(group)) => {
                group.state() == ConsumerGroupState::Stable
                    && group.members.len() == CLIENTS
                    && self.clients.iter().all(|client| has(client, group.targets.get(&*client.id).cloned()))
            }
            Some(Kind::Classic(group)) => {
                group.state() == State::Stable
                    && group.members().len() == CLIENTS
                    && self.clients.iter().all(|client| has(client, self.given(group, &client.id)))
            }
            _ => false,
        }
    }

    fn given(&self, group: &ClassicGroup, id: &str) -> Option<Assignment> {
        Some(self.by_id(&group.member(id)?.assignment))
    }

    /// Each partition of a topic that somebody is subscribed to is with one client.
    fn check_shares(&self) {
        let is_consumer =
            matches!(self.world.groups.get("g").map(|group| &group.kind), Some(Kind::Consumer(_)));
        if is_consumer && self.grew && self.clients.iter().all(|client| client.is_classic) {
            // Nobody of them leads, so that nobody looks at the topics: new partitions are seen at the next join.
            return;
        }
        let mut expected: BTreeMap<At, usize> = BTreeMap::new();
        for name in self.clients.iter().flat_map(|client| classic::names(client.subscription)) {
            let topic = self.world.image.topic(name).unwrap();
            expected.extend((0..topic.partitions.len()).map(|at| ((topic.id, PartitionIndex(at as i32)), 1)));
        }
        let mut found: BTreeMap<At, usize> = BTreeMap::new();
        for at in self.clients.iter().flat_map(|client| client.works_on.iter()) {
            *found.entry(at).or_default() += 1;
        }
        assert_eq!(found, expected);
    }
}
