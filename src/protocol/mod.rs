//! Frames, headers, the table of APIs and versions, error codes; message codecs over the kafka-protocol crate.
//!
//! Key invariant: bytes of a peer never panic and never make this process allocate more than a small multiple of
//! their number. What a request means is left to `handlers`; when a connection closes, to `network`.

pub mod api;
pub mod api_versions;
mod codec;
mod error;
mod every;
pub mod fetch_response;
mod frame;
mod header;
mod message;
pub mod offset_commit;
pub mod offset_fetch;
pub mod produce;
mod shape;
mod shapes;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_group_offsets;

pub use codec::{
    DecodeError, EncodeError, codec_version, decode, decode_response, encode_request, encode_response,
};
pub use error::ErrorCode;
pub use every::decode_any;
pub use frame::{FrameError, FrameSplitter};
pub use header::{HeaderError, RequestHeader, parse_header};
pub use kafka_protocol::messages::ApiKey;
