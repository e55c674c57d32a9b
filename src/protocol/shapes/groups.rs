//! The layout of the requests of groups: classic, consumer and share.
//!
//! Key invariant: as in the parent.

use super::{Field, Kind::*, Shape, Struct, all, since, until};
use kafka_protocol::messages::ApiKey;

pub(super) const SHAPES: &[(ApiKey, Shape)] = &[
    (
        ApiKey::OffsetCommit,
        flexible_from(
            8,
            &[
                all(Text),
                all(Fixed(4)),
                all(Text),
                since(7, Text),
                super::within(2, 4, Fixed(8)),
                all(List(&Struct(&OFFSET_COMMIT_TOPIC))),
            ],
        ),
    ),
    (
        ApiKey::OffsetFetch,
        flexible_from(
            6,
            &[
                until(7, Text),
                until(7, List(&Struct(&OFFSET_FETCH_TOPIC))),
                since(8, List(&Struct(&OFFSET_FETCH_GROUP))),
                since(7, Fixed(1)),
            ],
        ),
    ),
    (
        ApiKey::JoinGroup,
        flexible_from(
            6,
            &[
                all(Text),
                all(Fixed(4)),
                since(1, Fixed(4)),
                all(Text),
                since(5, Text),
                all(Text),
                all(List(&Struct(&TEXT_AND_BLOB))),
                since(8, Text),
            ],
        ),
    ),
    (ApiKey::Heartbeat, flexible_from(4, &[all(Text), all(Fixed(4)), all(Text), since(3, Text)])),
    (
        ApiKey::LeaveGroup,
        flexible_from(4, &[all(Text), until(2, Text), since(3, List(&Struct(&LEAVE_GROUP_MEMBER)))]),
    ),
    (
        ApiKey::SyncGroup,
        flexible_from(
            4,
            &[
                all(Text),
                all(Fixed(4)),
                all(Text),
                since(3, Text),
                since(5, Text),
                since(5, Text),
                all(List(&Struct(&TEXT_AND_BLOB))),
            ],
        ),
    ),
    (ApiKey::DescribeGroups, flexible_from(5, &[all(List(&Text)), since(3, Fixed(1))])),
    (ApiKey::ListGroups, flexible_from(3, &[since(4, List(&Text)), since(5, List(&Text))])),
    (ApiKey::DeleteGroups, flexible_from(2, &[all(List(&Text))])),
    (
        ApiKey::OffsetDelete,
        flexible_from(i16::MAX, &[all(Text), all(List(&Struct(&TOPIC_AND_PARTITION_STRUCTS)))]),
    ),
    (
        ApiKey::ConsumerGroupHeartbeat,
        flexible_from(
            0,
            &[
                all(Text),
                all(Text),
                all(Fixed(4)),
                all(Text),
                all(Text),
                all(Fixed(4)),
                all(List(&Text)),
                since(1, Text),
                all(Text),
                all(List(&Struct(&ID_AND_PARTITIONS))),
            ],
        ),
    ),
    (ApiKey::ConsumerGroupDescribe, flexible_from(0, &[all(List(&Text)), all(Fixed(1))])),
    (
        ApiKey::ShareGroupHeartbeat,
        flexible_from(0, &[all(Text), all(Text), all(Fixed(4)), all(Text), all(List(&Text))]),
    ),
    (ApiKey::ShareGroupDescribe, flexible_from(0, &[all(List(&Text)), all(Fixed(1))])),
    (
        ApiKey::ShareFetch,
        flexible_from(
            0,
            &[
                all(Text),
                all(Text),
                // Session epoch, longest wait, bytes at least and at most, records, records in a batch.
                all(Fixed(6 * 4)),
                since(2, Fixed(1)),
                since(2, Fixed(1)),
                all(List(&Struct(&SHARE_TOPIC))),
                all(List(&Struct(&ID_AND_PARTITIONS))),
            ],
        ),
    ),
    (
        ApiKey::ShareAcknowledge,
        flexible_from(
            0,
            &[all(Text), all(Text), all(Fixed(4)), since(2, Fixed(1)), all(List(&Struct(&SHARE_TOPIC)))],
        ),
    ),
    (ApiKey::DescribeShareGroupOffsets, flexible_from(0, &[all(List(&Struct(&DESCRIBED_SHARE_GROUP)))])),
    (
        ApiKey::AlterShareGroupOffsets,
        flexible_from(0, &[all(Text), all(List(&Struct(&ALTERED_SHARE_TOPIC)))]),
    ),
    (
        ApiKey::DeleteShareGroupOffsets,
        flexible_from(0, &[all(Text), all(List(&Struct(&Struct { fields: &[all(Text)], tagged: &[] })))]),
    ),
];

/// None of these requests has a tagged field.
const fn flexible_from(version: i16, fields: &'static [Field]) -> Shape {
    Shape { flexible_from: version, body: plain(fields) }
}

const fn plain(fields: &'static [Field]) -> Struct {
    Struct { fields, tagged: &[] }
}

const OFFSET_COMMIT_TOPIC: Struct =
    plain(&[until(9, Text), since(10, Fixed(16)), all(List(&Struct(&OFFSET_COMMIT_PARTITION)))]);
const OFFSET_COMMIT_PARTITION: Struct = plain(&[all(Fixed(4)), all(Fixed(8)), since(6, Fixed(4)), all(Text)]);
const OFFSET_FETCH_TOPIC: Struct = plain(&[until(9, Text), since(10, Fixed(16)), all(List(&Fixed(4)))]);
const OFFSET_FETCH_GROUP: Struct =
    plain(&[all(Text), since(9, Text), since(9, Fixed(4)), all(List(&Struct(&OFFSET_FETCH_TOPIC)))]);
const TEXT_AND_BLOB: Struct = plain(&[all(Text), all(Blob)]);
const LEAVE_GROUP_MEMBER: Struct = plain(&[all(Text), all(Text), since(5, Text)]);
const TOPIC_AND_PARTITION_STRUCTS: Struct = plain(&[all(Text), all(List(&Struct(&plain(&[all(Fixed(4))]))))]);
const ID_AND_PARTITIONS: Struct = plain(&[all(Fixed(16)), all(List(&Fixed(4)))]);
const SHARE_TOPIC: Struct = plain(&[all(Fixed(16)), all(List(&Struct(&SHARE_PARTITION)))]);
const SHARE_PARTITION: Struct = plain(&[all(Fixed(4)), all(List(&Struct(&ACKNOWLEDGED_BATCH)))]);
const ACKNOWLEDGED_BATCH: Struct = plain(&[all(Fixed(8)), all(Fixed(8)), all(List(&Fixed(1)))]);
const DESCRIBED_SHARE_GROUP: Struct = plain(&[all(Text), all(List(&Struct(&TEXT_AND_PARTITIONS)))]);
const TEXT_AND_PARTITIONS: Struct = plain(&[all(Text), all(List(&Fixed(4)))]);
const ALTERED_SHARE_TOPIC: Struct =
    plain(&[all(Text), all(List(&Struct(&plain(&[all(Fixed(4)), all(Fixed(8))]))))]);
