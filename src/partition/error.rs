//! Why a partition refuses a request. `handlers` turns each into Kafka's error code.

use super::SequenceError;
use crate::model::{LeaderEpoch, Offset};
use crate::storage::StorageError;

/// A partition's refusal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PartitionError {
    #[error("this server does not host this topic-partition")]
    Unknown,
    #[error("the partition is being recovered")]
    Recovering,
    #[error("the partition's log could not be opened: {0}")]
    Unavailable(StorageError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error("offset {requested} lies outside the log, which holds {start} to {end}")]
    OffsetOutOfRange { requested: Offset, start: Offset, end: Offset },
    #[error("leader epoch {given} is older than the partition's epoch {current}")]
    FencedEpoch { given: LeaderEpoch, current: LeaderEpoch },
    #[error("leader epoch {given} is newer than the partition's epoch {current}")]
    UnknownEpoch { given: LeaderEpoch, current: LeaderEpoch },
    #[error("the in-sync replicas are fewer than min.insync.replicas ({required})")]
    NotEnoughReplicas { required: u16 },
}
