//! The resources that carry settings of their own, and the settings as stored: names and texts.
//!
//! Key invariant: what is stored was checked by `config` when it was planned; this room never reads a value's meaning.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::model::BrokerId;

/// Settings of one resource under Kafka's names, as texts.
pub type Settings = BTreeMap<String, String>;

/// What settings belong to (Kafka's `ConfigResource`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum ConfigResource {
    /// A topic, by name; its settings live in its `TopicImage`.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers that have no setting of their own (Kafka's broker resource with the empty name).
    BrokerDefault,
    /// The log levels of one broker (KIP-412).
    BrokerLogger(BrokerId),
    /// A subscription for client metrics (KIP-714).
    ClientMetrics(String),
    /// A group (KIP-848).
    Group(String),
}
