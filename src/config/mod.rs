//! Broker and topic settings under Kafka's names, validated and bounded.
//!
//! The tables under `table/` name every setting of Kafka 4.2 and Corelog's own, with type, default, check and meaning.
//! `load` merges what the operator gave into `BrokerSettings`; `topic`, `group` and `client_metrics` validate what
//! clients alter; `alter` applies their operations; `describe` says what holds and where it comes from.
//!
//! Key invariant: a `BrokerSettings` or `TopicSettings` that exists is valid and within bounds. Storing and publishing
//! changes is left to `metadata` and `cluster`, error codes to `handlers`.

mod alter;
mod broker;
mod check;
mod client_metrics;
mod coordinators;
mod definition;
mod describe;
mod dynamic;
mod endpoint;
mod group;
mod layers;
mod load;
mod logger;
mod reference;
mod resource;
mod rules;
mod synonyms;
mod topic;
mod value;

#[cfg(test)]
mod tests;

pub use alter::{Change, Operation, VALUE_CHARS_MAX, alter_incremental};
pub use broker::{
    BrokerSettings, CleanerSettings, FetchSettings, InternalTopic, InternalTopics, ListenerSettings,
    MemorySettings, NetworkSettings, NodeSettings, ProducerSettings, TopicDefaults,
};
pub use check::Check;
pub use client_metrics::validate_client_metrics;
pub use coordinators::{
    ClassicGroupSettings, ConsumerGroupSettings, GroupSettings, MigrationPolicy, OffsetSettings,
    ShareGroupSettings, group_integer, group_text,
};
pub use definition::{
    Definition, Effect, Scope, Update, broker_scope, client_metrics_scope, group_scope, quota_scope,
    topic_scope,
};
pub use describe::{
    Entry, Source, Synonym, describe_broker, describe_client_metrics, describe_cluster,
    describe_created_topic, describe_group, describe_topic,
};
pub use dynamic::{BrokerLevel, validate_broker};
pub use endpoint::{Endpoint, ShardPorts};
pub use group::validate_group;
pub use load::{Flags, LoadError, Sources};
pub use logger::{LEVELS, ROOT, validate_logger};
pub use reference::configuration_page;
pub use resource::ResourceKind;
pub use topic::{
    Compaction, Compression, Retention, Segment, TimestampKind, Timestamps, TopicSettings, validate_topic,
};
pub use value::{Kind, Value};

/// What somebody set for one resource: names and values as given, sorted by name.
pub type Overrides = std::collections::BTreeMap<String, String>;

/// The overrides of a topic.
pub type TopicOverrides = Overrides;

/// Why a change is refused. The text is Kafka's message; the variant says which error code carries it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// INVALID_CONFIG: the setting or its value is not acceptable.
    #[error("{0}")]
    Config(String),
    /// INVALID_REQUEST: the request asks for what cannot be done to that resource.
    #[error("{0}")]
    Request(String),
}

impl ConfigError {
    /// The same message under INVALID_REQUEST: brokers answer invalid values of their own settings so.
    #[must_use]
    pub fn into_request(self) -> Self {
        match self {
            Self::Config(message) | Self::Request(message) => Self::Request(message),
        }
    }
}
