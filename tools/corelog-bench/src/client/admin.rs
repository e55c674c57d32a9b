//! Creates the topics of a run and removes them.
//!
//! Key invariant: after `create_topics` every partition has a leader, or an error says which has none. A topic that was
//! there before is never touched: it is an error.

use std::time::Instant;

use corelog::protocol::ErrorCode;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest};
use kafka_protocol::protocol::StrBytes;

use super::cluster::{RETRY_PAUSE, topic_name};
use super::{ClientError, Cluster};
use crate::workload::TopicPlan;

/// From this version of CreateTopics on the broker may be left to choose the replication factor (KIP-464).
const DEFAULT_FACTOR_FROM: i16 = 4;
/// What `default.replication.factor` is unless set: for brokers that do not choose by themselves.
const FACTOR_OF_OLD: i16 = 1;
/// Leaves the replication factor to the broker.
const BROKERS_CHOICE: i16 = -1;
/// From this version of DeleteTopics on topics may be named by ids too, in another field.
const DELETE_STATES_FROM: i16 = 6;

/// The names of a plan's topics: its name, or with several topics `name-0`, `name-1`, …
pub fn topic_names(plan: &TopicPlan) -> Vec<String> {
    match plan.topics {
        0 | 1 => vec![plan.name.clone()],
        count => (0..count).map(|number| format!("{}-{number}", plan.name)).collect(),
    }
}

impl Cluster {
    /// Creates the plan's topics and waits until all their partitions have leaders.
    pub async fn create_topics(&mut self, plan: &TopicPlan) -> Result<(), ClientError> {
        let created = self.create(plan, plan.replication_factor).await;
        let refused = ErrorCode::InvalidReplicationFactor.code();
        match created {
            Err(ClientError::Refused { code, .. })
                if code == refused && plan.replication_factor == BROKERS_CHOICE =>
            {
                self.create(plan, FACTOR_OF_OLD).await?;
            }
            settled => settled?,
        }
        self.await_leaders(plan).await
    }

    /// Removes the plan's topics. One that is gone already is no error.
    pub async fn remove_topics(&mut self, plan: &TopicPlan) -> Result<(), ClientError> {
        self.remove(&topic_names(plan)).await
    }

    async fn remove(&mut self, names: &[String]) -> Result<(), ClientError> {
        let timeout_ms = self.timeout_ms();
        let request = |version| {
            let request = DeleteTopicsRequest::default().with_timeout_ms(timeout_ms);
            if version >= DELETE_STATES_FROM {
                let state = |name: &String| DeleteTopicState::default().with_name(Some(topic_name(name)));
                request.with_topics(names.iter().map(state).collect())
            } else {
                request.with_topic_names(names.iter().map(|name| topic_name(name)).collect())
            }
        };
        let deadline = self.deadline();
        loop {
            let answer = self.call_controller(request).await?;
            let gone = ErrorCode::UnknownTopicOrPartition.code();
            let failed = answer.responses.iter().find(|topic| ![0, gone].contains(&topic.error_code));
            let Some(failed) = failed else { return Ok(()) };
            let name = failed.name.as_ref().map_or_else(String::new, |name| name.to_string());
            let what = format!("topic {name} cannot be removed");
            let error = ClientError::refused(what, failed.error_code, failed.error_message.as_deref());
            self.pause_before_retry(error, deadline).await?;
        }
    }

    /// Creates all topics or none.
    async fn create(&mut self, plan: &TopicPlan, factor: i16) -> Result<(), ClientError> {
        let mut creation = Creation { left: topic_names(plan), created: vec![], timed_out: vec![] };
        let created = self.create_each(plan, factor, &mut creation).await;
        if created.is_err() && !creation.created.is_empty() {
            // What the user can act on is why the others could not be created.
            let _ = self.remove(&creation.created).await;
        }
        created
    }

    async fn create_each(
        &mut self,
        plan: &TopicPlan,
        factor: i16,
        creation: &mut Creation,
    ) -> Result<(), ClientError> {
        let configs = plan.settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        });
        let configs: Vec<CreatableTopicConfig> = configs.collect();
        let timeout_ms = self.timeout_ms();
        let deadline = self.deadline();
        while !creation.left.is_empty() {
            let request = |version| {
                let old = version < DEFAULT_FACTOR_FROM && factor == BROKERS_CHOICE;
                let topic = |name: &String| {
                    CreatableTopic::default()
                        .with_name(topic_name(name))
                        .with_num_partitions(plan.partitions)
                        .with_replication_factor(if old { FACTOR_OF_OLD } else { factor })
                        .with_configs(configs.clone())
                };
                CreateTopicsRequest::default()
                    .with_topics(creation.left.iter().map(topic).collect())
                    .with_timeout_ms(timeout_ms)
            };
            let answer = self.call_controller(request).await?;
            let mut failure = None;
            for topic in &answer.topics {
                let failed =
                    creation.on_answer(&topic.name, topic.error_code, topic.error_message.as_deref());
                failure = failure.or(failed);
            }
            let Some(first_left) = creation.left.first() else { break };
            let silent = || {
                let what = format!("topic {first_left} cannot be created");
                ClientError::refused(what, -1, Some("the broker's answer leaves it out"))
            };
            self.pause_before_retry(failure.unwrap_or_else(silent), deadline).await?;
        }
        Ok(())
    }

    /// Waits a little and asks who the controller is now, if `error` may go away by itself; else returns it.
    async fn pause_before_retry(&mut self, error: ClientError, deadline: Instant) -> Result<(), ClientError> {
        if !error.is_retriable() || Instant::now() >= deadline {
            return Err(error);
        }
        glommio::timer::sleep(RETRY_PAUSE).await;
        self.refresh_brokers().await
    }

    async fn await_leaders(&mut self, plan: &TopicPlan) -> Result<(), ClientError> {
        let names = topic_names(plan);
        let deadline = self.deadline();
        loop {
            let located = self.locate(&names).await;
            let waiting = match located {
                Ok(topics) => {
                    let partitions = |topic: &super::TopicFacts| topic.partitions.len() as i32;
                    let lacking = topics.iter().find(|topic| {
                        partitions(topic) < plan.partitions || topic.partitions.iter().any(|p| p.leader < 0)
                    });
                    let Some(lacking) = lacking else { return Ok(()) };
                    let what = format!(
                        "topic {} was created, but not all its partitions got a leader",
                        lacking.name
                    );
                    ClientError::refused(what, ErrorCode::LeaderNotAvailable.code(), None)
                }
                // The broker that answers may not have heard of the topic yet.
                Err(error @ ClientError::UnknownTopic { .. }) => error,
                Err(error) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(waiting);
            }
            glommio::timer::sleep(RETRY_PAUSE).await;
        }
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.options().timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

/// How far a creation of topics has come.
struct Creation {
    left: Vec<String>,
    created: Vec<String>,
    /// Those that the broker may have created after it gave up waiting.
    timed_out: Vec<String>,
}

impl Creation {
    /// What the broker says of one topic; returns why it was not created.
    fn on_answer(&mut self, name: &str, code: i16, words: Option<&str>) -> Option<ClientError> {
        let exists = code == ErrorCode::TopicAlreadyExists.code();
        if code == 0 || exists && self.timed_out.iter().any(|known| known == name) {
            self.left.retain(|left| left != name);
            self.created.push(name.to_owned());
            return None;
        }
        if code == ErrorCode::RequestTimedOut.code() {
            self.timed_out.push(name.to_owned());
        }
        let what = format!("topic {name} cannot be created");
        const EXISTS: &str =
            "it exists already; choose another name, remove it, or run on it as it is (without --create)";
        Some(ClientError::refused(what, code, if exists { Some(EXISTS) } else { words }))
    }
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_topics_are_numbered() {
        let plan = |topics| TopicPlan { name: "t".to_owned(), topics, ..TopicPlan::default() };
        assert_eq!(topic_names(&plan(1)), ["t"]);
        assert_eq!(topic_names(&plan(3)), ["t-0", "t-1", "t-2"]);
    }

    #[test]
    fn a_topic_that_exists_is_ours_only_if_its_creation_timed_out() {
        let (exists, timed_out) = (ErrorCode::TopicAlreadyExists.code(), ErrorCode::RequestTimedOut.code());
        let mut creation =
            Creation { left: vec!["a".to_owned(), "b".to_owned()], created: vec![], timed_out: vec![] };
        assert!(creation.on_answer("a", timed_out, None).is_some_and(|error| error.is_retriable()));
        assert!(creation.on_answer("a", exists, None).is_none());
        assert!(creation.on_answer("b", exists, None).is_some_and(|error| !error.is_retriable()));
        assert_eq!((creation.left, creation.created), (vec!["b".to_owned()], vec!["a".to_owned()]));
    }
}
