//! The one place where failures become Kafka's error codes.

use crate::metadata::{Reason, Refusal};
use crate::partition::{PartitionError, SequenceError};
use crate::protocol::ErrorCode;
use crate::shard::ShardGone;
use crate::storage::StorageError;

/// The code that a client gets for a partition's refusal.
pub fn of_partition(error: &PartitionError) -> ErrorCode {
    match error {
        PartitionError::Unknown => ErrorCode::UnknownTopicOrPartition,
        PartitionError::Recovering => ErrorCode::NotLeaderOrFollower,
        PartitionError::Unavailable(_) => ErrorCode::KafkaStorageError,
        PartitionError::Storage(error) => of_storage(error),
        PartitionError::Sequence(SequenceError::StaleEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
        PartitionError::Sequence(_) => ErrorCode::OutOfOrderSequenceNumber,
        PartitionError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        PartitionError::FencedEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        PartitionError::UnknownEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        PartitionError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
    }
}

/// The code for a failure of the log.
fn of_storage(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        StorageError::Batch(_) => ErrorCode::CorruptMessage,
        StorageError::TooLarge(_) => ErrorCode::RecordListTooLarge,
        _ => ErrorCode::KafkaStorageError,
    }
}

/// The code for a shard that is gone: another attempt may find the broker up again.
pub fn of_shard_gone(_: ShardGone) -> ErrorCode {
    ErrorCode::NotLeaderOrFollower
}

/// The code and message for a change of the metadata that was refused.
pub fn of_refusal(refusal: &Refusal) -> (ErrorCode, Option<&str>) {
    let code = match refusal.reason {
        Reason::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        Reason::UnknownTopicId => ErrorCode::UnknownTopicId,
        Reason::TopicAlreadyExists => ErrorCode::TopicAlreadyExists,
        Reason::InvalidTopic => ErrorCode::InvalidTopicException,
        Reason::InvalidPartitions => ErrorCode::InvalidPartitions,
        Reason::InvalidReplicationFactor => ErrorCode::InvalidReplicationFactor,
        Reason::InvalidReplicaAssignment => ErrorCode::InvalidReplicaAssignment,
        Reason::InvalidConfig => ErrorCode::InvalidConfig,
        Reason::InvalidRequest => ErrorCode::InvalidRequest,
        Reason::TopicDeletionDisabled => ErrorCode::TopicDeletionDisabled,
        Reason::PolicyViolation => ErrorCode::PolicyViolation,
        Reason::ResourceNotFound => ErrorCode::ResourceNotFound,
        Reason::InvalidUpdateVersion => ErrorCode::InvalidUpdateVersion,
        Reason::FeatureUpdateFailed => ErrorCode::FeatureUpdateFailed,
        Reason::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        Reason::NoReassignmentInProgress => ErrorCode::NoReassignmentInProgress,
        Reason::BrokerIdNotRegistered => ErrorCode::BrokerIdNotRegistered,
        Reason::Busy => ErrorCode::RequestTimedOut,
        Reason::Stopping => ErrorCode::NotController,
        Reason::StoreFailed => ErrorCode::KafkaStorageError,
    };
    (code, refusal.message.as_deref())
}
