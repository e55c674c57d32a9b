//! Per-shard counters and histograms, and their exposition in Prometheus' text format.
//!
//! Key invariant: each value is written by one shard alone and read by the control thread, so an update is a relaxed
//! load and store, never a locked instruction; a reader sees each value whole, though not all at one instant. Serving
//! the text is `control`'s.

mod counter;
pub mod exposition;
mod groups;
mod histogram;
mod shard;

pub use counter::{Counter, Gauge};
pub use groups::{GroupMetrics, GroupTable, LAG_ROWS_MAX, LagRow};
pub use histogram::{Histogram, HistogramSnapshot};
pub use shard::{
    API_KEYS_MAX, Connections, ERROR_CODES_MAX, Logs, ShardMetrics, Stage, StageLatencies, Traffic,
};
