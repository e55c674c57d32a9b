//! ElectLeaders (KIP-183, KIP-460): on one node every partition's preferred replica leads already.

use std::rc::Rc;

use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};

use super::Server;
use super::topics::text;
use crate::metadata::{Image, TopicImage};
use crate::model::PartitionIndex;
use crate::protocol::ErrorCode;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Answers each partition; all topics, with no partition to tell of, if none are named.
pub async fn handle(server: &Rc<Server>, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let image = server.shard().image();
    let Some(topics) = request.topic_partitions else {
        // Kafka leaves out the partitions that need no election.
        let nothing =
            |topic: &std::sync::Arc<TopicImage>| result(TopicName(text(topic.name.clone())), Vec::new());
        return ElectLeadersResponse::default()
            .with_replica_election_results(image.topics().map(nothing).collect());
    };
    let elected = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let partitions =
            partitions.map(|index| elect(&image, request.election_type, &topic, *index)).collect();
        result(topic.topic, partitions)
    });
    let known = matches!(request.election_type, PREFERRED | UNCLEAN);
    let code = if known { ErrorCode::None } else { ErrorCode::InvalidRequest };
    ElectLeadersResponse::default()
        .with_error_code(code.code())
        .with_replica_election_results(elected.collect())
}

fn elect(image: &Image, election: i8, topic: &TopicPartitions, index: i32) -> PartitionResult {
    let name = topic.topic.as_str();
    let (code, message) = match image.topic(name) {
        _ if !matches!(election, PREFERRED | UNCLEAN) => {
            (ErrorCode::InvalidRequest, format!("Unknown election type {election}"))
        }
        None => (ErrorCode::UnknownTopicOrPartition, format!("No such topic as {name}")),
        Some(found) if found.partition(PartitionIndex(index)).is_none() => {
            (ErrorCode::UnknownTopicOrPartition, format!("No such partition as {name}-{index}"))
        }
        Some(_) => {
            (ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition.".to_owned())
        }
    };
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(code.code())
        .with_error_message(Some(text(message)))
}

fn result(topic: TopicName, partitions: Vec<PartitionResult>) -> ReplicaElectionResult {
    ReplicaElectionResult::default().with_topic(topic).with_partition_result(partitions)
}
