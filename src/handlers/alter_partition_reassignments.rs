//! AlterPartitionReassignments (KIP-455): replicas can be assigned to where they are already, and nowhere else yet.
//!
//! Key invariant: an assignment that is answered without an error is what the partition has.

use std::rc::Rc;

use kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::topics::text;
use super::{Server, errors};
use crate::metadata::Image;
use crate::metadata::plan::check_reassignment;
use crate::model::{BrokerId, PartitionIndex};
use crate::protocol::ErrorCode;

/// Checks each assignment against what the partition has.
pub async fn handle(
    server: &Rc<Server>,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let (image, presentation) = (server.shard().image(), server.presentation());
    // Kafka answers an empty request before its controller sees it, with an empty message instead of none.
    let message = request.topics.is_empty().then(StrBytes::default);
    let answer = |topic: ReassignableTopic| {
        let partitions = topic
            .partitions
            .iter()
            .map(|partition| {
                let replicas = partition.replicas.as_ref();
                let replicas = replicas.map(|ids| presentation.resolve_all(ids.iter().map(|id| id.0)));
                alter(&image, &topic.name, (partition.partition_index, replicas))
            })
            .collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    };
    AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(message)
        .with_responses(request.topics.into_iter().map(answer).collect())
}

fn alter(
    image: &Image,
    topic: &TopicName,
    (partition, replicas): (i32, Option<Vec<BrokerId>>),
) -> ReassignablePartitionResponse {
    let partition = PartitionIndex(partition);
    let answer = ReassignablePartitionResponse::default().with_partition_index(partition.get());
    match check_reassignment(image, topic, partition, replicas.as_deref()) {
        Ok(()) => answer.with_error_code(ErrorCode::None.code()).with_error_message(None),
        Err(refusal) => {
            let (code, message) = errors::of_refusal(&refusal);
            answer
                .with_error_code(code.code())
                .with_error_message(message.map(|message| text(message.to_owned())))
        }
    }
}
