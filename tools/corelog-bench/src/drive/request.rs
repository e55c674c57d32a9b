//! A produce request on its way, with all that is needed to send it again.

use bytes::Bytes;

use crate::payload::Lane;

/// One batch that was sent and has no answer yet.
#[derive(Clone, Debug)]
pub struct Request {
    /// Requests of a producer in the order of their first sending.
    pub order: u64,
    pub correlation: i32,
    pub lane: Lane,
    pub records: u32,
    pub payload_bytes: u64,
    pub batch: Bytes,
    /// The number of its first record among the producer's, for due times.
    pub first: u64,
    /// The stamp of its first record.
    pub first_sequence: u64,
    pub sent_ns: u64,
    pub attempts: u32,
}

/// What an error of a produce answer means for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Acknowledged,
    /// Send it again, after asking where.
    Again,
    /// It failed for good.
    Failed,
}

/// Kafka's errors that say the batch is in the log already (46 DUPLICATE_SEQUENCE_NUMBER).
const DUPLICATE: i16 = 46;

/// Kafka's retriable errors of Produce: corrupt on the way (2), unknown topic or partition (3), leader not available (5), not
/// leader (6), timed out (7), network (13), not enough replicas (19, 20), out of order after a loss (45), storage (56),
/// unknown (74) and fenced (75) epoch, unknown topic id (100).
const RETRIABLE: [i16; 13] = [2, 3, 5, 6, 7, 13, 19, 20, 45, 56, 74, 75, 100];

/// Judges an answer.
pub fn judge(error: i16) -> Verdict {
    match error {
        0 | DUPLICATE => Verdict::Acknowledged,
        _ if RETRIABLE.contains(&error) => Verdict::Again,
        _ => Verdict::Failed,
    }
}
