//! Drives a workload: threads, producers, readers; and gathers what they saw.
//!
//! Key invariants: a record's latency counts from the time it was due, whatever happened since; whatever fails, the run ends
//! within bounds and what was measured until then is handed out. Presenting it is left to `report`.

mod clock;
mod deal;
mod error;
mod gather;
mod idle;
mod job;
mod link;
mod local;
mod locator;
mod pacer;
mod producer;
mod reader;
mod recovery;
mod request;
mod run;
mod shared;
mod worker;

pub use error::DriveError;
pub use idle::{HOLD_MIN, IDLE_CONNECTIONS_MAX, IdleCost, IdlePlan, hold};
pub use job::{Job, Kind};
pub use run::{Outcome, Tick, run};
