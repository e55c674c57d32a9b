//! SyncGroup (KIP-345, KIP-559): a member of a classic group asks for its assignment; the leader brings all of them.
//!
//! Key invariant: what is taken from the request is copied, since it outlives the request by far.

use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::topics::text;
use super::{Server, errors};
use crate::coordinator::group::classic::{SyncRequest, Synced};
use crate::coordinator::{GroupError, GroupId, InstanceId, MemberId};

/// From this version on the protocol's type and name must be there (KIP-559).
const PROTOCOL_FROM: i16 = 5;

/// Answers when the leader has assigned.
pub async fn handle(server: &Rc<Server>, request: SyncGroupRequest, version: i16) -> SyncGroupResponse {
    let group = request.group_id.0.to_string();
    let id = GroupId::from(group.as_str());
    let sync = match sync_of(request, version) {
        Ok(sync) => sync,
        Err(error) => return refused(&error),
    };
    let synced = server.shard().sync_group(&group, move |groups, turn, ticket, actions| {
        groups.sync(turn, &id, sync, ticket, actions);
    });
    match synced.await {
        Ok(synced) => accepted(synced),
        Err(error) => refused(&error),
    }
}

fn sync_of(request: SyncGroupRequest, version: i16) -> Result<SyncRequest, GroupError> {
    if version >= PROTOCOL_FROM && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        let message = "the protocol's type and name are missing".to_owned();
        return Err(GroupError::InconsistentGroupProtocol(message));
    }
    let assignments = request
        .assignments
        .into_iter()
        .map(|given| (MemberId::from(given.member_id.as_str()), Bytes::copy_from_slice(&given.assignment)));
    Ok(SyncRequest {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_deref().map(InstanceId::from),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_deref().map(str::to_owned),
        protocol: request.protocol_name.as_deref().map(str::to_owned),
        assignments: assignments.collect(),
    })
}

fn accepted(synced: Synced) -> SyncGroupResponse {
    SyncGroupResponse::default()
        .with_protocol_type(synced.protocol_type.map(text))
        .with_protocol_name(synced.protocol.map(text))
        .with_assignment(synced.assignment)
}

fn refused(error: &GroupError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(errors::of_group(error).code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::protocol::Encodable;

    #[test]
    fn the_protocol_is_required_where_the_version_has_it() {
        for version in 0..=5 {
            let bare = sync_of(SyncGroupRequest::default(), version)
                .map_err(|error| errors::of_group(&error).code());
            assert_eq!(bare.err(), (version >= 5).then_some(23));
            let whole = SyncGroupRequest::default()
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range")));
            let sync = sync_of(whole, version).unwrap();
            assert_eq!(
                (sync.protocol_type.as_deref(), sync.protocol.as_deref()),
                (Some("consumer"), Some("range"))
            );
        }
    }

    #[test]
    fn answers_fit_every_version() {
        for version in 0..=5 {
            let synced = Synced {
                protocol_type: Some("consumer".to_owned()),
                protocol: Some("range".to_owned()),
                assignment: Bytes::from_static(b"all"),
            };
            accepted(synced).encode(&mut bytes::BytesMut::new(), version).unwrap();
            let answer = refused(&GroupError::RebalanceInProgress);
            assert_eq!((answer.error_code, answer.assignment.len()), (27, 0));
            answer.encode(&mut bytes::BytesMut::new(), version).unwrap();
        }
    }
}
