//! CreateTopics (KIP-4, KIP-464, KIP-525): creates topics, or only says whether they could be.
//!
//! Key invariant: a topic that is answered without an error has its partitions open on every shard. The request's
//! timeout is not looked at: the controller's own bounds hold (Kafka's answers arrive within them or not at all, too).

use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};

use super::topics::text;
use super::{Server, errors};
use crate::config::describe_created_topic;
use crate::metadata::plan::{CreateTopics, NewTopic};
use crate::metadata::{Presentation, Refusal, TopicImage};
use crate::model::PartitionIndex;

/// From this version on the answer tells the topic's shape and settings.
const SHAPE_FROM: i16 = 5;

/// Creates the topics and answers each distinct name once.
pub async fn handle(server: &Rc<Server>, request: CreateTopicsRequest, version: i16) -> CreateTopicsResponse {
    let names: Vec<TopicName> = request.topics.iter().map(|topic| topic.name.clone()).collect();
    let topics = request.topics.into_iter().map(|topic| wanted(topic, server.presentation())).collect();
    let mutation = CreateTopics { topics, validate_only: request.validate_only };
    let results = match server.controller().submit(mutation).await {
        Ok(planned) => {
            let answer = |(name, result): (String, Result<Arc<TopicImage>, Refusal>)| match result {
                Ok(topic) => created(server, &topic, version),
                Err(refusal) => refused(TopicName(text(name)), &refusal),
            };
            planned.into_iter().map(answer).collect()
        }
        Err(refusal) => names.into_iter().map(|name| refused(name, &refusal)).collect(),
    };
    CreateTopicsResponse::default().with_topics(results)
}

fn wanted(topic: CreatableTopic, presentation: &Presentation) -> NewTopic {
    let assignments = topic.assignments.into_iter().map(|assignment| {
        let brokers = presentation.resolve_all(assignment.broker_ids.into_iter().map(|broker| broker.0));
        (PartitionIndex(assignment.partition_index), brokers)
    });
    let configs = topic.configs.into_iter().map(|config| {
        let value = config.value.map(|value| value.to_string());
        (config.name.to_string(), value)
    });
    NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn created(server: &Server, topic: &TopicImage, version: i16) -> CreatableTopicResult {
    let result = CreatableTopicResult::default()
        .with_name(TopicName(text(topic.name.clone())))
        .with_topic_id(topic.id.0)
        .with_error_message(None);
    if version < SHAPE_FROM {
        return result;
    }
    let entries = describe_created_topic(&topic.overrides, &server.shard().settings());
    let configs = entries.into_iter().map(|entry| {
        CreatableTopicConfigs::default()
            .with_name(text(entry.name))
            .with_value(entry.value.map(text))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source.wire())
            .with_is_sensitive(entry.sensitive)
    });
    result
        .with_num_partitions(topic.partitions.len() as i32)
        .with_replication_factor(topic.replication_factor())
        .with_configs(Some(configs.collect()))
}

fn refused(name: TopicName, refusal: &Refusal) -> CreatableTopicResult {
    let (code, message) = errors::of_refusal(refusal);
    CreatableTopicResult::default()
        .with_name(name)
        .with_error_code(code.code())
        .with_error_message(message.map(|message| text(message.to_owned())))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}
