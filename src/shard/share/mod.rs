//! The share partitions of this shard (KIP-932): for each group that shares one of its partitions, the records in flight.
//!
//! Key invariants: a share partition lives on the shard of its partition, for one leader epoch, loaded from the share
//! coordinator before the first record is acquired. An acknowledgement is answered when the share coordinator has it durably.
//! Fenced by the coordinator, it is forgotten, and the next fetch loads it anew. What records are in which state is
//! `coordinator::share`'s; sessions are the handlers'.

mod calls;
mod load;
mod take;
mod write;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_lite::future::or;
use hashbrown::HashMap;

pub use calls::{Acknowledgements, Sharer};
pub use take::{TakeLimits, Taken};

use super::{Shard, Signal};
use crate::coordinator::share::{ChangeId, SharePartition, SharePartitionKey, ShareRules};
use crate::coordinator::{GroupError, GroupId};
use crate::metadata::ConfigResource;
use crate::model::TimestampMs;
use crate::partition::{Partition, PartitionError};

/// Why a share partition does not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShareError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// All share partitions of a shard.
#[derive(Default)]
pub struct SharePartitions {
    by_key: RefCell<HashMap<SharePartitionKey, Slot>>,
}

/// A share partition, or that it is coming, or why it did not; the next who asks is told, and asks for it again.
enum Slot {
    Loading,
    Ready(Rc<Place>),
    Failed(ShareError),
}

/// A share partition with what waits for it.
struct Place {
    key: SharePartitionKey,
    partition: Rc<Partition>,
    state: RefCell<SharePartition>,
    /// Acknowledgements that wait to be durable.
    waiting: RefCell<HashMap<ChangeId, oneshot::Sender<Result<(), GroupError>>>>,
    /// Somebody reads the log to acquire from it: another would read the same.
    reading: Cell<bool>,
    /// Somebody else wanted to meanwhile.
    contended: Cell<bool>,
    /// A fetch found nothing to acquire and wants to know when there may be something.
    starved: Cell<bool>,
    /// A task carries writes to the share coordinator.
    writing: Cell<bool>,
    /// Until when a task sleeps that takes records back when their locks end; `None` if there is no such task.
    asleep_until: Cell<Option<TimestampMs>>,
    /// Wakes it, as a lock ends before that.
    sooner: Signal,
}

impl Place {
    fn new(key: SharePartitionKey, partition: Rc<Partition>, state: SharePartition) -> Rc<Self> {
        Rc::new(Self {
            key,
            partition,
            state: RefCell::new(state),
            waiting: RefCell::default(),
            reading: Cell::new(false),
            contended: Cell::new(false),
            starved: Cell::new(false),
            writing: Cell::new(false),
            asleep_until: Cell::new(None),
            sooner: Signal::default(),
        })
    }

    /// Wakes the fetches that found nothing here.
    fn wake(&self) {
        if self.starved.replace(false) {
            self.partition.disturb();
        }
    }
}

impl Shard {
    /// The share partition; `None` while it is loading, which this begins if need be.
    fn find_share(self: &Rc<Self>, key: &SharePartitionKey) -> Result<Option<Rc<Place>>, ShareError> {
        let partition = self.table().partition(key.topic_partition())?;
        let mut slots = self.coordinators().shares().by_key.borrow_mut();
        match slots.get(key) {
            Some(Slot::Ready(place)) => {
                let same_leader = place.state.borrow().leader_epoch() == partition.leader_epoch().get();
                if Rc::ptr_eq(&place.partition, &partition) && same_leader {
                    return Ok(Some(place.clone()));
                }
            }
            Some(Slot::Loading) => return Ok(None),
            Some(Slot::Failed(error)) => {
                let error = error.clone();
                slots.remove(key);
                return Err(error);
            }
            None => {}
        }
        slots.insert(key.clone(), Slot::Loading);
        // A task runs from the moment that it is spawned.
        drop(slots);
        glommio::spawn_local(load::load(self.clone(), key.clone(), partition)).detach();
        Ok(None)
    }

    /// The share partition, if it is loaded.
    fn loaded_share(&self, key: &SharePartitionKey) -> Option<Rc<Place>> {
        match self.coordinators().shares().by_key.borrow().get(key) {
            Some(Slot::Ready(place)) => Some(place.clone()),
            _ => None,
        }
    }

    /// Forgets share partitions whose state was changed at the share coordinator, or which are of no use any more.
    pub fn forget_shares(&self, keys: &[SharePartitionKey]) {
        for key in keys {
            self.forget_share(key, None);
        }
    }

    /// Forgets a share partition, if it is still `only`.
    fn forget_share(&self, key: &SharePartitionKey, only: Option<&Rc<Place>>) {
        let mut slots = self.coordinators().shares().by_key.borrow_mut();
        let Some(Slot::Ready(place)) = slots.get(key) else { return };
        if only.is_none_or(|only| Rc::ptr_eq(only, place)) {
            let place = place.clone();
            slots.remove(key);
            drop(slots);
            place.starved.set(true);
            place.wake();
        }
    }

    /// Forgets the share partitions of partitions that are gone.
    pub(super) fn sweep_shares(&self) {
        let image = self.image();
        let exists = |key: &SharePartitionKey| {
            image.topic_by_id(key.topic_id).is_some_and(|topic| topic.partition(key.partition).is_some())
        };
        self.coordinators()
            .shares()
            .by_key
            .borrow_mut()
            .retain(|key, slot| matches!(slot, Slot::Loading) || exists(key));
    }

    /// How records of a group are treated.
    fn share_rules(&self, group: &GroupId) -> ShareRules {
        let settings = self.group_settings().share;
        ShareRules {
            lock_ms: self.share_lock_ms(group.as_str()),
            deliveries_max: settings.deliveries_max,
            locks_max: settings.locks_per_partition_max,
        }
    }

    /// How long records of a group stay acquired, in milliseconds: its own setting or the broker's.
    pub fn share_lock_ms(&self, group: &str) -> i32 {
        let image = self.image();
        let own = image.config(&ConfigResource::Group(group.to_owned())).get("share.record.lock.duration.ms");
        let own = own.and_then(|value| value.trim().parse().ok());
        own.unwrap_or(self.group_settings().share.lock_ms)
    }

    /// Takes records back when their locks end, as long as there are any.
    fn watch_locks(self: &Rc<Self>, place: &Rc<Place>) {
        let Some(next) = place.state.borrow().next_deadline() else { return };
        match place.asleep_until.get() {
            Some(until) if next < until => return place.sooner.raise(),
            Some(_) => return,
            None => place.asleep_until.set(Some(next)),
        }
        let (shard, place) = (self.clone(), place.clone());
        glommio::spawn_local(async move {
            while let Some(at) = place.asleep_until.get() {
                let left = u64::try_from(at.since(shard.now())).unwrap_or(0);
                or(glommio::timer::sleep(Duration::from_millis(left)), place.sooner.wait()).await;
                let rules = shard.share_rules(&place.key.group);
                if place.state.borrow_mut().on_time(shard.now(), &rules) {
                    shard.write_share(&place);
                    place.wake();
                }
                place.asleep_until.set(place.state.borrow().next_deadline());
            }
        })
        .detach();
    }
}
