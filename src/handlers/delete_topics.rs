//! DeleteTopics (KIP-4, KIP-516): deletes topics by name or by id, with all their records.
//!
//! Key invariant: a topic that is answered without an error is gone from every shard.

use std::rc::Rc;

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName as WireName};

use super::topics::text;
use super::{Server, errors};
use crate::metadata::plan::{DeleteTopics, TopicName};
use crate::metadata::{Reason, Refusal};
use crate::model::TopicId;
use crate::protocol::ErrorCode;

/// Below this version there is no error for deletion being disabled.
const DISABLED_FROM: i16 = 3;
/// From this version on topics stand in a list that allows ids; before, in a list of names.
const IDS_FROM: i16 = 6;

/// Deletes the topics and answers each of them.
pub async fn handle(server: &Rc<Server>, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    let topics: Vec<TopicName> = if version >= IDS_FROM {
        let named = |name: WireName| name.to_string();
        let topics = request.topics.into_iter();
        topics.map(|topic| TopicName { name: topic.name.map(named), id: TopicId(topic.topic_id) }).collect()
    } else {
        request.topic_names.iter().map(|name| TopicName::named(name.to_string())).collect()
    };
    let results = match server.controller().submit(DeleteTopics { topics: topics.clone() }).await {
        Ok(answers) => {
            answers.into_iter().map(|(topic, result)| answer(topic, result.err().as_ref(), version)).collect()
        }
        Err(refusal) => topics.into_iter().map(|topic| answer(topic, Some(&refusal), version)).collect(),
    };
    DeleteTopicsResponse::default().with_responses(results)
}

fn answer(topic: TopicName, refusal: Option<&Refusal>, version: i16) -> DeletableTopicResult {
    let (code, message) = match refusal {
        None => (ErrorCode::None, None),
        Some(refusal) if refusal.reason == Reason::TopicDeletionDisabled && version < DISABLED_FROM => {
            (ErrorCode::InvalidRequest, refusal.message.as_deref())
        }
        Some(refusal) => errors::of_refusal(refusal),
    };
    DeletableTopicResult::default()
        .with_name(topic.name.map(|name| WireName(text(name))))
        .with_topic_id(topic.id.0)
        .with_error_code(code.code())
        .with_error_message(message.map(|message| text(message.to_owned())))
}
