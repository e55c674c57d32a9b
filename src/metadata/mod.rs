//! The cluster's metadata as one deterministic state machine: an image, the commands that change it, how they apply,
//! and the planners that turn what a client asks for into commands or a refusal.
//!
//! Key invariant: an image is a function of the commands applied to it and of nothing else; identities and times are
//! arguments of the planners and travel inside the commands. Making commands durable and handing images around is
//! `cluster`'s; Kafka's error numbers are assigned in `handlers`.

mod apply;
mod command;
mod configs;
mod id;
mod image;
mod names;
pub mod plan;
mod presentation;
mod refusal;

pub use apply::ApplyError;
pub use command::Command;
pub use configs::{ConfigResource, Settings};
pub use id::{ClusterId, ClusterIdError, LogId};
pub use image::{BrokerImage, ClusterImage, Endpoint, Image, PartitionImage, TopicImage};
pub use names::{
    CLUSTER_METADATA_TOPIC, CONSUMER_OFFSETS_TOPIC, SHARE_GROUP_STATE_TOPIC, TOPIC_NAME_CHARS_MAX,
    TRANSACTION_STATE_TOPIC, is_internal, topic_name_fault, unified_name,
};
pub use presentation::{Node, Presentation};
pub use refusal::{Reason, Refusal};

/// Topics that a cluster may hold; a request for more is refused.
pub const TOPICS_MAX: usize = 100_000;
/// Partitions that a cluster may hold over all topics; a request for more is refused.
pub const PARTITIONS_MAX: usize = 200_000;
/// Changes that one request may make, partitions counted one by one, as Kafka's controller bounds them.
pub const CHANGES_PER_REQUEST_MAX: usize = 10_000;
/// Settings that one resource may hold.
pub const SETTINGS_PER_RESOURCE_MAX: usize = 1_000;
/// Resources other than topics that may hold settings.
pub const CONFIG_RESOURCES_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
