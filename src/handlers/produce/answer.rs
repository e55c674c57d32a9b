//! The answer to a produce request, filled in as its parts become known.
//!
//! Key invariant: every partition of the request has exactly one part, in the order of the request; a part that is never
//! settled is an error, not a success.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::handlers::errors;
use crate::model::{Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition};
use crate::partition::PartitionError;
use crate::protocol::produce::{self, Fault, PartitionAnswer, TopicAnswer};
use crate::protocol::{EncodeError, ErrorCode, RequestHeader};
use crate::shard::AppendAnswer;

/// Why a batch was refused before it got to its log.
#[derive(Clone, Debug)]
pub struct Refused {
    pub code: ErrorCode,
    pub fault: Option<Box<Fault>>,
    /// The partition, if the client is to learn its log start although the batch was refused.
    pub log_start_of: Option<TopicPartition>,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, fault: None, log_start_of: None }
    }
}

/// Where the part of a partition stands in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    topic: u32,
    partition: u32,
}

/// A part of the answer, and the partition that it is about.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub place: Place,
    pub id: TopicPartition,
}

/// The answer to one request.
#[derive(Debug, Default)]
pub struct Answer {
    topics: SmallVec<[TopicAnswer; 1]>,
    wanted_log_starts: Vec<Part>,
}

impl Answer {
    /// Adds a topic, to which the partitions belong that are added next. Each topic is added once.
    pub fn begin_topic(&mut self, name: Bytes, id: TopicId) {
        self.topics.push(TopicAnswer { name, id, partitions: SmallVec::new() });
    }

    /// Adds a partition to the last topic. Each is added once.
    pub fn add(&mut self, partition: PartitionIndex) -> Place {
        if self.topics.is_empty() {
            self.begin_topic(Bytes::new(), TopicId::ZERO);
        }
        let topic = self.topics.len() - 1;
        let partitions = &mut self.topics[topic].partitions;
        partitions.push(PartitionAnswer::failed(partition, ErrorCode::UnknownServerError));
        // A request has at most 2^20 of both.
        Place { topic: topic as u32, partition: partitions.len() as u32 - 1 }
    }

    fn at(&mut self, place: Place) -> &mut PartitionAnswer {
        &mut self.topics[place.topic as usize].partitions[place.partition as usize]
    }

    /// The part failed.
    pub fn refuse(&mut self, place: Place, refused: Refused) {
        let Refused { code, fault, log_start_of } = refused;
        let part = self.at(place);
        *part = PartitionAnswer { fault, ..PartitionAnswer::failed(part.partition, code) };
        self.wanted_log_starts.extend(log_start_of.map(|id| Part { place, id }));
    }

    /// The timestamp that the broker gave the records of a part.
    pub fn stamp(&mut self, place: Place, append_time: Option<TimestampMs>) {
        self.at(place).append_time = append_time.unwrap_or(TimestampMs::NONE);
    }

    /// The parts whose log start is to be told and is not known yet.
    pub fn take_wanted_log_starts(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.wanted_log_starts)
    }

    /// The log start of a part.
    pub fn log_start(&mut self, place: Place, log_start: Offset) {
        self.at(place).log_start = log_start;
    }

    /// The part is in its log, or was refused by it.
    pub fn settle(&mut self, part: Part, result: Result<AppendAnswer, PartitionError>) {
        match result {
            Ok(appended) => {
                let settled = self.at(part.place);
                settled.error = ErrorCode::None;
                settled.base_offset = appended.base_offset;
                settled.log_start = appended.log_start;
                settled.append_time = appended.duplicate_of.unwrap_or(settled.append_time);
            }
            Err(error) => {
                let told = matches!(error, PartitionError::Storage(_));
                let fault = || Box::new(Fault { records: vec![], message: Some(error.to_string()) });
                let refused = Refused {
                    code: errors::of_partition(&error),
                    fault: told.then(fault),
                    log_start_of: matches!(error, PartitionError::Sequence(_)).then_some(part.id),
                };
                self.refuse(part.place, refused);
            }
        }
    }

    /// The codes of the parts that failed.
    pub fn failures(&self) -> impl Iterator<Item = ErrorCode> {
        let parts = self.topics.iter().flat_map(|topic| &topic.partitions);
        parts.map(|part| part.error).filter(|code| *code != ErrorCode::None)
    }

    /// The answer's frame.
    pub fn encode(&self, header: &RequestHeader) -> Result<Bytes, EncodeError> {
        produce::encode(header, &self.topics)
    }
}
