//! DescribeShareGroupOffsets, versions 0 and 1: the crate's end at 0; version 1 adds the lag (KIP-1226).
//!
//! Key invariant: a lag is -1 where it is not known.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use super::message::{api, structure};
use crate::model::TopicId;

structure! {
    DescribeShareGroupOffsetsRequest {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup> [0..];
    }
}

structure! {
    DescribeShareGroupOffsetsRequestGroup {
        group_id: StrBytes [0..];
        /// `None` for all of them.
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>> [0..];
    }
}

structure! {
    DescribeShareGroupOffsetsRequestTopic {
        topic_name: StrBytes [0..];
        partitions: Vec<i32> [0..];
    }
}

structure! {
    DescribeShareGroupOffsetsResponse {
        /// In milliseconds.
        throttle_time_ms: i32 [0..];
        groups: Vec<DescribeShareGroupOffsetsResponseGroup> [0..];
    }
}

structure! {
    DescribeShareGroupOffsetsResponseGroup {
        group_id: StrBytes [0..];
        topics: Vec<DescribeShareGroupOffsetsResponseTopic> [0..];
        error_code: i16 [0..];
        error_message: Option<StrBytes> [0..];
    }
}

structure! {
    DescribeShareGroupOffsetsResponseTopic {
        topic_name: StrBytes [0..];
        topic_id: TopicId [0..];
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition> [0..];
    }
}

structure! {
    DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32 [0..];
        start_offset: i64 [0..];
        leader_epoch: i32 [0..];
        /// Records from the start offset on that are not delivered to the end.
        lag: i64 [1..] = -1;
        error_code: i16 [0..];
        error_message: Option<StrBytes> [0..];
    }
}

api!(
    ApiKey::DescribeShareGroupOffsets,
    0..=1,
    0,
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsResponse
);
