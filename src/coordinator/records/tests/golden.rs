//! The bytes of `golden.txt` against the same records written here.

use bytes::Bytes;

use crate::coordinator::records::share_state::{
    SharePartitionKey, ShareRecord, SnapshotValue, StateBatch, UpdateValue,
};
use crate::coordinator::records::{GroupRecord, classic, consumer, offsets, share};
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

const GOLDEN: &str = include_str!("../golden.txt");

/// A record as Kafka wrote it.
#[derive(Clone, Debug)]
pub(super) struct Golden {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

/// All records of the file.
pub(super) fn all() -> Vec<Golden> {
    records(GOLDEN)
}

/// The records beneath the comment that begins with `heading`.
fn section(heading: &str) -> Vec<Golden> {
    let heading = format!("\n# {heading}");
    let from = GOLDEN.find(&heading).expect("the file has the heading") + heading.len();
    let rest = &GOLDEN[from..];
    records(&rest[..rest.find("\n# ").unwrap_or(rest.len())])
}

fn records(text: &str) -> Vec<Golden> {
    let mut found: Vec<Golden> = Vec::new();
    let mut name = "";
    for line in text.lines() {
        let Some(hex) = line.strip_prefix("> ") else {
            name = line.split(' ').next().unwrap_or_default();
            continue;
        };
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        let bytes = digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect();
        if name.ends_with("Key") {
            found.push(Golden { key: bytes, value: None });
        } else {
            found.last_mut().expect("a key comes first").value = Some(bytes);
        }
    }
    found
}

fn id(number: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(number))
}

fn indexes(numbers: &[i32]) -> Vec<PartitionIndex> {
    numbers.iter().copied().map(PartitionIndex).collect()
}

fn on(topic: u128, partitions: &[i32]) -> consumer::TopicPartitions {
    consumer::TopicPartitions { topic_id: id(topic), partitions: indexes(partitions) }
}

fn named(topic: u128, name: &str, partitions: &[i32]) -> share::NamedPartitions {
    share::NamedPartitions { topic_id: id(topic), topic: name.to_owned(), partitions: indexes(partitions) }
}

fn commit(partition: i32, value: Option<offsets::OffsetValue>) -> GroupRecord {
    let key = offsets::OffsetKey {
        group: "group".into(),
        topic: "topic".into(),
        partition: PartitionIndex(partition),
    };
    GroupRecord::OffsetCommit(key, value)
}

fn offset(offset: i64, metadata: &str, at: i64) -> offsets::OffsetValue {
    offsets::OffsetValue {
        offset: Offset(offset),
        leader_epoch: LeaderEpoch::UNKNOWN,
        metadata: metadata.into(),
        committed_at: TimestampMs(at),
        expires_at: None,
        topic_id: TopicId::ZERO,
    }
}

fn offset_records() -> Vec<GroupRecord> {
    let at = 1_700_000_000_001;
    let full = offsets::OffsetValue {
        leader_epoch: LeaderEpoch(3),
        topic_id: id(1),
        ..offset((1 << 32) + 5, "µ", at)
    };
    let expiring =
        offsets::OffsetValue { expires_at: Some(TimestampMs(1_700_000_000_002)), ..offset(5, "m", at) };
    vec![
        commit(7, Some(full)),
        commit(8, Some(offset(5, "", at))),
        commit(9, Some(expiring)),
        commit(10, None),
    ]
}

fn classic_records() -> Vec<GroupRecord> {
    let first = classic::ClassicMemberValue {
        id: "m1".into(),
        instance_id: Some("i1".into()),
        client_id: "c1".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(&[0, 1, 2]),
        assignment: Bytes::from_static(&[0xff]),
    };
    let second = classic::ClassicMemberValue {
        id: "m2".into(),
        instance_id: None,
        client_id: String::new(),
        client_host: "/::1".to_owned(),
        rebalance_timeout_ms: 1,
        session_timeout_ms: 2,
        subscription: Bytes::new(),
        assignment: Bytes::new(),
    };
    let full = classic::ClassicGroupValue {
        protocol_type: "consumer".to_owned(),
        generation: 5,
        protocol: Some("range".to_owned()),
        leader: Some("m1".into()),
        state_since: TimestampMs(1_700_000_000_003),
        members: vec![first, second],
    };
    let empty = classic::ClassicGroupValue {
        protocol_type: String::new(),
        generation: 0,
        protocol: None,
        leader: None,
        state_since: TimestampMs::NONE,
        members: vec![],
    };
    vec![
        GroupRecord::ClassicGroup("group".into(), Some(full)),
        GroupRecord::ClassicGroup("empty".into(), Some(empty)),
    ]
}

fn member_records() -> Vec<GroupRecord> {
    let full = consumer::MemberValue {
        instance_id: Some("instance".into()),
        rack_id: Some("rack".to_owned()),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        subscribed_topics: vec!["a".to_owned(), "b".to_owned()],
        subscribed_regex: Some("a.*".to_owned()),
        rebalance_timeout_ms: 300_000,
        server_assignor: Some("uniform".to_owned()),
        classic: Some(consumer::ClassicMember {
            session_timeout_ms: 45_000,
            protocols: vec![
                ("range".to_owned(), Bytes::from_static(&[0, 1, 2])),
                ("sticky".to_owned(), Bytes::new()),
            ],
        }),
    };
    let bare = consumer::MemberValue {
        instance_id: None,
        rack_id: None,
        client_id: String::new(),
        client_host: String::new(),
        subscribed_topics: vec![],
        subscribed_regex: None,
        rebalance_timeout_ms: -1,
        server_assignor: None,
        classic: None,
    };
    let default = consumer::MemberValue { classic: Some(consumer::ClassicMember::default()), ..bare.clone() };
    vec![
        GroupRecord::ConsumerMember("group".into(), "member".into(), Some(full)),
        GroupRecord::ConsumerMember("group".into(), "bare".into(), Some(bare)),
        GroupRecord::ConsumerMember("group".into(), "default".into(), Some(default)),
    ]
}

fn consumer_records() -> Vec<GroupRecord> {
    use GroupRecord::*;
    let group_value = |epoch, metadata_hash| Some(consumer::GroupValue { epoch, metadata_hash });
    let target = consumer::TargetMemberValue { partitions: vec![on(1, &[0, 300]), on(2, &[])] };
    let current = consumer::CurrentValue {
        epoch: 13,
        previous_epoch: 12,
        state: consumer::MemberState::UnrevokedPartitions,
        assigned: vec![on(1, &[0, 1])],
        pending_revocation: vec![on(2, &[2])],
    };
    let regex = consumer::RegexValue {
        topics: vec!["ab".to_owned(), "ac".to_owned()],
        version: 99,
        at: TimestampMs(1_700_000_000_004),
    };
    let mut records = vec![
        ConsumerGroup("group".into(), group_value(11, -0x0123_4567_89ab_cdf0)),
        ConsumerGroup("none".into(), group_value(1, 0)),
        ConsumerPartitionMetadata("group".into(), None),
    ];
    records.extend(member_records());
    records.extend([
        ConsumerTarget("group".into(), Some(consumer::TargetValue { assignment_epoch: 12 })),
        ConsumerTargetMember("group".into(), "member".into(), Some(target)),
        ConsumerCurrent("group".into(), "member".into(), Some(current)),
        ConsumerRegex("group".into(), "a.*".to_owned(), Some(regex)),
    ]);
    records
}

fn share_group_records() -> Vec<GroupRecord> {
    use GroupRecord::*;
    let group_value = consumer::GroupValue { epoch: 14, metadata_hash: 0x0123_4567_89ab_cdef };
    let member = share::MemberValue {
        rack_id: Some("rack".to_owned()),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        subscribed_topics: vec!["a".to_owned(), "b".to_owned()],
    };
    let target = consumer::TargetMemberValue { partitions: vec![on(1, &[3])] };
    let current = share::CurrentValue {
        epoch: 16,
        previous_epoch: 15,
        state: consumer::MemberState::Stable,
        assigned: vec![on(1, &[3])],
    };
    let state = share::StatePartitionsValue {
        initializing: vec![named(1, "a", &[0, 1])],
        initialized: vec![named(2, "b", &[])],
        deleting: vec![(id(3), "c".to_owned())],
    };
    vec![
        ShareGroup("share".into(), Some(group_value)),
        ShareMember("share".into(), "member".into(), Some(member)),
        ShareTarget("share".into(), Some(consumer::TargetValue { assignment_epoch: 15 })),
        ShareTargetMember("share".into(), "member".into(), Some(target)),
        ShareCurrent("share".into(), "member".into(), Some(current)),
        ShareStatePartitions("share".into(), Some(state)),
    ]
}

fn old_records() -> Vec<GroupRecord> {
    let member = classic::ClassicMemberValue {
        id: "m1".into(),
        instance_id: None,
        client_id: "c1".to_owned(),
        client_host: "h".to_owned(),
        rebalance_timeout_ms: 45_000,
        session_timeout_ms: 45_000,
        subscription: Bytes::from_static(&[0, 1, 2]),
        assignment: Bytes::from_static(&[0xff]),
    };
    let group = classic::ClassicGroupValue {
        protocol_type: "t".to_owned(),
        generation: 5,
        protocol: Some("p".to_owned()),
        leader: Some("m1".into()),
        state_since: TimestampMs::NONE,
        members: vec![member],
    };
    let mut records = vec![commit(7, Some(offset(5, "m", 6))); 5];
    records.extend(vec![GroupRecord::ClassicGroup("group".into(), Some(group)); 4]);
    let old = Some(consumer::OldPartitionMetadata);
    records.push(GroupRecord::ConsumerPartitionMetadata("group".into(), old));
    records
}

fn share_records() -> Vec<ShareRecord> {
    let key = |partition| SharePartitionKey {
        group: "share".into(),
        topic_id: id(1),
        partition: PartitionIndex(partition),
    };
    let batch = |first, last, delivery_state, delivery_count| StateBatch {
        first_offset: Offset(first),
        last_offset: Offset(last),
        delivery_state,
        delivery_count,
    };
    let full = SnapshotValue {
        snapshot_epoch: 1,
        state_epoch: 2,
        leader_epoch: LeaderEpoch(3),
        start_offset: Offset(4),
        delivery_complete_count: 5,
        created_at: TimestampMs(1_700_000_000_005),
        written_at: TimestampMs(1_700_000_000_006),
        batches: vec![batch(4, 9, 0, 1), batch(10, (1 << 32) + 10, 2, 300)],
    };
    let bare = SnapshotValue {
        leader_epoch: LeaderEpoch::UNKNOWN,
        start_offset: Offset::NONE,
        delivery_complete_count: -1,
        created_at: TimestampMs(0),
        written_at: TimestampMs(0),
        batches: vec![],
        ..full.clone()
    };
    let update = UpdateValue {
        snapshot_epoch: 1,
        leader_epoch: LeaderEpoch(3),
        start_offset: Offset(5),
        delivery_complete_count: 6,
        batches: vec![batch(5, 6, 4, 5)],
    };
    let nothing = UpdateValue {
        start_offset: Offset::NONE,
        delivery_complete_count: -1,
        batches: vec![],
        ..update.clone()
    };
    vec![
        ShareRecord::Snapshot(key(2), Some(full)),
        ShareRecord::Snapshot(key(3), Some(bare)),
        ShareRecord::Snapshot(key(4), None),
        ShareRecord::Update(key(2), Some(update)),
        ShareRecord::Update(key(3), Some(nothing)),
    ]
}

#[test]
fn records_are_written_and_read_as_kafka_does() {
    let records = [offset_records(), classic_records(), consumer_records(), share_group_records()].concat();
    let golden = section("Kafka 4.2 writes");
    assert_eq!(golden.len(), records.len());
    for (record, golden) in records.into_iter().zip(golden) {
        let (key, value) = record.encode().expect("short");
        assert_eq!((&key[..], value.as_deref()), (&golden.key[..], golden.value.as_deref()), "{record:?}");
        assert_eq!(GroupRecord::decode(&golden.key, golden.value.as_deref()), Ok(Some(record)));
    }
}

#[test]
fn records_of_older_brokers_are_read() {
    let records = old_records();
    let golden = section("Older brokers");
    assert_eq!(golden.len(), records.len());
    for (record, golden) in records.into_iter().zip(golden) {
        assert_eq!(GroupRecord::decode(&golden.key, golden.value.as_deref()), Ok(Some(record)));
    }
}

#[test]
fn records_of_streams_groups_are_passed_over() {
    let golden = section("Of groups that are passed over");
    assert_eq!(golden.len(), 1);
    assert_eq!(GroupRecord::decode(&golden[0].key, Some(&[0, 9, 9])), Ok(None));
}

#[test]
fn share_state_is_written_and_read_as_kafka_does() {
    let records = share_records();
    let golden = section("The share coordinator's");
    assert_eq!(golden.len(), records.len());
    for (record, golden) in records.into_iter().zip(golden) {
        let (key, value) = record.encode().expect("short");
        assert_eq!((&key[..], value.as_deref()), (&golden.key[..], golden.value.as_deref()), "{record:?}");
        assert_eq!(ShareRecord::decode(&golden.key, golden.value.as_deref()), Ok(Some(record)));
    }
}
