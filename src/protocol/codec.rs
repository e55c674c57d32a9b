//! Decodes request bodies and encodes responses, and the other way round for the command line.
//!
//! Key invariant: a request is decoded only after its counts were found true (`shape`), so a hostile one costs no more
//! than its bytes. The messages are the kafka-protocol crate's; versions that it lacks are mapped by
//! [`codec_version`] or have messages of their own in this room, which stand in for the crate's in all versions. Produce and
//! the answer to Fetch, which are many and large, have codecs of their own beside this one.

use super::{RequestHeader, shape::ShapeError, shapes};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{self, ApiKey};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// Why a request or response is not what its header says.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error("API key {0} has no codec here")]
    NotOffered(i16),
    #[error("{0}")]
    Invalid(String),
}

/// Why a message cannot be written: a field does not exist in the version, or a text is too long for it.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be encoded in version {version}: {reason}")]
pub struct EncodeError {
    version: i16,
    reason: String,
}

impl EncodeError {
    /// Keeps the text of the crate's error, whose type is not part of this room's interface.
    pub(super) fn new(version: i16, reason: impl std::fmt::Display) -> Self {
        Self { version, reason: format!("{reason:#}") }
    }
}

/// Keeps the text of the crate's error, likewise.
fn invalid(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::Invalid(format!("{error:#}"))
}

/// The version under which the kafka-protocol crate knows the layout of `version`.
pub const fn codec_version(api: ApiKey, version: i16) -> i16 {
    match (api, version) {
        // KIP-1023 (Kafka 4.2) gave -6 a meaning and changed no field.
        (ApiKey::ListOffsets, 11) => 10,
        _ => version,
    }
}

/// The versions that have a codec: the crate's, or those of a message of this room.
#[cfg(test)]
pub(super) fn codec_versions(api: ApiKey) -> std::ops::RangeInclusive<i16> {
    use super::message::Body;
    match api {
        ApiKey::OffsetCommit => super::offset_commit::OffsetCommitRequest::VERSIONS,
        ApiKey::OffsetFetch => super::offset_fetch::OffsetFetchRequest::VERSIONS,
        ApiKey::ShareFetch => super::share_fetch::ShareFetchRequest::VERSIONS,
        ApiKey::ShareAcknowledge => super::share_acknowledge::ShareAcknowledgeRequest::VERSIONS,
        ApiKey::DescribeShareGroupOffsets => {
            super::share_group_offsets::DescribeShareGroupOffsetsRequest::VERSIONS
        }
        _ => api.valid_versions().min..=api.valid_versions().max,
    }
}

fn codec_version_of_key(key: i16, version: i16) -> i16 {
    ApiKey::try_from(key).map_or(version, |api| codec_version(api, version))
}

/// Decodes the body of a request. Bytes after it stay in `body`; Kafka ignores them.
pub fn decode<T: Request>(body: &mut Bytes, version: i16) -> Result<T, DecodeError> {
    let shape = shapes::of(T::KEY).ok_or(DecodeError::NotOffered(T::KEY))?;
    shape.check(body, version)?;
    T::decode(body, codec_version_of_key(T::KEY, version)).map_err(invalid)
}

/// Encodes a response with its header, ready to send: size, correlation id, tagged fields if the version has them, body.
pub fn encode_response<T: Encodable>(header: &RequestHeader, body: &T) -> Result<Bytes, EncodeError> {
    let version = codec_version(header.api, header.version);
    let flexible = header.api.response_header_version(header.version) >= 1;
    let header_bytes = 4 + usize::from(flexible);
    let size = header_bytes + body.compute_size(version).map_err(|error| EncodeError::new(version, error))?;
    let mut bytes = BytesMut::with_capacity(super::frame::SIZE_PREFIX_BYTES + size);
    let prefix = i32::try_from(size).map_err(|_| EncodeError::new(version, "longer than a frame can be"))?;
    bytes.put_i32(prefix);
    bytes.put_i32(header.correlation_id);
    if flexible {
        bytes.put_u8(0);
    }
    body.encode(&mut bytes, version).map_err(|error| EncodeError::new(version, error))?;
    debug_assert_eq!(bytes.len(), super::frame::SIZE_PREFIX_BYTES + size);
    Ok(bytes.freeze())
}

/// Encodes a request with its header and size, for clients.
pub fn encode_request<T: Request>(
    client_id: &str,
    correlation_id: i32,
    version: i16,
    body: &T,
) -> Result<Bytes, EncodeError> {
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    messages::RequestHeader::default()
        .with_request_api_key(T::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())))
        .encode(&mut bytes, T::header_version(version))
        .map_err(|error| EncodeError::new(version, error))?;
    body.encode(&mut bytes, codec_version_of_key(T::KEY, version))
        .map_err(|error| EncodeError::new(version, error))?;
    let size = i32::try_from(bytes.len() - super::frame::SIZE_PREFIX_BYTES)
        .map_err(|_| EncodeError::new(version, "longer than a frame can be"))?;
    bytes[..super::frame::SIZE_PREFIX_BYTES].copy_from_slice(&size.to_be_bytes());
    Ok(bytes.freeze())
}

/// Decodes the frame of a response, without its size, for clients: the correlation id and the body of a request `T`.
pub fn decode_response<T: Request>(
    frame: &mut Bytes,
    version: i16,
) -> Result<(i32, T::Response), DecodeError> {
    let header =
        messages::ResponseHeader::decode(frame, T::Response::header_version(version)).map_err(invalid)?;
    let body = T::Response::decode(frame, codec_version_of_key(T::KEY, version)).map_err(invalid)?;
    Ok((header.correlation_id, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{FrameSplitter, parse_header};
    use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    use kafka_protocol::messages::list_offsets_response::{
        ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
    };
    use kafka_protocol::messages::{
        ApiVersionsResponse, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, TopicName,
    };

    fn list_offsets() -> ListOffsetsRequest {
        let partition = ListOffsetsPartition::default().with_partition_index(3).with_timestamp(-6);
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("t")))
            .with_partitions(vec![partition]);
        ListOffsetsRequest::default().with_topics(vec![topic])
    }

    /// What a client would send, taken apart as the server does it.
    fn received(frame: Bytes) -> (RequestHeader, Bytes) {
        let mut received = BytesMut::from(&frame[..]);
        let split = FrameSplitter::new(1000).split(&mut received).expect("not too large");
        let mut body = split.expect("a whole frame");
        assert!(received.is_empty());
        (parse_header(&mut body).expect("the version is served"), body)
    }

    #[test]
    fn list_offsets_has_all_its_versions() {
        for version in 1..=11 {
            let request = list_offsets();
            let frame = encode_request("me", 5, version, &request).expect("every version has the fields");
            let (header, mut body) = received(frame);
            assert_eq!((header.version, header.correlation_id, header.client_id()), (version, 5, "me"));
            let read: ListOffsetsRequest = decode(&mut body, version).expect("it was encoded just now");
            assert_eq!(read.topics[0].partitions[0].timestamp, -6);

            let partition = ListOffsetsPartitionResponse::default().with_partition_index(3).with_offset(8);
            let topic = ListOffsetsTopicResponse::default().with_partitions(vec![partition]);
            let response = ListOffsetsResponse::default().with_topics(vec![topic]);
            let mut answer = encode_response(&header, &response).expect("every version has the fields");
            assert_eq!(answer.split_to(4)[..], (answer.len() as i32).to_be_bytes());
            let (correlation_id, read) =
                decode_response::<ListOffsetsRequest>(&mut answer, version).expect("it was encoded just now");
            assert_eq!((correlation_id, read), (5, response));
            assert!(answer.is_empty());
        }
    }

    #[test]
    fn the_response_header_follows_the_version_except_for_api_versions() {
        let header = |api, version| RequestHeader { api, version, correlation_id: 9, client_id: None };
        let response = ListOffsetsResponse::default();
        for (version, expected) in [
            (5, &[0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0][..]),
            // Tagged fields of the header, throttle time, no topics, tagged fields of the body.
            (6, &[0, 0, 0, 11, 0, 0, 0, 9, 0, 0, 0, 0, 0, 1, 0]),
        ] {
            let frame =
                encode_response(&header(ApiKey::ListOffsets, version), &response).expect("no field is set");
            assert_eq!(frame, expected, "version {version}");
        }
        for version in 0..=4 {
            let answer = ApiVersionsResponse::default().with_error_code(42);
            let frame = encode_response(&header(ApiKey::ApiVersions, version), &answer)
                .expect("every version has it");
            assert_eq!(frame[4..10], [0, 0, 0, 9, 0, 42], "version {version}");
        }
    }

    #[test]
    fn what_follows_a_request_is_left_alone() {
        let frame = encode_request("me", 5, 7, &list_offsets()).expect("the version has the fields");
        let (header, body) = received(frame);
        let mut body = Bytes::from([&body[..], b"rest"].concat());
        decode::<ListOffsetsRequest>(&mut body, header.version).expect("whole");
        assert_eq!(&body[..], b"rest");
    }

    #[test]
    fn records_of_a_produce_request_are_slices_of_its_frame() {
        let mut body = BytesMut::new();
        body.put_slice(&[
            0xff, 0xff, 0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3,
        ]);
        body.put_slice(b"abc");
        let body = body.freeze();
        let request: ProduceRequest = decode(&mut body.clone(), 3).expect("well formed");
        let records = request.topic_data[0].partition_data[0].records.as_ref().expect("there are some");
        assert_eq!(records.as_ptr(), body[body.len() - 3..].as_ptr());
        assert!(decode::<ProduceRequest>(&mut body.clone(), 2).is_err(), "versions 0 to 2 have no codec");
    }
}
