//! Record batches as Kafka defines them (message format 2, KIP-98): layout, checksum, compression, timestamps.
//!
//! Key invariant: bytes that passed `validate` can be stored and served as they are. Offsets are assigned by
//! patching two header fields that lie outside the checksum. What a log or a producer makes of a batch is left to them.

mod header;

pub use header::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType, patch_assigned};
