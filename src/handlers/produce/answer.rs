//! The answer to a produce request, filled in as its parts become known.
//!
//! Key invariant: every partition of the request has exactly one part, in the order of the request; a part that is never
//! settled is an error, not a success.

use indexmap::IndexMap;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceResponse, TopicName};

use crate::handlers::errors;
use crate::handlers::topics::text;
use crate::model::{Offset, TimestampMs, TopicPartition};
use crate::partition::PartitionError;
use crate::protocol::ErrorCode;
use crate::shard::AppendAnswer;

/// What is answered for one partition.
#[derive(Clone, Debug)]
pub struct Part {
    pub code: ErrorCode,
    pub base_offset: Offset,
    pub log_start: Offset,
    /// -1 unless the topic's timestamps are the broker's.
    pub append_time: TimestampMs,
    /// Records that were refused, by their number in the batch (KIP-467).
    pub record_errors: Vec<(i32, String)>,
    pub message: Option<String>,
    /// The partition, if the client is to learn its log start although the batch was refused.
    pub log_start_of: Option<TopicPartition>,
}

impl Part {
    /// A failure without details.
    pub fn refused(code: ErrorCode) -> Self {
        Self {
            code,
            base_offset: Offset::NONE,
            log_start: Offset::NONE,
            append_time: TimestampMs::NONE,
            record_errors: vec![],
            message: None,
            log_start_of: None,
        }
    }
}

/// How a request names a topic.
type TopicKey = (TopicName, uuid::Uuid);

/// The answer to one request.
pub struct Answer {
    /// Of each topic the partitions, with the place of each in `parts`.
    topics: IndexMap<TopicKey, IndexMap<i32, usize>>,
    parts: Vec<Part>,
}

impl Answer {
    /// An empty answer with room for `topics`.
    pub fn new(topics: usize) -> Self {
        Self { topics: IndexMap::with_capacity(topics), parts: Vec::with_capacity(topics) }
    }

    /// The part of a partition, added if it is new.
    pub fn part(&mut self, topic: TopicKey, partition: i32) -> usize {
        let partitions = self.topics.entry(topic).or_default();
        let part = *partitions.entry(partition).or_insert(self.parts.len());
        if part == self.parts.len() {
            self.parts.push(Part::refused(ErrorCode::UnknownServerError));
        }
        part
    }

    /// The part failed.
    pub fn fail(&mut self, part: usize, failed: Part) {
        self.parts[part] = failed;
    }

    /// The part failed with `code`.
    pub fn refuse(&mut self, part: usize, code: ErrorCode) {
        self.fail(part, Part::refused(code));
    }

    /// The timestamp that the broker gave the records of a part.
    pub fn stamp(&mut self, part: usize, append_time: Option<TimestampMs>) {
        self.parts[part].append_time = append_time.unwrap_or(TimestampMs::NONE);
    }

    /// The parts whose log start is not known yet.
    pub fn wanted_log_starts(&self) -> Vec<(usize, TopicPartition)> {
        let parts = self.parts.iter().enumerate();
        parts.filter_map(|(part, settled)| Some((part, settled.log_start_of?))).collect()
    }

    /// The log start of a part.
    pub fn log_start(&mut self, part: usize, log_start: Offset) {
        self.parts[part].log_start = log_start;
    }

    /// The part is in its log, or was refused by it.
    pub fn settle(
        &mut self,
        part: usize,
        partition: TopicPartition,
        result: Result<AppendAnswer, PartitionError>,
    ) {
        let append_time = self.parts[part].append_time;
        self.parts[part] = match result {
            Ok(appended) => Part {
                code: ErrorCode::None,
                base_offset: appended.base_offset,
                log_start: appended.log_start,
                append_time: appended.duplicate_of.unwrap_or(append_time),
                ..Part::refused(ErrorCode::None)
            },
            Err(error) => {
                let code = errors::of_partition(&error);
                let message = match error {
                    PartitionError::Storage(_) => Some(error.to_string()),
                    _ => None,
                };
                let log_start_of = matches!(error, PartitionError::Sequence(_)).then_some(partition);
                Part { message, log_start_of, ..Part::refused(code) }
            }
        };
    }

    /// The codes of the parts that failed.
    pub fn failures(&self) -> impl Iterator<Item = ErrorCode> {
        self.parts.iter().map(|part| part.code).filter(|code| *code != ErrorCode::None)
    }

    /// The answer in `version`.
    pub fn response(&self, version: i16) -> ProduceResponse {
        let topic = |((name, id), parts): (&TopicKey, &IndexMap<i32, usize>)| {
            let parts = parts.iter().map(|(index, part)| partition(*index, &self.parts[*part], version));
            TopicProduceResponse::default()
                .with_name(name.clone())
                .with_topic_id(*id)
                .with_partition_responses(parts.collect())
        };
        ProduceResponse::default().with_responses(self.topics.iter().map(topic).collect())
    }
}

fn partition(index: i32, part: &Part, version: i16) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(part.code.code())
        .with_base_offset(part.base_offset.0)
        .with_log_append_time_ms(part.append_time.0)
        .with_log_start_offset(part.log_start.0);
    if version < 8 {
        return response;
    }
    let refused = |(record, message): &(i32, String)| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(*record)
            .with_batch_index_error_message(Some(text(message.clone())))
    };
    response
        .with_record_errors(part.record_errors.iter().map(refused).collect())
        .with_error_message(part.message.clone().map(text))
}
