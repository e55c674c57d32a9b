//! Committed offsets of a group: commit, fetch, delete, expiry.
//!
//! Key invariant: an offset changes only by a commit that the group accepted; a fenced member changes nothing.

/// The committed offsets of a group.
#[derive(Debug, Default)]
pub struct CommittedOffsets {}

impl CommittedOffsets {
    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        true
    }
}
