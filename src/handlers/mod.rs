//! One file per Kafka API, and the dispatch to them.
//!
//! Key invariants: a request is answered in its own version or not at all; Kafka's error codes are assigned in
//! `errors` and in the handlers, nowhere below. Produce begins when it is read, so that requests overlap; every other
//! request runs when all earlier ones of its connection are answered, as in Kafka.

mod acls;
mod admin;
mod affinity;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_share_group_offsets;
mod api_versions;
mod codes;
mod config_resources;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_share_group_offsets;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_share_group_offsets;
mod describe_topic_partitions;
mod elect_leaders;
mod errors;
mod fetch;
mod find_coordinator;
mod groups;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod internal_topics;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
pub mod loggers;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod server;
mod share_acknowledge;
mod share_fetch;
mod share_group_describe;
mod share_group_heartbeat;
mod share_states;
mod sync_group;
mod topics;
mod update_features;

use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::protocol::{Encodable, Request};

use codes::Codes;

pub use affinity::Affinity;
pub use server::{Begun, Client, Entrance, Outcome, Response, Server};

use crate::protocol::{ApiKey, HeaderError, RequestHeader, decode, encode_response};

/// Whether later requests of the connection must wait until this one is answered: it may change what they see.
pub fn is_barrier(api: ApiKey) -> bool {
    !matches!(api, ApiKey::Produce | ApiKey::Fetch | ApiKey::ListOffsets | ApiKey::ApiVersions)
}

/// The answer to a request whose header cannot be served, where Kafka gives one instead of closing the connection.
pub fn answer_unsupported(error: &HeaderError) -> Option<Bytes> {
    match error {
        HeaderError::UnsupportedVersion(header) if header.api == ApiKey::ApiVersions => {
            Some(crate::protocol::api_versions::encode_unsupported_version(header))
        }
        _ => None,
    }
}

/// A client has gone away.
pub fn on_disconnect(server: &Rc<Server>, client: &Client) {
    share_acknowledge::on_disconnect(server, client);
}

/// Begins a request. What must happen in the order of requests has happened when this returns.
pub async fn begin(server: &Rc<Server>, client: &Rc<Client>, header: RequestHeader, body: Bytes) -> Begun {
    server.shard().metrics().traffic.request(header.api as i16);
    if header.api == ApiKey::Produce {
        return produce::begin(server, client, header, body).await;
    }
    if matches!(header.api, ApiKey::Fetch | ApiKey::ShareFetch) {
        // Its session is this shard's.
        client.affinity().pin();
    }
    let (server, client) = (server.clone(), client.clone());
    Begun::later(async move {
        if header.api == ApiKey::Fetch {
            fetch::handle(&server, header, body).await
        } else if header.api == ApiKey::ShareFetch {
            share_fetch::handle(&server, &client, header, body).await
        } else {
            answer(&server, &client, header, body).await
        }
    })
}

/// Runs the handler of every API but Produce and Fetch.
async fn answer(server: &Rc<Server>, client: &Rc<Client>, header: RequestHeader, body: Bytes) -> Outcome {
    let version = header.version;
    match header.api {
        ApiKey::ApiVersions => {
            serve(server, header, body, |request| async move {
                api_versions::handle(server, client, &request, version)
            })
            .await
        }
        ApiKey::Metadata => {
            serve(server, header, body, |request| metadata::handle(server, request, version)).await
        }
        ApiKey::ListOffsets => {
            serve(server, header, body, |request| list_offsets::handle(server, request, version)).await
        }
        ApiKey::DeleteRecords => {
            let client_id = header.client_id().to_owned();
            serve(server, header, body, |request| delete_records::handle(server, request, client_id)).await
        }
        ApiKey::OffsetForLeaderEpoch => {
            serve(server, header, body, |request| offset_for_leader_epoch::handle(server, request)).await
        }
        ApiKey::InitProducerId => {
            serve(server, header, body, |request| init_producer_id::handle(server, request)).await
        }
        ApiKey::FindCoordinator => {
            serve(server, header, body, |request| find_coordinator::handle(server, request, version)).await
        }
        ApiKey::DescribeConfigs => {
            serve(server, header, body, |request| describe_configs::handle(server, request)).await
        }
        ApiKey::AlterConfigs => {
            serve(server, header, body, |request| alter_configs::handle(server, request)).await
        }
        ApiKey::IncrementalAlterConfigs => {
            serve(server, header, body, |request| incremental_alter_configs::handle(server, request)).await
        }
        ApiKey::ListConfigResources => {
            serve(server, header, body, |request| list_config_resources::handle(server, request, version))
                .await
        }
        _ if groups::is_one(header.api) => groups::answer(server, client, header, body).await,
        _ => admin::answer(server, client, header, body).await,
    }
}

/// Decodes the request, runs its handler and encodes the answer. What does not decode closes the connection.
async fn serve<Q, F, W>(server: &Server, header: RequestHeader, mut body: Bytes, handler: F) -> Outcome
where
    Q: Request,
    Q::Response: Encodable + Codes,
    F: FnOnce(Q) -> W,
    W: Future<Output = Q::Response>,
{
    let request = match decode::<Q>(&mut body, header.version) {
        Ok(request) => request,
        Err(error) => return malformed(&header, &error),
    };
    let response = handler(request).await;
    answered(server, &header, &response)
}

/// Counts what a client is told, and encodes it.
fn answered<R: Encodable + Codes>(server: &Server, header: &RequestHeader, response: &R) -> Outcome {
    response.each(&mut |code| server.shard().metrics().traffic.error(code));
    match encode_response(header, response) {
        Ok(bytes) => Outcome::Respond(bytes.into()),
        Err(error) => Outcome::Close(format!("the answer to {:?} cannot be encoded: {error}", header.api)),
    }
}

/// The end of a connection that sent a request whose body does not fit its header.
fn malformed(header: &RequestHeader, error: &dyn std::fmt::Display) -> Outcome {
    Outcome::Close(format!("malformed {:?} request, version {}: {error}", header.api, header.version))
}
