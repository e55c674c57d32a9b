//! Planners: from what a client asks for and the image as it stands, to the commands that do it and the answer.
//!
//! Key invariant: a planner has no effect and reads neither clock nor randomness; planning against an image and
//! applying the commands to that same image always succeeds. Refusals carry the words of Kafka's controller.

mod alter_configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod features;
mod placement;
mod start;

pub use alter_configs::{AlterConfigs, ConfigChange, ConfigOperation, Operation};
pub use create_partitions::{CreatePartitions, MorePartitions};
pub use create_topics::{CreateTopics, NewTopic, PlannedTopic};
pub use delete_topics::{DeleteTopics, TopicName};
pub use features::{FeatureChange, UpdateFeatures};
pub use start::{AllocateProducerIds, InitCluster, PRODUCER_ID_BLOCK_LEN, ProducerIdBlock, StartBroker};

use super::{Command, ConfigResource, Image, Refusal, Settings};

/// A change that a client or the broker itself asks for.
pub trait Mutation: Send + 'static {
    /// What is answered once the commands are durable and applied everywhere.
    type Outcome: Send + 'static;

    /// The commands that make the change in `image`, and the answer. An error refuses the whole request.
    fn plan(self, image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal>;
}

/// The commands of a change, in order, and what is answered when they are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned<T> {
    pub commands: Vec<Command>,
    pub outcome: T,
}

/// What planners need besides the image.
pub struct PlanInputs<'a> {
    pub rules: &'a dyn ConfigRules,
    /// A new random id at each call.
    pub new_id: &'a mut dyn FnMut() -> uuid::Uuid,
}

/// What the planners ask about settings; implemented over `config` by whoever builds the controller.
pub trait ConfigRules: Send {
    /// What a topic gets that does not say.
    fn topic_defaults(&self) -> TopicDefaults;

    /// Whether topics may be deleted (`delete.topic.enable`).
    fn topic_deletion_enabled(&self) -> bool;

    /// Checks all settings of a new topic together.
    fn check_topic(&self, topic: &str, overrides: &Settings) -> Result<(), Refusal>;

    /// The settings that `resource` has after `change`, checked; `current` is what it has now.
    fn alter(
        &self,
        resource: &ConfigResource,
        current: &Settings,
        change: &ConfigChange,
    ) -> Result<Settings, Refusal>;
}

/// What a new topic gets where a client leaves the choice to the broker (KIP-464).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// `num.partitions`, at least 1.
    pub partitions: i32,
    /// `default.replication.factor`, at least 1.
    pub replication_factor: i16,
}

/// The names that occur more than once in `names`, each once, in the order of their first repetition.
fn duplicates<'a, T: Ord>(names: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut seen = std::collections::BTreeSet::new();
    let mut repeated = Vec::new();
    for name in names {
        if !seen.insert(name) && !repeated.contains(&name) {
            repeated.push(name);
        }
    }
    repeated
}

#[cfg(test)]
mod tests;
