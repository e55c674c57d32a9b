//! The answer to a produce request, filled in as its parts become known.
//!
//! Key invariant: every partition of the request has exactly one part, in the order of the request; a part that is never
//! settled is an error, not a success.

use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceResponse, TopicName};

use crate::handlers::errors;
use crate::handlers::topics::text;
use crate::model::{Offset, TimestampMs};
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
        }
    }
}

struct Topic {
    name: TopicName,
    id: uuid::Uuid,
    /// The parts of this topic, by their place in [`Answer::parts`].
    parts: Vec<(i32, usize)>,
}

/// The answer to one request.
pub struct Answer {
    topics: Vec<Topic>,
    parts: Vec<Part>,
}

impl Answer {
    /// An empty answer with room for `topics`.
    pub fn new(topics: usize) -> Self {
        Self { topics: Vec::with_capacity(topics), parts: Vec::with_capacity(topics) }
    }

    /// Begins the next topic.
    pub fn topic(&mut self, name: TopicName, id: uuid::Uuid) {
        self.topics.push(Topic { name, id, parts: vec![] });
    }

    /// Adds a partition to the topic begun last; returns its part.
    pub fn part(&mut self, partition: i32) -> usize {
        let part = self.parts.len();
        self.parts.push(Part::refused(ErrorCode::UnknownServerError));
        if let Some(topic) = self.topics.last_mut() {
            topic.parts.push((partition, part));
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
    pub fn stamp(&mut self, part: usize, append_time: TimestampMs) {
        self.parts[part].append_time = append_time;
    }

    /// The part is in its log, or was refused by it.
    pub fn settle(&mut self, part: usize, result: Result<AppendAnswer, PartitionError>) {
        let append_time = self.parts[part].append_time;
        self.parts[part] = match result {
            Ok(appended) => Part {
                code: ErrorCode::None,
                base_offset: appended.base_offset,
                log_start: appended.log_start,
                append_time,
                record_errors: vec![],
                message: None,
            },
            Err(error) => {
                let code = errors::of_partition(&error);
                let message = match error {
                    PartitionError::Sequence(_) | PartitionError::Storage(_) => Some(error.to_string()),
                    _ => None,
                };
                Part { message, ..Part::refused(code) }
            }
        };
    }

    /// The codes of the parts that failed.
    pub fn failures(&self) -> impl Iterator<Item = ErrorCode> {
        self.parts.iter().map(|part| part.code).filter(|code| *code != ErrorCode::None)
    }

    /// The answer in `version`.
    pub fn response(&self, version: i16) -> ProduceResponse {
        let topic = |topic: &Topic| {
            let parts =
                topic.parts.iter().map(|(index, part)| partition(*index, &self.parts[*part], version));
            TopicProduceResponse::default()
                .with_name(topic.name.clone())
                .with_topic_id(topic.id)
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
