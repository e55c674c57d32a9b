//! Decodes request bodies and encodes responses, and the other way round for the command line.
//!
//! Key invariant: a request is decoded only after its counts were found true (`shape`), so a hostile one costs no more
//! than its bytes. The messages are the kafka-protocol crate's; versions that it lacks are mapped by [`codec_version`].

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
