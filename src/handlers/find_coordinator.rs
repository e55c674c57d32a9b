//! FindCoordinator (KIP-699). Groups and transactions are not served yet: every key is refused with INVALID_REQUEST,
//! which clients report; COORDINATOR_NOT_AVAILABLE would make them ask for ever.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::topics::text;
use crate::protocol::ErrorCode;

/// The first version with several keys in one request.
const BATCHED_FROM: i16 = 4;

/// Refuses each key in words that a user understands.
pub fn handle(request: &FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let (code, message) = (ErrorCode::InvalidRequest.code(), refusal(request.key_type));
    if version < BATCHED_FROM {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(Some(message))
            .with_node_id(BrokerId(-1))
            .with_port(-1);
    }
    let refuse = |key: &StrBytes| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(code)
            .with_error_message(Some(message.clone()))
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    };
    FindCoordinatorResponse::default()
        .with_coordinators(request.coordinator_keys.iter().map(refuse).collect())
}

fn refusal(key_type: i8) -> StrBytes {
    text(match key_type {
        0 => "This broker does not serve consumer groups; consume with assigned partitions.",
        1 => "This broker does not serve transactions; produce without a transactional id.",
        2 => "This broker does not serve share groups.",
        _ => "The coordinator type is unknown.",
    })
}
