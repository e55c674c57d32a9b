//! Share partitions (KIP-932): which records are with whom, and the coordinator of their state in `__share_group_state`.
//!
//! Key invariant: a record of a share partition is available, acquired by one member, acknowledged, or archived; never two of
//! these.
