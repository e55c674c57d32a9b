//! A topic's settings: validated overrides, and the typed values that a partition acts on.
//!
//! Key invariant: `TopicSettings` is total: whatever the overrides hold, every field is within the bounds that the log
//! and the record rooms rely on. Which settings exist is left to `table/topic.table`.

use super::broker::BrokerSettings;
use super::definition::topic_scope;
use super::value::Value;
use super::{ConfigError, TopicOverrides};
use std::collections::HashMap;

/// How record timestamps arise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampKind {
    /// The producer's.
    Create,
    /// The broker's at the append.
    LogAppend,
}

/// What a topic recompresses batches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Uncompressed,
    /// 1 to 9, or -1 for the codec's default.
    Gzip {
        level: i32,
    },
    Snappy,
    /// 1 to 17.
    Lz4 {
        level: i32,
    },
    /// -131072 to 22.
    Zstd {
        level: i32,
    },
}

/// When a segment is closed and how densely it is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Size at which a segment is closed. At least 1 MiB unless `internal.segment.bytes` says otherwise.
    pub bytes: u32,
    /// Age at which a segment is closed, at least 1.
    pub roll_ms: i64,
    /// At most this much is taken off `roll_ms`, different for each partition, so that segments do not all roll at once.
    pub roll_jitter_ms: i64,
    /// Bytes between two index entries.
    pub index_interval_bytes: u32,
    /// Size of a segment's index at which the segment is closed, at least 4.
    pub index_bytes: u32,
}

/// When data goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age at which a segment is deleted; negative means never.
    pub ms: i64,
    /// Size of a partition above which its oldest segments are deleted; negative means no limit.
    pub bytes: i64,
    /// Time between a file's renaming and its deletion.
    pub delete_delay_ms: i64,
    /// Whether `ms` and `bytes` apply.
    pub delete: bool,
    /// Whether only the last record of each key is kept. Both false means that nothing ever goes away.
    pub compact: bool,
}

/// Which timestamps are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    pub kind: TimestampKind,
    /// How far a record's timestamp may lie behind the broker's clock.
    pub before_max_ms: i64,
    /// How far it may lie ahead.
    pub after_max_ms: i64,
}

/// How a compacted topic is compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compaction {
    /// How long a tombstone stays after it was compacted.
    pub delete_retention_ms: i64,
    /// A record is not compacted before this age.
    pub lag_min_ms: i64,
    /// A record is compacted at the latest at this age.
    pub lag_max_ms: i64,
    /// Share of uncompacted bytes at which compaction starts, 0 to 1.
    pub dirty_ratio_min: f64,
}

/// What a topic's partitions act on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopicSettings {
    pub segment: Segment,
    pub retention: Retention,
    pub timestamps: Timestamps,
    pub compaction: Compaction,
    /// Largest record batch, in bytes as stored.
    pub batch_bytes_max: u32,
    /// `None` keeps what the producer chose.
    pub compression: Option<Compression>,
    /// In-sync replicas that `acks=all` needs, at least 1.
    pub min_insync_replicas: u16,
}

impl TopicSettings {
    /// What holds for a topic with these overrides on this broker. An override that is not valid is passed over.
    pub fn effective(overrides: &TopicOverrides, broker: &BrokerSettings) -> Self {
        let mut values = broker.topic_values().clone();
        for (name, raw) in overrides {
            if let Some(definition) = topic_scope().get(name)
                && let Ok(value) = definition.parse(raw)
            {
                values.insert(definition.name, value);
            }
        }
        Self::from_values(&values)
    }

    pub(super) fn from_values(values: &HashMap<&'static str, Value>) -> Self {
        let read = Read(values);
        Self {
            segment: Segment {
                bytes: read
                    .size("internal.segment.bytes")
                    .unwrap_or_else(|| read.bytes("segment.bytes"))
                    .max(1),
                roll_ms: read.integer("segment.ms").max(1),
                roll_jitter_ms: read.integer("segment.jitter.ms").max(0),
                index_interval_bytes: read.bytes("index.interval.bytes"),
                index_bytes: read.bytes("segment.index.bytes"),
            },
            retention: Retention {
                ms: read.integer("retention.ms"),
                bytes: read.integer("retention.bytes"),
                delete_delay_ms: read.integer("file.delete.delay.ms").max(0),
                delete: read.has("cleanup.policy", "delete"),
                compact: read.has("cleanup.policy", "compact"),
            },
            timestamps: Timestamps {
                kind: match read.text("message.timestamp.type") {
                    "LogAppendTime" => TimestampKind::LogAppend,
                    _ => TimestampKind::Create,
                },
                before_max_ms: read.integer("message.timestamp.before.max.ms").max(0),
                after_max_ms: read.integer("message.timestamp.after.max.ms").max(0),
            },
            compaction: Compaction {
                delete_retention_ms: read.integer("delete.retention.ms").max(0),
                lag_min_ms: read.integer("min.compaction.lag.ms").max(0),
                lag_max_ms: read.integer("max.compaction.lag.ms").max(1),
                dirty_ratio_min: read.double("min.cleanable.dirty.ratio").clamp(0.0, 1.0),
            },
            batch_bytes_max: read.bytes("max.message.bytes"),
            compression: read.compression(),
            min_insync_replicas: u16::try_from(read.integer("min.insync.replicas"))
                .unwrap_or(u16::MAX)
                .max(1),
        }
    }
}

/// Typed access to effective topic values.
struct Read<'a>(&'a HashMap<&'static str, Value>);

impl Read<'_> {
    fn integer(&self, name: &str) -> i64 {
        match self.0.get(name) {
            Some(Value::Integer(value)) => *value,
            _ => 0,
        }
    }

    fn size(&self, name: &str) -> Option<u32> {
        self.0.contains_key(name).then(|| self.bytes(name))
    }

    /// Sizes are Kafka INTs: never above `i32::MAX`, and none of the settings read so may be negative.
    fn bytes(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).unwrap_or(0)
    }

    fn double(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Value::Double(value)) => *value,
            _ => 0.0,
        }
    }

    fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(Value::Text(value)) => value,
            _ => "",
        }
    }

    fn has(&self, name: &str, element: &str) -> bool {
        matches!(self.0.get(name), Some(Value::List(elements)) if elements.iter().any(|e| e == element))
    }

    fn compression(&self) -> Option<Compression> {
        // Levels were checked to lie within an i32.
        let level = |name| self.integer(name) as i32;
        match self.text("compression.type") {
            "uncompressed" => Some(Compression::Uncompressed),
            "gzip" => Some(Compression::Gzip { level: level("compression.gzip.level") }),
            "snappy" => Some(Compression::Snappy),
            "lz4" => Some(Compression::Lz4 { level: level("compression.lz4.level") }),
            "zstd" => Some(Compression::Zstd { level: level("compression.zstd.level") }),
            _ => None,
        }
    }
}

/// Checks all of a topic's overrides as they would be after a change, or at its creation.
///
/// Names, types and ranges first, in Kafka's order of settings; then the rules between settings.
pub fn validate_topic(overrides: &TopicOverrides, broker: &BrokerSettings) -> Result<(), ConfigError> {
    if let Some(name) = overrides.keys().find(|name| topic_scope().get(name).is_none()) {
        return Err(ConfigError::Config(format!("Unknown topic config name: {name}")));
    }
    let mut values = broker.topic_values().clone();
    for definition in topic_scope().all() {
        if let Some(raw) = overrides.get(definition.name) {
            values.insert(definition.name, definition.parse(raw)?);
        }
    }
    let read = Read(&values);
    let (lag_min, lag_max) = (read.integer("min.compaction.lag.ms"), read.integer("max.compaction.lag.ms"));
    if lag_min > lag_max {
        return Err(ConfigError::Config(format!(
            "conflict topic config setting min.compaction.lag.ms ({lag_min}) > max.compaction.lag.ms ({lag_max})"
        )));
    }
    if values.get("remote.storage.enable") == Some(&Value::Boolean(true)) {
        return Err(ConfigError::Config(
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."
                .to_owned(),
        ));
    }
    Ok(())
}
