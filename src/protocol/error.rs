//! Kafka's error codes, as of Kafka 4.2.
//!
//! Key invariant: the numbers, names and whether a client retries are the protocol's; the messages are this broker's
//! own. Which error a failure becomes is decided in `handlers`.

use std::fmt;

/// Declares the enum and its tables from one list, so that no code can lack a name or a message.
macro_rules! error_codes {
    ($($code:literal $variant:ident $name:literal $retriable:literal $message:literal;)*) => {
        /// An error code of the protocol; `None` (0) is success.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = concat!($name, ": ", $message)] $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code, ascending.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code of this number, or `None` for a number that Kafka does not define.
            pub const fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name in Kafka's documentation, such as `UNKNOWN_TOPIC_OR_PARTITION`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether clients retry the request after this error without asking their application.
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$variant => $retriable,)*
                }
            }

            /// One sentence for `error_message` fields and logs; empty for success.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }
        }
    };
}

error_codes! {
    -1 UnknownServerError "UNKNOWN_SERVER_ERROR" false "The broker failed in a way it did not expect while handling the request.";
    0 None "NONE" false "";
    1 OffsetOutOfRange "OFFSET_OUT_OF_RANGE" false "The offset lies outside what the partition holds.";
    2 CorruptMessage "CORRUPT_MESSAGE" true "The record batch is damaged: its checksum, size or content is wrong.";
    3 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION" true "This broker does not host the topic or partition.";
    4 InvalidFetchSize "INVALID_FETCH_SIZE" false "The fetch size is not valid.";
    5 LeaderNotAvailable "LEADER_NOT_AVAILABLE" true "The partition has no leader at the moment.";
    6 NotLeaderOrFollower "NOT_LEADER_OR_FOLLOWER" true "This broker is not the leader, or not a replica, of the partition.";
    7 RequestTimedOut "REQUEST_TIMED_OUT" true "The request was not completed in time.";
    8 BrokerNotAvailable "BROKER_NOT_AVAILABLE" false "The broker is not available.";
    9 ReplicaNotAvailable "REPLICA_NOT_AVAILABLE" true "No replica of the partition is available here.";
    10 MessageTooLarge "MESSAGE_TOO_LARGE" false "The record batch is larger than the topic accepts.";
    11 StaleControllerEpoch "STALE_CONTROLLER_EPOCH" false "The controller has moved to another node.";
    12 OffsetMetadataTooLarge "OFFSET_METADATA_TOO_LARGE" false "The metadata string of an offset commit is too long.";
    13 NetworkException "NETWORK_EXCEPTION" true "The connection ended before an answer came.";
    14 CoordinatorLoadInProgress "COORDINATOR_LOAD_IN_PROGRESS" true "The coordinator is still loading its state.";
    15 CoordinatorNotAvailable "COORDINATOR_NOT_AVAILABLE" true "The coordinator is not available.";
    16 NotCoordinator "NOT_COORDINATOR" true "Another broker is the coordinator.";
    17 InvalidTopicException "INVALID_TOPIC_EXCEPTION" false "The topic name is not legal, or the topic does not allow the operation.";
    18 RecordListTooLarge "RECORD_LIST_TOO_LARGE" false "The record batches are larger than one segment of the topic.";
    19 NotEnoughReplicas "NOT_ENOUGH_REPLICAS" true "Fewer replicas are in sync than the topic requires; nothing was written.";
    20 NotEnoughReplicasAfterAppend "NOT_ENOUGH_REPLICAS_AFTER_APPEND" true "Written, but to fewer in-sync replicas than the topic requires.";
    21 InvalidRequiredAcks "INVALID_REQUIRED_ACKS" false "The acks of a produce request must be -1, 0 or 1.";
    22 IllegalGeneration "ILLEGAL_GENERATION" false "The generation is not the group's current one.";
    23 InconsistentGroupProtocol "INCONSISTENT_GROUP_PROTOCOL" false "The member shares no protocol with the group, or named none.";
    24 InvalidGroupId "INVALID_GROUP_ID" false "The group id is not valid.";
    25 UnknownMemberId "UNKNOWN_MEMBER_ID" false "The coordinator does not know this member.";
    26 InvalidSessionTimeout "INVALID_SESSION_TIMEOUT" false "The session timeout lies outside the range that the broker allows.";
    27 RebalanceInProgress "REBALANCE_IN_PROGRESS" false "The group is rebalancing; join again.";
    28 InvalidCommitOffsetSize "INVALID_COMMIT_OFFSET_SIZE" false "The offset commit is too large.";
    29 TopicAuthorizationFailed "TOPIC_AUTHORIZATION_FAILED" false "Not authorized for the topic.";
    30 GroupAuthorizationFailed "GROUP_AUTHORIZATION_FAILED" false "Not authorized for the group.";
    31 ClusterAuthorizationFailed "CLUSTER_AUTHORIZATION_FAILED" false "Not authorized for the cluster.";
    32 InvalidTimestamp "INVALID_TIMESTAMP" false "A record's timestamp lies outside the accepted range.";
    33 UnsupportedSaslMechanism "UNSUPPORTED_SASL_MECHANISM" false "The broker does not offer this SASL mechanism.";
    34 IllegalSaslState "ILLEGAL_SASL_STATE" false "The request does not fit the state of the SASL exchange.";
    35 UnsupportedVersion "UNSUPPORTED_VERSION" false "The broker does not support this version of the API.";
    36 TopicAlreadyExists "TOPIC_ALREADY_EXISTS" false "A topic of this name exists already.";
    37 InvalidPartitions "INVALID_PARTITIONS" false "The number of partitions is not valid.";
    38 InvalidReplicationFactor "INVALID_REPLICATION_FACTOR" false "The replication factor is below 1 or above the number of brokers.";
    39 InvalidReplicaAssignment "INVALID_REPLICA_ASSIGNMENT" false "The replica assignment is not valid.";
    40 InvalidConfig "INVALID_CONFIG" false "A setting is not valid.";
    41 NotController "NOT_CONTROLLER" true "This node is not the controller.";
    42 InvalidRequest "INVALID_REQUEST" false "The request is malformed or contradicts itself.";
    43 UnsupportedForMessageFormat "UNSUPPORTED_FOR_MESSAGE_FORMAT" false "The message format does not support the request.";
    44 PolicyViolation "POLICY_VIOLATION" false "The request breaks a policy of the broker.";
    45 OutOfOrderSequenceNumber "OUT_OF_ORDER_SEQUENCE_NUMBER" false "The producer's sequence number does not follow its last one.";
    46 DuplicateSequenceNumber "DUPLICATE_SEQUENCE_NUMBER" false "The producer's sequence number was seen before.";
    47 InvalidProducerEpoch "INVALID_PRODUCER_EPOCH" false "The producer's epoch is older than the current one.";
    48 InvalidTxnState "INVALID_TXN_STATE" false "The transaction's state does not allow the operation.";
    49 InvalidProducerIdMapping "INVALID_PRODUCER_ID_MAPPING" false "The producer id is not the one assigned to the transactional id.";
    50 InvalidTransactionTimeout "INVALID_TRANSACTION_TIMEOUT" false "The transaction timeout is longer than the broker allows.";
    51 ConcurrentTransactions "CONCURRENT_TRANSACTIONS" true "Another operation on the same transaction is under way.";
    52 TransactionCoordinatorFenced "TRANSACTION_COORDINATOR_FENCED" false "The transaction coordinator is no longer the producer's current one.";
    53 TransactionalIdAuthorizationFailed "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" false "Not authorized for the transactional id.";
    54 SecurityDisabled "SECURITY_DISABLED" false "No authorizer is configured.";
    55 OperationNotAttempted "OPERATION_NOT_ATTEMPTED" false "Another part of the request failed first, so this one was not tried.";
    56 KafkaStorageError "KAFKA_STORAGE_ERROR" true "The partition's log cannot be read or written.";
    57 LogDirNotFound "LOG_DIR_NOT_FOUND" false "The broker has no such log directory.";
    58 SaslAuthenticationFailed "SASL_AUTHENTICATION_FAILED" false "SASL authentication failed.";
    59 UnknownProducerId "UNKNOWN_PRODUCER_ID" false "The partition holds no state of this producer id.";
    60 ReassignmentInProgress "REASSIGNMENT_IN_PROGRESS" false "The partition is being reassigned.";
    61 DelegationTokenAuthDisabled "DELEGATION_TOKEN_AUTH_DISABLED" false "Delegation tokens are not enabled.";
    62 DelegationTokenNotFound "DELEGATION_TOKEN_NOT_FOUND" false "No such delegation token.";
    63 DelegationTokenOwnerMismatch "DELEGATION_TOKEN_OWNER_MISMATCH" false "The principal neither owns nor may renew the delegation token.";
    64 DelegationTokenRequestNotAllowed "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED" false "Delegation tokens may not be requested over this connection.";
    65 DelegationTokenAuthorizationFailed "DELEGATION_TOKEN_AUTHORIZATION_FAILED" false "Not authorized for the delegation token.";
    66 DelegationTokenExpired "DELEGATION_TOKEN_EXPIRED" false "The delegation token has expired.";
    67 InvalidPrincipalType "INVALID_PRINCIPAL_TYPE" false "The principal's type is not supported.";
    68 NonEmptyGroup "NON_EMPTY_GROUP" false "The group still has members.";
    69 GroupIdNotFound "GROUP_ID_NOT_FOUND" false "No such group.";
    70 FetchSessionIdNotFound "FETCH_SESSION_ID_NOT_FOUND" true "No such fetch session.";
    71 InvalidFetchSessionEpoch "INVALID_FETCH_SESSION_EPOCH" true "The fetch session's epoch does not follow its last one.";
    72 ListenerNotFound "LISTENER_NOT_FOUND" true "The leader has no listener of the name that the request came in by.";
    73 TopicDeletionDisabled "TOPIC_DELETION_DISABLED" false "Deleting topics is disabled.";
    74 FencedLeaderEpoch "FENCED_LEADER_EPOCH" true "The request's leader epoch is older than the broker's.";
    75 UnknownLeaderEpoch "UNKNOWN_LEADER_EPOCH" true "The request's leader epoch is newer than the broker's.";
    76 UnsupportedCompressionType "UNSUPPORTED_COMPRESSION_TYPE" false "The client does not support the codec of the partition's records.";
    77 StaleBrokerEpoch "STALE_BROKER_EPOCH" false "The broker's epoch is not the current one.";
    78 OffsetNotAvailable "OFFSET_NOT_AVAILABLE" true "The high watermark is not known well enough yet to answer.";
    79 MemberIdRequired "MEMBER_ID_REQUIRED" false "Join again with the member id of this answer.";
    80 PreferredLeaderNotAvailable "PREFERRED_LEADER_NOT_AVAILABLE" true "The preferred leader is not available.";
    81 GroupMaxSizeReached "GROUP_MAX_SIZE_REACHED" false "The group has as many members as it may.";
    82 FencedInstanceId "FENCED_INSTANCE_ID" false "Another member has taken over the group instance id.";
    83 EligibleLeadersNotAvailable "ELIGIBLE_LEADERS_NOT_AVAILABLE" true "No replica may become the leader.";
    84 ElectionNotNeeded "ELECTION_NOT_NEEDED" true "The partition needs no election.";
    85 NoReassignmentInProgress "NO_REASSIGNMENT_IN_PROGRESS" false "The partition is not being reassigned.";
    86 GroupSubscribedToTopic "GROUP_SUBSCRIBED_TO_TOPIC" false "The group still subscribes to the topic.";
    87 InvalidRecord "INVALID_RECORD" false "The broker's checks refuse a record of the batch.";
    88 UnstableOffsetCommit "UNSTABLE_OFFSET_COMMIT" true "Offsets of a transaction that is still open must be decided first.";
    89 ThrottlingQuotaExceeded "THROTTLING_QUOTA_EXCEEDED" true "A quota is used up.";
    90 ProducerFenced "PRODUCER_FENCED" false "A newer producer with the same transactional id has taken over.";
    91 ResourceNotFound "RESOURCE_NOT_FOUND" false "The request names a resource that does not exist.";
    92 DuplicateResource "DUPLICATE_RESOURCE" false "The request names a resource twice.";
    93 UnacceptableCredential "UNACCEPTABLE_CREDENTIAL" false "The credential does not meet the requirements.";
    94 InconsistentVoterSet "INCONSISTENT_VOTER_SET" false "The sender or the receiver is not among the voters.";
    95 InvalidUpdateVersion "INVALID_UPDATE_VERSION" false "The version of the update is not valid.";
    96 FeatureUpdateFailed "FEATURE_UPDATE_FAILED" false "The features could not be updated.";
    97 PrincipalDeserializationFailure "PRINCIPAL_DESERIALIZATION_FAILURE" false "The principal of a forwarded request could not be read.";
    98 SnapshotNotFound "SNAPSHOT_NOT_FOUND" false "No such snapshot.";
    99 PositionOutOfRange "POSITION_OUT_OF_RANGE" false "The position lies outside the snapshot.";
    100 UnknownTopicId "UNKNOWN_TOPIC_ID" true "This broker does not host the topic id.";
    101 DuplicateBrokerRegistration "DUPLICATE_BROKER_REGISTRATION" false "The broker id is taken.";
    102 BrokerIdNotRegistered "BROKER_ID_NOT_REGISTERED" false "The broker id is not registered.";
    103 InconsistentTopicId "INCONSISTENT_TOPIC_ID" true "The log belongs to another topic id than the request's.";
    104 InconsistentClusterId "INCONSISTENT_CLUSTER_ID" false "The request is meant for another cluster.";
    105 TransactionalIdNotFound "TRANSACTIONAL_ID_NOT_FOUND" false "No such transactional id.";
    106 FetchSessionTopicIdError "FETCH_SESSION_TOPIC_ID_ERROR" true "The fetch session mixes topic names and topic ids.";
    107 IneligibleReplica "INELIGIBLE_REPLICA" false "The new set of in-sync replicas holds one that may not be in it.";
    108 NewLeaderElected "NEW_LEADER_ELECTED" false "The partition was changed and has another leader now.";
    109 OffsetMovedToTieredStorage "OFFSET_MOVED_TO_TIERED_STORAGE" false "The offset is in tiered storage.";
    110 FencedMemberEpoch "FENCED_MEMBER_EPOCH" false "The member is fenced; it must give up its partitions and join again.";
    111 UnreleasedInstanceId "UNRELEASED_INSTANCE_ID" false "Another member still holds the group instance id.";
    112 UnsupportedAssignor "UNSUPPORTED_ASSIGNOR" false "The group does not support the assignor.";
    113 StaleMemberEpoch "STALE_MEMBER_EPOCH" false "The member's epoch is old; heartbeat for the new one and try again.";
    114 MismatchedEndpointType "MISMATCHED_ENDPOINT_TYPE" false "The request was sent to an endpoint of another type.";
    115 UnsupportedEndpointType "UNSUPPORTED_ENDPOINT_TYPE" false "The endpoint type is not supported.";
    116 UnknownControllerId "UNKNOWN_CONTROLLER_ID" false "No such controller.";
    117 UnknownSubscriptionId "UNKNOWN_SUBSCRIPTION_ID" false "The telemetry subscription is not the current one.";
    118 TelemetryTooLarge "TELEMETRY_TOO_LARGE" false "The telemetry is larger than the broker accepts.";
    119 InvalidRegistration "INVALID_REGISTRATION" false "The controller refuses the broker's registration.";
    120 TransactionAbortable "TRANSACTION_ABORTABLE" false "The transaction failed; abort it to go on with this transactional id.";
    121 InvalidRecordState "INVALID_RECORD_STATE" false "The record's delivery state does not allow the acknowledgement.";
    122 ShareSessionNotFound "SHARE_SESSION_NOT_FOUND" true "No such share session.";
    123 InvalidShareSessionEpoch "INVALID_SHARE_SESSION_EPOCH" true "The share session's epoch does not follow its last one.";
    124 FencedStateEpoch "FENCED_STATE_EPOCH" false "The share group's state has another epoch.";
    125 InvalidVoterKey "INVALID_VOTER_KEY" false "The voter key is not that of the receiving replica.";
    126 DuplicateVoter "DUPLICATE_VOTER" false "The voter is already among the voters.";
    127 VoterNotFound "VOTER_NOT_FOUND" false "The voter is not among the voters.";
    128 InvalidRegularExpression "INVALID_REGULAR_EXPRESSION" false "The regular expression is not valid.";
    129 RebootstrapRequired "REBOOTSTRAP_REQUIRED" false "The client's metadata is too old; bootstrap anew.";
    130 StreamsInvalidTopology "STREAMS_INVALID_TOPOLOGY" false "The streams topology is not valid.";
    131 StreamsInvalidTopologyEpoch "STREAMS_INVALID_TOPOLOGY_EPOCH" false "The streams topology's epoch is not valid.";
    132 StreamsTopologyFenced "STREAMS_TOPOLOGY_FENCED" false "The streams topology's epoch is outdated.";
    133 ShareSessionLimitReached "SHARE_SESSION_LIMIT_REACHED" true "The broker holds as many share sessions as it may.";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is success.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> Self {
        code.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::error::ResponseError;

    #[test]
    fn codes_are_contiguous_and_read_back() {
        for (index, error) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(i64::from(error.code()), index as i64 - 1, "{error}");
            assert_eq!(ErrorCode::from_code(error.code()), Some(*error));
            assert_eq!(error.message().is_empty(), error.is_none(), "{error}");
        }
        assert_eq!(ErrorCode::from_code(-2), None);
        assert_eq!(ErrorCode::from_code(ErrorCode::ALL.len() as i16), None);
    }

    #[test]
    fn names_and_retries_agree_with_the_protocol_crate() {
        for error in ErrorCode::ALL.iter().filter(|error| !error.is_none()) {
            let theirs = ResponseError::try_from_code(error.code()).expect("not success");
            let camel: String = error.name().split('_').map(capitalised).collect();
            assert_eq!(theirs.to_string(), camel);
            // Kafka retries this one since transactions of version 2; the crate does not say so.
            let retriable = theirs.is_retriable() || *error == ErrorCode::ConcurrentTransactions;
            assert_eq!(error.is_retriable(), retriable, "{error}");
        }
    }

    fn capitalised(word: &str) -> String {
        let (first, rest) = word.split_at(1);
        format!("{first}{}", rest.to_lowercase())
    }
}
