//! Share partitions (KIP-932): which records are with whom, and the coordinator of their state in `__share_group_state`.
//!
//! Key invariant: a record of a share partition is available, acquired by one member, acknowledged, or archived; never two of
//! these. [`SharePartition`] lives with the partition's leader, [`ShareStates`] with the partition of `__share_group_state` that
//! the key hashes to; the runtime carries writes from one to the other.

mod batch;
mod key;
mod partition;
mod reset;
mod state;

pub use batch::{DeliveryState, StateBatch};
pub use key::SharePartitionKey;
pub use partition::{
    AckBatch, AckType, AcquireLimits, Acquired, ChangeId, Fetched, Read, SharePartition, ShareRules, Write,
};
pub use reset::OffsetReset;
pub use state::{ShareActions, ShareStates, StateSummary};
