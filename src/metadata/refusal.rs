//! Why a change of the metadata was not made.
//!
//! Key invariant: a refusal has had no effect. Kafka's error number for each reason is assigned in `handlers`.

/// A change that was not made, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason:?}: {}", message.as_deref().unwrap_or("no further detail"))]
pub struct Refusal {
    pub reason: Reason,
    /// What the client is told; `None` is Kafka's standard text for the error.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal in words of its own.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: Some(message.into()) }
    }
}

impl From<Reason> for Refusal {
    /// A refusal in the error's standard words.
    fn from(reason: Reason) -> Self {
        Self { reason, message: None }
    }
}

/// Kinds of refusal, named after the Kafka error that answers each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    UnknownTopicOrPartition,
    UnknownTopicId,
    TopicAlreadyExists,
    InvalidTopic,
    InvalidPartitions,
    InvalidReplicationFactor,
    InvalidReplicaAssignment,
    InvalidConfig,
    InvalidRequest,
    TopicDeletionDisabled,
    PolicyViolation,
    ResourceNotFound,
    InvalidUpdateVersion,
    FeatureUpdateFailed,
    UnsupportedVersion,
    NoReassignmentInProgress,
    BrokerIdNotRegistered,
    /// The controller has as many requests as it may hold, or did not answer in time; the client may try again.
    Busy,
    /// The controller is gone, since the broker stops; another attempt may find another controller.
    Stopping,
    /// The metadata store failed; nothing can change until the broker was started anew.
    StoreFailed,
}

impl Reason {
    /// Whether the same request may succeed when it is sent again.
    pub const fn is_retriable(self) -> bool {
        matches!(self, Self::Busy | Self::Stopping | Self::UnknownTopicOrPartition | Self::UnknownTopicId)
    }
}
