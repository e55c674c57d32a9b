//! The metadata as it stands after some command: what every shard sees.
//!
//! Key invariant: `check_invariants` holds after every command and for every image that was read from a snapshot.
//! Topics are behind `Arc`, so that an image is cheap to copy and a change of one topic copies that topic alone.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::configs::{ConfigResource, Settings};
use super::id::{ClusterId, LogId};
use super::names;
use crate::model::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};

/// The whole metadata after the command at `applied`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ImageFile", into = "ImageFile")]
pub struct Image {
    pub(super) applied: LogId,
    pub(super) cluster: ClusterImage,
    pub(super) brokers: BTreeMap<BrokerId, BrokerImage>,
    pub(super) topics: BTreeMap<TopicId, Arc<TopicImage>>,
    pub(super) topic_ids: BTreeMap<Arc<str>, TopicId>,
    pub(super) partition_count: usize,
    /// Of everything but topics, which carry their own.
    pub(super) configs: BTreeMap<ConfigResource, Arc<Settings>>,
    pub(super) next_producer_id: ProducerId,
}

/// What holds for the cluster as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterImage {
    /// All zero until the cluster is initialised.
    pub id: ClusterId,
    /// The finalized level of each feature, all above 0 (KIP-584).
    pub features: BTreeMap<String, i16>,
    /// Where in the log the features last changed; the wire's `finalized_features_epoch`.
    pub features_epoch: i64,
}

/// A broker that has started at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerImage {
    pub id: BrokerId,
    /// The log index of its last start: a later start has a higher epoch.
    pub epoch: i64,
    pub incarnation: uuid::Uuid,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    #[serde(default)]
    pub rack: Option<String>,
}

/// Where clients reach a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The listener's name, such as `PLAINTEXT`.
    pub listener: String,
    pub host: String,
    pub port: u16,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicImage {
    pub id: TopicId,
    pub name: String,
    /// The settings that were set for this topic.
    #[serde(default)]
    pub overrides: Settings,
    /// By partition index, from 0 without gaps, never empty.
    pub partitions: Vec<PartitionImage>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionImage {
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    /// The preferred leader first.
    pub replicas: Vec<BrokerId>,
    pub in_sync: Vec<BrokerId>,
}

impl TopicImage {
    /// Whether the topic is one of Kafka's own.
    pub fn is_internal(&self) -> bool {
        names::is_internal(&self.name)
    }

    /// The partition, if the topic has it.
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index.get()).ok()?)
    }

    /// How many replicas the first partition has, as Kafka counts a topic's replication factor.
    pub fn replication_factor(&self) -> i16 {
        self.partitions.first().map_or(0, |partition| partition.replicas.len() as i16)
    }
}

impl PartitionImage {
    /// A new partition on `replicas`, led by the first of them, in epoch 0.
    pub(super) fn new(replicas: Vec<BrokerId>) -> Option<Self> {
        let leader = *replicas.first()?;
        Some(Self { leader, leader_epoch: LeaderEpoch(0), in_sync: replicas.clone(), replicas })
    }
}

impl Image {
    /// The last command that this image holds.
    pub fn applied(&self) -> LogId {
        self.applied
    }

    /// What holds for the cluster as a whole.
    pub fn cluster(&self) -> &ClusterImage {
        &self.cluster
    }

    /// The cluster's id; all zero before the cluster is initialised.
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster.id
    }

    /// A live broker that answers as the controller: the first one; `None` before any broker started.
    pub fn controller(&self) -> Option<BrokerId> {
        self.brokers.keys().next().copied()
    }

    /// All brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &BrokerImage> {
        self.brokers.values()
    }

    /// The broker, if it has ever started.
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerImage> {
        self.brokers.get(&id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// The topics from `name` on (itself included), by name; for answers in pages.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &Arc<TopicImage>> {
        use std::ops::Bound;
        let range = (Bound::Included(name), Bound::Unbounded);
        self.topic_ids.range::<str, _>(range).filter_map(|(_, id)| self.topics.get(id))
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// The topic of that id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions there are over all topics.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The settings that were set for `resource`; none for a resource without.
    pub fn config(&self, resource: &ConfigResource) -> &Settings {
        static NONE: Settings = Settings::new();
        match resource {
            ConfigResource::Topic(name) => self.topic(name).map_or(&NONE, |topic| &topic.overrides),
            other => self.configs.get(other).map_or(&NONE, |settings| settings),
        }
    }

    /// The resources other than topics that have settings.
    pub fn configured(&self) -> impl Iterator<Item = (&ConfigResource, &Settings)> {
        self.configs.iter().map(|(resource, settings)| (resource, &**settings))
    }

    /// The lowest producer id that no block contains.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Panics where the image contradicts itself; run at every step in debug builds.
    pub fn check_invariants(&self) {
        if let Err(fault) = self.fault() {
            panic!("metadata image at {}: {fault}", self.applied);
        }
    }

    /// What contradicts itself in this image.
    pub(super) fn fault(&self) -> Result<(), ImageFault> {
        let partitions: usize = self.topics.values().map(|topic| topic.partitions.len()).sum();
        if self.topics.len() != self.topic_ids.len() || partitions != self.partition_count {
            return Err(ImageFault("the topics do not agree with their names or counts".to_owned()));
        }
        for (id, topic) in &self.topics {
            if topic.id != *id || self.topic_ids.get(topic.name.as_str()) != Some(id) {
                return Err(ImageFault(format!("topic {} is not where its id or name says", topic.name)));
            }
            topic.fault(&self.brokers)?;
        }
        if self.configs.keys().any(|resource| matches!(resource, ConfigResource::Topic(_))) {
            return Err(ImageFault("a topic's settings stand outside the topic".to_owned()));
        }
        if self.next_producer_id.get() < 0 || self.cluster.features.values().any(|level| *level <= 0) {
            return Err(ImageFault("a producer id or feature level is negative".to_owned()));
        }
        Ok(())
    }
}

impl TopicImage {
    fn fault(&self, brokers: &BTreeMap<BrokerId, BrokerImage>) -> Result<(), ImageFault> {
        if let Some(fault) = names::topic_name_fault(&self.name) {
            return Err(ImageFault(fault));
        }
        if self.partitions.is_empty() {
            return Err(ImageFault(format!("topic {} has no partition", self.name)));
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            let replicas = &partition.replicas;
            let sound = !replicas.is_empty()
                && replicas.contains(&partition.leader)
                && partition.in_sync.contains(&partition.leader)
                && partition.in_sync.iter().all(|broker| replicas.contains(broker))
                && replicas.iter().all(|broker| brokers.contains_key(broker))
                && replicas.iter().enumerate().all(|(at, broker)| !replicas[..at].contains(broker))
                && partition.leader_epoch.get() >= 0;
            if !sound {
                return Err(ImageFault(format!("partition {}-{index} contradicts itself", self.name)));
            }
        }
        Ok(())
    }
}

/// How an image contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImageFault(pub String);

/// The image as a snapshot holds it: lists instead of maps with keys of several fields, and nothing said twice.
#[derive(Serialize, Deserialize)]
struct ImageFile {
    applied: LogId,
    cluster: ClusterImage,
    brokers: Vec<BrokerImage>,
    topics: Vec<TopicImage>,
    configs: Vec<ResourceSettings>,
    next_producer_id: ProducerId,
}

#[derive(Serialize, Deserialize)]
struct ResourceSettings {
    resource: ConfigResource,
    settings: Settings,
}

impl From<Image> for ImageFile {
    fn from(image: Image) -> Self {
        let configs = image.configs.into_iter();
        Self {
            applied: image.applied,
            cluster: image.cluster,
            brokers: image.brokers.into_values().collect(),
            topics: image.topics.into_values().map(Arc::unwrap_or_clone).collect(),
            configs: configs
                .map(|(resource, settings)| ResourceSettings {
                    resource,
                    settings: Arc::unwrap_or_clone(settings),
                })
                .collect(),
            next_producer_id: image.next_producer_id,
        }
    }
}

impl TryFrom<ImageFile> for Image {
    type Error = ImageFault;

    fn try_from(file: ImageFile) -> Result<Self, ImageFault> {
        let image = Self {
            applied: file.applied,
            cluster: file.cluster,
            brokers: file.brokers.into_iter().map(|broker| (broker.id, broker)).collect(),
            topic_ids: file.topics.iter().map(|topic| (topic.name.as_str().into(), topic.id)).collect(),
            partition_count: file.topics.iter().map(|topic| topic.partitions.len()).sum(),
            topics: file.topics.into_iter().map(|topic| (topic.id, Arc::new(topic))).collect(),
            configs: file
                .configs
                .into_iter()
                .map(|entry| (entry.resource, Arc::new(entry.settings)))
                .collect(),
            next_producer_id: file.next_producer_id,
        };
        image.fault().map(|()| image)
    }
}
