//! Consumer groups (KIP-848): ConsumerGroupHeartbeat, server-side assignment, reconciliation.
//!
//! Key invariant: a partition is in the assignment of at most one member, whatever the epochs of the others.
