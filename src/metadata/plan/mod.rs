//! Planners: from what a client asks for and the image as it stands, to the commands that do it and the answer.
//!
//! Key invariant: a planner has no effect and reads neither clock nor randomness; planning against an image and
//! applying the commands to that same image always succeeds. Refusals carry the words of Kafka's controller.

mod alter_configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod features;
mod internal_topics;
mod placement;
mod reassign;
mod start;

pub use alter_configs::{AlterConfigs, ConfigChange};
pub use create_partitions::{CreatePartitions, MorePartitions};
pub use create_topics::{CreateTopics, NewTopic, PlannedTopic};
pub use delete_topics::{DeleteTopics, TopicName};
pub use features::{FeatureChange, SupportedFeature, UpdateFeatures, Upgrade};
pub use internal_topics::CreateInternalTopic;
pub use reassign::check_reassignment;
pub use start::{AllocateProducerIds, InitCluster, PRODUCER_ID_BLOCK_LEN, ProducerIdBlock, StartBroker};

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Command, ConfigResource, Image, Reason, Refusal};
use crate::config::{BrokerSettings, ConfigError};

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
    /// What the broker was started with.
    pub settings: &'a BrokerSettings,
    /// A new random id at each call.
    pub new_id: &'a mut dyn FnMut() -> uuid::Uuid,
}

/// The broker's settings with those that `image` holds for it and for all brokers.
fn effective<'a>(settings: &'a BrokerSettings, image: &Image) -> Cow<'a, BrokerSettings> {
    let cluster = image.config(&ConfigResource::BrokerDefault);
    let own = image.config(&ConfigResource::Broker(settings.node.id));
    if cluster.is_empty() && own.is_empty() {
        Cow::Borrowed(settings)
    } else {
        Cow::Owned(settings.with_dynamic(cluster, own))
    }
}

/// A refused setting, in `config`'s words.
fn refused(error: ConfigError) -> Refusal {
    let reason = match error {
        ConfigError::Config(_) => Reason::InvalidConfig,
        ConfigError::Request(_) => Reason::InvalidRequest,
    };
    Refusal::new(reason, error.to_string())
}

/// What occurs more than once in `names`.
fn duplicates<T: Ord>(names: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut names: Vec<T> = names.collect();
    names.sort_unstable();
    let mut repeated = BTreeSet::new();
    let mut names = names.into_iter();
    let Some(mut previous) = names.next() else { return repeated };
    for name in names {
        if name == previous {
            repeated.insert(name);
        } else {
            previous = name;
        }
    }
    repeated
}

#[cfg(test)]
mod tests;
