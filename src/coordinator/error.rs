//! Why a coordinator refuses a request. `handlers::errors` gives each its Kafka error code.
//!
//! Key invariant: a refused request changed nothing.

use super::MemberId;

/// A refusal, named like Kafka's error. Texts go to the client where its response has room for them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("this broker is not the group's coordinator")]
    NotCoordinator,
    #[error("the coordinator is loading the group")]
    LoadInProgress,
    #[error("the coordinator is not available: {0}")]
    NotAvailable(String),
    #[error("the group id is not valid")]
    InvalidGroupId,
    #[error("{0}")]
    GroupIdNotFound(String),
    #[error("the group is not empty")]
    NonEmptyGroup,
    #[error("{0}")]
    UnknownMemberId(String),
    /// The new member is to join again under this id (KIP-394).
    #[error("the member needs an id: {0}")]
    MemberIdRequired(MemberId),
    #[error("the generation is not the group's")]
    IllegalGeneration,
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    #[error("{0}")]
    InconsistentGroupProtocol(String),
    #[error("{0}")]
    FencedInstanceId(String),
    #[error("{0}")]
    UnreleasedInstanceId(String),
    #[error("{0}")]
    GroupMaxSizeReached(String),
    /// The group's record would be larger than can be written; UNKNOWN_SERVER_ERROR, as in Kafka.
    #[error("{0}")]
    GroupTooLarge(String),
    #[error("the session timeout is not within the bounds of the broker")]
    InvalidSessionTimeout,
    #[error("{0}")]
    FencedMemberEpoch(String),
    #[error("{0}")]
    StaleMemberEpoch(String),
    #[error("{0}")]
    UnsupportedAssignor(String),
    #[error("{0}")]
    InvalidRegularExpression(String),
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    UnsupportedVersion(String),
    #[error("the metadata of the offset is too large")]
    OffsetMetadataTooLarge,
    #[error("the offsets do not fit into one batch of the coordinator's log")]
    InvalidCommitOffsetSize,
    #[error("no such topic or partition")]
    UnknownTopicOrPartition,
    #[error("no topic has this id")]
    UnknownTopicId,
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    #[error("{0}")]
    InvalidRecordState(String),
    #[error("the state epoch is fenced")]
    FencedStateEpoch,
    #[error("the leader epoch is fenced")]
    FencedLeaderEpoch,
}

impl GroupError {
    /// Whether another try may find the coordinator up.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NotCoordinator | Self::LoadInProgress | Self::NotAvailable(_))
    }
}
