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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::plan::StartBroker;
    use crate::metadata::{ClusterId, Command, LogId};
    use crate::model::BrokerId;

    fn apply(image: &mut Image, commands: &[Command]) {
        for command in commands {
            let id = LogId { term: 1, index: image.applied().index + 1 };
            image.apply(id, command).expect("what was planned applies");
        }
    }

    fn cluster(brokers: i32) -> Image {
        let mut image = Image::default();
        let cluster_id = ClusterId(uuid::Uuid::from_u128(9));
        apply(&mut image, &[Command::InitCluster { cluster_id, features: Default::default() }]);
        for broker in 1..=brokers {
            plan(&mut image, StartBroker { broker: BrokerId(broker), endpoints: vec![], rack: None })
                .unwrap();
        }
        image
    }

    fn plan<M: Mutation>(image: &mut Image, mutation: M) -> Result<M::Outcome, Refusal> {
        let mut id = u128::from(image.applied().index) * 100;
        let mut new_id = || {
            id += 1;
            uuid::Uuid::from_u128(id)
        };
        let settings = BrokerSettings::default();
        let planned = mutation.plan(image, &mut PlanInputs { settings: &settings, new_id: &mut new_id })?;
        apply(image, &planned.commands);
        Ok(planned.outcome)
    }

    #[test]
    fn internal_topics_are_made_as_their_coordinators_want_them() {
        let cases = [
            (CONSUMER_OFFSETS_TOPIC, "compact", "producer", None),
            (TRANSACTION_STATE_TOPIC, "compact", "uncompressed", Some("1")),
            (SHARE_GROUP_STATE_TOPIC, "delete", "producer", Some("1")),
        ];
        let mut image = cluster(1);
        for (name, policy, compression, in_sync) in cases {
            let topic = plan(&mut image, CreateInternalTopic { name }).unwrap();
            assert_eq!((topic.partitions.len(), topic.replication_factor()), (50, 1), "capped at one broker");
            let set = |setting: &str| topic.overrides.get(setting).map(String::as_str);
            assert_eq!((set("cleanup.policy"), set("compression.type")), (Some(policy), Some(compression)));
            assert_eq!(set("segment.bytes"), Some("104857600"));
            assert_eq!(set("min.insync.replicas"), in_sync);
            assert!(topic.is_internal());
        }
        image.check_invariants();
    }

    #[test]
    fn three_brokers_get_kafkas_replication() {
        let topic = plan(&mut cluster(5), CreateInternalTopic { name: SHARE_GROUP_STATE_TOPIC }).unwrap();
        assert_eq!(topic.replication_factor(), 3);
        assert_eq!(topic.overrides["min.insync.replicas"], "2");
    }

    #[test]
    fn one_that_is_there_stays_as_it_is() {
        let mut image = cluster(1);
        let first = plan(&mut image, CreateInternalTopic { name: CONSUMER_OFFSETS_TOPIC }).unwrap();
        let before = image.applied();
        let again = plan(&mut image, CreateInternalTopic { name: CONSUMER_OFFSETS_TOPIC }).unwrap();
        assert_eq!((again, image.applied()), (first, before));
        let other = plan(&mut image, CreateInternalTopic { name: "books" }).unwrap_err();
        assert_eq!(other.reason, Reason::InvalidTopic);
    }
}
