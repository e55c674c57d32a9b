//! Fetches that wait for data: on the shard of their connection a signal, on each shard that owns partitions of theirs
//! one alarm.
//!
//! Key invariant: an alarm rings at most once and raises the signal of exactly one fetch. Dropping the [`Wait`] takes
//! everything back on every shard, so a consumer that goes away leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hashbrown::HashMap;

use super::{Shard, Signal};
use crate::model::{Offset, ShardId, TopicPartition};
use crate::partition::{Alarm, Partition, WatcherKey};

/// Names a waiting fetch: the shard of its connection, and a number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct WaitId {
    home: ShardId,
    number: u64,
}

/// A watcher and the partition that has it.
type Placed = (Rc<Partition>, WatcherKey);

/// The waits of one shard, on both ends.
#[derive(Default)]
pub struct Waits {
    next: Cell<u64>,
    /// Fetches of this shard's connections.
    mine: RefCell<HashMap<u64, Rc<Signal>>>,
    /// Watchers that fetches of any shard have at this shard's partitions.
    placed: RefCell<HashMap<WaitId, Vec<Placed>>>,
}

/// A fetch that waits; dropping it ends the wait everywhere.
pub struct Wait {
    shard: Rc<Shard>,
    id: WaitId,
    signal: Rc<Signal>,
    asked: Vec<ShardId>,
}

impl Wait {
    /// Begins to wait for any of `watched` to pass its offset; each entry names the owner of its partitions.
    pub fn begin(shard: &Rc<Shard>, watched: Vec<(ShardId, Vec<(TopicPartition, Offset)>)>) -> Self {
        let number = shard.waits().next.get();
        shard.waits().next.set(number + 1);
        let id = WaitId { home: shard.id(), number };
        let signal = Rc::new(Signal::default());
        shard.waits().mine.borrow_mut().insert(number, signal.clone());
        shard.metrics().logs.waiting_fetches.add(1);
        let asked = watched.iter().map(|(owner, _)| *owner).collect();
        for (owner, partitions) in watched {
            if owner == shard.id() {
                place(shard, id, partitions);
            } else {
                shard.router().note(owner, move |shard| place(shard, id, partitions));
            }
        }
        Self { shard: shard.clone(), id, signal, asked }
    }

    /// Returns when something has happened at one of the partitions since the wait began.
    pub async fn news(&self) {
        self.signal.wait().await;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.shard.metrics().logs.waiting_fetches.subtract(1);
        self.shard.waits().mine.borrow_mut().remove(&self.id.number);
        for owner in &self.asked {
            let id = self.id;
            if *owner == self.shard.id() {
                take_back(&self.shard, id);
            } else {
                self.shard.router().note(*owner, move |shard| take_back(shard, id));
            }
        }
    }
}

/// On the owner: puts one alarm at all the partitions.
fn place(shard: &Rc<Shard>, id: WaitId, partitions: Vec<(TopicPartition, Offset)>) {
    let owner = shard.clone();
    let alarm = Alarm::new(move || ring(&owner, id));
    let mut placed = Vec::with_capacity(partitions.len());
    for (partition, offset) in partitions {
        match shard.table().partition(partition) {
            Ok(partition) => {
                let key = partition.watch(offset, &alarm);
                placed.push((partition, key));
            }
            // Gone or not open: the fetch must look again and say so.
            Err(_) => alarm.ring(),
        }
    }
    shard.waits().placed.borrow_mut().insert(id, placed);
}

fn ring(owner: &Rc<Shard>, id: WaitId) {
    let raise = move |home: &Rc<Shard>| {
        if let Some(signal) = home.waits().mine.borrow().get(&id.number) {
            signal.raise();
        }
    };
    if id.home == owner.id() {
        raise(owner);
    } else {
        owner.router().note(id.home, raise);
    }
}

fn take_back(shard: &Rc<Shard>, id: WaitId) {
    let placed = shard.waits().placed.borrow_mut().remove(&id);
    for (partition, key) in placed.into_iter().flatten() {
        partition.unwatch(key);
    }
}
