//! What a state machine wants done: plain data, carried out by the runtime.
//!
//! Key invariant: the records of one event are appended together, in their order, or not at all. An answer leaves when they,
//! and everything that was appended before them, are durable: so nobody learns of a state that a crash could take back.

use super::GroupError;
use super::group::classic::{Joined, Synced};
use super::records::GroupRecord;

/// Names a request that waits for its answer. The runtime makes them up; each is answered at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What came of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions {
    /// To be appended; the state has them already.
    pub records: Vec<GroupRecord>,
    /// Waiting JoinGroup requests that are answered.
    pub joined: Vec<(Ticket, Result<Joined, GroupError>)>,
    /// Waiting SyncGroup requests that are answered.
    pub synced: Vec<(Ticket, Result<Synced, GroupError>)>,
}
