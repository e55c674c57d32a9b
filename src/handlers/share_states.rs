//! What the APIs of share groups ask of the share coordinators: states initialized, deleted, summed up.
//!
//! Key invariant: partitions whose states one share coordinator has are asked for together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Server, internal_topics};
use crate::coordinator::group::Turn;
use crate::coordinator::share::{ShareActions, SharePartitionKey, ShareStates, StateSummary};
use crate::coordinator::{GroupError, GroupId};
use crate::metadata::SHARE_GROUP_STATE_TOPIC;
use crate::model::{Offset, PartitionIndex, TopicPartition};

/// Partitions with the answer for each.
pub type Each<A> = BTreeMap<TopicPartition, Result<A, GroupError>>;

/// Begins states with `state_epoch`, each from its offset on, or without one; the partitions' leaders forget what they have from
/// before.
pub async fn initialize(
    server: &Rc<Server>,
    group: &GroupId,
    state_epoch: i32,
    starts: BTreeMap<TopicPartition, Offset>,
) -> Each<()> {
    if internal_topics::ensure(server, SHARE_GROUP_STATE_TOPIC).await.is_err() {
        let text = "the topic of share states cannot be created".to_owned();
        return starts.into_keys().map(|id| (id, Err(GroupError::NotAvailable(text.clone())))).collect();
    }
    let ids: BTreeSet<TopicPartition> = starts.keys().copied().collect();
    let initialized = each(server, group, ids.clone(), move |states, turn, actions, key| {
        let start = starts.get(&key.topic_partition()).copied().unwrap_or(Offset::NONE);
        states.initialize(key, (state_epoch, start), turn.now, actions)
    })
    .await;
    forget(server, group, ids).await;
    initialized
}

/// Deletes states; the partitions' leaders forget what they have of them.
pub async fn delete(server: &Rc<Server>, group: &GroupId, ids: BTreeSet<TopicPartition>) -> Each<()> {
    let deleted = each(server, group, ids.clone(), |states, _, actions, key| {
        states.delete(key, actions);
        Ok(())
    })
    .await;
    forget(server, group, ids).await;
    deleted
}

/// Sums states up; `None` for a partition without.
pub async fn summaries(
    server: &Rc<Server>,
    group: &GroupId,
    ids: BTreeSet<TopicPartition>,
) -> Each<Option<StateSummary>> {
    if server.shard().image().topic(SHARE_GROUP_STATE_TOPIC).is_none() {
        return ids.into_iter().map(|id| (id, Ok(None))).collect();
    }
    each(server, group, ids, |states, _, _, key| Ok(states.summary(key))).await
}

/// The partitions' leaders forget what they have, and load it again when it is asked for.
async fn forget(server: &Rc<Server>, group: &GroupId, ids: BTreeSet<TopicPartition>) {
    server.shard().share_forget(ids.into_iter().map(|id| key(group, id)).collect()).await;
}

/// Before a share group is deleted its states are. Any other group has none.
pub async fn delete_of_group(server: &Rc<Server>, group: &str) -> Result<(), GroupError> {
    let name = group.to_owned();
    let asked = server.shard().groups(group, move |groups, _, _| match groups.share(&name) {
        Ok(_) => groups.share_deletion(&name),
        Err(_) => Ok(BTreeSet::new()),
    });
    let ids = asked.await.flatten()?;
    if ids.is_empty() {
        return Ok(());
    }
    let deleted = delete(server, &GroupId::from(group), ids).await;
    deleted.into_values().collect()
}

fn key(group: &GroupId, id: TopicPartition) -> SharePartitionKey {
    SharePartitionKey { group: group.clone(), topic_id: id.topic_id, partition: id.partition }
}

/// Runs `event` for each partition, in one go for those of one share coordinator.
async fn each<A, F>(server: &Rc<Server>, group: &GroupId, ids: BTreeSet<TopicPartition>, event: F) -> Each<A>
where
    A: Send + 'static,
    F: Fn(&mut ShareStates, &Turn<'_>, &mut ShareActions, &SharePartitionKey) -> Result<A, GroupError>
        + Clone
        + Send
        + 'static,
{
    let image = server.shard().image();
    let count = image.topic(SHARE_GROUP_STATE_TOPIC).map_or(0, |topic| topic.partitions.len());
    let mut coordinators: BTreeMap<PartitionIndex, Vec<SharePartitionKey>> = BTreeMap::new();
    for id in ids {
        let key = key(group, id);
        coordinators.entry(key.coordinator_partition(count)).or_default().push(key);
    }
    let mut answers = Each::new();
    for keys in coordinators.into_values() {
        let Some(first) = keys.first() else { continue };
        let (asked, event) = (keys.clone(), event.clone());
        let together = server.shard().share_states(first, move |states, turn, actions| {
            Ok(asked.iter().map(|key| event(states, turn, actions, key)).collect::<Vec<_>>())
        });
        match together.await {
            Ok(each) => {
                answers.extend(keys.iter().map(SharePartitionKey::topic_partition).zip(each));
            }
            Err(error) => {
                answers.extend(keys.iter().map(|key| (key.topic_partition(), Err(error.clone()))));
            }
        }
    }
    answers
}
