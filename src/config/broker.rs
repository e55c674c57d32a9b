//! The broker's settings as typed groups: what the rest of the program reads.
//!
//! Key invariant: a `BrokerSettings` exists only if every value in it satisfies its type, its check and the rules
//! between settings (`rules`). Where a value was set is kept beside the typed groups, for DescribeConfigs.

use super::endpoint::{Endpoint, ShardPorts};
use super::layers::Layers;
use super::topic::TopicSettings;
use super::value::{Value, invalid};
use super::{ConfigError, Overrides, rules};
use crate::model::BrokerId;
use std::collections::HashMap;
use std::path::PathBuf;

/// Who this broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// `node.id`, 0 or more.
    pub id: BrokerId,
    /// `corelog.cluster.id`; `None` lets a new data directory get a random one.
    pub cluster_id: Option<String>,
    /// `broker.rack` (KIP-36).
    pub rack: Option<String>,
}

/// Where it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// `listeners`.
    pub listen: Endpoint,
    /// `advertised.listeners`; `None` means the address that `listen` bound.
    pub advertise: Option<Endpoint>,
    /// `corelog.admin.listener`: HTTP for operators.
    pub admin: Endpoint,
    /// `corelog.advertise` is `per-shard`: each shard listens on a port of its own too and appears to clients as a node.
    pub per_shard: bool,
    /// `corelog.shard.port.first`; `None` means the port after that of `listen`.
    pub shard_port_first: Option<u16>,
}

impl ListenerSettings {
    /// The ports of shard-direct listeners beside the one for clients, which `listen` bound; `None` if there are to be none.
    pub fn shard_ports(&self, listen: u16, shards: u16) -> Result<Option<ShardPorts>, ConfigError> {
        if !self.per_shard {
            return Ok(None);
        }
        let first = self.shard_port_first.or(listen.checked_add(1));
        let ports = first.and_then(|first| ShardPorts::new(first, shards));
        let ports = ports.filter(|ports| !ports.contains(listen)).ok_or_else(|| {
            let why =
                format!("{shards} shards need as many ports from here on, other than {listen} of listeners");
            invalid("corelog.shard.port.first", first.map_or(0, i64::from), &why)
        })?;
        Ok(Some(ports))
    }
}

/// Bounds on connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// `socket.request.max.bytes`: the largest frame accepted.
    pub request_bytes_max: u32,
    /// `queued.max.requests`: requests of the whole broker that wait or are being answered.
    pub queued_requests_max: u32,
    /// `queued.max.request.bytes`; `None` is no bound beyond the others.
    pub queued_request_bytes_max: Option<u64>,
    /// `max.connections`.
    pub connections_max: u32,
    /// `max.connections.per.ip`.
    pub connections_per_ip_max: u32,
    /// `connections.max.idle.ms`; `None` never closes an idle connection.
    pub connection_idle_ms_max: Option<u64>,
    /// `socket.send.buffer.bytes`; `None` leaves it to the operating system.
    pub send_buffer_bytes: Option<u32>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the operating system.
    pub receive_buffer_bytes: Option<u32>,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: u32,
}

/// Bounds on fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// `max.incremental.fetch.session.cache.slots` of the whole broker (KIP-227); 0 offers no sessions.
    pub session_slots_max: u32,
    /// `fetch.max.bytes`: upper bound on the bytes of one response, whatever the client asks for.
    pub response_bytes_max: u32,
}

/// What topics get unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopicDefaults {
    /// `num.partitions`.
    pub partitions: i32,
    /// `default.replication.factor`.
    pub replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create: bool,
    /// `delete.topic.enable`.
    pub delete_enabled: bool,
    /// `log.retention.check.interval.ms`.
    pub retention_check_ms: u64,
    /// How compacted topics are compacted.
    pub cleaner: CleanerSettings,
    /// The settings of a topic without overrides.
    pub settings: TopicSettings,
}

/// What compaction may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerSettings {
    /// `log.cleaner.enable`
    pub enabled: bool,
    /// `log.cleaner.backoff.ms`: the pause when there is nothing to compact.
    pub backoff_ms: u64,
    /// `log.cleaner.io.max.bytes.per.second` of the whole broker, read and written; `None` is no bound.
    pub bytes_per_second: Option<u64>,
    /// `log.cleaner.dedupe.buffer.size` of the whole broker.
    pub map_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor` in percent, 1 to 100.
    pub map_load_percent: u8,
}

/// Bounds on idempotent and transactional producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSettings {
    /// `producer.id.expiration.ms`: silence after which a partition forgets a producer.
    pub expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`.
    pub expiration_check_ms: i64,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration_ms: i64,
    /// `transaction.max.timeout.ms`.
    pub transaction_timeout_ms_max: i32,
}

/// One of the topics that coordinators keep their state in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalTopic {
    pub partitions: i32,
    pub segment_bytes: i32,
    replication_factor: i16,
    min_insync_replicas: i16,
    /// Whether the operator chose the two above; if not, they are capped.
    chosen: (bool, bool),
}

impl InternalTopic {
    /// Replicas per partition in a cluster of `brokers`: as set, otherwise Kafka's default capped at `brokers`.
    pub fn replication_factor(&self, brokers: usize) -> i16 {
        if self.chosen.0 { self.replication_factor } else { capped(self.replication_factor, brokers) }
    }

    /// In-sync replicas that a write needs, by the same rule.
    pub fn min_insync_replicas(&self, brokers: usize) -> i16 {
        if self.chosen.1 { self.min_insync_replicas } else { capped(self.min_insync_replicas, brokers) }
    }
}

fn capped(wanted: i16, brokers: usize) -> i16 {
    wanted.min(i16::try_from(brokers).unwrap_or(i16::MAX)).max(1)
}

/// The internal topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalTopics {
    /// `__consumer_offsets`.
    pub offsets: InternalTopic,
    /// `__transaction_state`.
    pub transactions: InternalTopic,
    /// `__share_group_state`.
    pub share_state: InternalTopic,
}

impl InternalTopics {
    /// The effective value of a setting that is capped at the number of brokers; `None` for any other.
    pub(super) fn capped(&self, name: &str, brokers: usize) -> Option<i16> {
        match name {
            "offsets.topic.replication.factor" => Some(self.offsets.replication_factor(brokers)),
            "transaction.state.log.replication.factor" => Some(self.transactions.replication_factor(brokers)),
            "transaction.state.log.min.isr" => Some(self.transactions.min_insync_replicas(brokers)),
            "share.coordinator.state.topic.replication.factor" => {
                Some(self.share_state.replication_factor(brokers))
            }
            "share.coordinator.state.topic.min.isr" => Some(self.share_state.min_insync_replicas(brokers)),
            _ => None,
        }
    }
}

/// The threads that serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardSettings {
    /// `corelog.shards`; `None` means one per CPU that the process may run on.
    pub count: Option<u16>,
    /// `corelog.shard.pinned`
    pub pinned: bool,
}

/// Memory that the broker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// `corelog.batch.cache.percent`: share of the memory that the process may use, 1 to 90.
    pub batch_cache_percent: u8,
}

/// Everything that was configured, valid and typed.
#[derive(Clone, Debug)]
pub struct BrokerSettings {
    pub node: NodeSettings,
    pub listeners: ListenerSettings,
    /// `log.dirs`, of which Corelog takes exactly one.
    pub data_dir: PathBuf,
    pub shards: ShardSettings,
    pub network: NetworkSettings,
    pub fetch: FetchSettings,
    pub topics: TopicDefaults,
    pub producers: ProducerSettings,
    pub internal_topics: InternalTopics,
    pub memory: MemorySettings,
    layers: Layers,
    topic_values: HashMap<&'static str, Value>,
}

impl Default for BrokerSettings {
    /// What holds if nothing is configured.
    fn default() -> Self {
        Self::from_layers(Layers::default()).expect("a test builds the defaults")
    }
}

impl BrokerSettings {
    pub(super) fn from_layers(layers: Layers) -> Result<Self, ConfigError> {
        rules::check(&layers)?;
        let topic_values = layers.topic_defaults();
        let read = Groups(&layers);
        Ok(Self {
            node: read.node(),
            listeners: rules::listeners(&layers)?,
            data_dir: PathBuf::from(rules::data_dir(&layers)?),
            shards: ShardSettings {
                count: u16::try_from(layers.integer("corelog.shards")).ok().filter(|shards| *shards > 0),
                pinned: layers.boolean("corelog.shard.pinned"),
            },
            network: read.network(),
            fetch: FetchSettings {
                session_slots_max: read.size("max.incremental.fetch.session.cache.slots"),
                response_bytes_max: read.size("fetch.max.bytes"),
            },
            topics: read.topics(TopicSettings::from_values(&topic_values)),
            producers: read.producers(),
            internal_topics: InternalTopics {
                offsets: read.internal("offsets.topic", "min.insync.replicas"),
                transactions: read.internal("transaction.state.log", "transaction.state.log.min.isr"),
                share_state: read
                    .internal("share.coordinator.state.topic", "share.coordinator.state.topic.min.isr"),
            },
            memory: MemorySettings {
                batch_cache_percent: u8::try_from(layers.integer("corelog.batch.cache.percent"))
                    .unwrap_or(90),
            },
            topic_values,
            layers,
        })
    }

    /// These settings with what was set while running: for the whole cluster, and for this broker.
    ///
    /// A stored value that is not valid is passed over, so this cannot fail; if the values contradict each other, the
    /// settings stay as they were at start.
    #[must_use]
    pub fn with_dynamic(&self, cluster: &Overrides, own: &Overrides) -> Self {
        let layers = Layers { fixed: self.layers.fixed.clone(), cluster: cluster.clone(), own: own.clone() };
        let fixed = || Layers { fixed: self.layers.fixed.clone(), ..Layers::default() };
        Self::from_layers(layers)
            .or_else(|_| Self::from_layers(fixed()))
            .expect("the settings at start were valid")
    }

    /// These settings with the address that clients are told, which is known only when the broker listens.
    #[must_use]
    pub fn with_advertised(&self, host: &str, port: u16) -> Self {
        let mut fixed = self.layers.fixed.clone();
        let endpoint = Endpoint { host: host.to_owned(), port };
        fixed.insert("advertised.listeners".to_owned(), format!("PLAINTEXT://{endpoint}"));
        Self::from_layers(Layers { fixed, ..Layers::default() }).unwrap_or_else(|_| self.clone())
    }

    /// What topics have unless they override it, under the topic settings' names.
    pub(super) fn topic_values(&self) -> &HashMap<&'static str, Value> {
        &self.topic_values
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }
}

/// Builds the groups. The checks of the tables keep every number within the field it goes to.
struct Groups<'a>(&'a Layers);

impl Groups<'_> {
    fn size(&self, name: &str) -> u32 {
        u32::try_from(self.0.integer(name)).unwrap_or(0)
    }

    fn positive(&self, name: &str) -> Option<u64> {
        u64::try_from(self.0.integer(name)).ok().filter(|value| *value > 0)
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.0.integer(name)).unwrap_or(i32::MAX)
    }

    fn short(&self, name: &str) -> i16 {
        i16::try_from(self.0.integer(name)).unwrap_or(i16::MAX)
    }

    fn node(&self) -> NodeSettings {
        NodeSettings {
            id: BrokerId(self.int("node.id")),
            cluster_id: self.0.text("corelog.cluster.id"),
            rack: self.0.text("broker.rack"),
        }
    }

    fn network(&self) -> NetworkSettings {
        let buffer = |name| self.positive(name).and_then(|bytes| u32::try_from(bytes).ok());
        NetworkSettings {
            request_bytes_max: self.size("socket.request.max.bytes"),
            queued_requests_max: self.size("queued.max.requests"),
            queued_request_bytes_max: self.positive("queued.max.request.bytes"),
            connections_max: self.size("max.connections"),
            connections_per_ip_max: self.size("max.connections.per.ip"),
            connection_idle_ms_max: u64::try_from(self.0.integer("connections.max.idle.ms")).ok(),
            send_buffer_bytes: buffer("socket.send.buffer.bytes"),
            receive_buffer_bytes: buffer("socket.receive.buffer.bytes"),
            listen_backlog: self.size("socket.listen.backlog.size"),
        }
    }

    fn topics(&self, settings: TopicSettings) -> TopicDefaults {
        TopicDefaults {
            partitions: self.int("num.partitions"),
            replication_factor: self.short("default.replication.factor"),
            auto_create: self.0.boolean("auto.create.topics.enable"),
            delete_enabled: self.0.boolean("delete.topic.enable"),
            retention_check_ms: self.positive("log.retention.check.interval.ms").unwrap_or(1),
            cleaner: self.cleaner(),
            settings,
        }
    }

    fn cleaner(&self) -> CleanerSettings {
        // Casts of floats saturate.
        let rate = self.0.double("log.cleaner.io.max.bytes.per.second") as u64;
        let load = self.0.double("log.cleaner.io.buffer.load.factor") * 100.0;
        CleanerSettings {
            enabled: self.0.boolean("log.cleaner.enable"),
            backoff_ms: self.positive("log.cleaner.backoff.ms").unwrap_or(0),
            bytes_per_second: Some(rate).filter(|rate| *rate < u64::MAX),
            map_bytes: self.positive("log.cleaner.dedupe.buffer.size").unwrap_or(0),
            map_load_percent: load.clamp(1.0, 100.0).round() as u8,
        }
    }

    fn producers(&self) -> ProducerSettings {
        ProducerSettings {
            expiration_ms: self.0.integer("producer.id.expiration.ms"),
            expiration_check_ms: self.0.integer("producer.id.expiration.check.interval.ms"),
            transactional_id_expiration_ms: self.0.integer("transactional.id.expiration.ms"),
            transaction_timeout_ms_max: self.int("transaction.max.timeout.ms"),
        }
    }

    fn internal(&self, prefix: &str, min_insync: &str) -> InternalTopic {
        let factor = format!("{prefix}.replication.factor");
        InternalTopic {
            partitions: self.int(&format!("{prefix}.num.partitions")),
            segment_bytes: self.int(&format!("{prefix}.segment.bytes")),
            replication_factor: self.short(&factor),
            min_insync_replicas: self.short(min_insync),
            chosen: (self.0.is_set(&factor), self.0.is_set(min_insync)),
        }
    }
}
