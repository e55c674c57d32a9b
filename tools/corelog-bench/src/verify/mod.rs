//! Verification: was every acknowledged record read once, in order and whole.
//!
//! Producers note in [`Acknowledged`] what the broker acknowledged; a reader feeds all that it reads of a lane, in offset
//! order, into a [`LaneCheck`]; at the end both are compared. Readers begin before the first record is sent and end after the
//! last was read, both of which are left to `drive`, and the topic is neither compacted nor cut by retention meanwhile.
//!
//! Key invariant: a log that holds every acknowledged record once, in each producer's order, has no findings, whatever else
//! it holds. Sets of sequence numbers are ranges, so memory grows with faults and not with records.

mod acknowledged;
mod lane_check;
mod sequences;
#[cfg(test)]
mod tests;

pub use acknowledged::Acknowledged;
pub use lane_check::{EXAMPLES_MAX, LaneCheck, LaneFindings};

pub use crate::payload::{Lane, STAMP_BYTES, Stamp, StampError};
