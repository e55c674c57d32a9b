//! Groups among hostile members: each is refused with the code that clients know, what they bring is bounded, and the groups
//! beside them, which have the same coordinator, notice nothing.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::requests::name;
use crate::support::{Broker, Connection};

/// One partition, so that all groups share a coordinator: if it fell over, all would notice.
const SETTINGS: [&str; 2] = ["offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0"];
/// A version in which a member is let in without being told an id first.
const JOIN: i16 = 3;
/// The first one with static members.
const STATIC_JOIN: i16 = 5;
const HEARTBEAT: i16 = 3;
const SYNC: i16 = 4;
const LEAVE: i16 = 4;

const UNKNOWN_SERVER_ERROR: i16 = -1;
const LOADING: [i16; 3] = [14, 15, 16];
const ILLEGAL_GENERATION: i16 = 22;
const INCONSISTENT_PROTOCOL: i16 = 23;
const INVALID_GROUP_ID: i16 = 24;
const UNKNOWN_MEMBER: i16 = 25;
const INVALID_SESSION_TIMEOUT: i16 = 26;
const REBALANCE_IN_PROGRESS: i16 = 27;
const INVALID_REQUEST: i16 = 42;
const GROUP_FULL: i16 = 81;
const FENCED_EPOCH: i16 = 110;
const UNSUPPORTED_ASSIGNOR: i16 = 112;
const INVALID_REGEX: i16 = 128;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn id(group: &str) -> GroupId {
    GroupId(text(group))
}

fn protocol(name: &str, bytes: usize) -> JoinGroupRequestProtocol {
    JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(Bytes::from(vec![0; bytes]))
}

/// A request of a member that has no id yet.
fn join(group: &str) -> JoinGroupRequest {
    JoinGroupRequest::default()
        .with_group_id(id(group))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol("range", 8)])
}

/// The broker, when its coordinator serves.
fn start() -> Broker {
    let broker = Broker::start(&SETTINGS);
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("any")]);
    let sync = SyncGroupRequest::default().with_group_id(id("any"));
    broker.wait_until("the coordinator serves", |broker| {
        let mut connection = broker.connect();
        connection.ask(&find, 4).coordinators[0].error_code == 0
            && connection.ask(&sync, SYNC).error_code == UNKNOWN_MEMBER
    });
    broker
}

/// The code that a JoinGroup is refused with.
fn refused(broker: &Broker, request: &JoinGroupRequest) -> i16 {
    broker.connect().ask(request, JOIN).error_code
}

/// A member that does as it should, alone in its group.
struct Member {
    connection: Connection,
    group: String,
    id: StrBytes,
    generation: i32,
}

impl Member {
    fn new(broker: &Broker, group: &str) -> Self {
        let mut connection = broker.connect();
        let joined = connection.ask(&join(group), JOIN);
        assert_eq!(joined.error_code, 0);
        let mut member = Self { connection, group: group.to_owned(), id: joined.member_id, generation: 1 };
        assert_eq!(member.sync(joined.generation_id), 0);
        member
    }

    fn rejoin(&mut self) -> JoinGroupResponse {
        self.connection.ask(&join(&self.group).with_member_id(self.id.clone()), JOIN)
    }

    fn sync(&mut self, generation: i32) -> i16 {
        let given = SyncGroupRequestAssignment::default()
            .with_member_id(self.id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let request = SyncGroupRequest::default()
            .with_group_id(id(&self.group))
            .with_member_id(self.id.clone())
            .with_generation_id(generation)
            .with_assignments(vec![given]);
        self.connection.ask(&request, SYNC).error_code
    }

    fn heartbeat_in(&mut self, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(id(&self.group))
            .with_member_id(self.id.clone())
            .with_generation_id(generation);
        self.connection.ask(&request, HEARTBEAT).error_code
    }

    fn heartbeat(&mut self) -> i16 {
        self.heartbeat_in(self.generation)
    }
}

/// Two groups that work: one is at rest, and in the other a second member waits for the first one to join again.
struct Bystanders {
    resting: Member,
    first: Member,
    second: Connection,
}

impl Bystanders {
    fn new(broker: &Broker) -> Self {
        let (resting, first) = (Member::new(broker, "resting"), Member::new(broker, "moving"));
        let mut second = broker.connect();
        second.send(&join("moving"), JOIN);
        let mut all = Self { resting, first, second };
        while all.first.heartbeat() != REBALANCE_IN_PROGRESS {}
        all
    }

    fn check(mut self) {
        assert_eq!(self.resting.heartbeat(), 0);
        assert_eq!(self.first.heartbeat(), REBALANCE_IN_PROGRESS);
        let joined = self.first.rejoin();
        assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 2, 2));
        let (_, joined) = self.second.receive::<JoinGroupRequest>(JOIN);
        assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    }
}

#[test]
fn hostile_members_are_refused_and_disturb_nobody() {
    let broker = start();
    let bystanders = Bystanders::new(&broker);
    let of_type = |name: &str| join("g").with_protocol_type(text(name));
    let with = |protocols: Vec<_>| join("g").with_protocols(protocols);
    let many = |count: usize, bytes| (0..count).map(|number| protocol(&number.to_string(), bytes)).collect();
    let cases = [
        (join(""), INVALID_GROUP_ID),
        (join(&"g".repeat(32_767)), INVALID_GROUP_ID),
        (join("g").with_session_timeout_ms(0), INVALID_SESSION_TIMEOUT),
        (join("g").with_session_timeout_ms(-1), INVALID_SESSION_TIMEOUT),
        (join("g").with_session_timeout_ms(i32::MAX), INVALID_SESSION_TIMEOUT),
        (of_type(""), INCONSISTENT_PROTOCOL),
        (of_type(&"t".repeat(32_767)), INVALID_REQUEST),
        (with(vec![]), INCONSISTENT_PROTOCOL),
        (with(many(1_001, 1)), INCONSISTENT_PROTOCOL),
        (with(many(100_000, 0)), INCONSISTENT_PROTOCOL),
        (with(vec![protocol("range", 1_000_001)]), UNKNOWN_SERVER_ERROR),
        (with(many(9, 900_000)), GROUP_FULL),
        (join("g").with_member_id(text("made-up")), UNKNOWN_MEMBER),
        (join("resting").with_member_id(bystanders.first.id.clone()), UNKNOWN_MEMBER),
        (join("resting").with_protocol_type(text("connect")), INCONSISTENT_PROTOCOL),
        (join("resting").with_protocols(vec![protocol("other", 1)]), INCONSISTENT_PROTOCOL),
        (join("resting").with_protocols(vec![protocol("range", 2_000_000)]), UNKNOWN_SERVER_ERROR),
    ];
    for (request, code) in cases {
        assert_eq!(refused(&broker, &request), code, "{:.300}", format!("{request:?}"));
    }
    bystanders.check();
}

#[test]
fn ids_are_of_one_group_and_one_life() {
    let broker = start();
    let bystanders = Bystanders::new(&broker);
    let mut member = Member::new(&broker, "g");
    for generation in [-1, 0, 2, i32::MAX] {
        assert_eq!(member.heartbeat_in(generation), ILLEGAL_GENERATION);
        assert_eq!(member.sync(generation), ILLEGAL_GENERATION);
    }
    member.group = "resting".to_owned();
    assert_eq!((member.heartbeat(), member.sync(1)), (UNKNOWN_MEMBER, UNKNOWN_MEMBER));
    let leave = |group: &str, ids: [&StrBytes; 3]| {
        let members = ids.map(|id| MemberIdentity::default().with_member_id(id.clone())).to_vec();
        LeaveGroupRequest::default().with_group_id(id(group)).with_members(members)
    };
    let left = |connection: &mut Connection, group: &str, id: &StrBytes| -> Vec<i16> {
        let response = connection.ask(&leave(group, [id, &StrBytes::default(), id]), LEAVE);
        assert_eq!(response.error_code, 0);
        response.members.iter().map(|member| member.error_code).collect()
    };
    let member_id = member.id.clone();
    assert_eq!(left(&mut member.connection, "resting", &member_id), [UNKNOWN_MEMBER; 3]);
    assert_eq!(left(&mut member.connection, "g", &member_id), [0, UNKNOWN_MEMBER, UNKNOWN_MEMBER]);
    member.group = "g".to_owned();
    assert_eq!(member.rejoin().error_code, UNKNOWN_MEMBER);
    assert_eq!(member.heartbeat(), UNKNOWN_MEMBER);
    bystanders.check();
}

#[test]
fn members_of_the_newer_protocol_are_refused_in_words() {
    let broker = start();
    let bystanders = Bystanders::new(&broker);
    let join = || {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(id("g"))
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![name("t")]))
            .with_topic_partitions(Some(vec![]))
    };
    let pattern = |pattern: &str| join().with_subscribed_topic_regex(Some(text(pattern)));
    let topics = (0..20_000).map(|number| name(&format!("{number:060}"))).collect();
    let cases = [
        (join().with_group_id(id("")), INVALID_REQUEST),
        (join().with_group_id(id(" ")), INVALID_REQUEST),
        (join().with_member_id(text("")), INVALID_REQUEST),
        (join().with_member_epoch(-7), INVALID_REQUEST),
        (join().with_rebalance_timeout_ms(-1), INVALID_REQUEST),
        (join().with_topic_partitions(None), INVALID_REQUEST),
        (join().with_instance_id(Some(text(""))), INVALID_REQUEST),
        (join().with_server_assignor(Some(text("made-up"))), UNSUPPORTED_ASSIGNOR),
        (pattern("("), INVALID_REGEX),
        (pattern("((a{1000}){1000}){1000}"), INVALID_REGEX),
        (pattern(&"a".repeat(30_000)), INVALID_REGEX),
        (join().with_subscribed_topic_names(Some(topics)), UNKNOWN_SERVER_ERROR),
    ];
    let mut connection = broker.connect();
    for (request, code) in cases {
        let response = connection.ask(&request, 1);
        assert_eq!(response.error_code, code, "{:.300}", format!("{request:?}"));
        assert!(response.error_message.is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(connection.ask(&join(), 1).error_code, 0);
    let later = |member: &str, epoch| join().with_member_id(text(member)).with_member_epoch(epoch);
    assert_eq!(connection.ask(&later("m", 99), 1).error_code, FENCED_EPOCH);
    assert_eq!(connection.ask(&later("other", 1), 1).error_code, UNKNOWN_MEMBER);
    assert_eq!(connection.ask(&later("m", -1), 1).error_code, 0);
    assert_eq!(connection.ask(&later("m", -1), 1).error_code, UNKNOWN_MEMBER);
    bystanders.check();
}

#[test]
fn a_crowd_of_members_with_long_names_is_bounded() {
    let broker = start();
    let bystanders = Bystanders::new(&broker);
    let _first = Member::new(&broker, "g");
    // Its id, which is made of its name, its name and a protocol; all in one group may take 8,000,000.
    const MEMBER_BYTES: usize = 30_037 + 30_000 + 4 + 64 + 5 + 8;
    let crowd = |number: usize| join("g").with_group_instance_id(Some(text(&format!("{number:030000}"))));
    let waiting: Vec<Connection> = (0..200)
        .map(|number| {
            let mut connection = broker.connect();
            connection.send(&crowd(number), STATIC_JOIN);
            connection
        })
        .collect();
    let describe = DescribeGroupsRequest::default().with_groups(vec![id("g")]);
    let members = |broker: &Broker| broker.connect().ask(&describe, 5).groups[0].members.len();
    broker.wait_until("the group is full", |broker| members(broker) == 1 + 8_000_000 / MEMBER_BYTES);
    let response = broker.connect().ask(&crowd(1_000), STATIC_JOIN);
    assert_eq!(response.error_code, GROUP_FULL);
    // Members whose clients are gone stay for their sessions.
    drop(waiting);
    assert_eq!(members(&broker), 1 + 8_000_000 / MEMBER_BYTES);
    bystanders.check();
}

#[test]
fn members_live_through_a_crash_whatever_their_group_is_called() {
    let broker = start();
    let groups = ["g".repeat(30_000), "é ".to_owned(), "\0".to_owned()];
    let members: Vec<_> = groups.iter().map(|group| Member::new(&broker, group)).collect();
    let broker = broker.crash_and_restart(&SETTINGS);
    for mut member in members {
        member.connection = broker.connect();
        while LOADING.contains(&member.sync(1)) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!((member.heartbeat(), member.heartbeat_in(2)), (0, ILLEGAL_GENERATION));
        assert_eq!(member.rejoin().generation_id, 2);
    }
}
