//! Arbitrary records of every kind.

use proptest::prelude::*;

use crate::coordinator::records::share_state::{
    SharePartitionKey, ShareRecord, SnapshotValue, StateBatch, UpdateValue,
};
use crate::coordinator::records::{GroupRecord, classic, consumer, offsets, share};
use crate::coordinator::{GroupId, InstanceId, MemberId};
use crate::model::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => ".{0,8}", 1 => "[a-zµ]{200}"]
}

fn optional_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of(text())
}

fn group() -> impl Strategy<Value = GroupId> {
    text().prop_map(GroupId::from)
}

fn member() -> impl Strategy<Value = MemberId> {
    text().prop_map(MemberId::from)
}

fn instance() -> impl Strategy<Value = Option<InstanceId>> {
    prop::option::of(text().prop_map(InstanceId::from))
}

fn blob() -> impl Strategy<Value = bytes::Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(bytes::Bytes::from)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    prop_oneof![Just(0), any::<u128>()].prop_map(|id| TopicId(uuid::Uuid::from_u128(id)))
}

fn time() -> impl Strategy<Value = TimestampMs> {
    any::<i64>().prop_map(TimestampMs)
}

fn partitions() -> impl Strategy<Value = Vec<PartitionIndex>> {
    prop::collection::vec(any::<i32>().prop_map(PartitionIndex), 0..200)
}

fn list<T: std::fmt::Debug>(element: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(element, 0..4)
}

fn offset_value() -> impl Strategy<Value = offsets::OffsetValue> {
    let expires_at = prop::option::of(time()).prop_filter("-1 is none", |at| *at != Some(TimestampMs::NONE));
    (any::<i64>(), any::<i32>(), text(), time(), expires_at, topic_id()).prop_map(
        |(offset, epoch, metadata, committed_at, expires_at, topic_id)| offsets::OffsetValue {
            offset: Offset(offset),
            // The version with a time of expiry says neither epoch nor id.
            leader_epoch: if expires_at.is_some() { LeaderEpoch::UNKNOWN } else { LeaderEpoch(epoch) },
            metadata: metadata.into(),
            committed_at,
            expires_at,
            topic_id: if expires_at.is_some() { TopicId::ZERO } else { topic_id },
        },
    )
}

fn classic_value() -> impl Strategy<Value = classic::ClassicGroupValue> {
    let each = (member(), instance(), (text(), text()), any::<(i32, i32)>(), blob(), blob()).prop_map(
        |(id, instance_id, (client_id, client_host), timeouts, subscription, assignment)| {
            classic::ClassicMemberValue {
                id,
                instance_id,
                client_id,
                client_host,
                rebalance_timeout_ms: timeouts.0,
                session_timeout_ms: timeouts.1,
                subscription,
                assignment,
            }
        },
    );
    (text(), any::<i32>(), optional_text(), prop::option::of(member()), time(), list(each)).prop_map(
        |(protocol_type, generation, protocol, leader, state_since, members)| classic::ClassicGroupValue {
            protocol_type,
            generation,
            protocol,
            leader,
            state_since,
            members,
        },
    )
}

fn consumer_member() -> impl Strategy<Value = consumer::MemberValue> {
    let classic = (any::<i32>(), list((text(), blob()))).prop_map(|(session_timeout_ms, protocols)| {
        consumer::ClassicMember { session_timeout_ms, protocols }
    });
    let names = (instance(), optional_text(), text(), text());
    let subscription = (list(text()), optional_text(), any::<i32>(), optional_text());
    (names, subscription, prop::option::of(classic)).prop_map(|(names, subscription, classic)| {
        consumer::MemberValue {
            instance_id: names.0,
            rack_id: names.1,
            client_id: names.2,
            client_host: names.3,
            subscribed_topics: subscription.0,
            subscribed_regex: subscription.1,
            rebalance_timeout_ms: subscription.2,
            server_assignor: subscription.3,
            classic,
        }
    })
}

fn topics() -> impl Strategy<Value = Vec<consumer::TopicPartitions>> {
    list(
        (topic_id(), partitions())
            .prop_map(|(topic_id, partitions)| consumer::TopicPartitions { topic_id, partitions }),
    )
}

fn state() -> impl Strategy<Value = consumer::MemberState> {
    use consumer::MemberState::*;
    prop::sample::select(vec![Stable, UnrevokedPartitions, UnreleasedPartitions, Unknown])
}

fn group_value() -> impl Strategy<Value = Option<consumer::GroupValue>> {
    let value = (any::<i32>(), prop_oneof![Just(0), any::<i64>()])
        .prop_map(|(epoch, metadata_hash)| consumer::GroupValue { epoch, metadata_hash });
    prop::option::of(value)
}

fn target_value() -> impl Strategy<Value = Option<consumer::TargetValue>> {
    prop::option::of(any::<i32>().prop_map(|assignment_epoch| consumer::TargetValue { assignment_epoch }))
}

fn target_member() -> impl Strategy<Value = Option<consumer::TargetMemberValue>> {
    prop::option::of(topics().prop_map(|partitions| consumer::TargetMemberValue { partitions }))
}

fn state_partitions() -> impl Strategy<Value = share::StatePartitionsValue> {
    let named =
        || {
            list((topic_id(), text(), partitions()).prop_map(|(topic_id, topic, partitions)| {
                share::NamedPartitions { topic_id, topic, partitions }
            }))
        };
    (named(), named(), list((topic_id(), text()))).prop_map(|(initializing, initialized, deleting)| {
        share::StatePartitionsValue { initializing, initialized, deleting }
    })
}

pub(super) fn group_record() -> impl Strategy<Value = GroupRecord> {
    prop_oneof![consumer_record(), share_group_record()]
}

fn consumer_record() -> impl Strategy<Value = GroupRecord> {
    use GroupRecord::*;
    let key = (group(), text(), any::<i32>()).prop_map(|(group, topic, partition)| offsets::OffsetKey {
        group,
        topic: topic.into(),
        partition: PartitionIndex(partition),
    });
    let current = (any::<(i32, i32)>(), state(), topics(), topics()).prop_map(
        |((epoch, previous_epoch), state, assigned, pending_revocation)| consumer::CurrentValue {
            epoch,
            previous_epoch,
            state,
            assigned,
            pending_revocation,
        },
    );
    let regex = (list(text()), any::<i64>(), time()).prop_map(|(topics, version, at)| consumer::RegexValue {
        topics,
        version,
        at,
    });
    let old = prop::option::of(Just(consumer::OldPartitionMetadata));
    prop_oneof![
        (key, prop::option::of(offset_value())).prop_map(|(key, value)| OffsetCommit(key, value)),
        (group(), prop::option::of(classic_value())).prop_map(|(g, value)| ClassicGroup(g, value)),
        (group(), group_value()).prop_map(|(g, value)| ConsumerGroup(g, value)),
        (group(), old).prop_map(|(g, value)| ConsumerPartitionMetadata(g, value)),
        (group(), member(), prop::option::of(consumer_member()))
            .prop_map(|(g, m, v)| ConsumerMember(g, m, v)),
        (group(), target_value()).prop_map(|(g, value)| ConsumerTarget(g, value)),
        (group(), member(), target_member()).prop_map(|(g, m, v)| ConsumerTargetMember(g, m, v)),
        (group(), member(), prop::option::of(current)).prop_map(|(g, m, v)| ConsumerCurrent(g, m, v)),
        (group(), text(), prop::option::of(regex)).prop_map(|(g, regex, v)| ConsumerRegex(g, regex, v)),
    ]
}

fn share_group_record() -> impl Strategy<Value = GroupRecord> {
    use GroupRecord::*;
    let value = (optional_text(), text(), text(), list(text())).prop_map(
        |(rack_id, client_id, client_host, subscribed_topics)| share::MemberValue {
            rack_id,
            client_id,
            client_host,
            subscribed_topics,
        },
    );
    let current =
        (any::<(i32, i32)>(), state(), topics()).prop_map(|((epoch, previous_epoch), state, assigned)| {
            share::CurrentValue { epoch, previous_epoch, state, assigned }
        });
    prop_oneof![
        (group(), group_value()).prop_map(|(g, value)| ShareGroup(g, value)),
        (group(), member(), prop::option::of(value)).prop_map(|(g, m, v)| ShareMember(g, m, v)),
        (group(), target_value()).prop_map(|(g, value)| ShareTarget(g, value)),
        (group(), member(), target_member()).prop_map(|(g, m, v)| ShareTargetMember(g, m, v)),
        (group(), member(), prop::option::of(current)).prop_map(|(g, m, v)| ShareCurrent(g, m, v)),
        (group(), prop::option::of(state_partitions())).prop_map(|(g, v)| ShareStatePartitions(g, v)),
    ]
}

pub(super) fn share_record() -> impl Strategy<Value = ShareRecord> {
    let key = (group(), topic_id(), any::<i32>()).prop_map(|(group, topic_id, partition)| {
        SharePartitionKey { group, topic_id, partition: PartitionIndex(partition) }
    });
    let batches = || {
        list(any::<(i64, i64, i8, i16)>().prop_map(|(first, last, delivery_state, delivery_count)| {
            StateBatch {
                first_offset: Offset(first),
                last_offset: Offset(last),
                delivery_state,
                delivery_count,
            }
        }))
    };
    let snapshot = (any::<(i32, i32, i32, i64)>(), -2..3_i32, (time(), time()), batches()).prop_map(
        |(head, delivery_complete_count, (created_at, written_at), batches)| SnapshotValue {
            snapshot_epoch: head.0,
            state_epoch: head.1,
            leader_epoch: LeaderEpoch(head.2),
            start_offset: Offset(head.3),
            delivery_complete_count,
            created_at,
            written_at,
            batches,
        },
    );
    let update = (any::<(i32, i32, i64)>(), -2..3_i32, batches()).prop_map(
        |(head, delivery_complete_count, batches)| UpdateValue {
            snapshot_epoch: head.0,
            leader_epoch: LeaderEpoch(head.1),
            start_offset: Offset(head.2),
            delivery_complete_count,
            batches,
        },
    );
    let update_key = (group(), topic_id()).prop_map(|(group, topic_id)| SharePartitionKey {
        group,
        topic_id,
        partition: PartitionIndex(1),
    });
    prop_oneof![
        (key, prop::option::of(snapshot)).prop_map(|(key, value)| ShareRecord::Snapshot(key, value)),
        (update_key, prop::option::of(update)).prop_map(|(key, value)| ShareRecord::Update(key, value)),
    ]
}
