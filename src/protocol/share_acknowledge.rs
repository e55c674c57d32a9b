//! ShareAcknowledge, versions 1 and 2: the crate's end at 1; version 2 adds acknowledgements that renew the lock (KIP-1222).
//!
//! Key invariant: topics, batches and leaders are those of ShareFetch, whose layouts they share.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use super::message::{api, structure};
use super::share_fetch::{FetchTopic, LeaderIdAndEpoch, NodeEndpoint};
use crate::model::TopicId;

structure! {
    ShareAcknowledgeRequest {
        group_id: Option<StrBytes> [1..];
        member_id: Option<StrBytes> [1..];
        /// -1 closes the share session.
        share_session_epoch: i32 [1..];
        /// Whether some acknowledgement is of type 4, to renew the lock (KIP-1222).
        is_renew_ack: bool [2..];
        topics: Vec<FetchTopic> [1..];
    }
}

structure! {
    ShareAcknowledgeResponse {
        /// In milliseconds.
        throttle_time_ms: i32 [1..];
        error_code: i16 [1..];
        error_message: Option<StrBytes> [1..];
        /// How long records stay acquired, in milliseconds.
        acquisition_lock_timeout_ms: i32 [2..];
        responses: Vec<ShareAcknowledgeTopicResponse> [1..];
        /// Where the leaders named in partitions are reached.
        node_endpoints: Vec<NodeEndpoint> [1..];
    }
}

structure! {
    ShareAcknowledgeTopicResponse {
        topic_id: TopicId [1..];
        partitions: Vec<AcknowledgedPartition> [1..];
    }
}

structure! {
    AcknowledgedPartition {
        partition_index: i32 [1..];
        error_code: i16 [1..];
        error_message: Option<StrBytes> [1..];
        current_leader: LeaderIdAndEpoch [1..];
    }
}

api!(ApiKey::ShareAcknowledge, 1..=2, 0, ShareAcknowledgeRequest, ShareAcknowledgeResponse);
