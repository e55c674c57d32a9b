//! Fetches that wait for data: on the shard of their connection a signal, on each shard that owns partitions of theirs
//! one alarm. A shard whose alarm rings reads at once what the fetch wants of it, so that the records come with the news and not
//! after another question.
//!
//! Key invariant: an alarm rings at most once and raises the signal of exactly one fetch. Dropping the [`Wait`] takes
//! everything back on every shard, so a consumer that goes away leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use futures_lite::future::yield_now;
use hashbrown::HashMap;

use super::{ReadAnswers, ReadEntry, Shard, Signal};
use crate::metrics::Stage;
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
    mine: RefCell<HashMap<u64, Rc<Waiting>>>,
    /// Watchers that fetches of any shard have at this shard's partitions.
    placed: RefCell<HashMap<WaitId, Vec<Placed>>>,
}

/// A fetch of this shard, and what it was told and has not heard yet.
#[derive(Default)]
struct Waiting {
    signal: Signal,
    news: RefCell<Vec<News>>,
}

/// What one shard watches for a fetch.
pub struct Watched {
    pub owner: ShardId,
    /// Partitions of the owner, and the offset that each has to pass.
    pub partitions: Vec<(TopicPartition, Offset)>,
    /// What the owner reads when one of them has.
    pub wanted: Option<Wanted>,
}

/// What a waiting fetch wants of a shard.
pub struct Wanted {
    pub entries: Vec<ReadEntry>,
    pub bytes_max: usize,
}

/// What a shard read for a fetch that waited.
pub struct News {
    pub owner: ShardId,
    /// In the order of the entries that were wanted.
    pub answers: ReadAnswers,
}

/// A fetch that waits; dropping it ends the wait everywhere.
pub struct Wait {
    shard: Rc<Shard>,
    id: WaitId,
    waiting: Rc<Waiting>,
    /// The shards that watch; those that have sent their news do not any more.
    asked: RefCell<Vec<ShardId>>,
}

impl Wait {
    /// Begins to wait for any of the partitions to pass its offset.
    pub fn begin(shard: &Rc<Shard>, watched: Vec<Watched>) -> Self {
        let number = shard.waits().next.get();
        shard.waits().next.set(number + 1);
        let id = WaitId { home: shard.id(), number };
        let waiting = Rc::new(Waiting::default());
        shard.waits().mine.borrow_mut().insert(number, waiting.clone());
        shard.metrics().logs.waiting_fetches.add(1);
        let asked = RefCell::new(watched.iter().map(|watched| watched.owner).collect());
        for watched in watched {
            if watched.owner == shard.id() {
                place(shard, id, watched);
            } else {
                shard.router().note(watched.owner, move |shard| place(shard, id, watched));
            }
        }
        Self { shard: shard.clone(), id, waiting, asked }
    }

    /// Returns when something has happened at one of the partitions since the wait began, with what was read for it where something
    /// was wanted.
    pub async fn news(&self) -> Vec<News> {
        self.waiting.signal.wait().await;
        let news = self.waiting.news.take();
        self.asked.borrow_mut().retain(|asked| news.iter().all(|news| news.owner != *asked));
        news
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.shard.metrics().logs.waiting_fetches.subtract(1);
        self.shard.waits().mine.borrow_mut().remove(&self.id.number);
        for owner in self.asked.take() {
            let id = self.id;
            if owner == self.shard.id() {
                take_back(&self.shard, id);
            } else {
                self.shard.router().note(owner, move |shard| {
                    take_back(shard, id);
                });
            }
        }
    }
}

/// On the owner: puts one alarm at all the partitions.
fn place(shard: &Rc<Shard>, id: WaitId, watched: Watched) {
    let (owner, wanted) = (shard.clone(), watched.wanted);
    let alarm = Alarm::new(move || match wanted {
        Some(wanted) => drop(glommio::spawn_local(read_and_tell(owner, id, wanted)).detach()),
        None => tell(&owner, id, None),
    });
    let mut placed = Vec::with_capacity(watched.partitions.len());
    for (partition, offset) in watched.partitions {
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

/// On the owner: reads what the fetch wants, unless it has gone meanwhile.
async fn read_and_tell(owner: Rc<Shard>, id: WaitId, wanted: Wanted) {
    // The executor runs a new task at once, inside of what rang. Only after that all that became durable together is to be seen,
    // and the wait is in its place.
    yield_now().await;
    if !take_back(&owner, id) {
        return;
    }
    let began = Instant::now();
    let answers = owner.read_here(wanted.entries, wanted.bytes_max).await;
    owner.metrics().stages.record(Stage::FetchRead, began.elapsed());
    tell(&owner, id, Some(News { owner: owner.id(), answers }));
}

/// On the owner: tells the fetch that there is news.
fn tell(owner: &Rc<Shard>, id: WaitId, news: Option<News>) {
    let raise = move |home: &Rc<Shard>| {
        if let Some(waiting) = home.waits().mine.borrow().get(&id.number) {
            waiting.news.borrow_mut().extend(news);
            waiting.signal.raise();
        }
    };
    if id.home == owner.id() {
        raise(owner);
    } else {
        owner.router().note(id.home, raise);
    }
}

/// On the owner: ends the wait; false if it has ended already.
fn take_back(shard: &Rc<Shard>, id: WaitId) -> bool {
    let Some(placed) = shard.waits().placed.borrow_mut().remove(&id) else { return false };
    for (partition, key) in placed {
        partition.unwatch(key);
    }
    true
}
