//! What one shard counts.
//!
//! Key invariant: the tables are of fixed size; an API key or error code beyond them is counted in their last place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::counter::{Counter, Gauge};
use super::groups::GroupMetrics;
use super::histogram::Histogram;

/// API keys that are counted apart; Kafka 4.2 ends at 92.
pub const API_KEYS_MAX: usize = 128;
/// Error codes that are counted apart, from -1 on; Kafka 4.2 ends at 133.
pub const ERROR_CODES_MAX: usize = 192;

/// All counters of one shard.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    pub traffic: Traffic,
    pub connections: Connections,
    pub logs: Logs,
    pub journal: Journal,
    pub compaction: Compaction,
    pub stages: StageLatencies,
    pub groups: GroupMetrics,
}

/// Requests and bytes.
#[derive(Debug)]
pub struct Traffic {
    requests: [Counter; API_KEYS_MAX],
    errors: [Counter; ERROR_CODES_MAX],
    /// Bytes received from clients.
    pub received_bytes: Counter,
    /// Bytes sent to clients.
    pub sent_bytes: Counter,
    /// Frames that were not answered because they were malformed, oversized or of an unknown API.
    pub refused_frames: Counter,
    /// Requests that another shard had to serve in part.
    pub routed: Counter,
}

/// Connections of clients.
#[derive(Debug, Default)]
pub struct Connections {
    pub accepted: Counter,
    pub closed: Counter,
    /// Closed at once because a bound on connections was reached.
    pub rejected: Counter,
    /// Handed to another shard after they were accepted.
    pub handed_over: Counter,
    /// Moved, while they were served, to the shard where their work is.
    pub moved: Counter,
    pub open: Gauge,
}

/// Partitions and what was written to and read from them.
#[derive(Debug, Default)]
pub struct Logs {
    /// Partitions that this shard owns.
    pub partitions: Gauge,
    /// Partitions that could not be opened.
    pub offline: Gauge,
    /// Logs that take no more appends since a write or flush failed.
    pub poisoned: Gauge,
    pub appended_records: Counter,
    pub appended_bytes: Counter,
    pub fetched_bytes: Counter,
    /// Reads that the batch cache answered.
    pub cache_hits: Counter,
    /// Reads that went to the device.
    pub cache_misses: Counter,
    /// Bytes that the batch cache holds.
    pub cache_bytes: Gauge,
    /// Fetches that wait for data.
    pub waiting_fetches: Gauge,
    /// Producer ids that the shard's partitions remember.
    pub producers: Gauge,
}

/// Compaction of the logs that keep the newest record of each key.
#[derive(Debug, Default)]
pub struct Compaction {
    /// Rounds that came to an end.
    pub runs: Counter,
    pub read_bytes: Counter,
    pub written_bytes: Counter,
    /// Records that had a newer one of their key, that were deleted, or that were aborted.
    pub removed_records: Counter,
    /// The largest share of dirty bytes of any log when last looked at, 0 to 100.
    pub dirty_ratio_max_percent: Gauge,
    /// How full the memory for keys was in the last round, 0 to 100.
    pub map_used_percent: Gauge,
    /// Logs that rest because a round failed.
    pub uncleanable: Gauge,
}

/// How what was appended became durable; totals, which the shard copies here once a second.
#[derive(Debug, Default)]
pub struct Journal {
    /// Durable writes of the journal: each one answers all the appends that it covers, of whichever partitions.
    pub groups: Gauge,
    /// Their bytes.
    pub bytes: Gauge,
    /// Durable writes of bulk that went straight to a segment.
    pub bypasses: Gauge,
    /// Their bytes.
    pub bypassed_bytes: Gauge,
    /// Checkpoints: what was only in the journal went to the segments.
    pub checkpoints: Gauge,
    /// Durable writes of the journal that waited until a checkpoint or a further file had made room.
    pub room_waits: Gauge,
    /// How long the durable writes of the journal took, from their submission until the shard heard of their end.
    pub writes: Histogram,
}

/// A stage of a produce or a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the frame's last byte to its decoded request.
    ProduceReceive,
    /// From there until the owning shard works on it.
    ProduceRoute,
    /// Checks, offset assignment and the copy.
    ProduceAppend,
    /// Until the records are durable.
    ProduceFlush,
    /// The encoding of the response; its way into the socket is not in it.
    ProduceRespond,
    /// From the frame's last byte to its decoded request.
    FetchReceive,
    /// From there until the owning shard works on it.
    FetchRoute,
    /// The read, without the wait for new records.
    FetchRead,
    /// The encoding of the response; its way into the socket is not in it.
    FetchRespond,
}

/// Of so many produce requests one is timed: at six looks at a clock for each, timing all of them would cost some percent of what
/// a small request costs. A prime, so that requests that come in groups of 4, 8 or 16 are timed at every place of a group.
const TIMED_SHARE: u32 = 7;

/// One histogram per stage.
#[derive(Debug, Default)]
pub struct StageLatencies {
    histograms: [Histogram; Stage::ALL.len()],
    /// Requests since the last one that was timed.
    untimed: AtomicU32,
}

impl Stage {
    /// All stages, in the order of a request's way.
    pub const ALL: [Self; 9] = [
        Self::ProduceReceive,
        Self::ProduceRoute,
        Self::ProduceAppend,
        Self::ProduceFlush,
        Self::ProduceRespond,
        Self::FetchReceive,
        Self::FetchRoute,
        Self::FetchRead,
        Self::FetchRespond,
    ];

    /// The API and the stage as metrics name them.
    pub const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::ProduceReceive => ("produce", "receive"),
            Self::ProduceRoute => ("produce", "route"),
            Self::ProduceAppend => ("produce", "append"),
            Self::ProduceFlush => ("produce", "flush"),
            Self::ProduceRespond => ("produce", "respond"),
            Self::FetchReceive => ("fetch", "receive"),
            Self::FetchRoute => ("fetch", "route"),
            Self::FetchRead => ("fetch", "read"),
            Self::FetchRespond => ("fetch", "respond"),
        }
    }
}

impl StageLatencies {
    /// Whether the next produce request is to be timed; by the owning shard only.
    #[inline]
    pub fn times_next(&self) -> bool {
        let untimed = self.untimed.load(Ordering::Relaxed);
        // One thread writes it, so nothing is lost between the two.
        self.untimed.store((untimed + 1) % TIMED_SHARE, Ordering::Relaxed);
        untimed == 0
    }

    /// Records how long a stage took; by the owning shard only.
    #[inline]
    pub fn record(&self, stage: Stage, elapsed: Duration) {
        self.histograms[stage as usize].record(elapsed);
    }

    /// The histogram of a stage.
    pub fn histogram(&self, stage: Stage) -> &Histogram {
        &self.histograms[stage as usize]
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: std::array::from_fn(|_| Counter::default()),
            errors: std::array::from_fn(|_| Counter::default()),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            refused_frames: Counter::default(),
            routed: Counter::default(),
        }
    }
}

impl Traffic {
    /// Counts a request of the API with that key.
    #[inline]
    pub fn request(&self, api_key: i16) {
        self.requests[usize::try_from(api_key).unwrap_or(usize::MAX).min(API_KEYS_MAX - 1)].increment();
    }

    /// Counts an error that a client was answered with; 0 is no error and is passed over.
    #[inline]
    pub fn error(&self, code: i16) {
        if code != 0 {
            let place = usize::try_from(i32::from(code) + 1).unwrap_or(usize::MAX);
            self.errors[place.min(ERROR_CODES_MAX - 1)].increment();
        }
    }

    /// The API keys that had requests, and how many.
    pub fn requests(&self) -> impl Iterator<Item = (i16, u64)> {
        self.requests.iter().map(Counter::get).zip(0_i16..).filter(|(n, _)| *n > 0).map(|(n, key)| (key, n))
    }

    /// The error codes that were answered, and how often.
    pub fn errors(&self) -> impl Iterator<Item = (i16, u64)> {
        self.errors.iter().map(Counter::get).zip(-1_i16..).filter(|(n, _)| *n > 0).map(|(n, code)| (code, n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_errors_are_counted_by_number() {
        let traffic = Traffic::default();
        for key in [0, 0, 75, i16::MAX, -1] {
            traffic.request(key);
        }
        for code in [0, -1, 3, 3, i16::MAX, i16::MIN] {
            traffic.error(code);
        }
        assert_eq!(traffic.requests().collect::<Vec<_>>(), [(0, 2), (75, 1), (API_KEYS_MAX as i16 - 1, 2)]);
        let last = ERROR_CODES_MAX as i16 - 2;
        assert_eq!(traffic.errors().collect::<Vec<_>>(), [(-1, 1), (3, 2), (last, 2)]);
    }

    #[test]
    fn stages_are_recorded_apart() {
        let stages = StageLatencies::default();
        stages.record(Stage::ProduceFlush, Duration::from_micros(20));
        let counts = Stage::ALL.map(|stage| stages.histogram(stage).snapshot().count);
        assert_eq!(counts, [0, 0, 0, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn one_of_some_requests_is_timed() {
        let stages = StageLatencies::default();
        let timed: Vec<u32> = (0..2 * TIMED_SHARE + 1).filter(|_| stages.times_next()).collect();
        assert_eq!(timed, [0, TIMED_SHARE, 2 * TIMED_SHARE]);
    }
}
