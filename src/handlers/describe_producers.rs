//! DescribeProducers (KIP-664): the producers whose state a partition keeps.

use std::collections::BTreeSet;
use std::rc::Rc;

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, ProducerId as WireProducer,
};

use super::topics::{self, text};
use super::{Server, errors};
use crate::metadata::topic_name_fault;
use crate::model::{ProducerId, TopicPartition};
use crate::partition::Producer;
use crate::protocol::ErrorCode;

/// What Kafka says of a topic that does not exist.
const UNKNOWN_TOPIC: &str = "This server does not host this topic-partition.";
/// What says that no transaction is open.
const NO_TRANSACTION: i64 = -1;
/// What says that no coordinator has written to the partition for this producer.
const NO_COORDINATOR: i32 = -1;

/// Answers each partition with its producers.
pub async fn handle(server: &Rc<Server>, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let mut answered = Vec::with_capacity(request.topics.len());
    let mut told = BTreeSet::new();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        // What is asked for twice is told once: an answer can be much larger than its request.
        for index in topic.partition_indexes.iter().filter(|index| told.insert((topic.name.clone(), **index)))
        {
            partitions.push(describe(server, &topic, *index).await.with_partition_index(*index));
        }
        answered.push(TopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    DescribeProducersResponse::default().with_topics(answered)
}

async fn describe(server: &Rc<Server>, topic: &TopicRequest, index: i32) -> PartitionResponse {
    if let Some(fault) = topic_name_fault(&topic.name) {
        return refused(ErrorCode::InvalidTopicException, Some(fault));
    }
    let Ok(known) = topics::by_name(server, &topic.name) else {
        return refused(ErrorCode::UnknownTopicOrPartition, Some(UNKNOWN_TOPIC.to_owned()));
    };
    let found = match topics::partition(&known, index) {
        Ok(id) => producers(server, id).await,
        Err(code) => Err(code),
    };
    match found {
        Ok(found) => {
            let active = found.into_iter().map(|(id, producer)| state(id, &producer)).collect();
            PartitionResponse::default().with_active_producers(active)
        }
        Err(code) => refused(code, None),
    }
}

/// Asks the shard that owns the partition.
async fn producers(
    server: &Rc<Server>,
    id: TopicPartition,
) -> Result<Vec<(ProducerId, Producer)>, ErrorCode> {
    let shard = server.shard();
    let asked = shard.on(shard.owner_of(id), move |owner| async move {
        owner.table().partition(id).map(|partition| partition.producers())
    });
    asked.await.map_err(errors::of_shard_gone)?.map_err(|error| errors::of_partition(&error))
}

fn state(id: ProducerId, producer: &Producer) -> ProducerState {
    let last = producer.recent.last().map_or(-1, |batch| batch.last_sequence.get());
    ProducerState::default()
        .with_producer_id(WireProducer(id.get()))
        .with_producer_epoch(i32::from(producer.epoch.get()))
        .with_last_sequence(last)
        .with_last_timestamp(producer.last_timestamp.get())
        .with_coordinator_epoch(NO_COORDINATOR)
        .with_current_txn_start_offset(NO_TRANSACTION)
}

fn refused(code: ErrorCode, message: Option<String>) -> PartitionResponse {
    PartitionResponse::default().with_error_code(code.code()).with_error_message(message.map(text))
}
