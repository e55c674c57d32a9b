//! Offsets, epochs, ids and sizes as types of their own, so that one cannot be passed for another.
//!
//! Key invariant: every type here is a plain value with the width and the sentinel values that Kafka's protocol gives
//! it. What the values mean for a log or a producer is left to the rooms that use them.

mod partitioner;
mod placement;

pub use partitioner::partition_of_key;
pub use placement::owner_shard;

use std::fmt;

/// Declares a newtype over an integer with the traits that an id or a position needs.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number itself.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The position of a record in its partition, counted in records from 0. -1 on the wire means "none".
    Offset(i64)
}
number! {
    /// How many leaders a partition has had (KIP-101). -1 means "unknown" and is never 0 by default on the wire.
    LeaderEpoch(i32)
}
number! {
    /// The number of a partition within its topic, from 0.
    PartitionIndex(i32)
}
number! {
    /// A broker's node id, 0 or more and below [`BrokerId::PRESENTED_FIRST`].
    BrokerId(i32)
}
number! {
    /// The id of an idempotent or transactional producer (KIP-98). -1 means that a batch has none.
    ProducerId(i64)
}
number! {
    /// The epoch that fences older instances of a producer id. -1 means none.
    ProducerEpoch(i16)
}
number! {
    /// A producer's sequence number within one partition; wraps from `i32::MAX` to 0. -1 means none.
    Sequence(i32)
}
number! {
    /// Milliseconds since 1970-01-01T00:00:00Z. -1 means none.
    TimestampMs(i64)
}
number! {
    /// A byte position in a file.
    FilePosition(u64)
}
number! {
    /// The number of a shard (one executor, usually one core) of this broker, from 0.
    ShardId(u16)
}

impl BrokerId {
    /// The first of the ids that are never a broker's own: with shard-direct listeners shard `n` of a broker appears to
    /// clients as node `PRESENTED_FIRST + n`. No metadata and no record holds such an id.
    pub const PRESENTED_FIRST: Self = Self(1_000_000_000);
}

impl Offset {
    /// The wire's "no offset".
    pub const NONE: Self = Self(-1);
    /// The first offset of a new partition.
    pub const ZERO: Self = Self(0);

    /// The offset `records` further on; saturates, since no log can hold more.
    #[must_use]
    pub const fn plus(self, records: i64) -> Self {
        Self(self.0.saturating_add(records))
    }

    /// How many offsets lie between `earlier` and this one; negative if `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl LeaderEpoch {
    /// The wire's "unknown epoch".
    pub const UNKNOWN: Self = Self(-1);
}

impl ProducerId {
    /// What a batch without an idempotent producer carries.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// What a batch without an idempotent producer carries.
    pub const NONE: Self = Self(-1);
}

impl TimestampMs {
    /// The wire's "no timestamp".
    pub const NONE: Self = Self(-1);

    /// Milliseconds from `earlier` to this; saturates.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl ShardId {
    /// As an index into per-shard tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The unique id of a topic (KIP-516): a topic that is deleted and created anew under its old name has another.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct TopicId(pub uuid::Uuid);

impl TopicId {
    /// The zero id: requests that name a topic by name carry it.
    pub const ZERO: Self = Self(uuid::Uuid::nil());
}

impl fmt::Display for TopicId {
    /// Kafka's form: 22 characters of URL-safe base64 without padding.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = self.0.as_u128();
        // 128 bits are 21 groups of six and one of two, which base64 pads with four zero bits.
        for group in 0..21 {
            let six = (bits >> (122 - 6 * group)) & 0x3f;
            fmt::Write::write_char(f, ALPHABET[six as usize] as char)?;
        }
        fmt::Write::write_char(f, ALPHABET[((bits & 0x3) << 4) as usize] as char)
    }
}

/// One partition of one topic, by the topic's unique id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic_id: TopicId,
    pub partition: PartitionIndex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_print_as_kafka_prints_them() {
        let id = TopicId(uuid::Uuid::from_u128(1));
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let all = TopicId(uuid::Uuid::from_u128(u128::MAX));
        assert_eq!(all.to_string(), "_____________________w");
    }
}
