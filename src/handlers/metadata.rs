//! Metadata (KIP-4, KIP-430, KIP-516): brokers, topics, partitions and their leaders; creates topics on request.
//!
//! Key invariant: versions 0 to 3 imply auto-creation; a topic that is created here is answered when its partitions are
//! open, so that clients need not ask again.

use std::rc::Rc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId as WireBroker, MetadataRequest, MetadataResponse, TopicName};

use super::topics::text;
use super::{Server, errors};
use crate::metadata::plan::{CreateTopics, NewTopic};
use crate::metadata::{Image, Node, Presentation, TopicImage, topic_name_fault};
use crate::model::{BrokerId, PartitionIndex, TopicId, TopicPartition};
use crate::protocol::ErrorCode;

/// From this version on a client says whether topics may be created.
const CREATION_ASKED_FROM: i16 = 4;
/// Up to this version an empty list of topics means all of them; later none.
const EMPTY_MEANS_ALL_UP_TO: i16 = 0;
/// Topics by id are answered from this version on.
const TOPIC_IDS_FROM: i16 = 12;
/// The response has an error of its own from this version on.
const ERROR_CODE_FROM: i16 = 13;
/// What may be done with a topic where nothing is forbidden: a bit for each of Kafka's operations on topics (KIP-430).
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same for the cluster.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// What to answer for one topic that was asked for.
type Found = Result<std::sync::Arc<TopicImage>, ErrorCode>;

/// Answers for all topics or those named.
pub async fn handle(server: &Rc<Server>, request: MetadataRequest, version: i16) -> MetadataResponse {
    let asked = request.topics.filter(|topics| version > EMPTY_MEANS_ALL_UP_TO || !topics.is_empty());
    if let Some(code) = asked.as_deref().and_then(|topics| whole_request_refusal(topics, version)) {
        return refuse_all(asked.unwrap_or_default(), code, version);
    }
    let mut topics = match asked {
        None => all(server, version),
        Some(asked) => {
            let create = version < CREATION_ASKED_FROM || request.allow_auto_topic_creation;
            some(server, distinct(asked), create, version).await
        }
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let image = server.shard().image();
    let presentation = server.presentation();
    let controller = presentation.controller(&image);
    let response = MetadataResponse::default()
        .with_brokers(presentation.nodes(&image).into_iter().map(broker).collect())
        .with_cluster_id(Some(text(image.cluster_id().to_string())))
        .with_controller_id(WireBroker(controller.0))
        .with_topics(topics);
    if request.include_cluster_authorized_operations {
        return response.with_cluster_authorized_operations(CLUSTER_OPERATIONS);
    }
    response
}

/// What makes Kafka refuse a request as a whole: ids before their version, and topics that are not named at all.
fn whole_request_refusal(asked: &[MetadataRequestTopic], version: i16) -> Option<ErrorCode> {
    let has_id = |topic: &MetadataRequestTopic| !topic.topic_id.is_nil();
    if version < TOPIC_IDS_FROM {
        return asked
            .iter()
            .any(|topic| has_id(topic) || topic.name.is_none())
            .then_some(ErrorCode::InvalidRequest);
    }
    asked.iter().any(|topic| !has_id(topic) && topic.name.is_none()).then_some(ErrorCode::UnknownServerError)
}

fn refuse_all(asked: Vec<MetadataRequestTopic>, code: ErrorCode, version: i16) -> MetadataResponse {
    let refuse = |topic: MetadataRequestTopic| {
        MetadataResponseTopic::default()
            .with_error_code(code.code())
            .with_name(Some(topic.name.unwrap_or_default()))
            .with_topic_id(topic.topic_id)
    };
    let response = MetadataResponse::default()
        .with_cluster_id(None)
        .with_controller_id(WireBroker(-1))
        .with_topics(asked.into_iter().map(refuse).collect());
    if version >= ERROR_CODE_FROM { response.with_error_code(code.code()) } else { response }
}

/// Each topic once. Where any is asked for by its id, those asked for by name are passed over, as in Kafka.
fn distinct(asked: Vec<MetadataRequestTopic>) -> Vec<MetadataRequestTopic> {
    let by_id = asked.iter().any(|topic| !topic.topic_id.is_nil());
    let mut seen = std::collections::HashSet::new();
    let wanted = asked.into_iter().filter(|topic| topic.topic_id.is_nil() != by_id);
    wanted.filter(|topic| seen.insert((topic.topic_id, topic.name.clone()))).collect()
}

fn all(server: &Server, version: i16) -> Vec<MetadataResponseTopic> {
    let image = server.shard().image();
    image.topics().map(|topic| described(topic, server.presentation(), version)).collect()
}

async fn some(
    server: &Rc<Server>,
    asked: Vec<MetadataRequestTopic>,
    create: bool,
    version: i16,
) -> Vec<MetadataResponseTopic> {
    let mut answered = Vec::with_capacity(asked.len());
    for topic in asked {
        let id = TopicId(topic.topic_id);
        let found = match &topic.name {
            _ if id != TopicId::ZERO => by_id(&server.shard().image(), id),
            Some(name) => by_name(server, name, create).await,
            None => Err(ErrorCode::UnknownTopicId),
        };
        answered.push(match found {
            Ok(found) => described(&found, server.presentation(), version),
            Err(code) => refused(topic, code, version),
        });
    }
    answered
}

fn by_id(image: &Image, id: TopicId) -> Found {
    image.topic_by_id(id).cloned().ok_or(ErrorCode::UnknownTopicId)
}

async fn by_name(server: &Rc<Server>, name: &TopicName, create: bool) -> Found {
    if let Some(topic) = server.shard().image().topic(name) {
        return Ok(topic.clone());
    }
    if topic_name_fault(name).is_some() {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !create || !server.shard().settings().topics.auto_create {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let wanted =
        CreateTopics { topics: vec![NewTopic::with_defaults(name.to_string())], validate_only: false };
    let created = server.controller().submit(wanted).await;
    let refusal = match created.map(|mut topics| topics.pop()) {
        Ok(Some((_, Ok(topic)))) => return Ok(topic),
        Ok(Some((_, Err(refusal)))) | Err(refusal) => refusal,
        Ok(None) => return Err(ErrorCode::UnknownTopicOrPartition),
    };
    let (code, message) = errors::of_refusal(&refusal);
    if code == ErrorCode::TopicAlreadyExists {
        // Another connection created it first.
        return server.shard().image().topic(name).cloned().ok_or(ErrorCode::LeaderNotAvailable);
    }
    tracing::info!("the topic {:?} is not created: {}", &**name, message.unwrap_or(code.message()));
    Err(ErrorCode::UnknownTopicOrPartition)
}

fn refused(topic: MetadataRequestTopic, code: ErrorCode, version: i16) -> MetadataResponseTopic {
    // The name is nullable from version 12 on, where a topic may be asked for by its id.
    let name = topic.name.or_else(|| (version < TOPIC_IDS_FROM).then(TopicName::default));
    let internal = name.as_ref().is_some_and(|name| crate::metadata::is_internal(name));
    MetadataResponseTopic::default()
        .with_error_code(code.code())
        .with_name(name)
        .with_topic_id(topic.topic_id)
        .with_is_internal(internal)
}

fn described(topic: &TopicImage, presentation: &Presentation, version: i16) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().enumerate().map(|(index, partition)| {
        let id = TopicPartition { topic_id: topic.id, partition: PartitionIndex(index as i32) };
        let nodes = |brokers: &[BrokerId]| {
            brokers.iter().map(|broker| WireBroker(presentation.replica(*broker, id).0)).collect::<Vec<_>>()
        };
        let described = MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(WireBroker(presentation.replica(partition.leader, id).0))
            .with_replica_nodes(nodes(&partition.replicas))
            .with_isr_nodes(nodes(&partition.in_sync));
        if version >= 7 { described.with_leader_epoch(partition.leader_epoch.0) } else { described }
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(topic.name.clone()))))
        .with_topic_id(if version >= 10 { topic.id.0 } else { uuid::Uuid::nil() })
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect())
}

fn broker(node: Node) -> MetadataResponseBroker {
    MetadataResponseBroker::default()
        .with_node_id(WireBroker(node.id.0))
        .with_host(text(node.host))
        .with_port(i32::from(node.port))
        .with_rack(node.rack.map(text))
}
