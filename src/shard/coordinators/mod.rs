//! The coordinators of a shard: one state machine for each partition of `__consumer_offsets` and `__share_group_state` that
//! it owns.
//!
//! Key invariant: a state machine serves when all of its partition's records are replayed, and only while its partition takes
//! appends. Its rules are in `coordinator`; here its records are appended, its answers let go, and its clock is kept.

mod batch;
mod calls;
mod host;
mod lag;
mod load;
mod parked;
mod prune;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use hashbrown::HashMap;

pub use calls::AllGroups;
use host::Host;
use parked::Parked;

use super::share::SharePartitions;
use super::{Shard, Signal};
use crate::coordinator::group::Groups;
use crate::coordinator::share::ShareStates;
use crate::coordinator::{GroupAnswer, GroupError, Hosted};
use crate::metadata::{CONSUMER_OFFSETS_TOPIC, SHARE_GROUP_STATE_TOPIC};
use crate::model::{PartitionIndex, TopicPartition};
use crate::partition::{Partition, PartitionError};

/// Partitions that one shard loads at the same time.
const LOADING_MAX: usize = 4;
/// Without a deadline the clock looks this often; metadata and settings may have changed.
const IDLE_TICK: Duration = Duration::from_secs(10);
/// Two looks at the clock are at least this far apart, so that deadlines of many members are met together.
const TICK_MIN: Duration = Duration::from_millis(5);

/// A partition's state machine, or that it is coming.
enum Slot<S: Hosted> {
    Loading,
    Ready(Rc<Host<S>>),
}

/// The state machines of one kind.
struct Hosts<S: Hosted> {
    slots: RefCell<HashMap<TopicPartition, Slot<S>>>,
}

impl<S: Hosted> Default for Hosts<S> {
    fn default() -> Self {
        Self { slots: RefCell::default() }
    }
}

impl<S: Hosted> Hosts<S> {
    fn find(&self, id: TopicPartition) -> Result<Rc<Host<S>>, GroupError> {
        match self.slots.borrow().get(&id) {
            Some(Slot::Ready(host)) => Ok(host.clone()),
            Some(Slot::Loading) => Err(GroupError::LoadInProgress),
            None => Err(GroupError::NotCoordinator),
        }
    }

    fn ready(&self) -> Vec<Rc<Host<S>>> {
        let slots = self.slots.borrow();
        let ready = slots.values().filter_map(|slot| match slot {
            Slot::Ready(host) => Some(host.clone()),
            Slot::Loading => None,
        });
        ready.collect()
    }

    fn is_ready(&self, id: TopicPartition) -> bool {
        matches!(self.slots.borrow().get(&id), Some(Slot::Ready(_)))
    }
}

/// What kinds of coordinators there are.
trait Kind: Hosted<Answer = GroupAnswer> {
    /// The internal topic with their records.
    const TOPIC: &'static str;

    /// Those of a shard.
    fn hosts(coordinators: &Coordinators) -> &Hosts<Self>;
}

impl Kind for Groups {
    const TOPIC: &'static str = CONSUMER_OFFSETS_TOPIC;

    fn hosts(coordinators: &Coordinators) -> &Hosts<Self> {
        &coordinators.groups
    }
}

impl Kind for ShareStates {
    const TOPIC: &'static str = SHARE_GROUP_STATE_TOPIC;

    fn hosts(coordinators: &Coordinators) -> &Hosts<Self> {
        &coordinators.share_states
    }
}

/// All coordinators of a shard.
#[derive(Default)]
pub struct Coordinators {
    groups: Hosts<Groups>,
    share_states: Hosts<ShareStates>,
    /// Records in flight of share groups, on partitions of this shard.
    shares: SharePartitions,
    /// A partition of share states is being shortened.
    pruning: Cell<bool>,
    /// Requests of this shard's connections that wait for an answer of a coordinator anywhere.
    parked: Parked,
    /// Raised when a deadline may have come nearer, or the metadata changed.
    stirred: Rc<Signal>,
    metadata_changed: Cell<bool>,
}

impl Coordinators {
    /// What wakes them: to be raised when a partition has opened, too.
    pub(super) fn stirred(&self) -> Rc<Signal> {
        self.stirred.clone()
    }

    /// The share partitions of this shard.
    pub(super) fn shares(&self) -> &SharePartitions {
        &self.shares
    }

    /// Something changed that the clock has to look at.
    pub(super) fn stir(&self) {
        self.stirred.raise();
    }

    /// The topics may have changed.
    pub(super) fn metadata_changed(&self) {
        self.metadata_changed.set(true);
        self.stirred.raise();
    }
}

impl Shard {
    /// Hosts the coordinators of this shard until the task is dropped: loads those whose partitions open, tells them of time
    /// and of changed topics, and lets go of those whose partitions are gone.
    pub async fn host_coordinators(self: Rc<Self>) {
        loop {
            self.begin_loading::<Groups>();
            self.begin_loading::<ShareStates>();
            self.begin_pruning();
            if self.coordinators().metadata_changed.replace(false) {
                self.sweep_shares();
                self.tell_of_metadata::<Groups>().await;
                self.tell_of_metadata::<ShareStates>().await;
            }
            let next = self.look_at_the_clock().await;
            glommio::timer::sleep(TICK_MIN).await;
            let pause = next.saturating_sub(TICK_MIN);
            or(glommio::timer::sleep(pause), self.coordinators().stirred.wait()).await;
        }
    }

    async fn tell_of_metadata<S: Kind>(self: &Rc<Self>) {
        for host in S::hosts(self.coordinators()).ready() {
            host.on_metadata(self);
            glommio::yield_if_needed().await;
        }
    }

    /// Does what is due everywhere; returns how long nothing else will be.
    async fn look_at_the_clock(self: &Rc<Self>) -> Duration {
        let mut next = None;
        for host in self.coordinators().groups.ready() {
            while host.next_deadline().is_some_and(|at| at <= self.now()) && host.on_time(self) {
                glommio::yield_if_needed().await;
            }
            next = next.into_iter().chain(host.next_deadline()).min();
        }
        let Some(at) = next else { return IDLE_TICK };
        Duration::from_millis(u64::try_from(at.since(self.now())).unwrap_or(0)).min(IDLE_TICK)
    }

    /// Begins to load what is open and not loaded, and drops what is gone.
    fn begin_loading<S: Kind>(self: &Rc<Self>) {
        let image = self.image();
        let slots = &S::hosts(self.coordinators()).slots;
        let Some(topic) = image.topic(S::TOPIC) else {
            slots.borrow_mut().clear();
            return;
        };
        slots.borrow_mut().retain(|id, _| id.topic_id == topic.id);
        let mut loading = slots.borrow().values().filter(|slot| matches!(slot, Slot::Loading)).count();
        for partition in self.table().ready_of(topic.id) {
            if loading >= LOADING_MAX {
                return;
            }
            let id = partition.id();
            if slots.borrow().contains_key(&id) || partition.log().is_poisoned() {
                continue;
            }
            slots.borrow_mut().insert(id, Slot::Loading);
            loading += 1;
            glommio::spawn_local(load_host::<S>(self.clone(), partition)).detach();
        }
    }

    /// The state machine of a partition. One that is about to be loaded is on its way, not somewhere else.
    fn hosted<S: Kind>(&self, id: TopicPartition) -> Result<Rc<Host<S>>, GroupError> {
        S::hosts(self.coordinators()).find(id).map_err(|error| match error {
            GroupError::NotCoordinator if self.serves_or_will(id) => GroupError::LoadInProgress,
            other => other,
        })
    }

    /// Whether a partition of this shard takes appends, or opens just now.
    fn serves_or_will(&self, id: TopicPartition) -> bool {
        match self.table().partition(id) {
            Ok(partition) => !partition.log().is_poisoned(),
            Err(error) => matches!(error, PartitionError::Recovering),
        }
    }

    /// Whether groups of this shard are on their way: a partition that opens, or is open and not loaded. One that is offline
    /// is not waited for.
    fn awaits_groups(&self) -> bool {
        let image = self.image();
        let Some(topic) = image.topic(CONSUMER_OFFSETS_TOPIC) else { return false };
        let ids = (0..topic.partitions.len())
            .map(|index| TopicPartition { topic_id: topic.id, partition: PartitionIndex(index as i32) });
        let mut own = ids.filter(|id| self.owner_of(*id) == self.id());
        own.any(|id| self.serves_or_will(id) && !self.coordinators().groups.is_ready(id))
    }

    /// Throws a state machine away that could not append what it has: it is loaded again.
    fn unload<S: Kind>(&self, id: TopicPartition) {
        S::hosts(self.coordinators()).slots.borrow_mut().remove(&id);
        self.coordinators().stir();
    }
}

async fn load_host<S: Kind>(shard: Rc<Shard>, partition: Rc<Partition>) {
    let id = partition.id();
    let loaded = load::load::<S>(&partition).await;
    let slots = &S::hosts(shard.coordinators()).slots;
    match loaded {
        Ok(state) => {
            let host = Host::new(partition, state);
            // A topic that was deleted meanwhile took the slot with it.
            if let Some(slot) = slots.borrow_mut().get_mut(&id) {
                *slot = Slot::Ready(host.clone());
            }
            host.on_loaded(&shard);
        }
        Err(error) => {
            tracing::error!("the coordinator of partition {id:?} of {} is not available: {error}", S::TOPIC);
            glommio::timer::sleep(Duration::from_secs(1)).await;
            slots.borrow_mut().remove(&id);
        }
    }
    shard.coordinators().stir();
}
