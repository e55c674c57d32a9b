//! Decides whether a batch that a client produced may be stored, as Kafka's broker decides it.
//!
//! Key invariant: after [`accept`], the batch has the checksum, record count, offset deltas, timestamps, codec and
//! timestamp type that its header and the topic say; its offsets start at 0 and wait to be assigned. Producer state,
//! transactions and the numbers of error codes are left to `partition` and `handlers`.

use super::records::create_time;
use super::rewrite::{Stamp, recompress, restamp};
use super::walk::{RecordHead, walk};
use super::{BatchError, BatchHeader, Codec, HEADER_BYTES, TimestampType};
use crate::model::{Offset, TimestampMs};
use bytes::Bytes;

/// Refused records that an answer lists; the rest are only counted.
pub const REFUSED_RECORDS_MAX: usize = 1000;

/// What the topic demands of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// `max.message.bytes`, of the whole batch.
    pub batch_bytes_max: u32,
    /// Whether the topic is compacted, so that every record needs a key.
    pub require_keys: bool,
    /// `message.timestamp.type`.
    pub timestamps: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a record's timestamp may lie in the past.
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: how far it may lie in the future.
    pub after_max_ms: i64,
    /// `compression.type`; `None` is `producer`: as the client chose.
    pub compression: Option<Codec>,
}

/// Why a batch is refused, in the terms of Kafka's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// CORRUPT_MESSAGE (2): the framing or the checksum is wrong; clients send it again.
    Corrupt,
    /// MESSAGE_TOO_LARGE (10).
    TooLarge,
    /// INVALID_TIMESTAMP (32).
    Timestamp,
    /// UNSUPPORTED_COMPRESSION_TYPE (76): zstd in a Produce request below version 7.
    Codec,
    /// INVALID_RECORD (87).
    Invalid,
    /// UNKNOWN_SERVER_ERROR (-1) in Kafka: an unknown codec, or data that does not decompress.
    Undecodable,
}

/// A refused batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RecordError {
    pub kind: RefusalKind,
    /// For the log; clients see it only when single records are at fault.
    pub reason: String,
    /// The records at fault, at most [`REFUSED_RECORDS_MAX`] (KIP-467).
    pub records: Vec<RefusedRecord>,
    /// Whether clients see the reason although no single record is at fault.
    told: bool,
}

/// A record at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its place in the batch, from 0.
    pub batch_index: i32,
    pub message: String,
}

impl RecordError {
    fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), records: Vec::new(), told: false }
    }

    /// What the answer's `error_message` holds: as in Kafka, nothing unless single records are at fault.
    pub fn error_message(&self) -> Option<&str> {
        (self.told || !self.records.is_empty()).then_some(&*self.reason)
    }
}

impl From<BatchError> for RecordError {
    fn from(error: BatchError) -> Self {
        let kind = match error {
            // Formats that once existed are a client's mistake; others are damage.
            BatchError::Magic(0 | 1) | BatchError::Truncated { .. } | BatchError::Invalid(_) => {
                RefusalKind::Invalid
            }
            BatchError::Magic(_) | BatchError::Length(_) | BatchError::Checksum { .. } => {
                RefusalKind::Corrupt
            }
            BatchError::Compression(_) => RefusalKind::Undecodable,
        };
        Self::new(kind, error.to_string())
    }
}

/// A batch that may be stored once its `change` is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validated {
    /// What the stored batch states as its greatest timestamp.
    pub max_timestamp: TimestampMs,
    /// Bytes of its records before compression.
    pub records_bytes: u64,
    pub change: Change,
}

/// What stands between a valid batch and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is stored as it was received.
    None,
    /// Its header gets another timestamp type or greatest timestamp, and a new checksum.
    Stamp,
    /// Its records are compressed anew, with offset deltas that ascend by one.
    Records(Codec),
}

/// A batch as it goes into the log.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub batch: Bytes,
    pub header: BatchHeader,
    pub records_bytes: u64,
    /// The time that the answer states, if the topic has log append time.
    pub log_append_time: Option<TimestampMs>,
}

/// The only batch in the records of a partition of a Produce request (version 3 and later carry exactly one, in format
/// 2). A rest that is no whole batch is ignored, as Kafka ignores it. `zstd` is allowed from Produce version 7 on.
pub fn single_batch(records: &Bytes, zstd: bool) -> Result<(Bytes, BatchHeader), RecordError> {
    let missing = || RecordError::new(RefusalKind::Invalid, "the partition's records hold no whole batch");
    let size = whole_entry(records)?.ok_or_else(missing)?;
    let header = BatchHeader::parse_whole(records)?;
    if header.codec() == Some(Codec::Zstd) && !zstd {
        return Err(RecordError::new(RefusalKind::Codec, "zstd needs Produce version 7 or later"));
    }
    // What follows the batch fails the request, but without words, as in Kafka.
    let rest = whole_entry(&records[size..]).map_err(|error| RecordError { told: false, ..error })?;
    match rest {
        None => Ok((records.slice(..size), header)),
        Some(_) => Err(RecordError::new(RefusalKind::Invalid, "more than one batch for a partition")),
    }
}

/// The size of the entry, of any message format, that `bytes` begin with; `None` if it is cut short. The order of the
/// checks and the words are what Kafka's clients know.
fn whole_entry(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    /// Offset, size, and what formats 0 and 1 have before their magic.
    const OVERHEAD_BYTES: usize = 17;
    const PREFIX_BYTES: usize = 12;
    const SIZE_MIN: i32 = 14;
    let Some(head) = bytes.first_chunk::<OVERHEAD_BYTES>() else { return Ok(None) };
    let size = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let corrupt = |reason| RecordError { told: true, ..RecordError::new(RefusalKind::Corrupt, reason) };
    if size < SIZE_MIN {
        return Err(corrupt(format!(
            "Record size {size} is less than the minimum record overhead ({SIZE_MIN})"
        )));
    }
    let magic = head[16] as i8;
    if !(0..=2).contains(&magic) {
        return Err(corrupt(format!("Invalid magic found in record: {magic}")));
    }
    let whole = PREFIX_BYTES + size as usize;
    Ok((bytes.len() >= whole).then_some(whole))
}

/// The batches that `records` begin with. Ends at the first that is cut short, or after an error.
pub fn split_batches(records: &Bytes) -> Batches {
    Batches { rest: records.clone() }
}

/// Iterates over concatenated batches.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<(Bytes, BatchHeader), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match BatchHeader::parse_whole(&self.rest) {
            Ok(header) => Some(Ok((self.rest.split_to(header.size_bytes as usize), header))),
            Err(BatchError::Truncated { .. }) => None,
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

/// Checks a batch that a client produced and makes the changes that the topic asks for.
pub fn accept(
    batch: &Bytes,
    header: &BatchHeader,
    rules: &BatchRules,
    now: TimestampMs,
) -> Result<Accepted, RecordError> {
    let validated = validate(batch, header, rules, now)?;
    let log_append_time = (rules.timestamps == TimestampType::LogAppendTime).then_some(now);
    let stamp = Stamp { kind: rules.timestamps, max_timestamp: validated.max_timestamp };
    let changed = match validated.change {
        Change::None => {
            let (batch, header) = (batch.slice(..header.size_bytes as usize), *header);
            return Ok(Accepted { batch, header, records_bytes: validated.records_bytes, log_append_time });
        }
        Change::Stamp => restamp(batch, header, stamp)?,
        Change::Records(codec) => recompress(batch, header, codec, stamp)?,
    };
    check_size(changed.len() as u64, rules)?;
    let header = BatchHeader::parse_whole(&changed)?;
    Ok(Accepted { batch: changed, header, records_bytes: validated.records_bytes, log_append_time })
}

/// Checks a batch that a client produced. `header` is parsed from `batch`; `now` is the broker's time.
pub fn validate(
    batch: &Bytes,
    header: &BatchHeader,
    rules: &BatchRules,
    now: TimestampMs,
) -> Result<Validated, RecordError> {
    check_header(batch, header, rules)?;
    let mut check = RecordChecks::new(header, rules, now);
    let records_bytes = walk(batch, header, |index, head| {
        check.record(index, head);
        true
    })?;
    let (max_timestamp, renumber) = check.finish()?;
    let codec = header.codec().ok_or_else(|| unknown_codec(header))?;
    let target = rules.compression.unwrap_or(codec);
    let change = if renumber || target != codec {
        Change::Records(target)
    } else if max_timestamp != header.max_timestamp || header.timestamp_type() != rules.timestamps {
        Change::Stamp
    } else {
        Change::None
    };
    Ok(Validated { max_timestamp, records_bytes, change })
}

/// What can be told without looking at the records, in the order in which Kafka finds it.
fn check_header(batch: &Bytes, header: &BatchHeader, rules: &BatchRules) -> Result<(), RecordError> {
    let invalid = |reason: String| Err(RecordError::new(RefusalKind::Invalid, reason));
    if header.base_offset != Offset::ZERO {
        return invalid(format!("the base offset of a produced batch is {}, not 0", header.base_offset));
    }
    check_size(u64::from(header.size_bytes), rules)?;
    header.check_crc(batch)?;
    if header.codec().is_none() {
        return Err(unknown_codec(header));
    }
    if header.codec() == Some(Codec::Zstd) && header.size_bytes as usize == HEADER_BYTES {
        return invalid("no compressed records at all".to_owned());
    }
    let offsets = i64::from(header.last_offset_delta) + 1;
    if offsets <= 0 || offsets != i64::from(header.record_count) {
        return invalid(format!("{} records for {offsets} offsets", header.record_count));
    }
    if header.is_control() {
        return invalid("clients may not write control records".to_owned());
    }
    if header.has_producer() && header.base_sequence.get() < 0 {
        return invalid(format!("sequence number {} of a producer id", header.base_sequence));
    }
    Ok(())
}

fn check_size(bytes: u64, rules: &BatchRules) -> Result<(), RecordError> {
    if bytes <= u64::from(rules.batch_bytes_max) {
        return Ok(());
    }
    let reason =
        format!("a batch of {bytes} bytes; the topic takes {} (max.message.bytes)", rules.batch_bytes_max);
    Err(RecordError::new(RefusalKind::TooLarge, reason))
}

fn unknown_codec(header: &BatchHeader) -> RecordError {
    RecordError::new(RefusalKind::Undecodable, format!("unknown codec {}", header.attributes & 0x7))
}

/// Looks at one record after the other.
struct RecordChecks<'a> {
    header: &'a BatchHeader,
    rules: &'a BatchRules,
    now: TimestampMs,
    max_timestamp: TimestampMs,
    renumber: bool,
    refused: Vec<RefusedRecord>,
    refused_count: u64,
    bad_timestamp: bool,
}

impl<'a> RecordChecks<'a> {
    fn new(header: &'a BatchHeader, rules: &'a BatchRules, now: TimestampMs) -> Self {
        Self {
            header,
            rules,
            now,
            max_timestamp: TimestampMs::NONE,
            renumber: false,
            refused: Vec::new(),
            refused_count: 0,
            bad_timestamp: false,
        }
    }

    fn record(&mut self, index: i32, head: RecordHead) {
        // The record's own, whatever timestamp type the producer claims: the topic's is what will be stored.
        let timestamp = create_time(self.header, head.timestamp_delta);
        self.renumber |= head.offset_delta != index;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        if self.rules.require_keys && !head.has_key {
            self.refuse(index, || "a compacted topic takes no record without a key".to_owned());
        } else if let Some(message) = self.timestamp_fault(timestamp) {
            self.bad_timestamp = true;
            self.refuse(index, || message);
        }
    }

    /// A client's log append time counts as its own if it lies in range, as in Kafka.
    fn timestamp_fault(&self, timestamp: TimestampMs) -> Option<String> {
        if self.rules.timestamps == TimestampType::CreateTime && timestamp != TimestampMs::NONE {
            // Wraps as in Kafka: what lies further back than can be counted is refused.
            let age_ms = self.now.get().wrapping_sub(timestamp.get());
            let in_range =
                age_ms <= self.rules.before_max_ms && age_ms.wrapping_neg() <= self.rules.after_max_ms;
            (!in_range).then(|| {
                let from = self.now.get().saturating_sub(self.rules.before_max_ms);
                let to = self.now.get().saturating_add(self.rules.after_max_ms);
                format!("timestamp {timestamp} lies outside [{from}, {to}]")
            })
        } else {
            (self.header.timestamp_type() == TimestampType::LogAppendTime)
                .then(|| "a producer may not set log append time".to_owned())
        }
    }

    fn refuse(&mut self, batch_index: i32, message: impl FnOnce() -> String) {
        self.refused_count += 1;
        if self.refused.len() < REFUSED_RECORDS_MAX {
            self.refused.push(RefusedRecord { batch_index, message: message() });
        }
    }

    /// The greatest timestamp to store, and whether the offset deltas are wrong.
    fn finish(self) -> Result<(TimestampMs, bool), RecordError> {
        if self.refused_count == 0 {
            let max = match self.rules.timestamps {
                TimestampType::CreateTime => self.max_timestamp,
                TimestampType::LogAppendTime => self.now,
            };
            return Ok((max, self.renumber));
        }
        let (kind, what) = match self.bad_timestamp {
            true => (RefusalKind::Timestamp, "an unacceptable timestamp"),
            false => (RefusalKind::Invalid, "faults"),
        };
        let reason = format!("{} of {} records have {what}", self.refused_count, self.header.record_count);
        Err(RecordError { kind, reason, records: self.refused, told: true })
    }
}

#[cfg(test)]
mod tests;
