//! The dispatch of the APIs of groups.
//!
//! Key invariant: an API that [`is_one`] says yes to has an arm in [`answer`].

use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, HeartbeatRequest, ShareGroupHeartbeatRequest};

use super::{Client, Outcome, Server, serve};
use super::{
    alter_share_group_offsets, delete_share_group_offsets, describe_share_group_offsets, share_acknowledge,
    share_group_describe, share_group_heartbeat,
};
use super::{
    consumer_group_describe, consumer_group_heartbeat, delete_groups, describe_groups, heartbeat, join_group,
    leave_group, list_groups, offset_commit, offset_delete, offset_fetch, sync_group,
};
use crate::protocol::offset_commit::OffsetCommitRequest;
use crate::protocol::{ApiKey, RequestHeader};

/// Whether the API is one of groups.
pub const fn is_one(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::OffsetDelete
            | ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::ListGroups
            | ApiKey::DescribeGroups
            | ApiKey::DeleteGroups
            | ApiKey::ShareGroupHeartbeat
            | ApiKey::ShareGroupDescribe
            | ApiKey::ShareAcknowledge
            | ApiKey::DescribeShareGroupOffsets
            | ApiKey::AlterShareGroupOffsets
            | ApiKey::DeleteShareGroupOffsets
            | ApiKey::ConsumerGroupHeartbeat
            | ApiKey::ConsumerGroupDescribe
    )
}

/// A request that members send again and again was for the coordinator of `group`: their connections move to its shard.
fn note(server: &Server, client: &Client, group: &str) {
    if let Ok(partition) = server.shard().coordinator_of(group) {
        client.affinity().served_by(server.shard().owner_of(partition));
    }
}

/// Runs the handler of an API of groups; any other closes the connection.
pub async fn answer(server: &Rc<Server>, client: &Rc<Client>, header: RequestHeader, body: Bytes) -> Outcome {
    let version = header.version;
    match header.api {
        ApiKey::OffsetCommit => {
            serve(server, header, body, |q: OffsetCommitRequest| {
                note(server, client, &q.group_id);
                offset_commit::handle(server, q, version)
            })
            .await
        }
        ApiKey::OffsetFetch => {
            serve(server, header, body, |q| offset_fetch::handle(server, q, version)).await
        }
        ApiKey::OffsetDelete => serve(server, header, body, |q| offset_delete::handle(server, q)).await,
        ApiKey::JoinGroup => {
            let client_id = header.client_id().to_owned();
            serve(server, header, body, |q| join_group::handle(server, client, q, version, client_id)).await
        }
        ApiKey::SyncGroup => serve(server, header, body, |q| sync_group::handle(server, q, version)).await,
        ApiKey::Heartbeat => {
            serve(server, header, body, |q: HeartbeatRequest| {
                note(server, client, &q.group_id);
                heartbeat::handle(server, q)
            })
            .await
        }
        ApiKey::LeaveGroup => serve(server, header, body, |q| leave_group::handle(server, q, version)).await,
        ApiKey::ListGroups => serve(server, header, body, |q| list_groups::handle(server, client, q)).await,
        ApiKey::DescribeGroups => {
            serve(server, header, body, |q| describe_groups::handle(server, q, version)).await
        }
        ApiKey::DeleteGroups => serve(server, header, body, |q| delete_groups::handle(server, q)).await,
        ApiKey::ShareGroupHeartbeat => {
            let client_id = header.client_id().to_owned();
            serve(server, header, body, |q: ShareGroupHeartbeatRequest| {
                note(server, client, &q.group_id);
                share_group_heartbeat::handle(server, client, q, client_id)
            })
            .await
        }
        ApiKey::ShareGroupDescribe => {
            serve(server, header, body, |q| share_group_describe::handle(server, q)).await
        }
        ApiKey::ShareAcknowledge => {
            serve(server, header, body, |q| share_acknowledge::handle(server, q, version)).await
        }
        ApiKey::DescribeShareGroupOffsets => {
            serve(server, header, body, |q| describe_share_group_offsets::handle(server, q)).await
        }
        ApiKey::AlterShareGroupOffsets => {
            serve(server, header, body, |q| alter_share_group_offsets::handle(server, q)).await
        }
        ApiKey::DeleteShareGroupOffsets => {
            serve(server, header, body, |q| delete_share_group_offsets::handle(server, q)).await
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let client_id = header.client_id().to_owned();
            serve(server, header, body, |q: ConsumerGroupHeartbeatRequest| {
                note(server, client, &q.group_id);
                consumer_group_heartbeat::handle(server, client, q, version, client_id)
            })
            .await
        }
        ApiKey::ConsumerGroupDescribe => {
            serve(server, header, body, |q| consumer_group_describe::handle(server, q)).await
        }
        other => Outcome::Close(format!("{other:?} is no API of groups")),
    }
}
