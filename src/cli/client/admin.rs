//! Changes of topics and their settings, and reading the settings.
//!
//! Key invariant: changes go to the controller; its refusals come back in its own words. Retries happen only where the
//! broker says that a retry may help.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::cluster::topic_name;
use super::retry::retrying;
use super::{ClientError, Cluster};
use crate::model::TopicId;

/// The protocol's number for topics among config resources.
const TOPIC_RESOURCE: i8 = 2;
/// Where a setting comes from: set on the topic itself.
const SOURCE_TOPIC: i8 = 1;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;

/// A topic to be created. `None` leaves a number to the broker's default.
#[derive(Clone, Debug)]
pub struct NewTopic {
    pub name: String,
    pub partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    pub settings: Vec<(String, String)>,
}

/// What the broker says it created; -1 where it does not tell.
#[derive(Clone, Copy, Debug)]
pub struct CreatedTopic {
    pub id: TopicId,
    pub partitions: i32,
    pub replication_factor: i16,
}

/// A setting of a topic and whether it was set on the topic.
#[derive(Clone, Debug)]
pub struct TopicSetting {
    pub name: String,
    pub value: Option<String>,
    pub is_override: bool,
}

/// Creates a topic.
pub async fn create_topic(cluster: &Cluster, topic: &NewTopic) -> Result<CreatedTopic, ClientError> {
    let configs = topic.settings.iter().map(|(name, value)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    });
    let entry = CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        .with_replication_factor(topic.replication_factor.unwrap_or(-1))
        .with_configs(configs.collect());
    let request =
        CreateTopicsRequest::default().with_topics(vec![entry]).with_timeout_ms(timeout_ms(cluster));
    retrying(cluster.timeout(), || async {
        let answer = cluster.controller().await?.call(&request).await?;
        let result = answer.topics.into_iter().next().ok_or_else(|| unanswered(&topic.name))?;
        refuse(&topic.name, result.error_code, result.error_message)?;
        Ok(CreatedTopic {
            id: TopicId(result.topic_id),
            partitions: result.num_partitions,
            replication_factor: result.replication_factor,
        })
    })
    .await
}

/// Deletes a topic and its records.
pub async fn delete_topic(cluster: &Cluster, name: &str) -> Result<(), ClientError> {
    let state = DeleteTopicState::default().with_name(Some(topic_name(name)));
    let request =
        DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(timeout_ms(cluster));
    retrying_unless_unknown(cluster, || async {
        let answer = cluster.controller().await?.call(&request).await?;
        let result = answer.responses.into_iter().next().ok_or_else(|| unanswered(name))?;
        refuse(name, result.error_code, result.error_message)
    })
    .await
}

/// Raises a topic's number of partitions.
pub async fn create_partitions(cluster: &Cluster, name: &str, count: i32) -> Result<(), ClientError> {
    let topic =
        CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None);
    let request =
        CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms(cluster));
    retrying_unless_unknown(cluster, || async {
        let answer = cluster.controller().await?.call(&request).await?;
        let result = answer.results.into_iter().next().ok_or_else(|| unanswered(name))?;
        refuse(name, result.error_code, result.error_message)
    })
    .await
}

/// Sets and removes settings of a topic, all or none (KIP-339).
pub async fn alter_settings(
    cluster: &Cluster,
    name: &str,
    set: &[(String, String)],
    remove: &[String],
) -> Result<(), ClientError> {
    let sets = set.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(OPERATION_SET)
            .with_value(Some(text(value)))
    });
    let removals = remove.iter().map(|name| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(OPERATION_DELETE)
            .with_value(None)
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(text(name))
        .with_configs(sets.chain(removals).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    retrying_unless_unknown(cluster, || async {
        let answer = cluster.controller().await?.call(&request).await?;
        let result = answer.responses.into_iter().next().ok_or_else(|| unanswered(name))?;
        refuse(name, result.error_code, result.error_message)
    })
    .await
}

/// Every setting of a topic, by name.
pub async fn settings_of(cluster: &Cluster, name: &str) -> Result<Vec<TopicSetting>, ClientError> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = cluster.any().await?.call(&request).await?;
    let result = answer.results.into_iter().next().ok_or_else(|| unanswered(name))?;
    refuse(name, result.error_code, result.error_message)?;
    let mut settings: Vec<TopicSetting> = result
        .configs
        .into_iter()
        .map(|setting| TopicSetting {
            name: setting.name.to_string(),
            value: setting.value.map(|value| value.to_string()),
            is_override: setting.config_source == SOURCE_TOPIC,
        })
        .collect();
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(settings)
}

/// As `retrying`, but a topic that is unknown is so at once: nobody waits to change what does not exist.
async fn retrying_unless_unknown<F: Future<Output = Result<(), ClientError>>>(
    cluster: &Cluster,
    mut attempt: impl FnMut() -> F,
) -> Result<(), ClientError> {
    use crate::protocol::ErrorCode::UnknownTopicOrPartition;
    let settled = retrying(cluster.timeout(), || {
        let outcome = attempt();
        async {
            match outcome.await {
                Err(error) if error.code() == Some(UnknownTopicOrPartition) => Ok(Err(error)),
                other => other.map(Ok),
            }
        }
    });
    settled.await?
}

fn refuse(name: &str, code: i16, message: Option<StrBytes>) -> Result<(), ClientError> {
    if code == 0 {
        return Ok(());
    }
    Err(ClientError::refused(format!("topic {name}"), code, message.map(|text| text.to_string())))
}

fn unanswered(name: &str) -> ClientError {
    ClientError::refused(format!("topic {name}"), -1, Some("the broker's answer leaves it out".to_owned()))
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn timeout_ms(cluster: &Cluster) -> i32 {
    i32::try_from(cluster.timeout().as_millis()).unwrap_or(i32::MAX)
}
