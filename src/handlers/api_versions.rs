//! ApiVersions (KIP-35, KIP-511, KIP-584): what this broker offers.

use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Client, Server};
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::{FEATURES, Feature, names_client_software, response};

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
    let features: Vec<Feature> =
        FEATURES.iter().map(|feature| Feature { level: server.feature_level(feature), ..*feature }).collect();
    response(version, server.shard().image().cluster().features_epoch.max(0), &features)
}
