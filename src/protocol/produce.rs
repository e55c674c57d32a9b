//! Produce, versions 3 to 13: requests are read in one walk that borrows the frame, answers are written into one buffer.
//!
//! The kafka-protocol crate has these messages too; this codec is for their number: a producer that does not wait for more
//! records sends one request for each. Key invariants: what is accepted is what the layout in `shapes` and the crate accept
//! together, and what is written is byte for byte what the crate would write (property tests compare both); of a request
//! with one partition nothing lies on the heap. What a request means is left to `handlers`.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use smallvec::SmallVec;
use std::ops::RangeInclusive;

use super::message::{self, Counted, Format, Sink};
use super::shape::Walk;
use super::{DecodeError, EncodeError, ErrorCode, RequestHeader, frame::SIZE_PREFIX_BYTES};
use crate::model::{Offset, PartitionIndex, TimestampMs, TopicId};

/// The versions that have this layout.
const VERSIONS: RangeInclusive<i16> = 3..=13;
/// Compact lengths and tagged fields (KIP-482).
const FLEXIBLE_FROM: i16 = 9;
/// Topics have ids instead of names (KIP-516).
pub const TOPIC_IDS_FROM: i16 = 13;
/// Answers say where a partition's log starts.
const LOG_START_FROM: i16 = 5;
/// Answers say which records are at fault (KIP-467).
const FAULTS_FROM: i16 = 8;

/// A request; it borrows from its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest<'a> {
    pub transactional_id: Option<&'a str>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topics: SmallVec<[TopicData<'a>; 1]>,
}

/// What is produced to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicData<'a> {
    /// Empty where topics have ids.
    pub name: &'a str,
    /// Zero where topics have names.
    pub id: TopicId,
    pub partitions: SmallVec<[PartitionData<'a>; 1]>,
}

/// What is produced to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionData<'a> {
    pub partition: PartitionIndex,
    pub records: Option<&'a [u8]>,
}

/// What is answered for one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicAnswer {
    /// UTF-8, as the request had it; not written where topics have ids.
    pub name: Bytes,
    /// Not written where topics have names.
    pub id: TopicId,
    pub partitions: SmallVec<[PartitionAnswer; 1]>,
}

/// What is answered for one partition. The leader to turn to instead (KIP-951) is never told: a broker alone leads all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionAnswer {
    pub partition: PartitionIndex,
    pub error: ErrorCode,
    pub base_offset: Offset,
    /// -1 unless the topic's timestamps are the broker's.
    pub append_time: TimestampMs,
    pub log_start: Offset,
    /// Rare, so it does not take room in every answer.
    pub fault: Option<Box<Fault>>,
}

/// What is wrong with a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Records that were refused, by their number in the batch.
    pub records: Vec<(i32, String)>,
    pub message: Option<String>,
}

impl<'a> ProduceRequest<'a> {
    /// Reads the body of a request. What follows it stays in `body`; Kafka ignores it.
    pub fn decode(body: &mut &'a [u8], version: i16) -> Result<Self, DecodeError> {
        if !VERSIONS.contains(&version) {
            return Err(invalid("the version is not served"));
        }
        let mut reader =
            Reader { walk: Walk::new(body, version >= FLEXIBLE_FROM), by_id: version >= TOPIC_IDS_FROM };
        let request = reader.request()?;
        *body = reader.walk.rest();
        Ok(request)
    }
}

impl PartitionAnswer {
    /// A failure without details.
    pub fn failed(partition: PartitionIndex, error: ErrorCode) -> Self {
        Self {
            partition,
            error,
            base_offset: Offset::NONE,
            append_time: TimestampMs::NONE,
            log_start: Offset::NONE,
            fault: None,
        }
    }
}

fn invalid(reason: &str) -> DecodeError {
    DecodeError::Invalid(reason.to_owned())
}

/// Reads one request.
struct Reader<'a> {
    walk: Walk<'a>,
    by_id: bool,
}

impl<'a> Reader<'a> {
    fn request(&mut self) -> Result<ProduceRequest<'a>, DecodeError> {
        let transactional_id = self.text()?;
        let acks = i16::from_be_bytes(self.walk.take()?);
        let timeout_ms = i32::from_be_bytes(self.walk.take()?);
        let topics = self.list(Self::topic)?;
        self.walk.skip_unknown_tagged_fields()?;
        Ok(ProduceRequest { transactional_id, acks, timeout_ms, topics })
    }

    fn topic(&mut self) -> Result<TopicData<'a>, DecodeError> {
        let (name, id) = if self.by_id {
            ("", TopicId(uuid::Uuid::from_bytes(self.walk.take()?)))
        } else {
            (self.text()?.ok_or_else(|| invalid("a topic's name is null"))?, TopicId::ZERO)
        };
        let partitions = self.list(Self::partition)?;
        self.walk.skip_unknown_tagged_fields()?;
        Ok(TopicData { name, id, partitions })
    }

    #[inline]
    fn partition(&mut self) -> Result<PartitionData<'a>, DecodeError> {
        let partition = PartitionIndex(i32::from_be_bytes(self.walk.take()?));
        let records = self.walk.blob()?;
        self.walk.skip_unknown_tagged_fields()?;
        Ok(PartitionData { partition, records })
    }

    /// Reserves no more memory than there are bytes left, whatever the count says.
    #[inline]
    fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<SmallVec<[T; 1]>, DecodeError> {
        let count = self.walk.list_count()?.ok_or_else(|| invalid("an array is null"))?;
        let mut list = SmallVec::new();
        if count > 1 {
            list.reserve((count as usize).min(self.walk.rest().len() / size_of::<T>()));
        }
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    #[inline]
    fn text(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let text = self.walk.text()?.map(std::str::from_utf8).transpose();
        text.map_err(|error| DecodeError::Invalid(error.to_string()))
    }
}

/// The frame of the answer: size, response header, body.
pub fn encode(header: &RequestHeader, topics: &[TopicAnswer]) -> Result<Bytes, EncodeError> {
    let format = Format { version: header.version, flexible: header.version >= FLEXIBLE_FROM };
    let error = |error| EncodeError::new(header.version, error);
    let mut counted = Counted::default();
    write(&mut counted, topics, format).map_err(error)?;
    let header_bytes = 4 + usize::from(ApiKey::Produce.response_header_version(header.version) >= 1);
    let size = header_bytes + counted.0;
    let prefix =
        i32::try_from(size).map_err(|_| EncodeError::new(header.version, "longer than a frame can be"))?;
    let mut frame = Frame(Vec::with_capacity(SIZE_PREFIX_BYTES + size));
    frame.put(&prefix.to_be_bytes());
    frame.put(&header.correlation_id.to_be_bytes());
    message::write_no_tagged_fields(&mut frame, format);
    write(&mut frame, topics, format).map_err(error)?;
    debug_assert_eq!(frame.0.len(), SIZE_PREFIX_BYTES + size);
    Ok(frame.0.into())
}

/// A buffer of the frame's size: as a `Vec` that is full it becomes `Bytes` without another allocation.
struct Frame(Vec<u8>);

impl Sink for Frame {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn write<S: Sink>(sink: &mut S, topics: &[TopicAnswer], format: Format) -> anyhow::Result<()> {
    message::write_length(sink, format, Some(topics.len()))?;
    for topic in topics {
        if format.version >= TOPIC_IDS_FROM {
            sink.put(topic.id.0.as_bytes());
        } else {
            message::write_text(sink, format, Some(&topic.name))?;
        }
        message::write_length(sink, format, Some(topic.partitions.len()))?;
        for partition in &topic.partitions {
            write_partition(sink, partition, format)?;
        }
        message::write_no_tagged_fields(sink, format);
    }
    // How long the client shall wait, in milliseconds: there are no quotas.
    sink.put(&0_i32.to_be_bytes());
    message::write_no_tagged_fields(sink, format);
    Ok(())
}

#[inline]
fn write_partition<S: Sink>(sink: &mut S, answer: &PartitionAnswer, format: Format) -> anyhow::Result<()> {
    sink.put(&answer.partition.get().to_be_bytes());
    sink.put(&answer.error.code().to_be_bytes());
    sink.put(&answer.base_offset.get().to_be_bytes());
    sink.put(&answer.append_time.get().to_be_bytes());
    if format.version >= LOG_START_FROM {
        sink.put(&answer.log_start.get().to_be_bytes());
    }
    if format.version >= FAULTS_FROM {
        let records = answer.fault.as_ref().map_or(&[][..], |fault| &fault.records);
        message::write_length(sink, format, Some(records.len()))?;
        for (record, message) in records {
            sink.put(&record.to_be_bytes());
            message::write_text(sink, format, Some(message.as_bytes()))?;
            message::write_no_tagged_fields(sink, format);
        }
        let message = answer.fault.as_ref().and_then(|fault| fault.message.as_deref());
        message::write_text(sink, format, message.map(str::as_bytes))?;
    }
    message::write_no_tagged_fields(sink, format);
    Ok(())
}

#[cfg(test)]
mod tests;
