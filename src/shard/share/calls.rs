//! How handlers reach share partitions: on whichever shard they are.
//!
//! Key invariants: acknowledgements of a member arrive in the order in which they were sent. A fetch asks one shard after the
//! other, so that together they hand out no more than one member wants.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use futures_channel::oneshot;

use super::{ShareError, TakeLimits, Taken};
use crate::coordinator::share::{AckBatch, SharePartitionKey};
use crate::coordinator::{GroupError, GroupId, MemberId};
use crate::model::{ShardId, TopicPartition};
use crate::partition::PartitionError;
use crate::shard::{Shard, ShardGone};

/// Whose request it is.
pub type Sharer = (GroupId, MemberId);

/// Acknowledgements for partitions of one shard.
pub type Acknowledgements = Vec<(TopicPartition, Vec<AckBatch>)>;

/// Acknowledgements under way.
pub type Acknowledging = Pin<Box<dyn Future<Output = Result<Vec<Result<(), ShareError>>, ShardGone>>>>;

impl Shard {
    /// Takes records of partitions of shard `owner`.
    pub async fn share_take(
        self: &Rc<Self>,
        owner: ShardId,
        sharer: Sharer,
        partitions: Vec<TopicPartition>,
        limits: TakeLimits,
    ) -> Result<Vec<Result<Taken, ShareError>>, ShardGone> {
        self.on(owner, move |owner| owner.take(sharer, partitions, limits)).await
    }

    /// Acknowledges records of partitions of shard `owner`. It is on its way when this returns; what comes back resolves when
    /// it is durable.
    pub async fn share_acknowledge(
        self: &Rc<Self>,
        owner: ShardId,
        sharer: Sharer,
        acknowledgements: Acknowledgements,
    ) -> Result<Acknowledging, ShardGone> {
        if owner == self.id() {
            let taken = self.clone().acknowledge(&sharer, acknowledgements);
            return Ok(Box::pin(async move { Ok(taken.await) }));
        }
        let credit = self.router().credit(owner).await?;
        let job = move |owner: Rc<Self>| owner.acknowledge(&sharer, acknowledgements);
        Ok(Box::pin(self.router().start(credit, job)))
    }

    /// Gives back what a member has of partitions of shard `owner`: it has closed its session.
    pub async fn share_release(
        self: &Rc<Self>,
        owner: ShardId,
        sharer: Sharer,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), ShardGone> {
        self.on(owner, move |owner| async move { owner.release(&sharer, partitions) }).await
    }

    /// Forgets share partitions everywhere: the share coordinator has another state of them now.
    pub async fn share_forget(self: &Rc<Self>, keys: Vec<SharePartitionKey>) {
        for number in 0..self.shards() {
            let shard = ShardId(number);
            let owned = keys.iter().filter(|key| self.owner_of(key.topic_partition()) == shard);
            let owned: Vec<SharePartitionKey> = owned.cloned().collect();
            if !owned.is_empty() {
                // A shard that has stopped has nothing to forget.
                let _ = self.on(shard, move |owner| async move { owner.forget_shares(&owned) }).await;
            }
        }
    }

    /// Takes acknowledgements at once; the future waits until they are durable.
    fn acknowledge(
        self: Rc<Self>,
        (group, member): &Sharer,
        acknowledgements: Acknowledgements,
    ) -> impl Future<Output = Vec<Result<(), ShareError>>> + use<> {
        let started: Vec<Result<Option<Pending>, ShareError>> = acknowledgements
            .into_iter()
            .map(|(TopicPartition { topic_id, partition }, batches)| {
                let key = SharePartitionKey { group: group.clone(), topic_id, partition };
                self.acknowledge_one(&key, member, &batches)
            })
            .collect();
        async move {
            let mut answers = Vec::with_capacity(started.len());
            for one in started {
                answers.push(match one {
                    Ok(Some(pending)) => {
                        pending.await.unwrap_or(Err(GroupError::NotCoordinator)).map_err(Into::into)
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                });
            }
            answers
        }
    }

    fn acknowledge_one(
        self: &Rc<Self>,
        key: &SharePartitionKey,
        member: &MemberId,
        batches: &[AckBatch],
    ) -> Result<Option<Pending>, ShareError> {
        let place = self.loaded_share(key).ok_or(ShareError::Partition(PartitionError::Unknown))?;
        let rules = self.share_rules(&key.group);
        let change = place.state.borrow_mut().acknowledge(self.now(), member, batches, &rules)?;
        let Some(change) = change else { return Ok(None) };
        let (sender, pending) = oneshot::channel();
        place.waiting.borrow_mut().insert(change, sender);
        self.write_share(&place);
        Ok(Some(pending))
    }

    fn release(self: &Rc<Self>, (group, member): &Sharer, partitions: Vec<TopicPartition>) {
        let rules = self.share_rules(group);
        for TopicPartition { topic_id, partition } in partitions {
            let key = SharePartitionKey { group: group.clone(), topic_id, partition };
            let Some(place) = self.loaded_share(&key) else { continue };
            if place.state.borrow_mut().release(member, &rules) {
                self.write_share(&place);
                place.wake();
            }
        }
    }
}

/// An acknowledgement that is being written.
type Pending = oneshot::Receiver<Result<(), GroupError>>;
