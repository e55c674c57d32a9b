//! Request headers, versions 1 and 2 (KIP-482).
//!
//! Key invariant: whatever parsed can be answered: its API is offered in its version, except in
//! `HeaderError::UnsupportedVersion`, which carries the header so that ApiVersions can be answered in version 0 (KIP-511).
//! Closing the connection is left to `network`.

use super::api;
use bytes::{Buf, Bytes};
use kafka_protocol::{messages::ApiKey, protocol::StrBytes};

/// What stands in front of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
}

impl RequestHeader {
    /// The client id as Kafka treats it: none is the empty one.
    pub fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or_default()
    }
}

/// Why a frame holds no request that can be served. All but an unsupported version of ApiVersions close the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the request header is malformed: {0}")]
    Malformed(&'static str),
    #[error("the API key {0} is unknown or not offered")]
    UnknownApi(i16),
    #[error("version {} of {:?} is not supported", .0.version, .0.api)]
    UnsupportedVersion(RequestHeader),
}

/// Takes the header off the front of a frame and leaves the body.
pub fn parse_header(frame: &mut Bytes) -> Result<RequestHeader, HeaderError> {
    const FIXED_BYTES: usize = 10;
    if frame.len() < FIXED_BYTES {
        return Err(HeaderError::Malformed("shorter than a header"));
    }
    let key = frame.get_i16();
    let version = frame.get_i16();
    let correlation_id = frame.get_i32();
    let Some(row) = api::offered(key) else { return Err(HeaderError::UnknownApi(key)) };
    let client_id = match frame.get_i16() {
        -1 => None,
        length => {
            let length = usize::try_from(length).map_err(|_| HeaderError::Malformed("negative length"))?;
            if length > frame.len() {
                return Err(HeaderError::Malformed("the client id is longer than the frame"));
            }
            // As Java reads strings: what is not UTF-8 is replaced, not refused.
            let bytes = frame.split_to(length);
            Some(
                StrBytes::from_utf8(bytes.clone())
                    .unwrap_or_else(|_| StrBytes::from_string(String::from_utf8_lossy(&bytes).into_owned())),
            )
        }
    };
    if row.api.request_header_version(version) >= 2 {
        skip_tagged_fields(frame)?;
    }
    let header = RequestHeader { api: row.api, version, correlation_id, client_id };
    if row.serves(version) { Ok(header) } else { Err(HeaderError::UnsupportedVersion(header)) }
}

/// Request headers have no tagged field that a broker acts on.
fn skip_tagged_fields(frame: &mut Bytes) -> Result<(), HeaderError> {
    let truncated = HeaderError::Malformed("truncated tagged fields");
    let mut walk = super::shape::Walk::new(frame, true);
    walk.skip_unknown_tagged_fields().map_err(|_| truncated)?;
    let used = frame.len() - walk.rest().len();
    frame.advance(used);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::{messages, protocol::Encodable};
    use proptest::prelude::*;

    fn encoded(api: i16, version: i16, header_version: i16) -> Bytes {
        let mut frame = BytesMut::new();
        messages::RequestHeader::default()
            .with_request_api_key(api)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(StrBytes::from_static_str("tester")))
            .with_unknown_tagged_fields(match header_version {
                2 => [(3, Bytes::from_static(b"x")), (900, Bytes::new())].into(),
                _ => Default::default(),
            })
            .encode(&mut frame, header_version)
            .expect("the header can be encoded");
        frame.put_slice(b"body");
        frame.freeze()
    }

    #[test]
    fn every_served_version_parses_to_the_body() {
        for row in api::TABLE {
            for version in row.served_from..=row.max {
                let header_version = row.api.request_header_version(version);
                let mut frame = encoded(row.api as i16, version, header_version);
                let header = parse_header(&mut frame).expect("the version is served");
                assert_eq!((header.api, header.version, header.correlation_id), (row.api, version, 7));
                assert_eq!(header.client_id(), "tester");
                assert_eq!(&frame[..], b"body");
            }
        }
    }

    #[test]
    fn unknown_apis_and_versions_are_told_apart() {
        let mut unknown = encoded(-5, 0, 1);
        assert_eq!(parse_header(&mut unknown), Err(HeaderError::UnknownApi(-5)));
        let mut not_offered = encoded(ApiKey::Vote as i16, 0, 2);
        assert_eq!(parse_header(&mut not_offered), Err(HeaderError::UnknownApi(52)));
        for (api, version) in [(ApiKey::ApiVersions, 99), (ApiKey::Fetch, 3), (ApiKey::Produce, 2)] {
            let mut frame = encoded(api as i16, version, api.request_header_version(version));
            match parse_header(&mut frame) {
                Err(HeaderError::UnsupportedVersion(header)) => {
                    assert_eq!((header.api, header.version, header.correlation_id), (api, version, 7));
                }
                other => panic!("{api:?} {version}: {other:?}"),
            }
        }
    }

    #[test]
    fn hostile_tagged_fields_are_refused() {
        let whole = encoded(ApiKey::Metadata as i16, 12, 2);
        let tags_at = 10 + "tester".len();
        for hostile in
            [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff], &[2]]
        {
            let mut frame = Bytes::from([&whole[..tags_at], hostile].concat());
            assert!(matches!(parse_header(&mut frame), Err(HeaderError::Malformed(_))), "{hostile:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), key in 0_i16..80) {
            let mut frame = BytesMut::new();
            frame.put_i16(key);
            frame.put_slice(&bytes);
            let _ = parse_header(&mut frame.freeze());
        }
    }
}
