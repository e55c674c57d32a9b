//! One core: its partitions, its mailbox and the router to the other shards.
//!
//! Key invariant: everything in a [`Shard`] belongs to one executor; other shards reach it only through calls that the
//! router carries, and the control thread only through notices. What clients send is parsed and answered above.

mod adoptions;
mod answers;
mod budget;
mod compaction;
mod coordinators;
mod inbox;
mod maintenance;
mod requests;
mod router;
mod settings;
mod share;
mod signal;
mod stages;
mod table;
mod waits;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

pub use adoptions::{Adoption, Adoptions};
pub use answers::{AnswerGrant, Answers};
pub use budget::{Arriving, Budget, Exhausted, Grant};
pub use coordinators::{AllGroups, Coordinators};
pub use inbox::{Notice, Notices, ShardInbox, inbox};
pub use requests::{
    AppendAnswer, AppendAnswers, AppendEntries, AppendEntry, Appending, ReadAnswers, ReadEntry, Sent,
};
pub use router::{Credit, Mesh, Reply, Router, ShardGone, mesh};
use settings::ShardSettings;
pub use share::{Acknowledgements, ShareError, SharePartitions, Sharer, TakeLimits, Taken};
pub use signal::Signal;
pub use table::{Table, Topic};
pub use waits::{News, Wait, Waits, Wanted, Watched};

use crate::config::{BrokerSettings, GroupSettings};
use crate::io::Clock;
use crate::metadata::Image;
use crate::metrics::ShardMetrics;
use crate::model::{PartitionIndex, ShardId, TimestampMs, TopicId, TopicPartition, owner_shard};
use crate::storage::Store;

/// What one executor owns.
pub struct Shard {
    id: ShardId,
    shards: u16,
    settings: ShardSettings,
    image: RefCell<Arc<Image>>,
    table: Rc<Table>,
    router: Router<Shard>,
    waits: Waits,
    budget: Budget,
    adoptions: Adoptions,
    coordinators: Coordinators,
    metrics: Arc<ShardMetrics>,
    store: Rc<Store>,
}

/// What a shard is made of.
pub struct ShardParts {
    pub id: ShardId,
    pub shards: u16,
    pub settings: Arc<BrokerSettings>,
    pub request_bytes_max: u64,
    pub metrics: Arc<ShardMetrics>,
    pub store: Rc<Store>,
}

impl Shard {
    /// A shard without partitions, before its first image.
    pub fn new(parts: ShardParts) -> Rc<Self> {
        let ShardParts { id, shards, settings, request_bytes_max, metrics, store } = parts;
        let coordinators = Coordinators::default();
        let opened = coordinators.stirred();
        Rc::new(Self {
            id,
            shards,
            settings: ShardSettings::new(settings),
            image: RefCell::default(),
            table: Rc::new(Table::new((id, shards), store.clone(), metrics.clone(), opened)),
            router: Router::new(id, shards),
            waits: Waits::default(),
            budget: Budget::new(request_bytes_max),
            adoptions: Adoptions::default(),
            coordinators,
            metrics,
            store,
        })
    }

    /// This shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// How many shards the broker has.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The broker's settings, with what was changed while it runs.
    pub fn settings(&self) -> Arc<BrokerSettings> {
        self.settings.current()
    }

    /// Those of groups.
    pub fn group_settings(&self) -> Arc<GroupSettings> {
        self.settings.groups()
    }

    /// The groups that this shard coordinates.
    pub fn coordinators(&self) -> &Coordinators {
        &self.coordinators
    }

    /// The metadata that this shard acts by.
    pub fn image(&self) -> Arc<Image> {
        self.image.borrow().clone()
    }

    /// The topic of that name. Does not touch the image's count of holders, which all shards share.
    pub fn topic_named(&self, name: &str) -> Option<Rc<Topic>> {
        let id = self.image.borrow().topic(name)?.id;
        self.table.topic(id)
    }

    /// The topics and partitions.
    pub fn table(&self) -> &Rc<Table> {
        &self.table
    }

    /// The way to the other shards.
    pub fn router(&self) -> &Router<Self> {
        &self.router
    }

    /// The fetches that wait.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// Memory for requests.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Memory for records on their way to consumers.
    pub fn answers(&self) -> &Rc<Answers> {
        self.budget.answers()
    }

    /// Sockets handed over by other shards.
    pub fn adoptions(&self) -> &Adoptions {
        &self.adoptions
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<ShardMetrics> {
        &self.metrics
    }

    /// The data directory, the cache and the open files.
    pub fn store(&self) -> &Rc<Store> {
        &self.store
    }

    /// The time of day.
    pub fn now(&self) -> TimestampMs {
        Clock::System.now()
    }

    /// Who owns a partition.
    pub fn owner(&self, topic_id: TopicId, partition: PartitionIndex) -> ShardId {
        owner_shard(topic_id, partition, self.shards)
    }

    /// Who owns a partition.
    pub fn owner_of(&self, id: TopicPartition) -> ShardId {
        self.owner(id.topic_id, id.partition)
    }

    /// Runs `job` on shard `on` and returns what it returns. For everything that is not the hot path.
    pub async fn on<R, F, W>(self: &Rc<Self>, on: ShardId, job: F) -> Result<R, ShardGone>
    where
        R: Send + 'static,
        F: FnOnce(Rc<Self>) -> W + Send + 'static,
        W: Future<Output = R> + 'static,
    {
        if on == self.id {
            return Ok(job(self.clone()).await);
        }
        let credit = self.router.credit(on).await?;
        self.router.start(credit, job).await
    }

    /// Acts by a new image from now on; the tasks end when its new partitions serve or have failed.
    pub async fn follow(&self, image: Arc<Image>) -> Vec<glommio::Task<()>> {
        let current = self.image().applied();
        if image.applied() <= current {
            // Following an older image would delete what came after it.
            tracing::warn!("an image of {} came after one of {current}; it is passed over", image.applied());
            return vec![];
        }
        let settings = self.settings.follow(&self.image(), &image);
        if let Some(changed) = &settings {
            self.table.refresh_settings(changed);
        }
        let opening = self.table.follow(&image, &self.settings()).await;
        self.image.replace(image);
        self.coordinators.metadata_changed();
        opening
    }
}
