//! Share groups (KIP-932): their members and what they are assigned.
//!
//! Key invariant: a partition may be with several members; each subscribed partition is with at least one while there are members.
