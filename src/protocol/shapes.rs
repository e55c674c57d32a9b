//! The layout of every request that is offered, as Kafka's message definitions give it.
//!
//! Key invariant: for bytes that the kafka-protocol crate decodes, the layout here takes exactly as many bytes; the tests
//! of this room compare the two for every version. Fields of versions that are not offered are left out.

mod groups;

use super::shape::{Field, Kind, Kind::*, Shape, Struct};
use kafka_protocol::messages::ApiKey;

/// The layout of requests with this API key.
pub(super) fn of(key: i16) -> Option<&'static Shape> {
    all_shapes().find(|(api, _)| *api as i16 == key).map(|(_, shape)| shape)
}

/// Every layout.
pub(super) fn all_shapes() -> impl Iterator<Item = &'static (ApiKey, Shape)> {
    SHAPES.iter().chain(groups::SHAPES)
}

const fn all(kind: Kind) -> Field {
    within(0, i16::MAX, kind)
}

const fn since(since: i16, kind: Kind) -> Field {
    within(since, i16::MAX, kind)
}

const fn until(until: i16, kind: Kind) -> Field {
    within(0, until, kind)
}

const fn within(since: i16, until: i16, kind: Kind) -> Field {
    Field { kind, since, until }
}

const SHAPES: &[(ApiKey, Shape)] = &[
    (
        ApiKey::Produce,
        Shape {
            flexible_from: 9,
            body: Struct {
                fields: &[
                    all(Text),
                    all(Fixed(2)),
                    all(Fixed(4)),
                    all(List(&Struct(&PRODUCE_TOPIC_PRODUCE_DATA))),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::Fetch,
        Shape {
            flexible_from: 12,
            body: Struct {
                fields: &[
                    until(14, Fixed(4)),
                    all(Fixed(4)),
                    all(Fixed(4)),
                    all(Fixed(4)),
                    all(Fixed(1)),
                    since(7, Fixed(4)),
                    since(7, Fixed(4)),
                    all(List(&Struct(&FETCH_TOPIC))),
                    since(7, List(&Struct(&FETCH_FORGOTTEN_TOPIC))),
                    since(11, Text),
                ],
                tagged: &[(0, since(12, Text)), (1, since(15, Struct(&FETCH_REPLICA_STATE)))],
            },
        },
    ),
    (
        ApiKey::ListOffsets,
        Shape {
            flexible_from: 6,
            body: Struct {
                fields: &[
                    all(Fixed(4)),
                    since(2, Fixed(1)),
                    all(List(&Struct(&LIST_OFFSETS_TOPIC))),
                    since(10, Fixed(4)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::Metadata,
        Shape {
            flexible_from: 9,
            body: Struct {
                fields: &[
                    all(List(&Struct(&METADATA_REQUEST_TOPIC))),
                    since(4, Fixed(1)),
                    within(8, 10, Fixed(1)),
                    since(8, Fixed(1)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::FindCoordinator,
        Shape {
            flexible_from: 3,
            body: Struct {
                fields: &[until(3, Text), since(1, Fixed(1)), since(4, List(&Text))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::ApiVersions,
        Shape { flexible_from: 3, body: Struct { fields: &[since(3, Text), since(3, Text)], tagged: &[] } },
    ),
    (
        ApiKey::CreateTopics,
        Shape {
            flexible_from: 5,
            body: Struct {
                fields: &[all(List(&Struct(&CREATE_TOPICS_CREATABLE_TOPIC))), all(Fixed(4)), all(Fixed(1))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::DeleteTopics,
        Shape {
            flexible_from: 4,
            body: Struct {
                fields: &[
                    since(6, List(&Struct(&DELETE_TOPICS_DELETE_TOPIC_STATE))),
                    until(5, List(&Text)),
                    all(Fixed(4)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::DeleteRecords,
        Shape {
            flexible_from: 2,
            body: Struct { fields: &[all(List(&Struct(&DELETE_RECORDS_TOPIC))), all(Fixed(4))], tagged: &[] },
        },
    ),
    (
        ApiKey::InitProducerId,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[all(Text), all(Fixed(4)), since(3, Fixed(8)), since(3, Fixed(2))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::OffsetForLeaderEpoch,
        Shape {
            flexible_from: 4,
            body: Struct {
                fields: &[
                    since(3, Fixed(4)),
                    all(List(&Struct(&OFFSET_FOR_LEADER_EPOCH_OFFSET_FOR_LEADER_TOPIC))),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::DescribeAcls,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[
                    all(Fixed(1)),
                    all(Text),
                    all(Fixed(1)),
                    all(Text),
                    all(Text),
                    all(Fixed(1)),
                    all(Fixed(1)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::CreateAcls,
        Shape {
            flexible_from: 2,
            body: Struct { fields: &[all(List(&Struct(&CREATE_ACLS_ACL_CREATION)))], tagged: &[] },
        },
    ),
    (
        ApiKey::DeleteAcls,
        Shape {
            flexible_from: 2,
            body: Struct { fields: &[all(List(&Struct(&DELETE_ACLS_FILTER)))], tagged: &[] },
        },
    ),
    (
        ApiKey::DescribeConfigs,
        Shape {
            flexible_from: 4,
            body: Struct {
                fields: &[all(List(&Struct(&DESCRIBE_CONFIGS_RESOURCE))), all(Fixed(1)), since(3, Fixed(1))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::AlterConfigs,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[all(List(&Struct(&ALTER_CONFIGS_RESOURCE))), all(Fixed(1))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::AlterReplicaLogDirs,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[all(List(&Struct(&ALTER_REPLICA_LOG_DIRS_ALTER_REPLICA_LOG_DIR)))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::DescribeLogDirs,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[all(List(&Struct(&DESCRIBE_LOG_DIRS_DESCRIBABLE_LOG_DIR_TOPIC)))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::CreatePartitions,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[all(List(&Struct(&CREATE_PARTITIONS_TOPIC))), all(Fixed(4)), all(Fixed(1))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::ElectLeaders,
        Shape {
            flexible_from: 2,
            body: Struct {
                fields: &[
                    since(1, Fixed(1)),
                    all(List(&Struct(&ELECT_LEADERS_TOPIC_PARTITIONS))),
                    all(Fixed(4)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::IncrementalAlterConfigs,
        Shape {
            flexible_from: 1,
            body: Struct {
                fields: &[
                    all(List(&Struct(&INCREMENTAL_ALTER_CONFIGS_ALTER_CONFIGS_RESOURCE))),
                    all(Fixed(1)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::AlterPartitionReassignments,
        Shape {
            flexible_from: 0,
            body: Struct {
                fields: &[
                    all(Fixed(4)),
                    since(1, Fixed(1)),
                    all(List(&Struct(&ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_TOPIC))),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::ListPartitionReassignments,
        Shape {
            flexible_from: 0,
            body: Struct {
                fields: &[all(Fixed(4)), all(List(&Struct(&LIST_PARTITION_REASSIGNMENTS_TOPICS)))],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::DescribeQuorum,
        Shape {
            flexible_from: 0,
            body: Struct { fields: &[all(List(&Struct(&DESCRIBE_QUORUM_TOPIC_DATA)))], tagged: &[] },
        },
    ),
    (
        ApiKey::UpdateFeatures,
        Shape {
            flexible_from: 0,
            body: Struct {
                fields: &[
                    all(Fixed(4)),
                    all(List(&Struct(&UPDATE_FEATURES_FEATURE_UPDATE_KEY))),
                    since(1, Fixed(1)),
                ],
                tagged: &[],
            },
        },
    ),
    (
        ApiKey::DescribeCluster,
        Shape {
            flexible_from: 0,
            body: Struct { fields: &[all(Fixed(1)), since(1, Fixed(1)), since(2, Fixed(1))], tagged: &[] },
        },
    ),
    (
        ApiKey::DescribeProducers,
        Shape {
            flexible_from: 0,
            body: Struct { fields: &[all(List(&Struct(&DESCRIBE_PRODUCERS_TOPIC_REQUEST)))], tagged: &[] },
        },
    ),
    (
        ApiKey::ListConfigResources,
        Shape { flexible_from: 0, body: Struct { fields: &[since(1, List(&Fixed(1)))], tagged: &[] } },
    ),
    (
        ApiKey::DescribeTopicPartitions,
        Shape {
            flexible_from: 0,
            body: Struct {
                fields: &[
                    all(List(&Struct(&DESCRIBE_TOPIC_PARTITIONS_TOPIC_REQUEST))),
                    all(Fixed(4)),
                    all(Optional(&DESCRIBE_TOPIC_PARTITIONS_CURSOR)),
                ],
                tagged: &[],
            },
        },
    ),
];

const PRODUCE_PARTITION_PRODUCE_DATA: Struct = Struct { fields: &[all(Fixed(4)), all(Blob)], tagged: &[] };
const PRODUCE_TOPIC_PRODUCE_DATA: Struct = Struct {
    fields: &[until(12, Text), since(13, Fixed(16)), all(List(&Struct(&PRODUCE_PARTITION_PRODUCE_DATA)))],
    tagged: &[],
};
const FETCH_REPLICA_STATE: Struct =
    Struct { fields: &[since(15, Fixed(4)), since(15, Fixed(8))], tagged: &[] };
const FETCH_PARTITION: Struct = Struct {
    fields: &[
        all(Fixed(4)),
        since(9, Fixed(4)),
        all(Fixed(8)),
        since(12, Fixed(4)),
        since(5, Fixed(8)),
        all(Fixed(4)),
    ],
    tagged: &[(0, since(17, Fixed(16))), (1, since(18, Fixed(8)))],
};
const FETCH_TOPIC: Struct = Struct {
    fields: &[until(12, Text), since(13, Fixed(16)), all(List(&Struct(&FETCH_PARTITION)))],
    tagged: &[],
};
const FETCH_FORGOTTEN_TOPIC: Struct =
    Struct { fields: &[within(7, 12, Text), since(13, Fixed(16)), since(7, List(&Fixed(4)))], tagged: &[] };
const LIST_OFFSETS_PARTITION: Struct =
    Struct { fields: &[all(Fixed(4)), since(4, Fixed(4)), all(Fixed(8))], tagged: &[] };
const LIST_OFFSETS_TOPIC: Struct =
    Struct { fields: &[all(Text), all(List(&Struct(&LIST_OFFSETS_PARTITION)))], tagged: &[] };
const METADATA_REQUEST_TOPIC: Struct = Struct { fields: &[since(10, Fixed(16)), all(Text)], tagged: &[] };
const CREATE_TOPICS_CREATABLE_REPLICA_ASSIGNMENT: Struct =
    Struct { fields: &[all(Fixed(4)), all(List(&Fixed(4)))], tagged: &[] };
const CREATE_TOPICS_CREATABLE_TOPIC_CONFIG: Struct = Struct { fields: &[all(Text), all(Text)], tagged: &[] };
const CREATE_TOPICS_CREATABLE_TOPIC: Struct = Struct {
    fields: &[
        all(Text),
        all(Fixed(4)),
        all(Fixed(2)),
        all(List(&Struct(&CREATE_TOPICS_CREATABLE_REPLICA_ASSIGNMENT))),
        all(List(&Struct(&CREATE_TOPICS_CREATABLE_TOPIC_CONFIG))),
    ],
    tagged: &[],
};
const DELETE_TOPICS_DELETE_TOPIC_STATE: Struct =
    Struct { fields: &[since(6, Text), since(6, Fixed(16))], tagged: &[] };
const DELETE_RECORDS_PARTITION: Struct = Struct { fields: &[all(Fixed(4)), all(Fixed(8))], tagged: &[] };
const DELETE_RECORDS_TOPIC: Struct =
    Struct { fields: &[all(Text), all(List(&Struct(&DELETE_RECORDS_PARTITION)))], tagged: &[] };
const OFFSET_FOR_LEADER_EPOCH_OFFSET_FOR_LEADER_PARTITION: Struct =
    Struct { fields: &[all(Fixed(4)), all(Fixed(4)), all(Fixed(4))], tagged: &[] };
const OFFSET_FOR_LEADER_EPOCH_OFFSET_FOR_LEADER_TOPIC: Struct = Struct {
    fields: &[all(Text), all(List(&Struct(&OFFSET_FOR_LEADER_EPOCH_OFFSET_FOR_LEADER_PARTITION)))],
    tagged: &[],
};
const CREATE_ACLS_ACL_CREATION: Struct = Struct {
    fields: &[all(Fixed(1)), all(Text), all(Fixed(1)), all(Text), all(Text), all(Fixed(1)), all(Fixed(1))],
    tagged: &[],
};
const DELETE_ACLS_FILTER: Struct = Struct {
    fields: &[all(Fixed(1)), all(Text), all(Fixed(1)), all(Text), all(Text), all(Fixed(1)), all(Fixed(1))],
    tagged: &[],
};
const DESCRIBE_CONFIGS_RESOURCE: Struct =
    Struct { fields: &[all(Fixed(1)), all(Text), all(List(&Text))], tagged: &[] };
const ALTER_CONFIGS_ALTERABLE_CONFIG: Struct = Struct { fields: &[all(Text), all(Text)], tagged: &[] };
const ALTER_CONFIGS_RESOURCE: Struct = Struct {
    fields: &[all(Fixed(1)), all(Text), all(List(&Struct(&ALTER_CONFIGS_ALTERABLE_CONFIG)))],
    tagged: &[],
};
const ALTER_REPLICA_LOG_DIRS_ALTER_REPLICA_LOG_DIR_TOPIC: Struct =
    Struct { fields: &[all(Text), all(List(&Fixed(4)))], tagged: &[] };
const ALTER_REPLICA_LOG_DIRS_ALTER_REPLICA_LOG_DIR: Struct = Struct {
    fields: &[all(Text), all(List(&Struct(&ALTER_REPLICA_LOG_DIRS_ALTER_REPLICA_LOG_DIR_TOPIC)))],
    tagged: &[],
};
const DESCRIBE_LOG_DIRS_DESCRIBABLE_LOG_DIR_TOPIC: Struct =
    Struct { fields: &[all(Text), all(List(&Fixed(4)))], tagged: &[] };
const CREATE_PARTITIONS_ASSIGNMENT: Struct = Struct { fields: &[all(List(&Fixed(4)))], tagged: &[] };
const CREATE_PARTITIONS_TOPIC: Struct = Struct {
    fields: &[all(Text), all(Fixed(4)), all(List(&Struct(&CREATE_PARTITIONS_ASSIGNMENT)))],
    tagged: &[],
};
const ELECT_LEADERS_TOPIC_PARTITIONS: Struct =
    Struct { fields: &[all(Text), all(List(&Fixed(4)))], tagged: &[] };
const INCREMENTAL_ALTER_CONFIGS_ALTERABLE_CONFIG: Struct =
    Struct { fields: &[all(Text), all(Fixed(1)), all(Text)], tagged: &[] };
const INCREMENTAL_ALTER_CONFIGS_ALTER_CONFIGS_RESOURCE: Struct = Struct {
    fields: &[all(Fixed(1)), all(Text), all(List(&Struct(&INCREMENTAL_ALTER_CONFIGS_ALTERABLE_CONFIG)))],
    tagged: &[],
};
const ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_PARTITION: Struct =
    Struct { fields: &[all(Fixed(4)), all(List(&Fixed(4)))], tagged: &[] };
const ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_TOPIC: Struct = Struct {
    fields: &[all(Text), all(List(&Struct(&ALTER_PARTITION_REASSIGNMENTS_REASSIGNABLE_PARTITION)))],
    tagged: &[],
};
const LIST_PARTITION_REASSIGNMENTS_TOPICS: Struct =
    Struct { fields: &[all(Text), all(List(&Fixed(4)))], tagged: &[] };
const DESCRIBE_QUORUM_PARTITION_DATA: Struct = Struct { fields: &[all(Fixed(4))], tagged: &[] };
const DESCRIBE_QUORUM_TOPIC_DATA: Struct =
    Struct { fields: &[all(Text), all(List(&Struct(&DESCRIBE_QUORUM_PARTITION_DATA)))], tagged: &[] };
const UPDATE_FEATURES_FEATURE_UPDATE_KEY: Struct =
    Struct { fields: &[all(Text), all(Fixed(2)), until(0, Fixed(1)), since(1, Fixed(1))], tagged: &[] };
const DESCRIBE_PRODUCERS_TOPIC_REQUEST: Struct =
    Struct { fields: &[all(Text), all(List(&Fixed(4)))], tagged: &[] };
const DESCRIBE_TOPIC_PARTITIONS_TOPIC_REQUEST: Struct = Struct { fields: &[all(Text)], tagged: &[] };
const DESCRIBE_TOPIC_PARTITIONS_CURSOR: Struct = Struct { fields: &[all(Text), all(Fixed(4))], tagged: &[] };
