//! Finds out where partitions are now; one question at a time for all producers and readers of a thread.
//!
//! Key invariant: an answer is at least as new as the question, so nobody acts on what made him ask.

use std::cell::RefCell;
use std::sync::Arc;

use glommio::sync::Semaphore;

use super::shared::Shared;
use crate::client::{ClientError, Cluster, TopicFacts};
use crate::payload::Lane;

/// Who leads what, as of some time.
#[derive(Clone, Debug)]
pub struct Located {
    pub at_ns: u64,
    pub topics: Vec<TopicFacts>,
    /// Leader of each lane, -1 if none.
    pub leaders: Vec<i32>,
    /// Addresses of brokers.
    pub brokers: Vec<(i32, String)>,
}

impl Located {
    /// The address of a broker.
    pub fn address_of(&self, node: i32) -> Option<&str> {
        self.brokers.iter().find(|(id, _)| *id == node).map(|(_, address)| address.as_str())
    }

    /// The leader of a lane.
    pub fn leader_of(&self, lane: Lane) -> i32 {
        self.leaders.get(lane.0 as usize).copied().unwrap_or(-1)
    }
}

/// See the head of this file.
pub struct Locator {
    shared: Arc<Shared>,
    turn: Semaphore,
    known: RefCell<Option<Arc<Located>>>,
}

impl Locator {
    /// Knows nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, turn: Semaphore::new(1), known: RefCell::default() }
    }

    /// Where everything is, found out at `since_ns` or later.
    pub async fn locate(&self, since_ns: u64) -> Result<Arc<Located>, ClientError> {
        let _turn = self.turn.acquire_permit(1).await.ok();
        if let Some(known) = self.known.borrow().as_ref().filter(|known| known.at_ns >= since_ns) {
            return Ok(Arc::clone(known));
        }
        let at_ns = self.shared.clock.now_ns();
        let mut cluster = Cluster::connect(&self.shared.job.options).await?;
        let located = Arc::new(locate(&mut cluster, &self.shared.topics, at_ns).await?);
        *self.known.borrow_mut() = Some(Arc::clone(&located));
        Ok(located)
    }
}

/// Asks the cluster for all topics of a run.
pub async fn locate(cluster: &mut Cluster, names: &[String], at_ns: u64) -> Result<Located, ClientError> {
    let topics = cluster.locate(names).await?;
    let leaders =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| partition.leader)).collect();
    let brokers = cluster.brokers().iter().map(|broker| (broker.id, broker.address())).collect();
    Ok(Located { at_ns, topics, leaders, brokers })
}

/// The error for partitions that nobody leads at the moment (Kafka: LEADER_NOT_AVAILABLE).
pub fn no_leader(located: &Located, node: i32) -> ClientError {
    let topic = located.topics.first().map_or("a topic", |topic| topic.name.as_str());
    let what = format!("finding the broker {node} that leads a partition of {topic}");
    ClientError::Refused { what, code: 5, message: "there is none at the moment".to_owned() }
}
