//! The partitions that a shard owns, and how they follow the metadata.
//!
//! Key invariants: a partition is in the table exactly if the image assigns it to this shard; it serves only when its
//! log is open. A deleted partition's directory is out of the way before a new partition of that name opens.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::Task;
use hashbrown::HashMap;

use super::Signal;
use crate::config::{BrokerSettings, TopicSettings};
use crate::metadata::{Image, TopicImage};
use crate::metrics::ShardMetrics;
use crate::model::{PartitionIndex, ShardId, TopicId, TopicPartition, owner_shard};
use crate::partition::{Partition, PartitionError};
use crate::storage::{self, LogPlace, StorageError, Store};

/// Logs that one shard opens, recovers or closes at the same time.
const OPENING_MAX: usize = 32;

/// A topic as requests see it. Behind an `Rc` of its shard: the count of an image's holders is one that all shards change.
pub struct Topic {
    pub image: Arc<TopicImage>,
    pub settings: Rc<TopicSettings>,
}

#[derive(Clone)]
enum Slot {
    Opening,
    Ready(Rc<Partition>),
    Failed(PartitionError),
}

impl Slot {
    fn is_opening(&self) -> bool {
        matches!(self, Self::Opening)
    }
}

/// The topics that this shard knows and the partitions that it owns.
pub struct Table {
    me: ShardId,
    shards: u16,
    store: Rc<Store>,
    metrics: Arc<ShardMetrics>,
    /// Raised when a partition has opened or failed to.
    settled: Signal,
    /// Raised when a partition has opened, for those that do something with it.
    opened: Rc<Signal>,
    topics: RefCell<HashMap<TopicId, Rc<Topic>>>,
    partitions: RefCell<HashMap<TopicPartition, Slot>>,
}

impl Table {
    /// An empty table.
    pub fn new(
        (me, shards): (ShardId, u16),
        store: Rc<Store>,
        metrics: Arc<ShardMetrics>,
        opened: Rc<Signal>,
    ) -> Self {
        Self {
            me,
            shards,
            store,
            metrics,
            settled: Signal::default(),
            opened,
            topics: RefCell::default(),
            partitions: RefCell::default(),
        }
    }

    /// The topic, with the settings in force.
    pub fn topic(&self, id: TopicId) -> Option<Rc<Topic>> {
        self.topics.borrow().get(&id).cloned()
    }

    /// The partition, if it is this shard's and open.
    pub fn partition(&self, id: TopicPartition) -> Result<Rc<Partition>, PartitionError> {
        match self.partitions.borrow().get(&id) {
            Some(Slot::Ready(partition)) => Ok(partition.clone()),
            Some(Slot::Opening) => Err(PartitionError::Recovering),
            Some(Slot::Failed(error)) => Err(error.clone()),
            None => Err(PartitionError::Unknown),
        }
    }

    /// The partitions that are open.
    pub fn ready(&self) -> Vec<Rc<Partition>> {
        let partitions = self.partitions.borrow();
        let ready = partitions.values().filter_map(|slot| match slot {
            Slot::Ready(partition) => Some(partition.clone()),
            _ => None,
        });
        ready.collect()
    }

    /// The open partitions of one topic.
    pub fn ready_of(&self, topic: TopicId) -> Vec<Rc<Partition>> {
        let count = self.topic(topic).map_or(0, |known| known.image.partitions.len());
        let ids = (0..count)
            .map(|index| TopicPartition { topic_id: topic, partition: PartitionIndex(index as i32) });
        ids.filter_map(|id| self.partition(id).ok()).collect()
    }

    /// How many partitions are offline.
    pub fn offline(&self) -> usize {
        self.partitions.borrow().values().filter(|slot| matches!(slot, Slot::Failed(_))).count()
    }

    /// How many partitions this shard owns, open or not.
    pub fn len(&self) -> usize {
        self.partitions.borrow().len()
    }

    /// Whether this shard owns no partition.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the table what `image` says. Returns when deleted partitions are gone; the tasks end when the new ones are
    /// open or have failed.
    pub async fn follow(self: &Rc<Self>, image: &Image, broker: &BrokerSettings) -> Vec<Task<()>> {
        self.remove_deleted(image).await;
        let mut opening = vec![];
        for topic in image.topics() {
            let known = self.topics.borrow().get(&topic.id).map(|known| known.image.clone());
            if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, topic)) {
                continue;
            }
            let settings = Rc::new(TopicSettings::effective(&topic.overrides, broker));
            let entry = Rc::new(Topic { image: topic.clone(), settings: settings.clone() });
            self.topics.borrow_mut().insert(topic.id, entry);
            opening.extend(self.follow_topic(topic, &settings));
        }
        let table = self.clone();
        at_most(OPENING_MAX, opening, move |id| table.clone().open(id))
    }

    /// Takes over broker-wide settings that topics fall back to.
    pub fn refresh_settings(&self, broker: &BrokerSettings) {
        let mut topics = self.topics.borrow_mut();
        for topic in topics.values_mut() {
            let settings = TopicSettings::effective(&topic.image.overrides, broker);
            if *topic.settings != settings {
                *topic = Rc::new(Topic { image: topic.image.clone(), settings: Rc::new(settings) });
            }
        }
        for partition in self.ready() {
            if let Some(topic) = topics.get(&partition.id().topic_id)
                && !Rc::ptr_eq(&partition.settings(), &topic.settings)
            {
                partition.update_settings(topic.settings.clone());
            }
        }
    }

    /// Closes every log; from now on no partition serves.
    pub async fn close(&self) {
        let slots: Vec<Slot> = self.partitions.borrow_mut().drain().map(|(_, slot)| slot).collect();
        let ready = slots.into_iter().filter_map(|slot| match slot {
            Slot::Ready(partition) => Some(partition),
            _ => None,
        });
        let closing = at_most(OPENING_MAX, ready.collect(), async |partition: Rc<Partition>| {
            partition.disturb();
            if let Err(error) = partition.log().close().await {
                let id = partition.id();
                tracing::error!("the log of partition {id:?} is not closed cleanly: {error}");
            }
        });
        for task in closing {
            task.await;
        }
    }

    /// Takes over a topic; returns its new partitions.
    fn follow_topic(&self, topic: &Arc<TopicImage>, settings: &Rc<TopicSettings>) -> Vec<TopicPartition> {
        let mut opening = vec![];
        for (index, partition) in topic.partitions.iter().enumerate() {
            let id = TopicPartition { topic_id: topic.id, partition: PartitionIndex(index as i32) };
            if owner_shard(id.topic_id, id.partition, self.shards) != self.me {
                continue;
            }
            let slot = self.partitions.borrow().get(&id).cloned();
            match slot {
                Some(Slot::Ready(open)) => {
                    open.update_settings(settings.clone());
                    open.start_epoch(partition.leader_epoch);
                }
                Some(_) => {}
                None => {
                    self.partitions.borrow_mut().insert(id, Slot::Opening);
                    opening.push(id);
                }
            }
        }
        opening
    }

    async fn open(self: Rc<Self>, id: TopicPartition) {
        let Some(topic) = self.topic(id.topic_id) else { return };
        let Some(partition) = topic.image.partition(id.partition) else { return };
        let place =
            LogPlace { topic: topic.image.name.clone(), topic_id: id.topic_id, partition: id.partition };
        let directory = place.directory(self.store.disk().directory());
        let (epoch, settings) = (partition.leader_epoch, topic.settings.clone());
        let opened = Partition::open(&self.store, place, epoch, settings, self.metrics.clone()).await;
        let slot = match opened {
            Ok(partition) => Slot::Ready(partition),
            Err(error) => {
                tracing::error!("partition {} is offline: {error}", directory.display());
                Slot::Failed(error)
            }
        };
        // A deletion waits for the slot to settle, so it is still there.
        self.partitions.borrow_mut().insert(id, slot);
        self.settled.raise();
        self.opened.raise();
    }

    async fn remove_deleted(&self, image: &Image) {
        while self.partitions.borrow().iter().any(|(id, slot)| slot.is_opening() && !exists(image, *id)) {
            self.settled.wait().await;
        }
        let gone: Vec<(TopicPartition, Slot)> = {
            let mut partitions = self.partitions.borrow_mut();
            partitions.extract_if(|id, _| !exists(image, *id)).collect()
        };
        for (id, slot) in gone {
            let removed = match slot {
                Slot::Ready(partition) => {
                    partition.disturb();
                    partition.log().remove().await
                }
                Slot::Failed(_) => self.remove_unopened(id).await,
                Slot::Opening => Ok(()),
            };
            if let Err(error) = removed {
                tracing::error!("the directory of the deleted partition {id:?} cannot be removed: {error}");
            }
        }
        self.topics.borrow_mut().retain(|id, _| image.topic_by_id(*id).is_some());
    }

    async fn remove_unopened(&self, id: TopicPartition) -> Result<(), StorageError> {
        let Some(topic) = self.topic(id.topic_id) else { return Ok(()) };
        let place =
            LogPlace { topic: topic.image.name.clone(), topic_id: id.topic_id, partition: id.partition };
        let delay = Duration::from_millis(topic.settings.retention.delete_delay_ms.max(0) as u64);
        storage::remove_unopened(&self.store, &place, delay).await
    }
}

/// Does `each` for all items, `count` of them at a time: a task for each of thousands would take memory for all at once.
fn at_most<T: 'static>(count: usize, items: Vec<T>, each: impl AsyncFn(T) + 'static) -> Vec<Task<()>> {
    let workers = count.min(items.len());
    let (items, each) = (Rc::new(RefCell::new(items)), Rc::new(each));
    let work = || {
        let (items, each) = (items.clone(), each.clone());
        glommio::spawn_local(async move {
            loop {
                let next = items.borrow_mut().pop();
                let Some(item) = next else { return };
                each(item).await;
            }
        })
    };
    (0..workers).map(|_| work()).collect()
}

fn exists(image: &Image, id: TopicPartition) -> bool {
    image.topic_by_id(id.topic_id).is_some_and(|topic| topic.partition(id.partition).is_some())
}
