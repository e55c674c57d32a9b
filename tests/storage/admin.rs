//! Administration and questions in short, for tests that do more than produce and fetch.
//!
//! Key invariant: functions that wait do so only for errors that Kafka's clients retry, and not for ever.

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::requests::name;
use crate::server::wait_for;
use crate::support::Connection;

/// Versions with topics by name.
const METADATA: i16 = 12;
const LIST_OFFSETS: i16 = 7;
pub const EARLIEST: i64 = -2;
pub const LATEST: i64 = -1;

pub const NONE: i16 = 0;
pub const OFFSET_OUT_OF_RANGE: i16 = 1;
pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub const NOT_LEADER_OR_FOLLOWER: i16 = 6;
pub const KAFKA_STORAGE_ERROR: i16 = 56;
/// What a broker answers while it opens a partition, or while it stops.
const PASSING: [i16; 3] = [UNKNOWN_TOPIC_OR_PARTITION, 5, NOT_LEADER_OR_FOLLOWER];

/// Whether clients ask again after such an answer of a broker that starts or stops.
pub fn is_passing(code: i16) -> bool {
    PASSING.contains(&code)
}

fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.to_owned())
}

/// A request that creates a topic with these settings.
pub fn creation(topic: &str, partitions: i32, settings: &[(&str, &str)]) -> CreateTopicsRequest {
    let settings = settings.iter().map(|(name, value)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(settings.collect());
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

/// Creates a topic; returns its id.
pub fn create(connection: &mut Connection, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Uuid {
    let answer = connection.ask(&creation(topic, partitions, settings), 7).topics.remove(0);
    assert_eq!(answer.error_code, NONE, "{:?}", answer.error_message);
    answer.topic_id
}

/// A request that deletes a topic.
pub fn deletion(topic: &str) -> DeleteTopicsRequest {
    let topic = DeleteTopicState::default().with_name(Some(name(topic)));
    DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

/// Deletes a topic.
pub fn delete(connection: &mut Connection, topic: &str) {
    assert_eq!(connection.ask(&deletion(topic), 6).responses[0].error_code, NONE);
}

/// What the metadata say of a topic.
pub fn describe(connection: &mut Connection, topic: &str) -> MetadataResponseTopic {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    connection.ask(&request.with_allow_auto_topic_creation(false), METADATA).topics.remove(0)
}

/// A request to delete the records before an offset.
pub fn truncation(topic: &str, partition: i32, before: i64) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
    let topic = DeleteRecordsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000)
}

/// Deletes the records before an offset; returns error code and new log start.
pub fn delete_records(connection: &mut Connection, topic: &str, partition: i32, before: i64) -> (i16, i64) {
    let answer = connection.ask(&truncation(topic, partition, before), 2);
    let answer = &answer.topics[0].partitions[0];
    (answer.error_code, answer.low_watermark)
}

/// Error code and offset for a timestamp, or for [`EARLIEST`] and [`LATEST`].
pub fn offset_at(connection: &mut Connection, topic: &str, partition: i32, at: i64) -> (i16, i64) {
    try_offset_at(connection, topic, partition, at).expect("the broker closed the connection")
}

/// The same from a broker that may be gone.
pub fn try_offset_at(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
    at: i64,
) -> Option<(i16, i64)> {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(at)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    connection.try_send(&request, LIST_OFFSETS).ok()?;
    let (_, answer) = connection.try_receive::<ListOffsetsRequest>(LIST_OFFSETS)?;
    let answer = &answer.topics[0].partitions[0];
    Some((answer.error_code, answer.offset))
}

/// First offset and end of a partition, once it serves.
pub fn bounds(connection: &mut Connection, topic: &str, partition: i32) -> (i64, i64) {
    let mut serving = |at| {
        wait_for("the partition serves", || {
            let (code, offset) = offset_at(connection, topic, partition, at);
            assert!(code == NONE || is_passing(code), "error {code} of {topic}-{partition}");
            (code == NONE).then_some(offset)
        })
    };
    (serving(EARLIEST), serving(LATEST))
}

/// A new producer id.
pub fn producer_id(connection: &mut Connection) -> i64 {
    let answer = connection.ask(&InitProducerIdRequest::default().with_transactional_id(None), 4);
    assert_eq!(answer.error_code, NONE);
    answer.producer_id.0
}

/// Changes a setting of a topic.
pub fn alter(connection: &mut Connection, topic: &str, setting: &str, value: &str) {
    const OF_TOPIC: i8 = 2;
    let change = AlterableConfig::default().with_name(text(setting)).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(OF_TOPIC)
        .with_resource_name(text(topic))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(connection.ask(&request, 1).responses[0].error_code, NONE);
}
