//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! Key invariant: within a generation each member has the assignment that the generation's leader gave it, and no member of an
//! earlier generation is heard.

mod request;

pub use request::{JoinRequest, Joined, JoinedMember, SyncRequest, Synced};
