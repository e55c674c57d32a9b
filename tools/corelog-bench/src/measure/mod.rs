//! What a run measures: latencies, counts and errors, second by second and in all.
//!
//! Key invariant: a worker records into its own [`Recorder`] and hands out an [`Interval`] per second; what was recorded is
//! in exactly one interval. Latencies are in microseconds with three significant digits, up to an hour. Times are arguments;
//! reading a clock is left to `drive`.

mod limits;
mod packed;
mod recorder;
#[cfg(test)]
mod tests;
mod totals;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

pub use limits::{Evidence, Limit, LimitKind, Limits};
pub use packed::{Packed, PackedError};
pub use recorder::Recorder;
pub use totals::{RowLatencies, SecondRow, Totals};

/// Latencies of one kind.
pub type Latencies = Histogram<u64>;

/// The longest latency that is told apart: an hour, in microseconds.
pub const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Significant decimal digits of a latency.
pub const DIGITS: u8 = 3;

/// Kinds of errors that are counted apart; further kinds are counted together as `other`.
pub const ERROR_KINDS_MAX: usize = 64;
/// The name under which errors beyond [`ERROR_KINDS_MAX`] kinds are counted.
pub const OTHER_ERRORS: &str = "other";

/// What a latency is the latency of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
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

    /// The name in tables, files and tags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::EndToEnd => "end-to-end",
            Self::OwnDelay => "own-delay",
        }
    }
}

/// An empty histogram as all latencies use it.
pub fn empty_latencies() -> Latencies {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are constants that fit")
}

/// Adds `times` errors of this name, keeping the kinds bounded.
pub fn count_errors(errors: &mut BTreeMap<String, u64>, name: &str, times: u64) {
    if let Some(count) = errors.get_mut(name) {
        *count = count.saturating_add(times);
        return;
    }
    let name = if errors.len() < ERROR_KINDS_MAX { name } else { OTHER_ERRORS };
    let count = errors.entry(name.to_owned()).or_default();
    *count = count.saturating_add(times);
}

/// Counts of one interval or of a whole run. Bytes are those of keys and values before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
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

impl Counts {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        // Written out, so that a new field cannot be forgotten.
        let Self {
            produce_requests,
            produced_records,
            produced_bytes,
            produced_wire_bytes,
            fetch_requests,
            fetched_records,
            fetched_bytes,
            fetched_wire_bytes,
            retries,
            reconnects,
            leader_changes,
            unanswered_records,
        } = *other;
        let pairs = [
            (&mut self.produce_requests, produce_requests),
            (&mut self.produced_records, produced_records),
            (&mut self.produced_bytes, produced_bytes),
            (&mut self.produced_wire_bytes, produced_wire_bytes),
            (&mut self.fetch_requests, fetch_requests),
            (&mut self.fetched_records, fetched_records),
            (&mut self.fetched_bytes, fetched_bytes),
            (&mut self.fetched_wire_bytes, fetched_wire_bytes),
            (&mut self.retries, retries),
            (&mut self.reconnects, reconnects),
            (&mut self.leader_changes, leader_changes),
            (&mut self.unanswered_records, unanswered_records),
        ];
        for (mine, more) in pairs {
            *mine = mine.saturating_add(more);
        }
    }
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
