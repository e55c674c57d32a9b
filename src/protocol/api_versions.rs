//! The answer to ApiVersions: the table of APIs, the cluster's features (KIP-584), and the fall-back for versions from
//! the future (KIP-511).
//!
//! Key invariant: what a client of any age cannot read is left out: old Java clients fail on a supported feature whose
//! minimum is 0 before version 4, and old librdkafka mis-skips tagged fields, so defaults are never written.

use super::{ErrorCode, RequestHeader, api, encode_response};
use bytes::Bytes;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

/// A feature that this broker knows, with the levels that it supports and the one that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    /// The finalized level; 0 means that the feature is off.
    pub level: i16,
    /// The level that it may be brought down to without a loss of metadata.
    pub downgrade_min: i16,
}

/// `metadata.version` of Kafka 4.2 (4.2-IV1), which supports levels from 3.3-IV3 on and may go down to 4.0-IV1.
pub const METADATA_VERSION: Feature =
    Feature { name: "metadata.version", min: 7, max: 29, level: 29, downgrade_min: 23 };
/// Consumer groups (KIP-848).
pub const GROUP_VERSION: Feature =
    Feature { name: "group.version", min: 0, max: 1, level: 1, downgrade_min: 0 };
/// Share groups (KIP-932).
pub const SHARE_VERSION: Feature =
    Feature { name: "share.version", min: 0, max: 1, level: 1, downgrade_min: 0 };

/// All that this broker knows, with the levels that a new cluster begins with.
pub const FEATURES: &[Feature] = &[METADATA_VERSION, GROUP_VERSION, SHARE_VERSION];

/// The answer in `version`. `epoch` (0 or more) counts the changes of the finalized features.
pub fn response(version: i16, epoch: i64, features: &[Feature]) -> ApiVersionsResponse {
    let answer = ApiVersionsResponse::default().with_api_keys(api::TABLE.iter().map(row).collect());
    if version < 3 {
        return answer;
    }
    let supported = features.iter().filter(|feature| version >= 4 || feature.min > 0).map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.min)
            .with_max_version(feature.max)
    });
    let finalized = features.iter().filter(|feature| feature.level > 0).map(|feature| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version_level(feature.level)
            .with_max_version_level(feature.level)
    });
    answer
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(epoch)
}

/// The whole frame that answers a version that is not served: in the layout of version 0, error 35, and, as in Kafka,
/// the versions of ApiVersions itself.
pub fn encode_unsupported_version(header: &RequestHeader) -> Bytes {
    let own = api::TABLE.iter().filter(|row| row.api == ApiKey::ApiVersions).map(row);
    let answer = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own.collect());
    let header = RequestHeader { api: ApiKey::ApiVersions, version: 0, ..header.clone() };
    encode_response(&header, &answer).expect("version 0 has an error code and API keys")
}

/// Whether the client's software name and version are as Kafka demands since version 3: letters, digits, dashes and
/// dots, the first and last a letter or digit. Others get INVALID_REQUEST.
pub fn names_client_software(request: &ApiVersionsRequest, version: i16) -> bool {
    version < 3
        || [&request.client_software_name, &request.client_software_version].into_iter().all(|text| {
            let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = text.as_bytes();
            let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
        })
}

fn row(offered: &api::OfferedApi) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(offered.api as i16)
        .with_min_version(offered.min)
        .with_max_version(offered.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::decode_response;
    use bytes::Buf;

    const OFF: Feature = Feature { level: 0, ..GROUP_VERSION };

    fn header(version: i16) -> RequestHeader {
        RequestHeader { api: ApiKey::ApiVersions, version, correlation_id: 9, client_id: None }
    }

    #[test]
    fn features_follow_the_version() {
        for (version, supported, epoch) in [(0, 0, -1), (2, 0, -1), (3, 1, 5), (4, 2, 5)] {
            let answer = response(version, 5, &[METADATA_VERSION, OFF]);
            let mut frame = encode_response(&header(version), &answer).expect("the version is served");
            assert_eq!(frame.get_i32() as usize, frame.remaining());
            let (correlation, read) =
                decode_response::<ApiVersionsRequest>(&mut frame, version).expect("it reads back");
            assert_eq!(correlation, 9);
            assert_eq!(read.api_keys.len(), api::TABLE.len());
            assert_eq!(read.supported_features.len(), supported, "version {version}");
            assert_eq!(read.finalized_features_epoch, epoch);
            assert_eq!(read.finalized_features.len(), usize::from(version >= 3));
        }
    }

    #[test]
    fn unknown_versions_are_answered_in_version_0() {
        let mut frame = encode_unsupported_version(&header(99));
        assert_eq!(frame.get_i32() as usize, frame.remaining());
        assert_eq!(&frame[..], [0, 0, 0, 9, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    }

    #[test]
    fn software_names_are_checked_from_version_3() {
        let request = |name: &'static str| {
            ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str(name))
                .with_client_software_version(StrBytes::from_static_str("1.2-rc.1"))
        };
        for (name, valid) in [("librdkafka", true), ("a", true), ("", false), ("-a", false), ("a b", false)] {
            assert_eq!(names_client_software(&request(name), 3), valid, "{name:?}");
            assert!(names_client_software(&request(name), 2));
        }
    }
}
