//! What is checked of a produced batch before it travels to its log.

use std::rc::Rc;

use bytes::Bytes;

use super::Refused;
use crate::config::{Compression, TimestampKind, TopicSettings};
use crate::handlers::{Server, topics};
use crate::metadata::{TopicImage, is_internal};
use crate::model::{PartitionIndex, TimestampMs, TopicId, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::produce::Fault;
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
    pub batch: Bytes,
    pub header: BatchHeader,
    /// The broker's time if the topic's timestamps are the broker's.
    pub append_time: Option<TimestampMs>,
}

/// Whether a client may write to a topic: internal ones belong to the coordinators.
pub fn may_write(topic: &TopicImage, client_id: &str) -> bool {
    !is_internal(&topic.name) || client_id == ADMIN_CLIENT
}

/// Finds the topic, by its id if the request has one, else by its name.
pub fn topic(
    server: &Server,
    name: &str,
    id: Option<TopicId>,
    client_id: &str,
) -> Result<Rc<Topic>, ErrorCode> {
    let known = match id {
        Some(id) => topics::by_id(server, id),
        None => topics::by_name(server, name),
    }?;
    if may_write(&known.image, client_id) { Ok(known) } else { Err(ErrorCode::InvalidTopicException) }
}

/// Checks the batch of one partition, and rewrites it where the topic demands another codec or timestamp.
pub fn partition(
    topic: &Topic,
    index: PartitionIndex,
    records: &Bytes,
    (version, now): (i16, TimestampMs),
) -> Result<Checked, Refused> {
    let partition = topics::partition(topic, index.0)?;
    let (batch, header) = single_batch(records, version >= ZSTD_FROM).map_err(refused)?;
    if header.is_transactional() {
        let message = Some("This broker does not serve transactions.".into());
        let fault = Some(Box::new(Fault { message, records: vec![] }));
        return Err(Refused { fault, ..ErrorCode::InvalidRequest.into() });
    }
    let accepted = accept(&batch, &header, &rules(&topic.settings), now)
        .map_err(|error| Refused { log_start_of: log_start_of(error.kind, partition), ..refused(error) })?;
    let Accepted { batch, header, log_append_time, .. } = accepted;
    if header.size_bytes > topic.settings.segment.bytes {
        return Err(ErrorCode::RecordListTooLarge.into());
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

fn refused(error: RecordError) -> Refused {
    let code = match error.kind {
        RefusalKind::Corrupt => ErrorCode::CorruptMessage,
        RefusalKind::TooLarge => ErrorCode::MessageTooLarge,
        RefusalKind::Timestamp => ErrorCode::InvalidTimestamp,
        RefusalKind::Codec => ErrorCode::UnsupportedCompressionType,
        RefusalKind::Invalid => ErrorCode::InvalidRecord,
        RefusalKind::Undecodable => ErrorCode::UnknownServerError,
    };
    let message = error.error_message().map(str::to_owned);
    let records: Vec<_> =
        error.records.into_iter().map(|record| (record.batch_index, record.message)).collect();
    let told = message.is_some() || !records.is_empty();
    let fault = told.then(|| Box::new(Fault { records, message }));
    Refused { fault, ..code.into() }
}
