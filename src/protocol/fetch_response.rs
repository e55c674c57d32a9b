//! Encodes Fetch responses, versions 4 to 18, as a list of slices in which record batches are the very buffers that the
//! log handed out.
//!
//! Key invariant: the slices concatenated are byte for byte what a plain encoder would write (a property test compares
//! with the kafka-protocol crate); all bytes that are not records lie in one allocation. Choosing what goes into a
//! response, and its size, is left to `handlers`.

use super::{EncodeError, ErrorCode, RequestHeader, frame::SIZE_PREFIX_BYTES};
use crate::model::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use smallvec::SmallVec;

/// A whole response.
#[derive(Clone, Debug, Default)]
pub struct FetchAnswer {
    pub throttle_ms: i32,
    /// An error of the request or its session as a whole (version 7 and later).
    pub error: Option<ErrorCode>,
    /// The incremental fetch session (KIP-227), 0 for none.
    pub session_id: i32,
    pub topics: Vec<TopicAnswer>,
    /// Where the leaders named in partitions are reached (KIP-951, version 16 and later).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// One topic; versions up to 12 write its name, later ones its id.
#[derive(Clone, Debug, Default)]
pub struct TopicAnswer {
    pub name: StrBytes,
    pub id: TopicId,
    pub partitions: Vec<PartitionAnswer>,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct PartitionAnswer {
    pub partition: PartitionIndex,
    pub error: ErrorCode,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// Where the follower's log parts from the leader's (version 12 and later).
    pub diverging_epoch: Option<(LeaderEpoch, Offset)>,
    /// The leader to turn to instead (KIP-951, version 12 and later).
    pub current_leader: Option<(BrokerId, LeaderEpoch)>,
    /// `None` for readers of uncommitted records.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// A follower to read from instead (KIP-392, version 11 and later).
    pub preferred_read_replica: Option<BrokerId>,
    /// Whole record batches, in order.
    pub records: SmallVec<[Bytes; 4]>,
}

/// A transaction whose records readers of committed records drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
}

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEndpoint {
    pub node: BrokerId,
    pub host: StrBytes,
    pub port: i32,
    pub rack: Option<StrBytes>,
}

impl PartitionAnswer {
    /// An answer without records, with the offsets that Kafka sends beside an error.
    pub fn failed(partition: PartitionIndex, error: ErrorCode) -> Self {
        Self {
            partition,
            error,
            high_watermark: Offset::NONE,
            last_stable_offset: Offset::NONE,
            log_start_offset: Offset::NONE,
            diverging_epoch: None,
            current_leader: None,
            aborted_transactions: Some(Vec::new()),
            preferred_read_replica: None,
            records: SmallVec::new(),
        }
    }

    /// Bytes of its records.
    pub fn records_bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

/// Encodes `answer` in the version of `header`, with size and response header. Empty slices do not occur.
pub fn encode(header: &RequestHeader, answer: &FetchAnswer) -> Result<Vec<Bytes>, EncodeError> {
    let partitions: usize = answer.topics.iter().map(|topic| topic.partitions.len()).sum();
    let mut writer = Writer {
        version: header.version,
        flexible: header.version >= 12,
        head: BytesMut::with_capacity(64 + answer.topics.len() * 40 + partitions * 64),
        records: Vec::with_capacity(partitions),
    };
    writer.head.put_i32(0);
    writer.head.put_i32(header.correlation_id);
    if ApiKey::Fetch.response_header_version(header.version) >= 1 {
        writer.head.put_u8(0);
    }
    writer.answer(answer)?;
    writer.finish()
}

/// What is written so far.
struct Writer {
    version: i16,
    flexible: bool,
    /// Every byte that is not a record.
    head: BytesMut,
    /// Records, each with the position in `head` that it comes before.
    records: Vec<(usize, Bytes)>,
}

impl Writer {
    fn answer(&mut self, answer: &FetchAnswer) -> Result<(), EncodeError> {
        self.head.put_i32(answer.throttle_ms);
        if self.version >= 7 {
            self.head.put_i16(answer.error.unwrap_or(ErrorCode::None).code());
            self.head.put_i32(answer.session_id);
        }
        self.count(answer.topics.len())?;
        for topic in &answer.topics {
            if self.version >= 13 {
                self.head.put_slice(topic.id.0.as_bytes());
            } else {
                self.text(&topic.name)?;
            }
            self.count(topic.partitions.len())?;
            for partition in &topic.partitions {
                self.partition(partition)?;
            }
            self.no_tagged_fields();
        }
        if self.version >= 16 && !answer.node_endpoints.is_empty() {
            self.varint(1);
            self.tagged(0, |writer| writer.endpoints(&answer.node_endpoints))
        } else {
            self.no_tagged_fields();
            Ok(())
        }
    }

    fn partition(&mut self, partition: &PartitionAnswer) -> Result<(), EncodeError> {
        self.head.put_i32(partition.partition.get());
        self.head.put_i16(partition.error.code());
        self.head.put_i64(partition.high_watermark.get());
        self.head.put_i64(partition.last_stable_offset.get());
        if self.version >= 5 {
            self.head.put_i64(partition.log_start_offset.get());
        }
        match &partition.aborted_transactions {
            None => self.no_array(),
            Some(aborted) => {
                self.count(aborted.len())?;
                for transaction in aborted {
                    self.head.put_i64(transaction.producer_id.get());
                    self.head.put_i64(transaction.first_offset.get());
                    self.no_tagged_fields();
                }
            }
        }
        if self.version >= 11 {
            self.head.put_i32(partition.preferred_read_replica.map_or(-1, BrokerId::get));
        }
        self.count(partition.records_bytes())?;
        let at = self.head.len();
        let slices = partition.records.iter().filter(|slice| !slice.is_empty());
        self.records.extend(slices.map(|slice| (at, slice.clone())));
        if self.flexible { self.partition_tagged_fields(partition) } else { Ok(()) }
    }

    fn partition_tagged_fields(&mut self, partition: &PartitionAnswer) -> Result<(), EncodeError> {
        let diverging = partition.diverging_epoch.filter(|at| *at != (LeaderEpoch::UNKNOWN, Offset::NONE));
        let leader = partition.current_leader.filter(|at| *at != (BrokerId(-1), LeaderEpoch::UNKNOWN));
        self.varint(u32::from(diverging.is_some()) + u32::from(leader.is_some()));
        if let Some((epoch, end_offset)) = diverging {
            self.tagged(0, |writer| {
                writer.head.put_i32(epoch.get());
                writer.head.put_i64(end_offset.get());
                writer.no_tagged_fields();
                Ok(())
            })?;
        }
        if let Some((leader, epoch)) = leader {
            self.tagged(1, |writer| {
                writer.head.put_i32(leader.get());
                writer.head.put_i32(epoch.get());
                writer.no_tagged_fields();
                Ok(())
            })?;
        }
        Ok(())
    }

    fn endpoints(&mut self, endpoints: &[NodeEndpoint]) -> Result<(), EncodeError> {
        self.count(endpoints.len())?;
        for endpoint in endpoints {
            self.head.put_i32(endpoint.node.get());
            self.text(&endpoint.host)?;
            self.head.put_i32(endpoint.port);
            match &endpoint.rack {
                Some(rack) => self.text(rack)?,
                None => self.varint(0),
            }
            self.no_tagged_fields();
        }
        Ok(())
    }

    /// Writes a tagged field: its number, its size in bytes, what `body` writes.
    fn tagged(
        &mut self,
        tag: u32,
        body: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.varint(tag);
        let outer = std::mem::take(&mut self.head);
        body(self)?;
        let inner = std::mem::replace(&mut self.head, outer);
        self.varint(inner.len() as u32);
        self.head.extend_from_slice(&inner);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), EncodeError> {
        let length = i16::try_from(text.len()).map_err(|_| self.too_long("a text"))?;
        if self.flexible {
            self.varint(length as u32 + 1);
        } else {
            self.head.put_i16(length);
        }
        self.head.put_slice(text.as_bytes());
        Ok(())
    }

    /// The length of bytes or the count of an array.
    fn count(&mut self, count: usize) -> Result<(), EncodeError> {
        let count = i32::try_from(count).map_err(|_| self.too_long("an array"))?;
        if self.flexible {
            self.varint(count as u32 + 1);
        } else {
            self.head.put_i32(count);
        }
        Ok(())
    }

    fn no_array(&mut self) {
        if self.flexible { self.varint(0) } else { self.head.put_i32(-1) }
    }

    fn no_tagged_fields(&mut self) {
        if self.flexible {
            self.head.put_u8(0);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.head.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.head.put_u8(value as u8);
    }

    fn too_long(&self, what: &str) -> EncodeError {
        EncodeError::new(self.version, format_args!("{what} is too long"))
    }

    /// Writes the size in front and weaves the records into the rest.
    fn finish(mut self) -> Result<Vec<Bytes>, EncodeError> {
        let records_bytes: usize = self.records.iter().map(|(_, slice)| slice.len()).sum();
        let size = self.head.len() - SIZE_PREFIX_BYTES + records_bytes;
        let size = i32::try_from(size).map_err(|_| self.too_long("the response"))?;
        self.head[..SIZE_PREFIX_BYTES].copy_from_slice(&size.to_be_bytes());
        let head = self.head.freeze();
        let mut slices = Vec::with_capacity(2 * self.records.len() + 1);
        let mut from = 0;
        for (at, records) in self.records {
            if at > from {
                slices.push(head.slice(from..at));
                from = at;
            }
            slices.push(records);
        }
        if head.len() > from {
            slices.push(head.slice(from..));
        }
        Ok(slices)
    }
}

#[cfg(test)]
mod tests;
