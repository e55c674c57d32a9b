//! OffsetCommit, versions 2 to 10: the crate's end at 9; version 10 names topics by id (KIP-848).
//!
//! Key invariant: version 10 has a topic's id and no name, earlier ones its name and no id. Which of the two a topic has is
//! for the handler to resolve.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use super::message::{api, structure};
use crate::model::TopicId;

structure! {
    OffsetCommitRequest {
        group_id: StrBytes [0..];
        /// Of a classic group the generation, of a consumer group the member's epoch; -1 outside of any.
        generation_id_or_member_epoch: i32 [0..] = -1;
        member_id: StrBytes [0..];
        group_instance_id: Option<StrBytes> [7..];
        /// In milliseconds; -1 for the broker's own.
        retention_time_ms: i64 [2..=4] = -1;
        topics: Vec<OffsetCommitRequestTopic> [0..];
    }
}

structure! {
    OffsetCommitRequestTopic {
        name: StrBytes [..=9];
        topic_id: TopicId [10..];
        partitions: Vec<OffsetCommitRequestPartition> [0..];
    }
}

structure! {
    OffsetCommitRequestPartition {
        partition_index: i32 [0..];
        committed_offset: i64 [0..];
        committed_leader_epoch: i32 [6..] = -1;
        committed_metadata: Option<StrBytes> [0..];
    }
}

structure! {
    OffsetCommitResponse {
        /// In milliseconds.
        throttle_time_ms: i32 [3..];
        topics: Vec<OffsetCommitResponseTopic> [0..];
    }
}

structure! {
    OffsetCommitResponseTopic {
        name: StrBytes [..=9];
        topic_id: TopicId [10..];
        partitions: Vec<OffsetCommitResponsePartition> [0..];
    }
}

structure! {
    OffsetCommitResponsePartition {
        partition_index: i32 [0..];
        error_code: i16 [0..];
    }
}

api!(ApiKey::OffsetCommit, 2..=10, 8, OffsetCommitRequest, OffsetCommitResponse);
