//! What a run is asked to do.

use std::time::Duration;

use crate::client::{ClientOptions, topic_names};
use crate::host::Scheduling;
pub use crate::workload::Kind;
use crate::workload::Workload;

/// A workload, and where and how to drive it.
#[derive(Clone, Debug)]
pub struct Job {
    pub kind: Kind,
    pub workload: Workload,
    pub options: ClientOptions,
    /// One thread on each.
    pub cpus: Vec<usize>,
    /// How the kernel runs those threads.
    pub scheduling: Scheduling,
    /// Put stamps into records and check what comes back.
    pub verify: bool,
    /// The text of `ValuePlan::Lines`.
    pub lines: Option<Vec<u8>>,
    /// How long a producer or reader looks for a broker that is gone before the run is given up.
    pub retry_for: Duration,
}

impl Job {
    /// Whether records are sent.
    pub fn produces(&self) -> bool {
        !matches!(self.kind, Kind::Consume)
    }

    /// Whether records are read.
    pub fn reads(&self) -> bool {
        !matches!(self.kind, Kind::Produce) || self.verify
    }

    /// Whether values begin with a stamp.
    pub fn stamps(&self) -> bool {
        self.produces() && (self.verify || matches!(self.kind, Kind::EndToEnd))
    }

    /// Whether readers look into records: for stamps.
    pub fn looks_into_records(&self) -> bool {
        self.verify || matches!(self.kind, Kind::EndToEnd)
    }

    /// The names of the topics.
    pub fn topics(&self) -> Vec<String> {
        topic_names(&self.workload.topic)
    }

    /// Partitions of all topics.
    pub fn lanes(&self) -> u32 {
        self.workload.topic.topics * self.workload.topic.partitions.unsigned_abs()
    }
}
