//! Share groups (KIP-932) over the wire: records go to one member at a time, come again when they are given back, and never
//! again once they are acknowledged, whatever happens to the broker.

use std::time::{Duration, Instant};

use corelog::model::TopicId;
use corelog::protocol::share_acknowledge::ShareAcknowledgeRequest;
use corelog::protocol::share_fetch::{
    AcknowledgementBatch, FetchPartition, FetchTopic, PartitionData, ShareFetchRequest, ShareFetchResponse,
};
use corelog::protocol::share_group_offsets::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup,
    DescribeShareGroupOffsetsRequestTopic, DescribeShareGroupOffsetsResponseGroup,
};
use corelog::record::{records, split_batches};
use kafka_protocol::messages::alter_share_group_offsets_request::{
    AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
};
use kafka_protocol::messages::delete_share_group_offsets_request::DeleteShareGroupOffsetsRequestTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsResponse, DeleteShareGroupOffsetsRequest,
    FindCoordinatorRequest, GroupId, IncrementalAlterConfigsRequest, MetadataRequest,
    ShareGroupDescribeRequest, ShareGroupHeartbeatRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::requests::{PRODUCE, batch, create, name, produce};
use crate::slow;
use crate::support::{Broker, Connection};

const GROUP: &str = "queue";
const TOPIC: &str = "jobs";
const VERSION: i16 = 2;

const ACCEPT: i8 = 1;
const RELEASE: i8 = 2;
const REJECT: i8 = 3;
const RENEW: i8 = 4;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Sets a setting of the group.
fn set(connection: &mut Connection, setting: &str, value: &str) {
    let config = AlterableConfig::default()
        .with_name(text(setting))
        .with_config_operation(0)
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(32)
        .with_resource_name(text(GROUP))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = connection.ask(&request, 1);
    assert_eq!(response.responses[0].error_code, 0, "{:?}", response.responses[0].error_message);
}

fn topic_id(connection: &mut Connection) -> TopicId {
    let wanted = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
    let response = connection.ask(&MetadataRequest::default().with_topics(Some(vec![wanted])), 12);
    TopicId(response.topics[0].topic_id)
}

/// One member of the group with its session.
struct Member {
    connection: Connection,
    id: &'static str,
    topic: TopicId,
    epoch: i32,
    session: i32,
}

impl Member {
    /// Joins, and waits until it is assigned every partition.
    fn join(broker: &Broker, id: &'static str) -> Self {
        let mut connection = broker.connect();
        let topic = topic_id(&mut connection);
        let coordinator = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]);
        connection.ask(&coordinator, 4);
        let mut member = Self { connection, id, topic, epoch: 0, session: 0 };
        let deadline = Instant::now() + Duration::from_secs(20);
        while member.heartbeat().is_none_or(|assigned| assigned == 0) {
            assert!(Instant::now() < deadline, "nothing is assigned to {id}");
            std::thread::sleep(Duration::from_millis(20));
            member.epoch = 0;
        }
        member
    }

    /// Says that it is there; how many partitions it has, if that is news.
    fn heartbeat(&mut self) -> Option<usize> {
        let subscribed = (self.epoch == 0).then(|| vec![name(TOPIC)]);
        let request = ShareGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(GROUP)))
            .with_member_id(text(self.id))
            .with_member_epoch(self.epoch)
            .with_subscribed_topic_names(subscribed);
        let response = self.connection.ask(&request, 1);
        // The coordinator may be on its way up.
        if response.error_code == 14 || response.error_code == 15 || response.error_code == 16 {
            return None;
        }
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
        self.epoch = response.member_epoch;
        response
            .assignment
            .map(|assigned| assigned.topic_partitions.iter().map(|topic| topic.partitions.len()).sum())
    }

    fn topics(&self, partitions: &[i32], acks: Vec<AcknowledgementBatch>) -> Vec<FetchTopic> {
        let partitions = partitions.iter().map(|partition| FetchPartition {
            partition_index: *partition,
            acknowledgement_batches: acks.clone(),
        });
        vec![FetchTopic { topic_id: self.topic, partitions: partitions.collect() }]
    }

    fn request(&mut self, max_wait_ms: i32, acks: Vec<AcknowledgementBatch>) -> ShareFetchRequest {
        let epoch = self.session;
        self.session += 1;
        ShareFetchRequest {
            group_id: Some(text(GROUP)),
            member_id: Some(text(self.id)),
            share_session_epoch: epoch,
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 50 << 20,
            max_records: 500,
            batch_size: 500,
            topics: self.topics(&[0], acks),
            ..ShareFetchRequest::default()
        }
    }

    /// Fetches from partition 0; returns first, last and deliveries of what it got.
    fn fetch(&mut self, max_wait_ms: i32, acks: Vec<AcknowledgementBatch>) -> Vec<(i64, i64, i16)> {
        let request = self.request(max_wait_ms, acks);
        let response = self.connection.ask(&request, VERSION);
        acquired(&response)
    }

    /// Acknowledges records of partition 0; returns the codes of the answer and of the partition.
    fn acknowledge(&mut self, first: i64, last: i64, types: &[i8]) -> (i16, Option<i16>) {
        let epoch = self.session;
        self.session += 1;
        self.acknowledge_at(epoch, acks(first, last, types))
    }

    fn acknowledge_at(&mut self, epoch: i32, acks: Vec<AcknowledgementBatch>) -> (i16, Option<i16>) {
        let renews = acks.iter().any(|batch| batch.acknowledge_types.contains(&RENEW));
        let request = ShareAcknowledgeRequest {
            group_id: Some(text(GROUP)),
            member_id: Some(text(self.id)),
            share_session_epoch: epoch,
            is_renew_ack: renews,
            topics: if acks.is_empty() { vec![] } else { self.topics(&[0], acks) },
        };
        let response = self.connection.ask(&request, VERSION);
        let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        (response.error_code, partitions.next().map(|partition| partition.error_code))
    }
}

fn acks(first: i64, last: i64, types: &[i8]) -> Vec<AcknowledgementBatch> {
    vec![AcknowledgementBatch { first_offset: first, last_offset: last, acknowledge_types: types.to_vec() }]
}

fn partitions(response: &ShareFetchResponse) -> impl Iterator<Item = &PartitionData> {
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    response.responses.iter().flat_map(|topic| &topic.partitions)
}

fn acquired(response: &ShareFetchResponse) -> Vec<(i64, i64, i16)> {
    let each = partitions(response).flat_map(|partition| {
        assert_eq!((partition.error_code, partition.acknowledge_error_code), (0, 0));
        partition.acquired_records.iter().map(|one| (one.first_offset, one.last_offset, one.delivery_count))
    });
    each.collect()
}

/// The values of all records that came along.
fn values(response: &ShareFetchResponse) -> Vec<String> {
    let slices = partitions(response).flat_map(|partition| partition.records.0.clone());
    let batches = slices.flat_map(|bytes| split_batches(&bytes).collect::<Vec<_>>());
    let values = batches.flat_map(|batch| {
        let (bytes, _) = batch.unwrap();
        let values = records(&bytes).unwrap().map(|record| record.unwrap().value.unwrap().to_vec());
        values.collect::<Vec<_>>()
    });
    values.map(|value| String::from_utf8(value).unwrap()).collect()
}

/// Where a group is on the partitions of a topic, or on all that it has state of.
fn offsets_of(
    connection: &mut Connection,
    group: &str,
    asked: Option<(&str, &[i32])>,
) -> DescribeShareGroupOffsetsResponseGroup {
    let topics = asked.map(|(topic, partitions)| {
        vec![DescribeShareGroupOffsetsRequestTopic {
            topic_name: text(topic),
            partitions: partitions.to_vec(),
        }]
    });
    let group = DescribeShareGroupOffsetsRequestGroup { group_id: text(group), topics };
    let response = connection.ask(&DescribeShareGroupOffsetsRequest { groups: vec![group] }, 1);
    response.groups.into_iter().next().unwrap()
}

/// Sets where a group goes on, on partitions of the topic; asks again while the coordinator is on its way up.
fn alter(connection: &mut Connection, group: &str, starts: &[(i32, i64)]) -> AlterShareGroupOffsetsResponse {
    let partitions = starts.iter().map(|(index, start)| {
        AlterShareGroupOffsetsRequestPartition::default()
            .with_partition_index(*index)
            .with_start_offset(*start)
    });
    let topic = AlterShareGroupOffsetsRequestTopic::default()
        .with_topic_name(name(TOPIC))
        .with_partitions(partitions.collect());
    let request =
        AlterShareGroupOffsetsRequest::default().with_group_id(GroupId(text(group))).with_topics(vec![topic]);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let response = connection.ask(&request, 0);
        if ![14, 15, 16].contains(&response.error_code) {
            return response;
        }
        assert!(Instant::now() < deadline, "the coordinator does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Start offset and lag of partition 0.
fn progress(connection: &mut Connection) -> (i64, i64) {
    let described = offsets_of(connection, GROUP, None);
    assert_eq!(described.error_code, 0);
    let partitions = &described.topics[0].partitions;
    let partition = partitions.iter().find(|partition| partition.partition_index == 0).unwrap();
    (partition.start_offset, partition.lag)
}

fn start(settings: &[&str]) -> Broker {
    let broker = Broker::start(settings);
    begin(&broker);
    broker
}

/// Creates the topic, and has the group begin at its first record.
fn begin(broker: &Broker) {
    let mut connection = broker.connect();
    create(&mut connection, TOPIC);
    set(&mut connection, "share.auto.offset.reset", "earliest");
}

fn put(broker: &Broker, values: &[&str]) {
    broker.connect().ask(&produce(TOPIC, 0, batch(values), -1), PRODUCE);
}

#[test]
fn a_record_is_with_one_member_until_it_is_given_back_or_done_with() {
    let broker = start(&["num.partitions=2"]);
    put(&broker, &["a", "b", "c"]);
    let (mut first, mut second) = (Member::join(&broker, "first"), Member::join(&broker, "second"));
    let request = first.request(10_000, vec![]);
    let response = first.connection.ask(&request, VERSION);
    assert_eq!(acquired(&response), [(0, 2, 1)]);
    assert_eq!(values(&response), ["a", "b", "c"]);
    assert_eq!(response.acquisition_lock_timeout_ms, 30_000);
    assert_eq!(second.fetch(100, vec![]), [], "all of them are with the first");
    assert_eq!(second.acknowledge(0, 0, &[ACCEPT]), (0, Some(121)), "not its record");
    assert_eq!(first.acknowledge(0, 2, &[ACCEPT, RELEASE, REJECT]), (0, Some(0)));
    assert_eq!(second.fetch(10_000, vec![]), [(1, 1, 2)]);
    assert_eq!(progress(&mut second.connection), (1, 1));
    // What a member has is given back when it closes its session.
    assert_eq!(second.acknowledge_at(-1, vec![]), (0, None));
    assert_eq!(first.fetch(10_000, vec![]), [(1, 1, 3)]);
    put(&broker, &["d"]);
    assert_eq!(first.fetch(10_000, acks(1, 1, &[ACCEPT])), [(3, 3, 1)], "acknowledged on the way");
    assert_eq!(progress(&mut first.connection), (3, 1));
}

#[test]
fn what_is_acknowledged_stays_so_when_the_broker_is_killed() {
    let broker = start(&[]);
    put(&broker, &["a", "b", "c", "d"]);
    let mut member = Member::join(&broker, "first");
    assert_eq!(member.fetch(10_000, vec![]), [(0, 3, 1)]);
    assert_eq!(member.acknowledge(0, 2, &[ACCEPT, RELEASE, ACCEPT]), (0, Some(0)));
    let broker = broker.crash_and_restart(&[]);
    let mut member = Member::join(&broker, "first");
    // Release is remembered with its delivery; the last record was only acquired.
    assert_eq!(member.fetch(10_000, vec![]), [(1, 1, 2), (3, 3, 1)]);
    assert_eq!(member.acknowledge(1, 1, &[ACCEPT]), (0, Some(0)));
    assert_eq!(member.acknowledge(3, 3, &[ACCEPT]), (0, Some(0)));
    assert_eq!(progress(&mut member.connection), (4, 0));
    let broker = broker.crash_and_restart(&[]);
    let mut member = Member::join(&broker, "first");
    assert_eq!(member.fetch(100, vec![]), [], "done with");
    put(&broker, &["e"]);
    assert_eq!(member.fetch(10_000, vec![]), [(4, 4, 1)]);
}

#[test]
fn waiting_fetches_hear_of_new_records_and_of_those_given_back() {
    let broker = start(&["group.share.min.record.lock.duration.ms=1000"]);
    let (mut first, mut second) = (Member::join(&broker, "first"), Member::join(&broker, "second"));
    let request = first.request(30_000, vec![]);
    first.connection.send(&request, VERSION);
    broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
    let began = Instant::now();
    put(&broker, &["a"]);
    let (_, response) = first.connection.receive::<ShareFetchRequest>(VERSION);
    assert_eq!(acquired(&response), [(0, 0, 1)]);
    let request = second.request(30_000, vec![]);
    second.connection.send(&request, VERSION);
    broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
    assert_eq!(first.acknowledge(0, 0, &[RELEASE]), (0, Some(0)));
    let (_, response) = second.connection.receive::<ShareFetchRequest>(VERSION);
    assert_eq!(acquired(&response), [(0, 0, 2)]);
    assert!(began.elapsed() < Duration::from_secs(15), "not by the end of their waits");
    // A lock that ends gives a record back, too.
    set(&mut first.connection, "share.record.lock.duration.ms", "1000");
    assert_eq!(second.acknowledge(0, 0, &[RELEASE]), (0, Some(0)));
    assert_eq!(first.fetch(10_000, vec![]), [(0, 0, 3)]);
    assert_eq!(second.fetch(10_000, vec![]), [(0, 0, 4)]);
    assert_eq!(second.acknowledge(0, 0, &[RENEW]), (0, Some(0)));
    assert_eq!(second.acknowledge(0, 0, &[ACCEPT]), (0, Some(0)));
    assert_eq!(progress(&mut second.connection), (1, 0));
}

/// The first fetch of a group loads its partitions and then waits. What it begins to wait for while they load is not what it
/// waits for once they are there: some missed the first record when they went on with the former.
#[test]
fn the_first_fetch_of_a_group_hears_of_the_first_record() {
    for _ in 0..8 {
        let broker = start(&[]);
        let mut member = Member::join(&broker, "first");
        let request = member.request(30_000, vec![]);
        member.connection.send(&request, VERSION);
        broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
        put(&broker, &["a"]);
        let (_, response) = member.connection.receive::<ShareFetchRequest>(VERSION);
        assert_eq!(acquired(&response), [(0, 0, 1)]);
    }
}

#[test]
fn what_a_member_has_is_given_back_when_its_connection_ends() {
    let broker = start(&[]);
    put(&broker, &["a"]);
    let (mut first, mut second) = (Member::join(&broker, "first"), Member::join(&broker, "second"));
    assert_eq!(first.fetch(10_000, vec![]), [(0, 0, 1)]);
    let request = second.request(20_000, vec![]);
    second.connection.send(&request, VERSION);
    broker.wait_until("the fetch waits", |broker| broker.metric("corelog_waiting_fetches") == 1.0);
    let began = Instant::now();
    drop(first);
    let (_, response) = second.connection.receive::<ShareFetchRequest>(VERSION);
    assert_eq!(acquired(&response), [(0, 0, 2)]);
    assert!(began.elapsed() < Duration::from_secs(10), "not by the end of its wait");
}

#[test]
fn sessions_have_epochs_and_hostile_requests_are_refused() {
    let broker = start(&["group.share.max.share.sessions=2"]);
    let mut member = Member::join(&broker, "first");
    assert_eq!(member.acknowledge_at(1, vec![]), (122, None), "no session");
    assert_eq!(member.acknowledge_at(-1, vec![]), (122, None));
    put(&broker, &["a"]);
    assert_eq!(member.fetch(10_000, vec![]), [(0, 0, 1)]);
    assert_eq!(member.acknowledge_at(7, vec![]), (123, None));
    assert_eq!(member.acknowledge_at(0, vec![]), (123, None), "only a fetch opens a session");
    assert_eq!(member.acknowledge(0, i64::MAX, &[ACCEPT]), (0, Some(42)));
    assert_eq!(member.acknowledge(5, 0, &[ACCEPT]), (0, Some(42)));
    assert_eq!(member.acknowledge(0, 0, &[9]), (0, Some(42)));
    assert_eq!(member.acknowledge(0, 0, &[ACCEPT]), (0, Some(0)));
    let mut bad = member.request(0, vec![]);
    (bad.share_session_epoch, bad.is_renew_ack) = (0, true);
    assert_eq!(member.connection.ask(&bad, VERSION).error_code, 42, "a renewal fetches nothing");
    let mut nobody = member.request(0, vec![]);
    (nobody.share_session_epoch, nobody.member_id) = (0, None);
    assert_eq!(member.connection.ask(&nobody, VERSION).error_code, 42);
    // Two sessions on two shards are one each.
    let mut strange = member.request(0, vec![]);
    (strange.share_session_epoch, strange.group_id) = (0, Some(text("not-there")));
    assert_eq!(member.connection.ask(&strange, VERSION).error_code, 133);
    assert_eq!(member.acknowledge_at(-1, vec![]), (0, None));
    let response = member.connection.ask(&strange, VERSION);
    assert!(partitions(&response).all(|partition| partition.acquired_records.is_empty()));
}

#[test]
fn where_a_group_goes_on_can_be_set_before_it_is_there() {
    let broker = start(&["num.partitions=2"]);
    put(&broker, &["a", "b", "c", "d"]);
    let mut connection = broker.connect();
    connection.ask(&FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]), 4);
    let altered = alter(&mut connection, GROUP, &[(0, 1), (7, 1)]);
    let codes = altered.responses[0].partitions.iter().map(|one| (one.partition_index, one.error_code));
    assert_eq!((altered.error_code, codes.collect::<Vec<_>>()), (0, vec![(0, 0), (7, 3)]));
    assert_eq!(progress(&mut connection), (1, -1), "nobody knows what lies behind the start");
    let described =
        connection.ask(&ShareGroupDescribeRequest::default().with_group_ids(vec![GroupId(text(GROUP))]), 1);
    let group = &described.groups[0];
    assert_eq!((group.error_code, group.group_state.as_str(), group.group_epoch), (0, "Empty", 0));
    let mut member = Member::join(&broker, "first");
    assert_eq!(member.fetch(10_000, vec![]), [(1, 3, 1)]);
    assert_eq!(member.acknowledge(1, 3, &[ACCEPT, RELEASE, ACCEPT]), (0, Some(0)));
    assert_eq!(progress(&mut connection), (2, 1));
    assert_eq!(alter(&mut connection, GROUP, &[(0, 0)]).error_code, 68, "it has a member");
    let leaves = ShareGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(GROUP)))
        .with_member_id(text("first"))
        .with_member_epoch(-1);
    assert_eq!(connection.ask(&leaves, 1).error_code, 0);
    // The same offset twice begins anew twice, whoever fetches between, and the group's epoch stays.
    for session in 0..2 {
        assert_eq!(alter(&mut connection, GROUP, &[(0, 2)]).error_code, 0);
        assert_eq!(progress(&mut connection), (2, -1));
        member.session = 0;
        assert_eq!(member.fetch(10_000, vec![]), [(2, 3, 1)], "session {session}");
        assert_eq!(member.acknowledge(2, 3, &[ACCEPT]), (0, Some(0)));
        assert_eq!(progress(&mut connection), (4, 0));
    }
}

#[test]
fn what_a_group_has_no_state_of_is_no_error_but_no_group_is() {
    let broker = start(&[]);
    let mut connection = broker.connect();
    Member::join(&broker, "first");
    for (group, topic, index) in
        [(GROUP, "not-there", 0), ("nobody", TOPIC, 0), ("", TOPIC, 0), (GROUP, TOPIC, 5), (GROUP, TOPIC, -1)]
    {
        let described = offsets_of(&mut connection, group, Some((topic, &[index])));
        assert_eq!((described.error_code, described.topics.len()), (0, 1), "{group} {topic}");
        assert_eq!(described.topics[0].topic_name.as_str(), topic);
        let partition = &described.topics[0].partitions[0];
        let told = (partition.partition_index, partition.start_offset, partition.lag, partition.error_code);
        assert_eq!(told, (index, -1, -1, 0), "{group} {topic}");
    }
    let described = offsets_of(&mut connection, "nobody", None);
    assert_eq!((described.error_code, described.topics.len()), (0, 0));
    assert_eq!(alter(&mut connection, "", &[(0, 0)]).error_code, 24);
    let topic = DeleteShareGroupOffsetsRequestTopic::default().with_topic_name(name(TOPIC));
    let deletes = DeleteShareGroupOffsetsRequest::default().with_topics(vec![topic]);
    assert_eq!(connection.ask(&deletes, 0).error_code, 24);
    let ids = ["", "nobody"].map(|id| GroupId(text(id))).to_vec();
    let described = connection.ask(&ShareGroupDescribeRequest::default().with_group_ids(ids), 1);
    let codes: Vec<(i16, Option<&str>)> =
        described.groups.iter().map(|group| (group.error_code, group.error_message.as_deref())).collect();
    assert_eq!(codes, [(24, None), (69, Some("Group nobody not found."))]);
}

#[test]
fn requests_that_are_refused_as_a_whole_say_so_by_their_code_alone() {
    let broker = start(&[]);
    let mut member = Member::join(&broker, "first");
    let mut fetch = member.request(0, vec![]);
    fetch.share_session_epoch = 5;
    let response = member.connection.ask(&fetch, VERSION);
    assert_eq!((response.error_code, response.error_message), (122, None));
    let request = ShareAcknowledgeRequest {
        group_id: Some(text(GROUP)),
        member_id: Some(text("")),
        ..ShareAcknowledgeRequest::default()
    };
    let response = member.connection.ask(&request, VERSION);
    assert_eq!((response.error_code, response.error_message), (42, None));
    let nameless = ShareGroupHeartbeatRequest::default().with_group_id(GroupId(text(GROUP)));
    let response = member.connection.ask(&nameless, 1);
    assert_eq!((response.error_code, response.error_message), (42, None));
    // A group without a name is one that is not there.
    let mut fetch = member.request(0, vec![]);
    (fetch.share_session_epoch, fetch.group_id, fetch.max_wait_ms) = (0, Some(text("")), 2_000);
    let response = member.connection.ask(&fetch, VERSION);
    assert_eq!(partitions(&response).map(|partition| partition.error_code).collect::<Vec<_>>(), [3]);
}

#[test]
fn who_does_not_read_leaves_members_less_at_a_time() {
    let broker = slow::cold(&slow::SMALL);
    begin(&broker);
    let value = "x".repeat(slow::BATCH_BYTES);
    (0..slow::BATCHES).for_each(|_| put(&broker, &[&value]));
    let mut member = Member::join(&broker, "one");
    let mut records = |acks| member.fetch(10_000, acks).iter().map(|(first, last, _)| last - first + 1).sum();
    let stuck = slow::stuck(&broker, 16, slow::BATCHES);
    let meanwhile: i64 = records(vec![]);
    assert!(meanwhile > 0, "one batch at least");
    drop(stuck);
    let enough = 3 * meanwhile as usize * slow::BATCH_BYTES;
    broker.wait_until("the others keep nothing", |broker| slow::ask(&mut broker.connect()) as usize > enough);
    let after: i64 = records(acks(0, meanwhile - 1, &[ACCEPT]));
    assert!(after >= 2 * meanwhile, "{after} instead of {meanwhile} batches");
}
