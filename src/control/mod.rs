//! The control thread: HTTP for operators and metrics, and the thread that drives the metadata's controller.
//!
//! Key invariant: nothing here is on the way of a produce or a fetch; the thread may be slow and never blocks a shard.
//! What the metrics are is `metrics`'s; what the controller does is `cluster`'s.

mod admin;
mod bounded;
mod phase;
mod thread;

pub use admin::{AdminError, AdminFacts, bind};
pub use phase::{Phase, PhaseCell};
pub use thread::{ControlParts, ControlThread, STOP_WAIT_MS_MAX};
