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
        let begun = self.topics.len();
        let topic = self.topics.last_mut().expect("a topic is begun before its partitions are added");
        topic.partitions.push(PartitionAnswer::failed(partition, ErrorCode::UnknownServerError));
        // A request has at most 2^20 of both.
        Place { topic: begun as u32 - 1, partition: topic.partitions.len() as u32 - 1 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sequence;
    use crate::partition::SequenceError;
    use crate::storage::StorageError;

    const ID: TopicPartition = TopicPartition { topic_id: TopicId::ZERO, partition: PartitionIndex(3) };

    fn one_part() -> (Answer, Part) {
        let mut answer = Answer::default();
        answer.begin_topic(Bytes::from_static(b"books"), TopicId::ZERO);
        let place = answer.add(PartitionIndex(3));
        (answer, Part { place, id: ID })
    }

    fn appended(duplicate_of: Option<TimestampMs>) -> AppendAnswer {
        AppendAnswer { base_offset: Offset(7), log_start: Offset(2), duplicate_of }
    }

    #[test]
    fn a_part_that_is_never_settled_is_an_error() {
        let (answer, _) = one_part();
        assert_eq!(answer.failures().collect::<Vec<_>>(), [ErrorCode::UnknownServerError]);
    }

    #[test]
    fn an_appended_part_tells_the_time_that_its_batch_has_in_the_log() {
        for (duplicate_of, told) in [(None, 500), (Some(TimestampMs(400)), 400)] {
            let (mut answer, part) = one_part();
            answer.stamp(part.place, Some(TimestampMs(500)));
            answer.settle(part, Ok(appended(duplicate_of)));
            let expected = PartitionAnswer {
                base_offset: Offset(7),
                log_start: Offset(2),
                append_time: TimestampMs(told),
                ..PartitionAnswer::failed(PartitionIndex(3), ErrorCode::None)
            };
            assert_eq!(answer.topics[0].partitions[..], [expected]);
            assert_eq!(answer.failures().count(), 0);
        }
    }

    #[test]
    fn a_failed_part_tells_no_time() {
        let (mut answer, part) = one_part();
        answer.stamp(part.place, Some(TimestampMs(500)));
        answer.settle(part, Err(PartitionError::Recovering));
        let expected = PartitionAnswer::failed(PartitionIndex(3), ErrorCode::NotLeaderOrFollower);
        assert_eq!(answer.topics[0].partitions[..], [expected]);
        assert!(answer.take_wanted_log_starts().is_empty());
    }

    #[test]
    fn failures_of_the_log_come_with_words_and_those_of_sequences_with_the_log_start() {
        let (mut answer, part) = one_part();
        answer.settle(part, Err(StorageError::DiskFull.into()));
        let fault = answer.topics[0].partitions[0].fault.clone().expect("it is told");
        assert_eq!(fault.message.as_deref(), Some("the data directory is full"));
        let (mut answer, part) = one_part();
        let gap = SequenceError::OutOfOrder { given: Sequence(9), expected_after: Sequence(2) };
        answer.settle(part, Err(gap.into()));
        assert_eq!(answer.topics[0].partitions[0].fault, None);
        let wanted = answer.take_wanted_log_starts();
        assert_eq!(wanted.iter().map(|part| part.id).collect::<Vec<_>>(), [ID]);
        answer.log_start(wanted[0].place, Offset(9));
        assert_eq!(answer.topics[0].partitions[0].log_start, Offset(9));
    }
}
