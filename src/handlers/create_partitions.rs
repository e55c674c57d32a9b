//! CreatePartitions (KIP-195): adds partitions to topics, or only says whether they could be added.
//!
//! Key invariant: partitions that are answered without an error are open on the shards that own them.

use std::rc::Rc;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::topics::text;
use super::{Server, errors};
use crate::metadata::plan::{CreatePartitions, MorePartitions};
use crate::metadata::{Presentation, Refusal};
use crate::protocol::ErrorCode;

/// Adds the partitions and answers each distinct name once.
pub async fn handle(server: &Rc<Server>, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let topics: Vec<MorePartitions> =
        request.topics.into_iter().map(|topic| wanted(topic, server.presentation())).collect();
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let mutation = CreatePartitions { topics, validate_only: request.validate_only };
    let results = match server.controller().submit(mutation).await {
        Ok(answers) => {
            answers.into_iter().map(|(name, result)| answer(name, result.err().as_ref())).collect()
        }
        Err(refusal) => names.into_iter().map(|name| answer(name, Some(&refusal))).collect(),
    };
    CreatePartitionsResponse::default().with_results(results)
}

fn wanted(topic: CreatePartitionsTopic, presentation: &Presentation) -> MorePartitions {
    let assignments = topic.assignments.map(|assignments| {
        let brokers = assignments.into_iter().map(|assignment| assignment.broker_ids);
        brokers.map(|ids| presentation.resolve_all(ids.into_iter().map(|id| id.0))).collect()
    });
    MorePartitions { name: topic.name.to_string(), count: topic.count, assignments }
}

fn answer(name: String, refusal: Option<&Refusal>) -> CreatePartitionsTopicResult {
    let (code, message) = refusal.map_or((ErrorCode::None, None), errors::of_refusal);
    CreatePartitionsTopicResult::default()
        .with_name(kafka_protocol::messages::TopicName(text(name)))
        .with_error_code(code.code())
        .with_error_message(message.map(|message| text(message.to_owned())))
}
