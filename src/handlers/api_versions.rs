//! ApiVersions (KIP-35, KIP-511, KIP-584): what this broker offers.

use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Client, Server};
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::{Feature, METADATA_VERSION, names_client_software, response};

/// Answers with the whole table and the features in force.
pub fn handle(
    server: &Server,
    client: &Client,
    request: &ApiVersionsRequest,
    version: i16,
) -> ApiVersionsResponse {
    if !names_client_software(request, version) {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    tracing::debug!(
        "{} speaks through {} {}",
        client.peer(),
        &*request.client_software_name,
        &*request.client_software_version
    );
    let image = server.shard().image();
    let cluster = image.cluster();
    let level = cluster.features.get(METADATA_VERSION.name).copied().unwrap_or(METADATA_VERSION.level);
    response(version, cluster.features_epoch.max(0), &[Feature { level, ..METADATA_VERSION }])
}
