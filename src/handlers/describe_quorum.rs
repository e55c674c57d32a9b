//! DescribeQuorum (KIP-595, KIP-836): the quorum of the metadata log, which is this node alone.

use std::rc::Rc;

use kafka_protocol::messages::describe_quorum_request;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{
    BrokerId as WireBroker, DescribeQuorumRequest, DescribeQuorumResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::Server;
use super::topics::text;
use crate::metadata::CLUSTER_METADATA_TOPIC;
use crate::protocol::ErrorCode;

/// From this version on errors have a message, and voters are told with their listeners.
const NODES_FROM: i16 = 2;
/// What Kafka says of a partition that is not the metadata log's.
const UNKNOWN_PARTITION: &str = "This server does not host this topic-partition.";

/// Describes the quorum if exactly the metadata log is asked for, as Kafka does.
pub async fn handle(
    server: &Rc<Server>,
    request: DescribeQuorumRequest,
    version: i16,
) -> DescribeQuorumResponse {
    let is_metadata_log = |topics: &[describe_quorum_request::TopicData]| match topics {
        [topic] => {
            topic.topic_name.as_str() == CLUSTER_METADATA_TOPIC
                && matches!(&*topic.partitions, [partition] if partition.partition_index == 0)
        }
        _ => false,
    };
    let response = DescribeQuorumResponse::default().with_error_message(Some(StrBytes::default()));
    if !is_metadata_log(&request.topics) {
        return response.with_topics(request.topics.into_iter().map(unknown).collect());
    }
    let topic = TopicData::default()
        .with_topic_name(TopicName(text(CLUSTER_METADATA_TOPIC)))
        .with_partitions(vec![metadata_log(server)]);
    let response = response.with_topics(vec![topic]);
    if version >= NODES_FROM { response.with_nodes(nodes(server)) } else { response }
}

/// The metadata log: its term is the leader's epoch, and what is applied is committed.
fn metadata_log(server: &Server) -> PartitionData {
    let image = server.shard().image();
    let now = server.shard().now();
    let end = i64::try_from(image.applied().index).map_or(i64::MAX, |last| last.saturating_add(1));
    let me = WireBroker(server.broker_id().0);
    let voter = ReplicaState::default()
        .with_replica_id(me)
        .with_log_end_offset(end)
        .with_last_fetch_timestamp(now.get())
        .with_last_caught_up_timestamp(now.get());
    PartitionData::default()
        .with_error_message(Some(StrBytes::default()))
        .with_leader_id(me)
        .with_leader_epoch(i32::try_from(image.applied().term).unwrap_or(i32::MAX))
        .with_high_watermark(end)
        .with_current_voters(vec![voter])
}

/// Where the voters are reached: a node's clients and its controller share one listener.
fn nodes(server: &Server) -> Vec<Node> {
    let image = server.shard().image();
    let node = |broker: &crate::metadata::BrokerImage| {
        let listeners = broker.endpoints.iter().map(|endpoint| {
            Listener::default()
                .with_name(text(endpoint.listener.clone()))
                .with_host(text(endpoint.host.clone()))
                .with_port(endpoint.port)
        });
        Node::default().with_node_id(WireBroker(broker.id.0)).with_listeners(listeners.collect())
    };
    image.brokers().map(node).collect()
}

fn unknown(topic: describe_quorum_request::TopicData) -> TopicData {
    let partitions = topic.partitions.into_iter().map(|partition| {
        PartitionData::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            .with_error_message(Some(text(UNKNOWN_PARTITION)))
    });
    TopicData::default().with_topic_name(topic.topic_name).with_partitions(partitions.collect())
}
