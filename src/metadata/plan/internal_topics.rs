//! Creating the topics that coordinators keep their state in.
//!
//! Key invariant: an internal topic has the partitions and settings that its coordinator asks for, whoever caused it to be
//! created; asking for one that is there changes nothing.

use std::sync::Arc;

use super::create_topics::plan_internal;
use super::{Mutation, NewTopic, PlanInputs, Planned, effective};
use crate::config::{BrokerSettings, InternalTopic};
use crate::metadata::{
    CONSUMER_OFFSETS_TOPIC, Image, Reason, Refusal, SHARE_GROUP_STATE_TOPIC, TRANSACTION_STATE_TOPIC,
    TopicImage,
};

/// Creates an internal topic if it is not there; the outcome is the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateInternalTopic {
    /// One of `__consumer_offsets`, `__transaction_state` and `__share_group_state`.
    pub name: &'static str,
}

impl Mutation for CreateInternalTopic {
    type Outcome = Arc<TopicImage>;

    fn plan(self, image: &Image, inputs: &mut PlanInputs<'_>) -> Result<Planned<Self::Outcome>, Refusal> {
        if let Some(topic) = image.topic(self.name) {
            return Ok(Planned { commands: Vec::new(), outcome: topic.clone() });
        }
        let settings = effective(inputs.settings, image);
        let topic = wanted(self.name, &settings, image.brokers().len()).ok_or_else(|| {
            Refusal::new(Reason::InvalidTopic, format!("Topic '{}' is not an internal topic.", self.name))
        })?;
        let (command, topic) = plan_internal(image, &settings, &topic, inputs.new_id)?;
        Ok(Planned { commands: vec![command], outcome: Arc::new(topic) })
    }
}

/// What the coordinator of `name` asks for.
fn wanted(name: &str, settings: &BrokerSettings, brokers: usize) -> Option<NewTopic> {
    let internal = &settings.internal_topics;
    let (topic, configs): (&InternalTopic, &[(&str, &str)]) = match name {
        CONSUMER_OFFSETS_TOPIC => {
            (&internal.offsets, &[("cleanup.policy", "compact"), ("compression.type", "producer")])
        }
        TRANSACTION_STATE_TOPIC => (
            &internal.transactions,
            &[
                ("cleanup.policy", "compact"),
                ("compression.type", "uncompressed"),
                ("unclean.leader.election.enable", "false"),
            ],
        ),
        // Its coordinator deletes what a snapshot has made obsolete.
        SHARE_GROUP_STATE_TOPIC => (
            &internal.share_state,
            &[("cleanup.policy", "delete"), ("compression.type", "producer"), ("retention.ms", "-1")],
        ),
        _ => return None,
    };
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
    let mut configs: Vec<_> = configs.iter().map(text).collect();
    configs.push(("segment.bytes".to_owned(), Some(topic.segment_bytes.to_string())));
    if name != CONSUMER_OFFSETS_TOPIC {
        let replicas = topic.min_insync_replicas(brokers).to_string();
        configs.push(("min.insync.replicas".to_owned(), Some(replicas)));
    }
    Some(NewTopic {
        name: name.to_owned(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor(brokers),
        assignments: Vec::new(),
        configs,
    })
}
