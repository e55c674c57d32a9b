//! ListPartitionReassignments (KIP-455): none is under way, since replicas do not move yet.

use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

/// Answers that no partition is being reassigned; Kafka leaves out unknown ones, too.
pub async fn handle(_request: ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_message(None)
}
