//! How handlers reach a coordinator: on whichever shard it is.
//!
//! Key invariant: an answer that comes back is durable.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use super::Kind;
use super::parked::Return;
use crate::coordinator::group::classic::{Joined, Synced};
use crate::coordinator::group::{Groups, Turn};
use crate::coordinator::share::{ShareActions, SharePartitionKey, ShareStates};
use crate::coordinator::{Actions, GroupAnswer, GroupError, Ticket, partition_of};
use crate::metadata::{CONSUMER_OFFSETS_TOPIC, SHARE_GROUP_STATE_TOPIC};
use crate::model::{ShardId, TopicPartition};
use crate::shard::Shard;

/// How often a share coordinator is asked.
const TRIES_MAX: u32 = 5;
/// The first pause between two tries; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// What all coordinators of some shards said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllGroups<A> {
    pub answers: Vec<A>,
    /// Some were not loaded yet, so that groups may be missing.
    pub loading: bool,
}

impl Shard {
    /// Runs `event` on the groups of `group`'s coordinator partition, wherever that is. Resolves when everything appended up to
    /// then is durable.
    pub async fn groups<A, F>(self: &Rc<Self>, group: &str, event: F) -> Result<A, GroupError>
    where
        A: Send + 'static,
        F: FnOnce(&mut Groups, &Turn<'_>, &mut Actions) -> A + Send + 'static,
    {
        self.ask(self.coordinator_of(group)?, event).await
    }

    /// Runs `event` on the share states of `key`'s coordinator partition, wherever that is. Resolves when everything appended up
    /// to then is durable. A coordinator on its way up, after a start or since it was created for this, is asked again for a
    /// while.
    pub async fn share_states<A, F>(
        self: &Rc<Self>,
        key: &SharePartitionKey,
        event: F,
    ) -> Result<A, GroupError>
    where
        A: Send + 'static,
        F: Fn(&mut ShareStates, &Turn<'_>, &mut ShareActions) -> Result<A, GroupError>
            + Clone
            + Send
            + 'static,
    {
        let mut pause = PAUSE_FIRST;
        for _ in 1..TRIES_MAX {
            match self.ask_share_states(key, event.clone()).await {
                Err(error) if error.may_pass() => {
                    glommio::timer::sleep(pause).await;
                    pause *= 2;
                }
                known => return known,
            }
        }
        self.ask_share_states(key, event).await
    }

    async fn ask_share_states<A: Send + 'static>(
        self: &Rc<Self>,
        key: &SharePartitionKey,
        event: impl FnOnce(&mut ShareStates, &Turn<'_>, &mut ShareActions) -> Result<A, GroupError>
        + Send
        + 'static,
    ) -> Result<A, GroupError> {
        let image = self.image();
        let topic = image.topic(SHARE_GROUP_STATE_TOPIC).ok_or(GroupError::NotCoordinator)?;
        let partition = key.coordinator_partition(topic.partitions.len());
        self.ask(TopicPartition { topic_id: topic.id, partition }, event).await.flatten()
    }

    /// Runs `event` on the state machine of a coordinator partition, on its owner's shard.
    async fn ask<S: Kind, A: Send + 'static>(
        self: &Rc<Self>,
        id: TopicPartition,
        event: impl FnOnce(&mut S, &Turn<'_>, &mut S::Actions) -> A + Send + 'static,
    ) -> Result<A, GroupError> {
        let answer = self.on(self.owner_of(id), move |owner| async move {
            let host = owner.hosted::<S>(id)?;
            let (answer, due) = host.run(&owner, event)?;
            host.durable(&owner, due).await?;
            Ok(answer)
        });
        answer.await.unwrap_or(Err(GroupError::NotCoordinator))
    }

    /// The same for JoinGroup, which is answered when the group has gathered.
    pub async fn join_group<F>(self: &Rc<Self>, group: &str, event: F) -> Result<Joined, GroupError>
    where
        F: FnOnce(&mut Groups, &Turn<'_>, Ticket, &mut Actions) + Send + 'static,
    {
        match self.park_at(group, event).await? {
            GroupAnswer::Joined(answer) => answer,
            GroupAnswer::Synced(_) => Err(GroupError::NotCoordinator),
        }
    }

    /// The same for SyncGroup, which is answered when the leader has assigned.
    pub async fn sync_group<F>(self: &Rc<Self>, group: &str, event: F) -> Result<Synced, GroupError>
    where
        F: FnOnce(&mut Groups, &Turn<'_>, Ticket, &mut Actions) + Send + 'static,
    {
        match self.park_at(group, event).await? {
            GroupAnswer::Synced(answer) => answer,
            GroupAnswer::Joined(_) => Err(GroupError::NotCoordinator),
        }
    }

    /// Looks at every coordinator partition of some shards.
    pub async fn all_groups<A, F>(self: &Rc<Self>, shards: Range<u16>, look: F) -> AllGroups<A>
    where
        A: Send + 'static,
        F: Fn(&Groups, &Turn<'_>) -> A + Clone + Send + 'static,
    {
        let mut all = AllGroups { answers: vec![], loading: false };
        for number in shards {
            let look = look.clone();
            let found = self.on(ShardId(number), move |owner| async move {
                let mut answers = vec![];
                for host in owner.coordinators().groups.ready() {
                    let (answer, due) = host.look(&owner, &look);
                    if host.durable(&owner, due).await.is_ok() {
                        answers.push(answer);
                    }
                }
                (answers, owner.awaits_groups())
            });
            match found.await {
                Ok((answers, loading)) => {
                    all.answers.extend(answers);
                    all.loading |= loading;
                }
                Err(_) => all.loading = true,
            }
        }
        all
    }

    /// The partition of `__consumer_offsets` that `group` belongs to.
    pub fn coordinator_of(&self, group: &str) -> Result<TopicPartition, GroupError> {
        let image = self.image();
        let topic = image.topic(CONSUMER_OFFSETS_TOPIC).ok_or(GroupError::NotCoordinator)?;
        let partition = partition_of(group, topic.partitions.len());
        Ok(TopicPartition { topic_id: topic.id, partition })
    }

    async fn park_at<F>(self: &Rc<Self>, group: &str, event: F) -> Result<GroupAnswer, GroupError>
    where
        F: FnOnce(&mut Groups, &Turn<'_>, Ticket, &mut Actions) + Send + 'static,
    {
        let id = self.coordinator_of(group)?;
        let mut place = self.coordinators().parked.park();
        let to = Return { home: self.id(), number: place.number };
        let begun = self.on(self.owner_of(id), move |owner| async move {
            let host = owner.hosted::<Groups>(id)?;
            let ticket = host.ticket(to);
            host.run(&owner, |groups, turn, actions| event(groups, turn, ticket, actions)).map(drop)
        });
        begun.await.unwrap_or(Err(GroupError::NotCoordinator))?;
        (&mut place.answer).await.map_err(|_| GroupError::NotCoordinator)
    }

    /// Brings an answer to the shard that waits for it; without one, who waits learns that there will be none.
    pub(super) fn send_home(self: &Rc<Self>, to: Return, answer: Option<GroupAnswer>) {
        let bring = move |home: &Rc<Shard>| match answer {
            Some(answer) => home.coordinators().parked.answer(to.number, answer),
            None => home.coordinators().parked.abandon(to.number),
        };
        if to.home == self.id() {
            bring(self);
        } else {
            self.router().note(to.home, bring);
        }
    }
}
