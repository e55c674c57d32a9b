//! What is sent: keys, values, stamps, and the record batches that hold them.
//!
//! A [`Supply`] is made once from a plan and shared by all producers of a run; each producer has a [`Maker`] of its own.
//!
//! Key invariant: a batch is for one lane, and over many batches records, keys and partitions occur as if each record had
//! drawn its key by itself and Kafka's partitioner had placed it. Equal seeds make equal batches. How many records a
//! batch gets and when it is sent is left to `schedule` and `drive`.

mod encode;
mod json;
mod keys;
mod maker;
mod ready;
mod sizes;
mod stamp;
mod supply;
#[cfg(test)]
mod tests;
mod values;

pub use maker::Maker;
pub use ready::{READY_BATCHES_MAX, READY_BYTES_MAX};
pub use stamp::{STAMP_BYTES, Stamp, StampError};
pub use supply::Supply;
pub use values::LINES_BYTES_MAX;

use bytes::Bytes;

/// A partition among all that a run writes to or reads, topic by topic: topic number × partitions of each + partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Lane(pub u32);

/// The partitions of a run: some topics, all with equally many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    pub topics: u32,
    /// Of each topic.
    pub partitions: i32,
}

impl Lanes {
    /// Partitions of each topic and of all, if there are any and they can be numbered.
    fn count(self) -> Option<(u32, u32)> {
        let partitions = u32::try_from(self.partitions).ok().filter(|partitions| *partitions > 0)?;
        let all = partitions.checked_mul(self.topics).filter(|all| *all > 0)?;
        Some((partitions, all))
    }
}

/// Who made a batch, so that the broker can tell duplicates (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Of the batch's first record.
    pub base_sequence: i32,
}

/// A record batch as it goes into a produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub bytes: Bytes,
    pub records: u32,
    /// Of keys and values, stamps with them, before compression.
    pub payload_bytes: u64,
}

/// Why a plan's records cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SupplyError {
    #[error("ready-made batches cannot carry stamps; use fresh encoding")]
    StampedReady,
    #[error("values of {bytes} bytes cannot hold a stamp; it takes {STAMP_BYTES}")]
    TooSmallForStamp { bytes: u32 },
    #[error("the workload takes its values from a text, and none was given")]
    NoText,
    #[error("the text of values holds no line")]
    NoLines,
    #[error("the text of values has {bytes} bytes; at most {LINES_BYTES_MAX} are taken")]
    TextTooLong { bytes: usize },
    #[error("line {line} of the text has {bytes} bytes; a value has at most {max}")]
    LineTooLong { line: usize, bytes: usize, max: u32 },
    #[error("{0}")]
    Plan(String),
    #[error(
        "ready-made batches for {partitions} partitions take {bytes} bytes, of which at most {READY_BYTES_MAX} are kept; \
         use fresh encoding, smaller batches, fewer partitions or no keys"
    )]
    ReadyTooLarge { partitions: usize, bytes: u64 },
    #[error("ready-made batches were asked for before they were made")]
    NotPrepared,
    #[error("no key of the workload belongs to partition {partition}")]
    NoKeys { partition: u32 },
    #[error("a batch cannot be compressed: {0}")]
    Compression(String),
}
