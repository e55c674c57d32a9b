//! Committed offsets of a group: commit, fetch, delete, expiry.
//!
//! Key invariant: an offset changes only by a commit that the group accepted; a fenced member changes nothing.
