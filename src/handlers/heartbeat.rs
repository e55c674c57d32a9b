//! Heartbeat (KIP-345): a member of a classic group is alive, and hears whether it is to join again.

use std::rc::Rc;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{Server, errors};
use crate::coordinator::{GroupError, GroupId};
use crate::protocol::ErrorCode;

/// Answers at once.
pub async fn handle(server: &Rc<Server>, request: HeartbeatRequest) -> HeartbeatResponse {
    let group = request.group_id.0.to_string();
    let id = GroupId::from(group.as_str());
    let HeartbeatRequest { member_id, group_instance_id, generation_id, .. } = request;
    let heard = server.shard().groups(&group, move |groups, turn, _| {
        groups.heartbeat(turn, &id, &member_id, group_instance_id.as_deref(), generation_id)
    });
    HeartbeatResponse::default().with_error_code(code(&heard.await.flatten()).code())
}

/// While the group is being read from its log nobody is taken for dead: members carry on.
fn code(heard: &Result<(), GroupError>) -> ErrorCode {
    match heard {
        Ok(()) | Err(GroupError::LoadInProgress) => ErrorCode::None,
        Err(error) => errors::of_group(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_loading_takes_everyone_for_alive() {
        assert_eq!(code(&Ok(())), ErrorCode::None);
        assert_eq!(code(&Err(GroupError::LoadInProgress)), ErrorCode::None);
        assert_eq!(code(&Err(GroupError::NotCoordinator)), ErrorCode::NotCoordinator);
        assert_eq!(code(&Err(GroupError::IllegalGeneration)), ErrorCode::IllegalGeneration);
    }
}
