//! What is checked of a produced batch before it travels to its log.

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::Part;
use crate::config::{Compression, TimestampKind, TopicSettings};
use crate::handlers::{Server, topics};
use crate::metadata::{TopicImage, is_internal};
use crate::model::{TopicId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::record::{
    Accepted, BatchHeader, BatchRules, Codec, RecordError, RefusalKind, TimestampType, accept, single_batch,
};
use crate::shard::Topic;

/// The client id that may write to internal topics, as Kafka has it.
const ADMIN_CLIENT: &str = "__admin_client";
/// zstd is allowed from this version of Produce on (KIP-110).
const ZSTD_FROM: i16 = 7;

/// A batch that may be appended.
pub struct Checked {
    pub partition: TopicPartition,
    pub batch: bytes::Bytes,
    pub header: BatchHeader,
    /// The broker's time if the topic's timestamps are the broker's.
    pub append_time: Option<crate::model::TimestampMs>,
}

/// Whether a client may write to a topic: internal ones belong to the coordinators.
pub fn may_write(topic: &TopicImage, client_id: &str) -> bool {
    !is_internal(&topic.name) || client_id == ADMIN_CLIENT
}

/// Finds the topic, by id or by name as the version has it.
pub fn topic(
    server: &Server,
    topic: &TopicProduceData,
    by_id: bool,
    client_id: &str,
) -> Result<Topic, ErrorCode> {
    let known = if by_id {
        topics::by_id(server, TopicId(topic.topic_id))
    } else {
        topics::by_name(server, &topic.name)
    }?;
    if may_write(&known.image, client_id) { Ok(known) } else { Err(ErrorCode::InvalidTopicException) }
}

/// Checks the batch of one partition, and rewrites it where the topic demands another codec or timestamp.
pub fn partition(
    server: &Server,
    topic: &Topic,
    data: &PartitionProduceData,
    version: i16,
) -> Result<Checked, Part> {
    let partition = topics::partition(topic, data.index).map_err(Part::refused)?;
    let records = data.records.clone().unwrap_or_default();
    let (batch, header) = single_batch(&records, version >= ZSTD_FROM).map_err(refused)?;
    if header.is_transactional() {
        return Err(Part {
            message: Some("This broker does not serve transactions.".into()),
            ..Part::refused(ErrorCode::InvalidRequest)
        });
    }
    let accepted = accept(&batch, &header, &rules(&topic.settings), server.shard().now())
        .map_err(|error| Part { log_start_of: log_start_of(error.kind, partition), ..refused(error) })?;
    let Accepted { batch, header, log_append_time, .. } = accepted;
    if header.size_bytes > topic.settings.segment.bytes {
        return Err(Part::refused(ErrorCode::RecordListTooLarge));
    }
    Ok(Checked { partition, batch, header, append_time: log_append_time })
}

fn rules(settings: &TopicSettings) -> BatchRules {
    BatchRules {
        batch_bytes_max: settings.batch_bytes_max,
        require_keys: settings.retention.compact,
        timestamps: match settings.timestamps.kind {
            TimestampKind::Create => TimestampType::CreateTime,
            TimestampKind::LogAppend => TimestampType::LogAppendTime,
        },
        before_max_ms: settings.timestamps.before_max_ms,
        after_max_ms: settings.timestamps.after_max_ms,
        compression: settings.compression.map(|compression| match compression {
            Compression::Uncompressed => Codec::None,
            Compression::Gzip { .. } => Codec::Gzip,
            Compression::Snappy => Codec::Snappy,
            Compression::Lz4 { .. } => Codec::Lz4,
            Compression::Zstd { .. } => Codec::Zstd,
        }),
    }
}

/// Kafka tells the log start beside errors that are found in the log's own checks, but not beside damaged or oversized
/// batches.
fn log_start_of(kind: RefusalKind, partition: TopicPartition) -> Option<TopicPartition> {
    (!matches!(kind, RefusalKind::Corrupt | RefusalKind::TooLarge)).then_some(partition)
}

fn refused(error: RecordError) -> Part {
    let code = match error.kind {
        RefusalKind::Corrupt => ErrorCode::CorruptMessage,
        RefusalKind::TooLarge => ErrorCode::MessageTooLarge,
        RefusalKind::Timestamp => ErrorCode::InvalidTimestamp,
        RefusalKind::Codec => ErrorCode::UnsupportedCompressionType,
        RefusalKind::Invalid => ErrorCode::InvalidRecord,
        RefusalKind::Undecodable => ErrorCode::UnknownServerError,
    };
    let message = error.error_message().map(str::to_owned);
    let record_errors =
        error.records.into_iter().map(|record| (record.batch_index, record.message)).collect();
    Part { message, record_errors, ..Part::refused(code) }
}
