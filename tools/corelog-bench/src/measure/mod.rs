//! What a run measures: latencies, counts and errors, second by second and in all.
//!
//! Key invariant: a worker records into its own [`Recorder`] and hands out an [`Interval`] per second; what was recorded is
//! in exactly one interval. Latencies are in microseconds with three significant digits, up to an hour.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Latencies of one kind.
pub type Latencies = Histogram<u64>;

/// The longest latency that is told apart: an hour, in microseconds.
pub const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Significant decimal digits of a latency.
pub const DIGITS: u8 = 3;

/// What a latency is the latency of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timing {
    /// From the time a record was to be sent to its acknowledgement, once per record; in a closed loop from its sending.
    Produce,
    /// From sending a fetch to its answer, once per answer that holds records.
    Fetch,
    /// From the time a record was to be sent to its arrival at a reader, once per record and reader.
    EndToEnd,
    /// How late the client itself was: from the time a record was to be sent, or a slot came free, to its sending.
    OwnDelay,
}

impl Timing {
    pub const ALL: [Self; 4] = [Self::Produce, Self::Fetch, Self::EndToEnd, Self::OwnDelay];
}

/// Counts of one interval or of a whole run. Bytes are those of keys and values before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Produce requests that were answered without an error, or sent with acks=0.
    pub produce_requests: u64,
    pub produced_records: u64,
    pub produced_bytes: u64,
    /// Bytes of record batches as sent.
    pub produced_wire_bytes: u64,
    pub fetch_requests: u64,
    pub fetched_records: u64,
    pub fetched_bytes: u64,
    pub fetched_wire_bytes: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// Connections that had to be opened again.
    pub reconnects: u64,
    /// Partitions that were found at another broker.
    pub leader_changes: u64,
    /// Records that were due and had no answer at the end of the run; their latencies count with their age then.
    pub unanswered_records: u64,
}

/// What a worker recorded in one interval. Times count from the start of the run.
#[derive(Clone, Debug)]
pub struct Interval {
    pub from_ns: u64,
    pub to_ns: u64,
    pub latencies: BTreeMap<Timing, Latencies>,
    pub counts: Counts,
    /// By Kafka's name of the error, or `connection lost`, `timed out`.
    pub errors: BTreeMap<String, u64>,
}
