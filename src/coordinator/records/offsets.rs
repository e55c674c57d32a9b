//! Committed offsets: `OffsetCommitKey` (versions 0 and 1) and `OffsetCommitValue`.
//!
//! Key invariant: a value keeps everything that the client sent, so that it gets it back.

use std::sync::Arc;

use crate::coordinator::GroupId;
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

/// Whose offset of which partition. Topics are named, as Kafka's records have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffsetKey {
    pub group: GroupId,
    pub topic: Arc<str>,
    pub partition: PartitionIndex,
}

/// What was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// The client's own text, up to `offset.metadata.max.bytes`.
    pub metadata: Arc<str>,
    pub committed_at: TimestampMs,
    /// Only of clients that set their own retention (OffsetCommit 2 to 4).
    pub expires_at: Option<TimestampMs>,
    /// The topic's id if it was known; zero in records of older brokers.
    pub topic_id: TopicId,
}
