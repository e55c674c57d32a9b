//! Creating topics, as CreateTopics and auto-creation ask for it.
//!
//! Key invariant: a topic is created whole or not at all, and a refused one keeps no other of the request from being
//! created. The checks and their order are those of Kafka's controller.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::placement;
use super::{Mutation, PlanInputs, Planned, duplicates, effective, refused};
use crate::config::{BrokerSettings, validate_topic};
use crate::metadata::{
    CHANGES_PER_REQUEST_MAX, CLUSTER_METADATA_TOPIC, Command, Image, PARTITIONS_MAX, Reason, Refusal,
    SETTINGS_PER_RESOURCE_MAX, Settings, TOPICS_MAX, TopicImage, is_internal, topic_name_fault, unified_name,
};
use crate::model::{BrokerId, PartitionIndex, TopicId};

/// Creates topics; the outcome has one entry per distinct name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopics {
    pub topics: Vec<NewTopic>,
    /// Checks and answers as if the topics were created, without creating them.
    pub validate_only: bool,
}

/// A topic that a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// -1 leaves the count to the broker, or to `assignments`.
    pub partitions: i32,
    /// -1 leaves the factor to the broker, or to `assignments`.
    pub replication_factor: i16,
    /// The brokers of each partition, or nothing to let the broker choose.
    pub assignments: Vec<(PartitionIndex, Vec<BrokerId>)>,
    /// Settings; one without a value is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic's name, and the topic as created or why it was not.
pub type PlannedTopic = (String, Result<Arc<TopicImage>, Refusal>);

impl NewTopic {
    /// A topic with the broker's defaults throughout.
    pub fn with_defaults(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: -1, replication_factor: -1, ..Self::default() }
    }

    /// How many partitions the topic would have, unchecked.
    fn partition_count(&self, default: i32) -> usize {
        let wanted = match (self.assignments.len(), self.partitions) {
            (0, -1) => default,
            (0, count) => count,
            (assigned, _) => return assigned,
        };
        usize::try_from(wanted).unwrap_or(0)
    }
}

impl Mutation for CreateTopics {
    type Outcome = Vec<PlannedTopic>;

    fn plan(self, image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal> {
        let repeated = duplicates(self.topics.iter().map(|topic| &topic.name));
        let effective =
            |topic: &&NewTopic| !repeated.contains(&topic.name) && topic.name != CLUSTER_METADATA_TOPIC;
        let default = inputs.settings.topics.partitions;
        let wanted: usize =
            self.topics.iter().filter(effective).map(|topic| topic.partition_count(default)).sum();
        if wanted > CHANGES_PER_REQUEST_MAX {
            let message = "Excessively large number of partitions per request.";
            return Err(Refusal::new(Reason::PolicyViolation, message));
        }
        let mut commands = Vec::new();
        let mut outcome = Vec::with_capacity(self.topics.len());
        let mut room = Room::of(image);
        let ground = Ground::of(image, inputs.settings, &self.topics);
        for topic in self.topics.iter().filter(effective) {
            let planned = plan_topic(&ground, topic, inputs.new_id).and_then(|planned| room.take(planned));
            let answer = planned.map(|(command, topic)| {
                commands.push(command);
                Arc::new(topic)
            });
            outcome.push((topic.name.clone(), answer));
        }
        for name in &repeated {
            let refusal = Refusal::new(Reason::InvalidRequest, "Duplicate topic name.");
            outcome.push(((*name).clone(), Err(refusal)));
        }
        let named =
            |topic: &NewTopic| topic.name == CLUSTER_METADATA_TOPIC && !repeated.contains(&topic.name);
        if self.topics.iter().any(named) {
            let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
            let refusal = Refusal::new(Reason::InvalidRequest, message);
            outcome.push((CLUSTER_METADATA_TOPIC.to_owned(), Err(refusal)));
        }
        if self.validate_only {
            commands.clear();
        }
        Ok(Planned { commands, outcome })
    }
}

/// What still fits into the cluster.
struct Room {
    topics: usize,
    partitions: usize,
}

impl Room {
    fn of(image: &Image) -> Self {
        Self {
            topics: TOPICS_MAX.saturating_sub(image.topic_count()),
            partitions: PARTITIONS_MAX.saturating_sub(image.partition_count()),
        }
    }

    fn take(&mut self, planned: (Command, TopicImage)) -> Result<(Command, TopicImage), Refusal> {
        let partitions = planned.1.partitions.len();
        if self.topics == 0 || self.partitions < partitions {
            let message =
                format!("This cluster holds at most {TOPICS_MAX} topics and {PARTITIONS_MAX} partitions.");
            return Err(Refusal::new(Reason::PolicyViolation, message));
        }
        self.topics -= 1;
        self.partitions -= partitions;
        Ok(planned)
    }
}

/// What all topics of a request are checked against; made once, since a request may hold very many.
struct Ground<'a> {
    image: &'a Image,
    settings: Cow<'a, BrokerSettings>,
    /// The existing topics that could collide, by their unified names.
    unified: BTreeMap<String, &'a str>,
}

impl<'a> Ground<'a> {
    fn of(image: &'a Image, settings: &'a BrokerSettings, topics: &[NewTopic]) -> Self {
        let matters = topics.iter().any(|topic| unified_name(&topic.name).is_some());
        let existing = image.topics().filter(|_| matters).map(|topic| topic.name.as_str());
        let unified = existing.filter_map(|name| Some((unified_name(name)?, name))).collect();
        Self { image, settings: effective(settings, image), unified }
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        if self.image.topic(name).is_some() {
            return Err(Refusal::new(Reason::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        if let Some(other) = unified_name(name).and_then(|unified| self.unified.get(&unified)) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(Refusal::new(Reason::InvalidTopic, message));
        }
        if let Some(fault) = topic_name_fault(name) {
            return Err(Refusal::new(Reason::InvalidTopic, fault));
        }
        if is_internal(name) {
            let message =
                format!("Topic '{name}' is internal: it is created with the coordinator that it belongs to.");
            return Err(Refusal::new(Reason::InvalidTopic, message));
        }
        Ok(())
    }
}

/// Plans one topic: its name, its settings, then its partitions.
fn plan_topic(
    ground: &Ground<'_>,
    topic: &NewTopic,
    new_id: &mut dyn FnMut() -> uuid::Uuid,
) -> Result<(Command, TopicImage), Refusal> {
    ground.check_name(&topic.name)?;
    plan_named(ground, topic, new_id)
}

/// Plans an internal topic that is not there, as its coordinator wants it.
pub(super) fn plan_internal(
    image: &Image,
    settings: &BrokerSettings,
    topic: &NewTopic,
    new_id: &mut dyn FnMut() -> uuid::Uuid,
) -> Result<(Command, TopicImage), Refusal> {
    let ground = Ground { image, settings: Cow::Borrowed(settings), unified: BTreeMap::new() };
    plan_named(&ground, topic, new_id).and_then(|planned| Room::of(image).take(planned))
}

fn plan_named(
    ground: &Ground<'_>,
    topic: &NewTopic,
    new_id: &mut dyn FnMut() -> uuid::Uuid,
) -> Result<(Command, TopicImage), Refusal> {
    let overrides = check_configs(topic)?;
    if !overrides.is_empty() {
        validate_topic(&overrides, &ground.settings).map_err(refused)?;
    }
    let (image, defaults) = (ground.image, &ground.settings.topics);
    let replicas = if topic.assignments.is_empty() {
        choose_replicas(image, topic, defaults.partitions, defaults.replication_factor)?
    } else {
        assigned_replicas(image, topic)?
    };
    let id = TopicId(new_id());
    let partitions = replicas.iter().cloned().filter_map(crate::metadata::PartitionImage::new).collect();
    let created = TopicImage { id, name: topic.name.clone(), overrides: overrides.clone(), partitions };
    let command = Command::CreateTopic { id, name: topic.name.clone(), overrides, replicas };
    Ok((command, created))
}

fn check_configs(topic: &NewTopic) -> Result<Settings, Refusal> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(Refusal::new(Reason::InvalidConfig, message));
    }
    if topic.configs.len() > SETTINGS_PER_RESOURCE_MAX {
        let message = format!("A topic has at most {SETTINGS_PER_RESOURCE_MAX} settings.");
        return Err(Refusal::new(Reason::InvalidConfig, message));
    }
    let settings: Settings =
        topic.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    super::alter_configs::check_sizes(&settings)?;
    Ok(settings)
}

/// The replicas of a topic whose placement is left to the broker.
fn choose_replicas(
    image: &Image,
    topic: &NewTopic,
    default_partitions: i32,
    default_factor: i16,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    if topic.replication_factor < -1 || topic.replication_factor == 0 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(Refusal::new(Reason::InvalidReplicationFactor, message));
    }
    if topic.partitions < -1 || topic.partitions == 0 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(Refusal::new(Reason::InvalidPartitions, message));
    }
    let partitions = if topic.partitions == -1 { default_partitions } else { topic.partitions };
    let factor = if topic.replication_factor == -1 { default_factor } else { topic.replication_factor };
    placement::place(image, 0, partitions, factor).map_err(|fault| {
        let message = format!("Unable to replicate the partition {factor} time(s): {fault}");
        Refusal::new(Reason::InvalidReplicationFactor, message)
    })
}

/// The replicas that the client assigned, by partition.
fn assigned_replicas(image: &Image, topic: &NewTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    if topic.replication_factor != -1 {
        let message =
            "A manual partition assignment was specified, but replication factor was not set to -1.";
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    if topic.partitions != -1 {
        let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return Err(Refusal::new(Reason::InvalidRequest, message));
    }
    let refuse = |message: String| Err(Refusal::new(Reason::InvalidReplicaAssignment, message));
    let mut by_partition = BTreeMap::new();
    let mut factor = None;
    for (partition, brokers) in &topic.assignments {
        if by_partition.contains_key(partition) {
            return refuse(format!("Found multiple manual partition assignments for partition {partition}"));
        }
        placement::check_assignment(image, brokers, factor)?;
        factor = Some(brokers.len());
        by_partition.insert(*partition, brokers.clone());
    }
    if by_partition.keys().enumerate().any(|(at, partition)| usize::try_from(partition.get()) != Ok(at)) {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(by_partition.into_values().collect())
}
