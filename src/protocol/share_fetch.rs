//! ShareFetch, versions 1 and 2: the crate's end at 1; version 2 adds a mode of acquisition (KIP-1206) and acknowledgements
//! that renew the lock (KIP-1222).
//!
//! Key invariant: [`encode`] gives the bytes of a plain encoder as slices in which records are the very buffers that the log
//! handed out. Choosing what goes into a response is left to the handler.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use super::message::{self, api, structure};
use super::{EncodeError, RequestHeader};
use crate::model::TopicId;

pub use super::message::Records;

structure! {
    ShareFetchRequest {
        group_id: Option<StrBytes> [1..];
        member_id: Option<StrBytes> [1..];
        /// 0 opens a share session, -1 closes it.
        share_session_epoch: i32 [1..];
        /// In milliseconds.
        max_wait_ms: i32 [1..];
        min_bytes: i32 [1..];
        max_bytes: i32 [1..] = i32::MAX;
        /// How many records to acquire; whole batches may exceed it.
        max_records: i32 [1..];
        /// How many records an acquired batch should have.
        batch_size: i32 [1..];
        /// 0: `max_records` may be exceeded by whole batches; 1: it is a limit (KIP-1206).
        share_acquire_mode: i8 [2..];
        /// Whether some acknowledgement is of type 4, to renew the lock (KIP-1222).
        is_renew_ack: bool [2..];
        topics: Vec<FetchTopic> [1..];
        forgotten_topics_data: Vec<ForgottenTopic> [1..];
    }
}

structure! {
    FetchTopic {
        topic_id: TopicId [1..];
        partitions: Vec<FetchPartition> [1..];
    }
}

structure! {
    FetchPartition {
        partition_index: i32 [1..];
        acknowledgement_batches: Vec<AcknowledgementBatch> [1..];
    }
}

structure! {
    /// Offsets with what came of their delivery.
    AcknowledgementBatch {
        first_offset: i64 [1..];
        /// The last one, itself included.
        last_offset: i64 [1..];
        /// 0 gap, 1 accept, 2 release, 3 reject, 4 renew: one for all offsets or one for each.
        acknowledge_types: Vec<i8> [1..];
    }
}

structure! {
    ForgottenTopic {
        topic_id: TopicId [1..];
        partitions: Vec<i32> [1..];
    }
}

structure! {
    ShareFetchResponse {
        /// In milliseconds.
        throttle_time_ms: i32 [1..];
        error_code: i16 [1..];
        error_message: Option<StrBytes> [1..];
        /// How long records stay acquired, in milliseconds.
        acquisition_lock_timeout_ms: i32 [1..];
        responses: Vec<ShareFetchableTopicResponse> [1..];
        /// Where the leaders named in partitions are reached.
        node_endpoints: Vec<NodeEndpoint> [1..];
    }
}

structure! {
    ShareFetchableTopicResponse {
        topic_id: TopicId [1..];
        partitions: Vec<PartitionData> [1..];
    }
}

structure! {
    PartitionData {
        partition_index: i32 [1..];
        /// Of the fetch.
        error_code: i16 [1..];
        error_message: Option<StrBytes> [1..];
        /// Of the acknowledgements that came with it.
        acknowledge_error_code: i16 [1..];
        acknowledge_error_message: Option<StrBytes> [1..];
        current_leader: LeaderIdAndEpoch [1..];
        records: Records [1..];
        acquired_records: Vec<AcquiredRecords> [1..];
    }
}

structure! {
    /// The leader to turn to instead; zeros if there is nothing to say.
    LeaderIdAndEpoch {
        leader_id: i32 [1..];
        leader_epoch: i32 [1..];
    }
}

structure! {
    /// Offsets that are the member's now.
    AcquiredRecords {
        first_offset: i64 [1..];
        /// The last one, itself included.
        last_offset: i64 [1..];
        delivery_count: i16 [1..];
    }
}

structure! {
    NodeEndpoint {
        node_id: i32 [1..];
        host: StrBytes [1..];
        port: i32 [1..];
        rack: Option<StrBytes> [1..];
    }
}

api!(ApiKey::ShareFetch, 1..=2, 0, ShareFetchRequest, ShareFetchResponse);

/// Encodes a response with its frame's size and header, ready to send. Empty slices do not occur.
pub fn encode(header: &RequestHeader, response: &ShareFetchResponse) -> Result<Vec<Bytes>, EncodeError> {
    message::encode_slices(header, response)
}
