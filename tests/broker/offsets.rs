//! Committed offsets and the groups that have them: what was answered holds after a crash.

use crate::admin::delete;
use crate::requests::{create, name};
use crate::support::{Broker, Connection};
use corelog::model::TopicId;
use corelog::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use corelog::protocol::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, FindCoordinatorRequest, GroupId, ListGroupsRequest, MetadataRequest,
    OffsetDeleteRequest,
};
use kafka_protocol::protocol::StrBytes;

const LOAD_IN_PROGRESS: i16 = 14;
const NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
const UNKNOWN_TOPIC: i16 = 3;
const GROUP_ID_NOT_FOUND: i16 = 69;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Asks again while the coordinator is on its way.
fn patiently<A>(mut ask: impl FnMut() -> (i16, A)) -> (i16, A) {
    for _ in 0..400 {
        let (code, answer) = ask();
        if ![LOAD_IN_PROGRESS, NOT_AVAILABLE, NOT_COORDINATOR].contains(&code) {
            return (code, answer);
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("the coordinator never came")
}

fn topic_id(connection: &mut Connection, topic: &str) -> TopicId {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let response = connection.ask(&MetadataRequest::default().with_topics(Some(vec![wanted])), 12);
    TopicId(response.topics[0].topic_id)
}

/// Finds the coordinator, which makes the topic that it needs.
pub fn find(connection: &mut Connection, group: &str) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    patiently(|| {
        let response = connection.ask(&request, 4);
        let found = &response.coordinators[0];
        assert!(found.error_code != 0 || (found.port > 0 && &*found.host == "127.0.0.1"));
        (found.error_code, ())
    });
}

/// Commits one offset with metadata; the partition's error code.
pub fn commit(connection: &mut Connection, group: &str, at: (&str, i32, i64), version: i16) -> i16 {
    let (topic, partition_index, committed_offset) = at;
    let topic_id = if version >= 10 { topic_id(connection, topic) } else { TopicId::ZERO };
    let request = OffsetCommitRequest {
        group_id: text(group),
        topics: vec![OffsetCommitRequestTopic {
            name: text(if version >= 10 { "" } else { topic }),
            topic_id,
            partitions: vec![OffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(text("mine")),
            }],
        }],
        ..OffsetCommitRequest::default()
    };
    patiently(|| (connection.ask(&request, version).topics[0].partitions[0].error_code, ())).0
}

/// What is committed for one partition, with its metadata.
fn fetch(
    connection: &mut Connection,
    group: &str,
    (topic, partition): (&str, i32),
    version: i16,
) -> (i64, String) {
    let topic_id = if version >= 10 { topic_id(connection, topic) } else { TopicId::ZERO };
    let wanted = OffsetFetchRequestTopic {
        name: text(if version >= 10 { "" } else { topic }),
        topic_id,
        partition_indexes: vec![partition],
    };
    let group = OffsetFetchRequestGroup {
        group_id: text(group),
        topics: Some(vec![wanted]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], require_stable: version >= 7 };
    let (_, found) = patiently(|| {
        let mut response = connection.ask(&request, version);
        let group = response.groups.remove(0);
        let found = group.topics.first().map(|topic| topic.partitions[0].clone());
        let code = found.as_ref().map_or(0, |found| found.error_code);
        (if group.error_code != 0 { group.error_code } else { code }, found)
    });
    let found = found.expect("the partition is answered");
    (found.committed_offset, found.metadata.unwrap_or_default().to_string())
}

fn listed(connection: &mut Connection, states: &[&str]) -> Vec<String> {
    let request =
        ListGroupsRequest::default().with_states_filter(states.iter().map(|state| text(state)).collect());
    let (code, groups) = patiently(|| {
        let response = connection.ask(&request, 5);
        (response.error_code, response.groups)
    });
    assert_eq!(code, 0);
    groups.iter().map(|group| group.group_id.to_string()).collect()
}

#[test]
fn offsets_are_kept_in_all_versions_and_through_a_crash() {
    let broker = Broker::start(&["offsets.topic.num.partitions=3"]);
    let mut connection = broker.connect();
    create(&mut connection, "books");
    find(&mut connection, "readers");
    for version in 2..=10 {
        let offset = i64::from(version);
        assert_eq!(commit(&mut connection, "readers", ("books", 0, offset), version), 0, "version {version}");
    }
    for version in 1..=10 {
        let found = fetch(&mut connection, "readers", ("books", 0), version);
        assert_eq!(found, (10, "mine".to_owned()), "version {version}");
        assert_eq!(fetch(&mut connection, "nobody", ("books", 0), version), (-1, String::new()));
    }
    assert_eq!(commit(&mut connection, "readers", ("nope", 0, 1), 9), UNKNOWN_TOPIC);
    assert_eq!(commit(&mut connection, "readers", ("books", 99, 1), 9), UNKNOWN_TOPIC);
    let broker = broker.crash_and_restart(&["offsets.topic.num.partitions=3"]);
    let mut connection = broker.connect();
    assert_eq!(fetch(&mut connection, "readers", ("books", 0), 9), (10, "mine".to_owned()));
    assert_eq!(listed(&mut connection, &[]), ["readers"]);
}

#[test]
fn offsets_and_groups_are_deleted_for_good() {
    let broker = Broker::start(&["offsets.topic.num.partitions=3", "num.partitions=2"]);
    let mut connection = broker.connect();
    create(&mut connection, "books");
    for group in ["a", "b", "c"] {
        find(&mut connection, group);
        assert_eq!(commit(&mut connection, group, ("books", 0, 5), 9), 0);
        assert_eq!(commit(&mut connection, group, ("books", 1, 6), 9), 0);
    }
    assert_eq!(listed(&mut connection, &["empty"]), ["a", "b", "c"]);
    assert!(listed(&mut connection, &["Stable"]).is_empty());
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(name("books")).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(GroupId(text("a"))).with_topics(vec![topic]);
    let response = connection.ask(&request, 0);
    assert_eq!((response.error_code, response.topics[0].partitions[0].error_code), (0, 0));
    let names = ["b", "nobody", "b"].map(|group| GroupId(text(group)));
    let request = DeleteGroupsRequest::default().with_groups_names(names.to_vec());
    let codes: Vec<i16> =
        connection.ask(&request, 2).results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, GROUP_ID_NOT_FOUND]);
    let broker = broker.crash_and_restart(&["offsets.topic.num.partitions=3", "num.partitions=2"]);
    let mut connection = broker.connect();
    assert_eq!(listed(&mut connection, &[]), ["a", "c"]);
    assert_eq!(fetch(&mut connection, "a", ("books", 0), 9).0, -1);
    assert_eq!(fetch(&mut connection, "a", ("books", 1), 9).0, 6);
    assert_eq!(fetch(&mut connection, "b", ("books", 1), 9).0, -1);
}

#[test]
fn offsets_go_with_their_topic() {
    let broker = Broker::start(&["offsets.topic.num.partitions=1"]);
    let mut connection = broker.connect();
    for topic in ["books", "films"] {
        create(&mut connection, topic);
        find(&mut connection, "readers");
        assert_eq!(commit(&mut connection, "readers", (topic, 0, 5), 9), 0);
    }
    assert_eq!(delete(&mut connection, "books"), 0);
    create(&mut connection, "books");
    broker.wait_until("the offset is gone", |broker| {
        fetch(&mut broker.connect(), "readers", ("books", 0), 9).0 == -1
    });
    assert_eq!(fetch(&mut connection, "readers", ("films", 0), 9).0, 5);
}
