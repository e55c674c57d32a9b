//! The commands that change an image. Everything a command needs is inside it.
//!
//! Key invariant: the JSON form is what the log holds, so a name here never changes its meaning; a new field has a
//! default, and unknown fields are passed over. A command of an unknown kind cannot be applied and is an error.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::configs::{ConfigResource, Settings};
use super::id::ClusterId;
use super::image::Endpoint;
use crate::model::{BrokerId, PartitionIndex, ProducerId, TopicId};

/// One change of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// The first command of a cluster: its id and the finalized level of each feature.
    InitCluster { cluster_id: ClusterId, features: BTreeMap<String, i16> },
    /// A broker started: every partition that it leads gets the next leader epoch, before the first append.
    StartBroker {
        broker: BrokerId,
        /// Tells one start of the broker from the next.
        incarnation: uuid::Uuid,
        #[serde(default)]
        endpoints: Vec<Endpoint>,
        #[serde(default)]
        rack: Option<String>,
    },
    /// A new topic; `replicas` holds the brokers of each partition from 0, the leader first.
    CreateTopic { id: TopicId, name: String, overrides: Settings, replicas: Vec<Vec<BrokerId>> },
    /// A topic and all its records are gone.
    DeleteTopic { id: TopicId },
    /// More partitions, from `first` on, which is how many there were.
    CreatePartitions { id: TopicId, first: PartitionIndex, replicas: Vec<Vec<BrokerId>> },
    /// Settings of a resource: a text sets one, `None` takes it away.
    SetConfigs { resource: ConfigResource, settings: BTreeMap<String, Option<String>> },
    /// Producer ids below `next` are given away; the block goes to `broker`.
    SetProducerIds { broker: BrokerId, next: ProducerId },
    /// The finalized level of a feature; 0 takes it away (KIP-584).
    SetFeature { name: String, level: i16 },
}
