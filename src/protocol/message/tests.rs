//! Compares the messages of this room with bytes that Kafka's own classes wrote, in every version, and their response
//! headers with the crate's.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use std::collections::BTreeMap;

use super::*;
use crate::protocol::offset_commit::*;
use crate::protocol::offset_fetch::*;
use crate::protocol::share_acknowledge::*;
use crate::protocol::share_fetch::*;
use crate::protocol::share_group_offsets::*;
use crate::protocol::{codec_version, encode_response};

/// The messages of the file by name and version.
fn golden() -> BTreeMap<(String, i16), Bytes> {
    let mut found = BTreeMap::new();
    let mut message = (String::new(), 0);
    for line in include_str!("golden.txt").lines() {
        if let Some(hex) = line.strip_prefix("> ") {
            let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
            let bytes = digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect();
            found.insert(message.clone(), bytes);
        } else if let [name, version, _] = line.splitn(3, ' ').collect::<Vec<_>>()[..] {
            message = (name.to_owned(), version.parse().unwrap_or(-1));
        }
    }
    found
}

/// Writes and reads the message of each version and compares with Kafka's. `full` gives the message with all that it holds
/// for the version, `left` what is left of it after reading: fields that the version lacks have their defaults.
fn check<T: Body + Encodable + Decodable + PartialEq + std::fmt::Debug>(
    name: &str,
    full: impl Fn(i16) -> T,
    left: impl Fn(i16, &mut T),
) {
    let golden = golden();
    for version in T::VERSIONS {
        let bytes = golden.get(&(name.to_owned(), version)).expect("the file has every version").clone();
        let mut message = full(version);
        let mut written = BytesMut::new();
        message.encode(&mut written, version).expect("nothing is too long");
        assert_eq!(written, bytes, "{name} {version}");
        assert_eq!(message.compute_size(version).expect("as before"), bytes.len(), "{name} {version}");
        left(version, &mut message);
        let mut rest = Bytes::from([&bytes[..], b"rest"].concat());
        assert_eq!(T::decode(&mut rest, version).expect("whole"), message, "{name} {version}");
        assert_eq!(&rest[..], b"rest");
    }
    for version in [T::VERSIONS.start() - 1, T::VERSIONS.end() + 1] {
        assert!(full(version).encode(&mut BytesMut::new(), version).is_err(), "{name} {version}");
        assert!(T::decode(&mut Bytes::from_static(&[0; 100]), version).is_err(), "{name} {version}");
    }
}

fn id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// Keeps of a topic's name and id what the version has.
fn name_or_id(version: i16, name: &mut StrBytes, id: &mut TopicId) {
    if version >= 10 { *name = text("") } else { *id = TopicId::ZERO }
}

#[test]
fn offset_commit_requests() {
    let partition = |partition_index, committed_offset, committed_leader_epoch, metadata: Option<_>| {
        OffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            committed_leader_epoch,
            committed_metadata: metadata,
        }
    };
    let partitions = vec![partition(1, (1 << 32) + 5, 7, Some(text("µ"))), partition(2, -1, -1, None)];
    let full = |_| OffsetCommitRequest {
        group_id: text("group"),
        generation_id_or_member_epoch: 5,
        member_id: text("member"),
        group_instance_id: Some(text("instance")),
        retention_time_ms: 6,
        topics: vec![OffsetCommitRequestTopic {
            name: text("topic"),
            topic_id: id(1),
            partitions: partitions.clone(),
        }],
    };
    check("OffsetCommitRequest", full, |version, request| {
        let topic = &mut request.topics[0];
        name_or_id(version, &mut topic.name, &mut topic.topic_id);
        if version < 6 {
            topic.partitions[0].committed_leader_epoch = -1;
        }
        if version < 7 {
            request.group_instance_id = None;
        }
        if version > 4 {
            request.retention_time_ms = -1;
        }
    });
}

#[test]
fn offset_commit_responses() {
    let partition =
        |partition_index, error_code| OffsetCommitResponsePartition { partition_index, error_code };
    let full = |_| OffsetCommitResponse {
        throttle_time_ms: 8,
        topics: vec![OffsetCommitResponseTopic {
            name: text("topic"),
            topic_id: id(1),
            partitions: vec![partition(1, 0), partition(2, 25)],
        }],
    };
    check("OffsetCommitResponse", full, |version, response| {
        let topic = &mut response.topics[0];
        name_or_id(version, &mut topic.name, &mut topic.topic_id);
        if version < 3 {
            response.throttle_time_ms = 0;
        }
    });
}

#[test]
fn offset_fetch_requests() {
    let full = |version| {
        let one = OffsetFetchRequestGroup {
            group_id: text("group"),
            member_id: Some(text("member")),
            member_epoch: 5,
            topics: Some(vec![OffsetFetchRequestTopic {
                name: text("topic"),
                topic_id: id(1),
                partition_indexes: vec![1, 2],
            }]),
        };
        let all = OffsetFetchRequestGroup {
            group_id: text("all"),
            topics: None,
            ..OffsetFetchRequestGroup::default()
        };
        let groups = if version >= 8 { vec![one, all] } else { vec![one] };
        OffsetFetchRequest { groups, require_stable: version >= 8 }
    };
    check("OffsetFetchRequest", full, |version, request| {
        let group = &mut request.groups[0];
        if version < 9 {
            group.member_id = None;
            group.member_epoch = -1;
        }
        let topic = &mut group.topics.as_mut().expect("set above")[0];
        name_or_id(version, &mut topic.name, &mut topic.topic_id);
    });
}

#[test]
fn offset_fetch_responses() {
    let full = |version| {
        let partition = |partition_index, committed_offset, committed_leader_epoch, metadata: Option<_>| {
            OffsetFetchResponsePartition {
                partition_index,
                committed_offset,
                committed_leader_epoch,
                metadata,
                error_code: if partition_index == 2 { 3 } else { 0 },
            }
        };
        let topic = OffsetFetchResponseTopic {
            name: text("topic"),
            topic_id: id(1),
            partitions: vec![partition(1, (1 << 32) + 5, 7, Some(text("µ"))), partition(2, -1, -1, None)],
        };
        let group =
            |name, topics, error_code| OffsetFetchResponseGroup { group_id: text(name), topics, error_code };
        let groups = if version >= 8 {
            vec![group("group", vec![topic], 0), group("all", vec![], 16)]
        } else {
            vec![group("group", vec![topic], 16)]
        };
        OffsetFetchResponse { throttle_time_ms: 8, groups }
    };
    check("OffsetFetchResponse", full, |version, response| {
        let group = &mut response.groups[0];
        let topic = &mut group.topics[0];
        name_or_id(version, &mut topic.name, &mut topic.topic_id);
        if version < 5 {
            topic.partitions[0].committed_leader_epoch = -1;
        }
        if version < 8 {
            group.group_id = text("");
        }
        if version < 3 {
            response.throttle_time_ms = 0;
        }
        if version < 2 {
            group.error_code = 0;
        }
    });
}

#[test]
fn versions_with_one_group_take_no_more_and_all_topics_are_asked_for_from_version_2_on() {
    let all = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup { topics: None, ..OffsetFetchRequestGroup::default() }],
        require_stable: false,
    };
    let two =
        OffsetFetchResponse { groups: vec![OffsetFetchResponseGroup::default(); 2], throttle_time_ms: 0 };
    let nulls = [0, 0, 0xff, 0xff, 0xff, 0xff];
    for version in 1..=7 {
        assert!(two.encode(&mut BytesMut::new(), version).is_err());
        if version < 6 {
            let written = all.encode(&mut BytesMut::new(), version);
            let read = OffsetFetchRequest::decode(&mut Bytes::copy_from_slice(&nulls), version).ok();
            assert_eq!(written.is_ok(), version > 1);
            assert_eq!(read, (version > 1).then(|| all.clone()));
        }
    }
}

fn acknowledged() -> Vec<AcknowledgementBatch> {
    let batch = |first_offset, last_offset, acknowledge_types| AcknowledgementBatch {
        first_offset,
        last_offset,
        acknowledge_types,
    };
    vec![batch(4, (1 << 32) + 5, vec![1]), batch(6, 7, vec![0, 2])]
}

fn endpoints() -> Vec<NodeEndpoint> {
    let endpoint = |node_id, host, port, rack| NodeEndpoint { node_id, host: text(host), port, rack };
    vec![endpoint(2, "host", 9092, Some(text("rack"))), endpoint(3, "", -1, None)]
}

#[test]
fn share_fetch_requests() {
    let partition = |partition_index, acknowledgement_batches| FetchPartition {
        partition_index,
        acknowledgement_batches,
    };
    let full = |_| ShareFetchRequest {
        group_id: Some(text("group")),
        member_id: Some(text("member")),
        share_session_epoch: 3,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 1 << 20,
        max_records: 100,
        batch_size: 10,
        share_acquire_mode: 1,
        is_renew_ack: true,
        topics: vec![FetchTopic {
            topic_id: id(1),
            partitions: vec![partition(1, acknowledged()), partition(2, vec![])],
        }],
        forgotten_topics_data: vec![ForgottenTopic { topic_id: id(2), partitions: vec![3] }],
    };
    check("ShareFetchRequest", full, |version, request| {
        if version < 2 {
            request.share_acquire_mode = 0;
            request.is_renew_ack = false;
        }
    });
}

fn share_fetch_response(records: &[&'static [u8]]) -> ShareFetchResponse {
    let first = PartitionData {
        partition_index: 1,
        acknowledge_error_code: 121,
        acknowledge_error_message: Some(text("a")),
        current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 },
        records: Records(records.iter().copied().map(Bytes::from_static).collect()),
        acquired_records: vec![AcquiredRecords {
            first_offset: 4,
            last_offset: (1 << 32) + 5,
            delivery_count: 2,
        }],
        ..PartitionData::default()
    };
    let second = PartitionData {
        partition_index: 2,
        error_code: 6,
        error_message: Some(text("e")),
        ..PartitionData::default()
    };
    ShareFetchResponse {
        throttle_time_ms: 8,
        error_message: Some(text("m")),
        acquisition_lock_timeout_ms: 30_000,
        responses: vec![ShareFetchableTopicResponse { topic_id: id(1), partitions: vec![first, second] }],
        node_endpoints: endpoints(),
        ..ShareFetchResponse::default()
    }
}

#[test]
fn share_fetch_responses() {
    let full = |_| share_fetch_response(&[&[0, 1, 2], &[3, 4]]);
    check("ShareFetchResponse", full, |_, response| {
        response.responses[0].partitions[0].records = Records(vec![Bytes::from_static(&[0, 1, 2, 3, 4])]);
    });
}

#[test]
fn records_of_a_share_fetch_are_not_copied() {
    const RECORDS: [&[u8]; 3] = [&[7; 5000], &[], &[8; 10]];
    let response = share_fetch_response(&RECORDS);
    let header = RequestHeader { api: ApiKey::ShareFetch, version: 2, correlation_id: 77, client_id: None };
    let slices = encode(&header, &response).expect("nothing is too long");
    assert_eq!(slices.len(), 4);
    assert_eq!((slices[1].as_ptr(), slices[2].as_ptr()), (RECORDS[0].as_ptr(), RECORDS[2].as_ptr()));
    let plain = encode_response(&header, &response).expect("nothing is too long");
    assert_eq!(Bytes::from(slices.concat()), plain);
}

#[test]
fn share_acknowledge_requests() {
    let partitions = vec![FetchPartition { partition_index: 1, acknowledgement_batches: acknowledged() }];
    let full = |_| ShareAcknowledgeRequest {
        group_id: Some(text("group")),
        member_id: Some(text("member")),
        share_session_epoch: 3,
        is_renew_ack: true,
        topics: vec![FetchTopic { topic_id: id(1), partitions: partitions.clone() }],
    };
    check("ShareAcknowledgeRequest", full, |version, request| request.is_renew_ack = version >= 2);
}

#[test]
fn share_acknowledge_responses() {
    let full = |_| ShareAcknowledgeResponse {
        throttle_time_ms: 8,
        acquisition_lock_timeout_ms: 30_000,
        responses: vec![ShareAcknowledgeTopicResponse {
            topic_id: id(1),
            partitions: vec![AcknowledgedPartition {
                partition_index: 1,
                error_code: 6,
                error_message: Some(text("e")),
                current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 },
            }],
        }],
        node_endpoints: endpoints(),
        ..ShareAcknowledgeResponse::default()
    };
    check("ShareAcknowledgeResponse", full, |version, response| {
        if version < 2 {
            response.acquisition_lock_timeout_ms = 0;
        }
    });
}

#[test]
fn describe_share_group_offsets_requests() {
    let group = |name, topics| DescribeShareGroupOffsetsRequestGroup { group_id: text(name), topics };
    let full = |_| {
        let topic =
            DescribeShareGroupOffsetsRequestTopic { topic_name: text("topic"), partitions: vec![1, 2] };
        let groups = vec![group("group", Some(vec![topic])), group("all", None)];
        DescribeShareGroupOffsetsRequest { groups }
    };
    check("DescribeShareGroupOffsetsRequest", full, |_, _| ());
}

#[test]
fn describe_share_group_offsets_responses() {
    let first = DescribeShareGroupOffsetsResponsePartition {
        partition_index: 1,
        start_offset: 4,
        leader_epoch: 9,
        lag: (1 << 32) + 5,
        ..DescribeShareGroupOffsetsResponsePartition::default()
    };
    let second = DescribeShareGroupOffsetsResponsePartition {
        partition_index: 2,
        start_offset: -1,
        error_code: 3,
        error_message: Some(text("e")),
        ..DescribeShareGroupOffsetsResponsePartition::default()
    };
    let full = |_| DescribeShareGroupOffsetsResponse {
        throttle_time_ms: 8,
        groups: vec![
            DescribeShareGroupOffsetsResponseGroup {
                group_id: text("group"),
                topics: vec![DescribeShareGroupOffsetsResponseTopic {
                    topic_name: text("topic"),
                    topic_id: id(1),
                    partitions: vec![first.clone(), second.clone()],
                }],
                ..DescribeShareGroupOffsetsResponseGroup::default()
            },
            DescribeShareGroupOffsetsResponseGroup {
                group_id: text("none"),
                error_code: 69,
                error_message: Some(text("m")),
                ..DescribeShareGroupOffsetsResponseGroup::default()
            },
        ],
    };
    check("DescribeShareGroupOffsetsResponse", full, |version, response| {
        if version < 1 {
            response.groups[0].topics[0].partitions[0].lag = -1;
        }
    });
}

/// The version of both headers of a request `T`.
fn header_versions<T: Request>(version: i16) -> (i16, i16) {
    (T::header_version(version), T::Response::header_version(version))
}

#[test]
fn headers_are_those_that_the_crate_gives_the_api() {
    let check = |api: ApiKey, versions: RangeInclusive<i16>, ours: fn(i16) -> (i16, i16)| {
        for version in versions {
            assert_eq!(codec_version(api, version), version);
            let crates = (api.request_header_version(version), api.response_header_version(version));
            assert_eq!(ours(version), crates, "{api:?} {version}");
        }
    };
    check(ApiKey::OffsetCommit, 2..=10, header_versions::<OffsetCommitRequest>);
    check(ApiKey::OffsetFetch, 1..=10, header_versions::<OffsetFetchRequest>);
    check(ApiKey::ShareFetch, 1..=2, header_versions::<ShareFetchRequest>);
    check(ApiKey::ShareAcknowledge, 1..=2, header_versions::<ShareAcknowledgeRequest>);
    check(ApiKey::DescribeShareGroupOffsets, 0..=1, header_versions::<DescribeShareGroupOffsetsRequest>);
}
