//! Workloads: what is to be sent and read, at which rate and for how long. Plain data that goes into every run's file.
//!
//! Key invariant: a [`Workload`] that passed `check` can be driven; it holds everything that a run depends on, so that a
//! run can be repeated from its file. Driving it is left to `drive`.

mod check;
mod error;
mod named;
mod read;
mod set;

pub use check::{Kind, STAMPED_VALUE_BYTES_MIN, VALUE_BYTES_MAX};
pub use error::WorkloadError;
pub use named::{all, named};
pub use set::set;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything about the load of a run. The TOML of a named workload and the JSON of a run's file hold the same fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    pub name: String,
    /// Why anyone would run it, in a sentence.
    pub reason: String,
    pub topic: TopicPlan,
    pub records: RecordPlan,
    pub producer: ProducerPlan,
    pub consumer: ConsumerPlan,
    pub length: LengthPlan,
    /// Of the generator of sizes, keys and values.
    pub seed: u64,
}

/// The topics of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TopicPlan {
    /// With several topics, the prefix of their names: `name-0`, `name-1`, …
    pub name: String,
    pub topics: u32,
    /// Of each topic.
    pub partitions: i32,
    /// -1 leaves it to the broker.
    pub replication_factor: i16,
    /// Create the topics before the run (an existing one of the same name is an error), remove them after it.
    pub create: bool,
    pub remove: bool,
    /// Settings of the topics, under Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// What records look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordPlan {
    pub size: SizePlan,
    pub keys: KeyPlan,
    pub values: ValuePlan,
    pub codec: CodecName,
    /// A batch holds at most this many bytes of records before compression (Kafka: `batch.size`), and at least one record.
    pub batch_bytes: u32,
    pub encoding: Encoding,
}

/// Bytes of a record's value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SizePlan {
    Fixed(u32),
    Uniform {
        min: u32,
        max: u32,
    },
    /// A log-normal distribution with this median, cut at `max`; `sigma` is that of the logarithm.
    LogNormal {
        median: u32,
        sigma: f64,
        max: u32,
    },
}

/// Keys of records. Keys are decimal numbers with a prefix, so that runs with equal seeds have equal keys. A record's
/// partition is Kafka's choice for its key (murmur2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPlan {
    None,
    Uniform {
        count: u32,
    },
    Zipf {
        count: u32,
        exponent: f64,
    },
    /// 0, 1, 2, … up to `count`, then from 0 again.
    Sequential {
        count: u32,
    },
}

/// Values of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValuePlan {
    /// Random bytes of which about this share (0 to 1) would be saved by a good codec.
    Random { compressibility: f64 },
    /// The lines of a text, in turn; their sizes are the records' sizes, `size` is not used.
    Lines { file: PathBuf },
    /// JSON objects of a named shape with random fields, padded or cut to the size.
    Json { shape: JsonShape },
}

/// Shapes of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JsonShape {
    TruckPosition,
    Click,
    Trade,
    RowChange,
    LogLine,
}

/// Kafka's names of codecs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodecName {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Where batches come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Every record is made when it is sent, as producers do.
    #[default]
    Fresh,
    /// A set of batches is made before the run and sent again and again, so that the client costs next to nothing.
    Ready,
}

/// How records are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProducerPlan {
    /// Connections; each is a producer of its own.
    pub connections: u32,
    /// Requests of a connection that may be under way.
    pub in_flight: u32,
    /// 0, 1 or -1 (all).
    pub acks: i16,
    /// How long a record may wait for others to fill its batch, in milliseconds; acts with a rate.
    pub linger_ms: f64,
    /// Records per second over all connections (open loop); 0 sends as fast as answers come (closed loop).
    pub rate: f64,
    /// With a rate, when the records of a batch are due.
    pub arrivals: Arrivals,
    /// Producer ids and sequence numbers (KIP-98), so that retries do not duplicate.
    pub idempotent: bool,
}

/// When the records of a batch are due in an open loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Each at its own time, evenly; a batch takes those that are due, as a producer does.
    #[default]
    Spread,
    /// All at once: a rate of whole batches. Ready-made batches are always due so.
    Together,
}

/// How records are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConsumerPlan {
    /// Readers that each read every partition.
    pub fan_out: u32,
    /// Connections of each reader, between which the partitions are dealt.
    pub connections: u32,
    pub start: StartAt,
    /// Kafka: `fetch.max.wait.ms`.
    pub max_wait_ms: i32,
    /// Kafka: `fetch.min.bytes`.
    pub min_bytes: i32,
    /// Kafka: `fetch.max.bytes`.
    pub max_bytes: i32,
    /// Kafka: `max.partition.fetch.bytes`.
    pub partition_max_bytes: i32,
}

/// Where readers begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartAt {
    /// At the end: what is written from now on.
    #[default]
    Tail,
    /// At the log start, until the end as it was at the beginning of the run.
    Beginning,
    /// As `Beginning`, and again and again until the time is over: what a broker gives of data that it has at hand.
    Loop,
}

/// How long a run takes: it ends at the first of the bounds that are set; one of them must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LengthPlan {
    /// Before the counted time, not counted.
    pub warm_up_s: f64,
    pub duration_s: Option<f64>,
    /// Counted records.
    pub records: Option<u64>,
    /// Counted bytes of keys and values.
    pub bytes: Option<u64>,
}

impl Default for TopicPlan {
    fn default() -> Self {
        Self {
            name: "corelog-bench".to_owned(),
            topics: 1,
            partitions: 16,
            replication_factor: -1,
            create: false,
            remove: false,
            settings: BTreeMap::new(),
        }
    }
}

impl Default for RecordPlan {
    fn default() -> Self {
        Self {
            size: SizePlan::Fixed(1_000),
            keys: KeyPlan::None,
            values: ValuePlan::Random { compressibility: 0.0 },
            codec: CodecName::None,
            batch_bytes: 16_384,
            encoding: Encoding::Fresh,
        }
    }
}

impl Default for ProducerPlan {
    fn default() -> Self {
        Self {
            connections: 16,
            in_flight: 5,
            acks: -1,
            linger_ms: 0.0,
            rate: 0.0,
            arrivals: Arrivals::Spread,
            idempotent: false,
        }
    }
}

impl Default for ConsumerPlan {
    fn default() -> Self {
        Self {
            fan_out: 1,
            connections: 4,
            start: StartAt::Tail,
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
        }
    }
}

impl Default for LengthPlan {
    fn default() -> Self {
        Self { warm_up_s: 5.0, duration_s: Some(30.0), records: None, bytes: None }
    }
}
