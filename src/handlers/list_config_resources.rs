//! ListConfigResources (KIP-1000, KIP-1142): which resources have, or can have, settings.

use std::rc::Rc;

use kafka_protocol::messages::list_config_resources_response::ConfigResource as Listed;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::Server;
use super::topics::text;
use crate::config::ResourceKind;
use crate::metadata::{ConfigResource, Image, Presentation};
use crate::protocol::ErrorCode;

/// Before this version the API was ListClientMetricsResources and knew nothing else.
const ALL_KINDS_FROM: i16 = 1;

/// Answers with the resources of the kinds that are asked for, or of all.
pub async fn handle(
    server: &Rc<Server>,
    request: ListConfigResourcesRequest,
    version: i16,
) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default();
    match kinds(&request.resource_types, version) {
        Ok(kinds) => {
            response.with_config_resources(listed(&kinds, &server.shard().image(), server.presentation()))
        }
        Err(code) => response.with_error_code(code.code()),
    }
}

/// The kinds that are asked for; an empty list asks for all that the version knows.
fn kinds(asked: &[i8], version: i16) -> Result<Vec<ResourceKind>, ErrorCode> {
    let known: &[ResourceKind] =
        if version < ALL_KINDS_FROM { &[ResourceKind::ClientMetrics] } else { &ResourceKind::ALL };
    if asked.is_empty() {
        return Ok(known.to_vec());
    }
    let kind = |wire: &i8| ResourceKind::from_wire(*wire).filter(|kind| known.contains(kind));
    asked.iter().map(|wire| kind(wire).ok_or(ErrorCode::UnsupportedVersion)).collect()
}

/// The resources, kind by kind in Kafka's order.
fn listed(kinds: &[ResourceKind], image: &Image, nodes: &Presentation) -> Vec<Listed> {
    let mut all = Vec::new();
    let mut add = |kind: ResourceKind, names: &mut dyn Iterator<Item = String>| {
        if kinds.contains(&kind) {
            all.extend(names.map(|name| {
                Listed::default().with_resource_type(kind.wire()).with_resource_name(text(name))
            }));
        }
    };
    add(
        ResourceKind::Group,
        &mut image.configured().filter_map(|(resource, _)| match resource {
            ConfigResource::Group(name) => Some(name.clone()),
            _ => None,
        }),
    );
    add(
        ResourceKind::ClientMetrics,
        &mut image.configured().filter_map(|(resource, _)| match resource {
            ConfigResource::ClientMetrics(name) => Some(name.clone()),
            _ => None,
        }),
    );
    add(ResourceKind::BrokerLogger, &mut nodes.ids(image).map(|id| id.to_string()));
    add(ResourceKind::Broker, &mut nodes.ids(image).map(|id| id.to_string()));
    add(ResourceKind::Topic, &mut image.topics().map(|topic| topic.name.clone()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_0_knows_client_metrics_only() {
        assert_eq!(kinds(&[], 0), Ok(vec![ResourceKind::ClientMetrics]));
        assert_eq!(kinds(&[], 1), Ok(ResourceKind::ALL.to_vec()));
        assert_eq!(kinds(&[2, 32], 1), Ok(vec![ResourceKind::Topic, ResourceKind::Group]));
        assert_eq!(kinds(&[2], 0), Err(ErrorCode::UnsupportedVersion));
        assert_eq!(kinds(&[2, 3], 1), Err(ErrorCode::UnsupportedVersion));
    }
}
