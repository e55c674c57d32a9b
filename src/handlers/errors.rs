//! The one place where failures become Kafka's error codes.

use crate::coordinator::GroupError;
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

/// The code for what a group's coordinator refused. What a client shows beside it is the error's own text.
pub fn of_group(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::LoadInProgress => ErrorCode::CoordinatorLoadInProgress,
        GroupError::NotAvailable(_) => ErrorCode::CoordinatorNotAvailable,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::GroupIdNotFound(_) => ErrorCode::GroupIdNotFound,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::UnknownMemberId(_) => ErrorCode::UnknownMemberId,
        GroupError::MemberIdRequired(_) => ErrorCode::MemberIdRequired,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentGroupProtocol(_) => ErrorCode::InconsistentGroupProtocol,
        GroupError::FencedInstanceId(_) => ErrorCode::FencedInstanceId,
        GroupError::UnreleasedInstanceId(_) => ErrorCode::UnreleasedInstanceId,
        GroupError::GroupMaxSizeReached(_) => ErrorCode::GroupMaxSizeReached,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::FencedMemberEpoch(_) => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch(_) => ErrorCode::StaleMemberEpoch,
        GroupError::UnsupportedAssignor(_) => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegularExpression(_) => ErrorCode::InvalidRegularExpression,
        GroupError::InvalidRequest(_) => ErrorCode::InvalidRequest,
        GroupError::UnsupportedVersion(_) => ErrorCode::UnsupportedVersion,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        GroupError::UnknownTopicId => ErrorCode::UnknownTopicId,
        GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::InvalidRecordState(_) => ErrorCode::InvalidRecordState,
        GroupError::InvalidCommitOffsetSize => ErrorCode::InvalidCommitOffsetSize,
        GroupError::FencedStateEpoch => ErrorCode::FencedStateEpoch,
        GroupError::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        // As Kafka answers when a group's record is larger than its topic takes.
        GroupError::GroupTooLarge(_) => ErrorCode::UnknownServerError,
    }
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
