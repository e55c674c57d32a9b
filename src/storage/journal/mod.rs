//! The journal of a shard: what was appended to all of its partitions, group by group, before it reaches their segments.
//!
//! `layout` has the bytes, `group` writes and reads one group, `scan` finds the groups of a file after a crash and tells a torn
//! tail from damage. All of it is pure: bytes in, bytes and findings out. Nothing is committed through it yet: logs write
//! their segments directly (`docs/decisions/0004`).
//!
//! Key invariant: what was acknowledged after its group was written is found again, in order, whatever else the file holds.

mod group;
mod layout;
mod scan;
#[cfg(test)]
mod tests;

pub use group::{Entry, EntryKind, Group, GroupBuilder, GroupError, GroupId, Place};
pub use layout::{ENTRY_HEADER_BYTES, FORMAT, GROUP_BYTES_MAX, GROUP_HEADER_BYTES};
pub use scan::{Found, Scan, ScanEnd, scan};
