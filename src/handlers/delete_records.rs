//! DeleteRecords (KIP-107): moves a partition's log start forward, durably.

use std::rc::Rc;

use indexmap::IndexMap;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Server, errors, produce, topics};
use crate::model::Offset;
use crate::protocol::ErrorCode;

/// Answers every partition with its new low watermark.
pub async fn handle(
    server: &Rc<Server>,
    request: DeleteRecordsRequest,
    client_id: String,
) -> DeleteRecordsResponse {
    let mut answered = Vec::with_capacity(request.topics.len());
    for topic in request.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        // Of a partition that is named twice the last offset counts.
        let distinct: IndexMap<i32, &DeleteRecordsPartition> =
            topic.partitions.iter().map(|partition| (partition.partition_index, partition)).collect();
        for partition in distinct.into_values() {
            let (code, low_watermark) = match delete(server, &topic.name.0, partition, &client_id).await {
                Ok(start) => (ErrorCode::None, start),
                Err(code) => (code, Offset::NONE),
            };
            partitions.push(
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code.code())
                    .with_low_watermark(low_watermark.0),
            );
        }
        answered.push(
            DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions),
        );
    }
    DeleteRecordsResponse::default().with_topics(answered)
}

async fn delete(
    server: &Rc<Server>,
    topic: &str,
    partition: &DeleteRecordsPartition,
    client_id: &str,
) -> Result<Offset, ErrorCode> {
    let known = topics::by_name(server, topic)?;
    let id = topics::partition(&known, partition.partition_index)?;
    if !produce::may_write(&known.image, client_id) {
        return Err(ErrorCode::InvalidTopicException);
    }
    // Records of a topic that is only compacted are not for clients to delete; those of one without any policy are.
    let retention = known.settings.retention;
    if retention.compact && !retention.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let before = Offset(partition.offset);
    let shard = server.shard();
    let deleted = shard.on(shard.owner_of(id), move |owner| async move {
        owner.table().partition(id)?.delete_records(before).await
    });
    deleted.await.map_err(errors::of_shard_gone)?.map_err(|error| errors::of_partition(&error))
}
