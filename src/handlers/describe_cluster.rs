//! DescribeCluster (KIP-700, KIP-919, KIP-1073): the cluster's id, its controller and its brokers.

use std::rc::Rc;

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId as WireBroker, DescribeClusterRequest, DescribeClusterResponse};

use super::Server;
use super::topics::text;
use crate::metadata::Node;
use crate::protocol::ErrorCode;

/// The endpoint types of KIP-919.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// Everything that can be done to a cluster, as a set of operation codes: create, alter, describe, cluster action,
/// describe and alter configs, idempotent write. Without an authorizer everyone may do it.
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// The set that says "not asked for".
const NO_OPERATIONS: i32 = i32::MIN;

/// Describes the cluster as clients of brokers see it.
pub async fn handle(server: &Rc<Server>, request: DescribeClusterRequest) -> DescribeClusterResponse {
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
                           CONTROLLER";
            return refused(ErrorCode::MismatchedEndpointType, message.to_owned());
        }
        other => {
            return refused(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"));
        }
    }
    let (image, presentation) = (server.shard().image(), server.presentation());
    let asked = request.include_cluster_authorized_operations;
    DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(text(image.cluster_id().to_string()))
        .with_controller_id(WireBroker(presentation.controller(&image).0))
        .with_brokers(presentation.nodes(&image).into_iter().map(broker).collect())
        .with_cluster_authorized_operations(if asked { CLUSTER_OPERATIONS } else { NO_OPERATIONS })
}

fn refused(code: ErrorCode, message: String) -> DescribeClusterResponse {
    DescribeClusterResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(text(message)))
        .with_endpoint_type(BROKERS)
        .with_controller_id(WireBroker(-1))
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

fn broker(node: Node) -> DescribeClusterBroker {
    DescribeClusterBroker::default()
        .with_broker_id(WireBroker(node.id.0))
        .with_host(text(node.host))
        .with_port(i32::from(node.port))
        .with_rack(node.rack.map(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operations_are_those_of_a_cluster() {
        // Kafka's AclOperation codes.
        let (create, alter, describe, cluster_action) = (5, 7, 8, 9);
        let (describe_configs, alter_configs, idempotent_write) = (10, 11, 12);
        let all =
            [create, alter, describe, cluster_action, describe_configs, alter_configs, idempotent_write];
        assert_eq!(all.iter().fold(0, |set, code| set | 1 << code), CLUSTER_OPERATIONS);
        assert_eq!(CLUSTER_OPERATIONS, 8_096);
    }
}
