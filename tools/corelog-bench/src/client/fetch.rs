//! Fetch requests and answers, versions 4 to 18, without fetch sessions: written and read by hand.
//!
//! Key invariant: byte for byte what the kafka-protocol crate writes and reads; property tests compare for every version
//! (`fetch/tests.rs`). Records come out as slices of the frame, never copied. What is in them is left to the callers.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use uuid::Uuid;

use super::TopicFacts;
use super::wire::{self, Malformed, Reader};

const API_KEY: i16 = 1;
/// From this version on numbers and texts are compact (KIP-482).
pub(crate) const FLEXIBLE_FROM: i16 = 12;
/// From this version on topics are named by their ids (KIP-516).
pub(crate) const IDS_FROM: i16 = 13;
/// From this version on the replica id is a tagged field, left out by consumers (KIP-903).
pub(crate) const NO_REPLICA_FROM: i16 = 15;
/// A request of a consumer that reads all records, committed or not, outside a session (KIP-227).
const NO_REPLICA: i32 = -1;
const READ_UNCOMMITTED: u8 = 0;
const NO_SESSION: i32 = 0;
const NO_SESSION_EPOCH: i32 = -1;
const SIZE_BYTES: usize = 4;

/// What the requests of a reader have in common.
#[derive(Clone, Copy, Debug)]
pub struct FetchTerms<'a> {
    /// 4 to 18, as negotiated.
    pub version: i16,
    pub client_id: &'a str,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub partition_max_bytes: i32,
}

/// A partition to be read, from an offset on.
#[derive(Clone, Copy, Debug)]
pub struct FetchFrom<'a> {
    pub topic: &'a TopicFacts,
    pub partition: i32,
    pub offset: i64,
}

impl FetchTerms<'_> {
    /// Appends to `out` a whole request, from its size field on. Partitions of a topic must stand together.
    pub fn request(&self, out: &mut Vec<u8>, correlation: i32, wanted: &[FetchFrom<'_>]) {
        let flexible = self.version >= FLEXIBLE_FROM;
        let start = out.len();
        out.extend([0; SIZE_BYTES]);
        out.extend(API_KEY.to_be_bytes());
        out.extend(self.version.to_be_bytes());
        out.extend(correlation.to_be_bytes());
        wire::put_text(out, self.client_id.as_bytes(), false);
        if flexible {
            out.push(0);
        }
        if self.version < NO_REPLICA_FROM {
            out.extend(NO_REPLICA.to_be_bytes());
        }
        out.extend(self.max_wait_ms.to_be_bytes());
        out.extend(self.min_bytes.to_be_bytes());
        out.extend(self.max_bytes.to_be_bytes());
        out.push(READ_UNCOMMITTED);
        if self.version >= 7 {
            out.extend(NO_SESSION.to_be_bytes());
            out.extend(NO_SESSION_EPOCH.to_be_bytes());
        }
        let groups = || wanted.chunk_by(|a, b| a.topic.name == b.topic.name);
        wire::put_count(out, groups().count(), flexible);
        for group in groups() {
            self.put_topic(out, group);
        }
        if self.version >= 7 {
            wire::put_count(out, 0, flexible);
        }
        if self.version >= 11 {
            wire::put_text(out, b"", flexible);
        }
        if flexible {
            out.push(0);
        }
        let size =
            i32::try_from(out.len() - start - SIZE_BYTES).expect("a request names far fewer partitions");
        out[start..start + SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
    }

    fn put_topic(&self, out: &mut Vec<u8>, partitions: &[FetchFrom<'_>]) {
        const UNKNOWN: i32 = -1;
        let flexible = self.version >= FLEXIBLE_FROM;
        let Some(first) = partitions.first() else { return };
        if self.version >= IDS_FROM {
            out.extend(first.topic.id.as_bytes());
        } else {
            wire::put_text(out, first.topic.name.as_bytes(), flexible);
        }
        wire::put_count(out, partitions.len(), flexible);
        for wanted in partitions {
            out.extend(wanted.partition.to_be_bytes());
            if self.version >= 9 {
                // The current leader epoch: not checked.
                out.extend(UNKNOWN.to_be_bytes());
            }
            out.extend(wanted.offset.to_be_bytes());
            if self.version >= 12 {
                // The epoch of the last record read.
                out.extend(UNKNOWN.to_be_bytes());
            }
            if self.version >= 5 {
                // The log start of a follower.
                out.extend(i64::from(UNKNOWN).to_be_bytes());
            }
            out.extend(self.partition_max_bytes.to_be_bytes());
            if flexible {
                out.push(0);
            }
        }
        if flexible {
            out.push(0);
        }
    }
}

/// How an answer names a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// Up to version 12: the name, in UTF-8 unless the broker errs.
    Name(Bytes),
    Id(Uuid),
}

impl TopicRef {
    /// Whether `topic` is meant.
    pub fn is(&self, topic: &TopicFacts) -> bool {
        match self {
            Self::Name(name) => name == topic.name.as_bytes(),
            Self::Id(id) => *id == topic.id,
        }
    }
}

/// What an answer says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    pub topic: TopicRef,
    pub partition: i32,
    /// Kafka's error code, 0 for none.
    pub error: i16,
    pub high_watermark: i64,
    /// -1 before version 5.
    pub log_start_offset: i64,
    /// Record batches; the last may be cut off by old brokers, the first may begin before the offset asked for.
    pub records: Bytes,
}

/// An answer, read partition by partition as it is iterated.
#[derive(Clone, Debug)]
pub struct FetchAnswer {
    pub correlation: i32,
    /// Of the whole request; 0 for none and before version 7.
    pub error: i16,
    frame: Bytes,
    version: i16,
    at: usize,
    topics_left: usize,
    topic: TopicRef,
    partitions_left: usize,
}

impl FetchAnswer {
    /// Reads the beginning of a frame (without its size field) that answers a request of `version`.
    pub fn parse(frame: Bytes, version: i16) -> Result<Self, Malformed> {
        let flexible = version >= FLEXIBLE_FROM;
        let mut reader = Reader::new(&frame);
        let correlation = reader.i32()?;
        if flexible {
            reader.skip_tags()?;
        }
        let _throttle_ms = reader.i32()?;
        let mut error = 0;
        if version >= 7 {
            error = reader.i16()?;
            let _session = reader.i32()?;
        }
        let topics_left = reader.count(flexible)?;
        let at = reader.position();
        let topic = TopicRef::Id(Uuid::nil());
        Ok(Self { correlation, error, frame, version, at, topics_left, topic, partitions_left: 0 })
    }

    fn read_next(&mut self) -> Result<Option<FetchedPartition>, Malformed> {
        while self.partitions_left == 0 {
            if self.topics_left == 0 {
                return Ok(None);
            }
            self.read_topic()?;
        }
        let partition = self.read_partition()?;
        self.partitions_left -= 1;
        if self.partitions_left == 0 {
            self.end_topic()?;
        }
        Ok(Some(partition))
    }

    fn read_topic(&mut self) -> Result<(), Malformed> {
        let flexible = self.version >= FLEXIBLE_FROM;
        let mut reader = Reader::resume(&self.frame, self.at);
        let topic = if self.version >= IDS_FROM {
            TopicRef::Id(Uuid::from_bytes(reader.id()?))
        } else {
            TopicRef::Name(self.frame.slice_ref(reader.text(flexible)?))
        };
        self.partitions_left = reader.count(flexible)?;
        self.at = reader.position();
        self.topic = topic;
        self.topics_left -= 1;
        if self.partitions_left == 0 { self.end_topic() } else { Ok(()) }
    }

    fn end_topic(&mut self) -> Result<(), Malformed> {
        if self.version >= FLEXIBLE_FROM {
            let mut reader = Reader::resume(&self.frame, self.at);
            reader.skip_tags()?;
            self.at = reader.position();
        }
        Ok(())
    }

    fn read_partition(&mut self) -> Result<FetchedPartition, Malformed> {
        const ABORTED_TRANSACTION_BYTES: usize = 16;
        let flexible = self.version >= FLEXIBLE_FROM;
        let mut reader = Reader::resume(&self.frame, self.at);
        let partition = reader.i32()?;
        let error = reader.i16()?;
        let high_watermark = reader.i64()?;
        let _last_stable_offset = reader.i64()?;
        let log_start_offset = if self.version >= 5 { reader.i64()? } else { -1 };
        for _ in 0..reader.count(flexible)? {
            reader.skip(ABORTED_TRANSACTION_BYTES)?;
            if flexible {
                reader.skip_tags()?;
            }
        }
        if self.version >= 11 {
            let _preferred_read_replica = reader.i32()?;
        }
        let length = reader.bytes_length(flexible)?;
        let records = self.frame.slice_ref(reader.take(length)?);
        if flexible {
            reader.skip_tags()?;
        }
        self.at = reader.position();
        let topic = self.topic.clone();
        Ok(FetchedPartition { topic, partition, error, high_watermark, log_start_offset, records })
    }
}

impl Iterator for FetchAnswer {
    type Item = Result<FetchedPartition, Malformed>;

    /// The next partition; after an error nothing more comes.
    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read_next().transpose();
        if matches!(read, Some(Err(_))) {
            (self.topics_left, self.partitions_left) = (0, 0);
        }
        read
    }
}
