//! Applying a command to an image.
//!
//! Key invariant: the same commands in the same order give the same image, whoever applies them and whenever. A command
//! that does not fit the image is an error and leaves it as it was: a log that holds one is damaged.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::Command;
use super::configs::{ConfigResource, Settings};
use super::id::{ClusterId, LogId};
use super::image::{BrokerImage, ClusterImage, Image, PartitionImage, TopicImage};
use crate::model::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};

/// Why a command does not fit the image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command at {id} does not fit the metadata at {applied}: {fault}")]
pub struct ApplyError {
    pub id: LogId,
    pub applied: LogId,
    pub fault: &'static str,
}

/// What is wrong, without the position that `apply` adds.
type Fault = &'static str;

impl Image {
    /// Applies the command that stands at `id`, which must lie after everything applied so far.
    pub fn apply(&mut self, id: LogId, command: &Command) -> Result<(), ApplyError> {
        let applied = self.applied;
        let fail = |fault| ApplyError { id, applied, fault };
        if id.index <= applied.index || id.term < applied.term {
            return Err(fail("it is not later than what was applied"));
        }
        self.change(id, command).map_err(fail)?;
        self.applied = id;
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        Ok(())
    }

    fn change(&mut self, id: LogId, command: &Command) -> Result<(), Fault> {
        match command {
            Command::InitCluster { cluster_id, features } => self.init_cluster(id, *cluster_id, features),
            Command::StartBroker { broker, incarnation, endpoints, rack } => self.start_broker(BrokerImage {
                id: *broker,
                epoch: id.index as i64,
                incarnation: *incarnation,
                endpoints: endpoints.clone(),
                rack: rack.clone(),
            }),
            Command::CreateTopic { id, name, overrides, replicas } => {
                self.create_topic(*id, name, overrides, replicas)
            }
            Command::DeleteTopic { id } => self.delete_topic(*id),
            Command::CreatePartitions { id, first, replicas } => {
                self.create_partitions(*id, *first, replicas)
            }
            Command::SetConfigs { resource, settings } => self.set_configs(resource, settings),
            Command::SetProducerIds { broker: _, next } => self.set_producer_ids(*next),
            Command::SetFeature { name, level } => self.set_feature(id, name, *level),
        }
    }

    fn init_cluster(
        &mut self,
        at: LogId,
        id: ClusterId,
        features: &BTreeMap<String, i16>,
    ) -> Result<(), Fault> {
        if self.cluster.id != ClusterId::default() {
            return Err("the cluster is initialised already");
        }
        if id == ClusterId::default() || features.values().any(|level| *level <= 0) {
            return Err("the cluster id or a feature level is zero");
        }
        self.cluster = ClusterImage { id, features: features.clone(), features_epoch: at.index as i64 };
        Ok(())
    }

    fn start_broker(&mut self, broker: BrokerImage) -> Result<(), Fault> {
        let id = broker.id;
        if id.get() < 0 {
            return Err("the broker's id is negative");
        }
        for topic in self.topics.values_mut() {
            if topic.partitions.iter().any(|partition| partition.leader == id) {
                for partition in &mut Arc::make_mut(topic).partitions {
                    if partition.leader == id {
                        let epoch = partition.leader_epoch.get();
                        partition.leader_epoch = LeaderEpoch(epoch.saturating_add(1));
                    }
                }
            }
        }
        self.brokers.insert(id, broker);
        Ok(())
    }

    fn create_topic(
        &mut self,
        id: TopicId,
        name: &str,
        overrides: &Settings,
        replicas: &[Vec<BrokerId>],
    ) -> Result<(), Fault> {
        if self.topic_ids.contains_key(name) || self.topics.contains_key(&id) {
            return Err("the topic exists already");
        }
        if super::names::topic_name_fault(name).is_some() || id == TopicId::ZERO {
            return Err("the topic's name or id is not a legal one");
        }
        let partitions = self.new_partitions(replicas)?;
        self.partition_count += partitions.len();
        self.topic_ids.insert(name.into(), id);
        let topic = TopicImage { id, name: name.to_owned(), overrides: overrides.clone(), partitions };
        self.topics.insert(id, Arc::new(topic));
        Ok(())
    }

    fn delete_topic(&mut self, id: TopicId) -> Result<(), Fault> {
        let topic = self.topics.remove(&id).ok_or("the topic does not exist")?;
        self.topic_ids.remove(topic.name.as_str());
        self.partition_count -= topic.partitions.len();
        Ok(())
    }

    fn create_partitions(
        &mut self,
        id: TopicId,
        first: PartitionIndex,
        replicas: &[Vec<BrokerId>],
    ) -> Result<(), Fault> {
        let partitions = self.new_partitions(replicas)?;
        let topic = self.topics.get_mut(&id).ok_or("the topic does not exist")?;
        if usize::try_from(first.get()) != Ok(topic.partitions.len()) {
            return Err("the new partitions do not follow the existing ones");
        }
        self.partition_count += partitions.len();
        Arc::make_mut(topic).partitions.extend(partitions);
        Ok(())
    }

    /// The partitions on `replicas`, each a list of distinct known brokers.
    fn new_partitions(&self, replicas: &[Vec<BrokerId>]) -> Result<Vec<PartitionImage>, Fault> {
        if replicas.is_empty() {
            return Err("it has no partition");
        }
        let sound = |brokers: &Vec<BrokerId>| {
            let known = brokers.iter().all(|broker| self.brokers.contains_key(broker));
            known && brokers.iter().enumerate().all(|(at, broker)| !brokers[..at].contains(broker))
        };
        let partitions = replicas.iter().filter(|brokers| sound(brokers)).cloned().map(PartitionImage::new);
        let partitions: Vec<PartitionImage> = partitions.flatten().collect();
        if partitions.len() == replicas.len() {
            Ok(partitions)
        } else {
            Err("a replica is on no broker, an unknown one, or twice on one")
        }
    }

    fn set_configs(
        &mut self,
        resource: &ConfigResource,
        settings: &BTreeMap<String, Option<String>>,
    ) -> Result<(), Fault> {
        if let ConfigResource::Topic(name) = resource {
            let id = self.topic_ids.get(name.as_str()).ok_or("the topic does not exist")?;
            let topic = self.topics.get_mut(id).ok_or("the topic does not exist")?;
            merge(&mut Arc::make_mut(topic).overrides, settings);
            return Ok(());
        }
        let current = self.configs.entry(resource.clone()).or_default();
        merge(Arc::make_mut(current), settings);
        if current.is_empty() {
            self.configs.remove(resource);
        }
        Ok(())
    }

    fn set_producer_ids(&mut self, next: ProducerId) -> Result<(), Fault> {
        if next <= self.next_producer_id {
            return Err("the block of producer ids was given away already");
        }
        self.next_producer_id = next;
        Ok(())
    }

    fn set_feature(&mut self, at: LogId, name: &str, level: i16) -> Result<(), Fault> {
        if level < 0 {
            return Err("the feature's level is negative");
        }
        let features = &mut self.cluster.features;
        if level == 0 {
            features.remove(name);
        } else {
            features.insert(name.to_owned(), level);
        }
        self.cluster.features_epoch = at.index as i64;
        Ok(())
    }
}

/// Sets what has a value and takes away what has none.
fn merge(current: &mut Settings, changes: &BTreeMap<String, Option<String>>) {
    for (name, value) in changes {
        match value {
            Some(value) => current.insert(name.clone(), value.clone()),
            None => current.remove(name),
        };
    }
}
