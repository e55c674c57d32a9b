//! Record batches as Kafka defines them (message format 2, KIP-98): layout, checksum, compression, timestamps.
//!
//! Key invariant: bytes that passed `accept` can be stored and served as they are. Offsets are assigned by
//! patching two header fields that lie outside the checksum. What a log or a producer makes of a batch is left to them.

pub mod builder;
mod checksum;
mod compression;
mod header;
mod records;
mod retain;
mod rewrite;
mod validate;
mod walk;

pub use checksum::{Crc32c, crc32c};
pub use header::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType, patch_assigned};
pub use records::{Record, RecordHeader, Records, each_timestamp, first_at_or_after, max_timestamp, records};
pub use retain::{Horizon, KeyedRecord, Remains, each_keyed, retain, without_records};
pub use rewrite::{Stamp, recompress, restamp};
pub use validate::{
    Accepted, BatchRules, Batches, Change, REFUSED_RECORDS_MAX, RecordError, RefusalKind, RefusedRecord,
    Validated, accept, single_batch, split_batches, validate,
};
