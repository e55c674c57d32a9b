//! Requests in short: build them, read what matters of the answers.

use bytes::Bytes;
use corelog::model::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use corelog::record::builder::{BatchBuilder, NewRecord};
use corelog::record::{BatchHeader, Codec, split_batches};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, MetadataRequest, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::support::Connection;

/// The versions that these tests speak: the last ones with topics by name.
pub const PRODUCE: i16 = 12;
pub const FETCH: i16 = 12;
const METADATA: i16 = 12;

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Creates a topic by asking for it; returns its partitions.
pub fn create(connection: &mut Connection, topic: &str) -> usize {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request =
        MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(true);
    let response = connection.ask(&request, METADATA);
    assert_eq!(response.topics[0].error_code, 0);
    response.topics[0].partitions.len()
}

/// A batch of these values.
pub fn batch(values: &[&str]) -> Bytes {
    filled(BatchBuilder::new(Codec::None), values)
}

/// A batch of an idempotent producer.
pub fn sequenced(values: &[&str], producer: i64, sequence: i32) -> Bytes {
    let builder = BatchBuilder::new(Codec::None);
    filled(builder.producer(ProducerId(producer), ProducerEpoch(0), Sequence(sequence)), values)
}

fn filled(mut builder: BatchBuilder, values: &[&str]) -> Bytes {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for value in values {
        let timestamp = TimestampMs(now.as_millis() as i64);
        builder.append(&NewRecord { timestamp, value: Some(value.as_bytes()), ..NewRecord::default() });
    }
    builder.build(Offset::ZERO).unwrap()
}

/// A request for one partition.
pub fn produce(topic: &str, partition: i32, batch: Bytes, acks: i16) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

/// The only partition of an answer.
pub fn produced(response: &ProduceResponse) -> &PartitionProduceResponse {
    &response.responses[0].partition_responses[0]
}

/// A fetch without a session.
pub fn fetch(topic: &str, partitions: &[(i32, i64)], max_wait_ms: i32, min_bytes: i32) -> FetchRequest {
    let wanted = partitions.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset)
            .with_current_leader_epoch(-1)
            .with_last_fetched_epoch(-1)
            .with_partition_max_bytes(1 << 20)
    });
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(wanted.collect());
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(min_bytes)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// The headers of the batches that a fetch answered, partition by partition.
pub fn fetched(response: &FetchResponse) -> Vec<BatchHeader> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    let records = partitions.flat_map(|partition| {
        assert_eq!(partition.error_code, 0);
        split_batches(&partition.records.clone().unwrap_or_default())
    });
    records.map(|batch| batch.unwrap().1).collect()
}
