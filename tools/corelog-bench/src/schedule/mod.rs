//! When records are due, and which rate to try next.
//!
//! Key invariant: in an open loop the time at which a record is due depends on its number and the rate alone, never on what
//! the broker or the client did before (no coordinated omission). Clocks are the caller's.

mod arrivals;
mod ramp;

pub use arrivals::{Arrivals, Claim};
pub use ramp::{FOUND_WITHIN, Probe, Ramp, STEPS_MAX, Step};
