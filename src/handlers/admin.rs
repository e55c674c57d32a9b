//! The dispatch of the APIs that administer the cluster.
//!
//! Key invariant: an API that `protocol` offers and that is not dispatched in `handlers` itself has an arm here.

use std::rc::Rc;

use bytes::Bytes;

use kafka_protocol::protocol::{Encodable, Request};

use super::codes::Codes;
use super::{Client, Outcome, Server, answered, malformed, serve};
use super::{
    acls, alter_partition_reassignments, alter_replica_log_dirs, create_partitions, create_topics,
    delete_topics, describe_cluster, describe_log_dirs, describe_producers, describe_quorum,
    describe_topic_partitions, elect_leaders, list_partition_reassignments, update_features,
};
use crate::protocol::{ApiKey, RequestHeader, decode};

/// Runs the handler of an administrative API; any other closes the connection.
pub async fn answer(server: &Rc<Server>, client: &Client, header: RequestHeader, body: Bytes) -> Outcome {
    let version = header.version;
    match header.api {
        ApiKey::CreateTopics => {
            serve(server, header, body, |q| create_topics::handle(server, q, version)).await
        }
        ApiKey::DeleteTopics => {
            serve(server, header, body, |q| delete_topics::handle(server, q, version)).await
        }
        ApiKey::CreatePartitions => {
            serve(server, header, body, |q| create_partitions::handle(server, q)).await
        }
        ApiKey::DescribeCluster => serve(server, header, body, |q| describe_cluster::handle(server, q)).await,
        ApiKey::DescribeTopicPartitions => {
            serve(server, header, body, |q| describe_topic_partitions::handle(server, q)).await
        }
        ApiKey::DescribeLogDirs => {
            serve(server, header, body, |q| describe_log_dirs::handle(server, client, q, version)).await
        }
        ApiKey::AlterReplicaLogDirs => {
            serve(server, header, body, |q| alter_replica_log_dirs::handle(server, q)).await
        }
        ApiKey::ElectLeaders => serve(server, header, body, |q| elect_leaders::handle(server, q)).await,
        ApiKey::ListPartitionReassignments => {
            serve(server, header, body, list_partition_reassignments::handle).await
        }
        ApiKey::AlterPartitionReassignments => {
            serve(server, header, body, |q| alter_partition_reassignments::handle(server, q)).await
        }
        ApiKey::DescribeQuorum => {
            serve(server, header, body, |q| describe_quorum::handle(server, q, version)).await
        }
        ApiKey::UpdateFeatures => {
            serve(server, header, body, |q| update_features::handle(server, q, version)).await
        }
        ApiKey::DescribeProducers => {
            serve(server, header, body, |q| describe_producers::handle(server, q)).await
        }
        ApiKey::DescribeAcls => serve_checked(server, header, body, acls::describe),
        ApiKey::CreateAcls => serve_checked(server, header, body, acls::create),
        ApiKey::DeleteAcls => serve_checked(server, header, body, acls::delete),
        other => Outcome::Close(format!("{other:?} is offered but has no handler")),
    }
}

/// As `serve`, for a handler that answers at once and that may find the request malformed.
fn serve_checked<Q, E>(
    server: &Server,
    header: RequestHeader,
    mut body: Bytes,
    handler: impl FnOnce(&Q) -> Result<Q::Response, E>,
) -> Outcome
where
    Q: Request,
    Q::Response: Encodable + Codes,
    E: std::fmt::Display,
{
    let request = match decode::<Q>(&mut body, header.version) {
        Ok(request) => request,
        Err(error) => return malformed(&header, &error),
    };
    match handler(&request) {
        Err(error) => malformed(&header, &error),
        Ok(response) => answered(server, &header, &response),
    }
}
