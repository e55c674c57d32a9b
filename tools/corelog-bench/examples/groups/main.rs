//! What consumer groups cost a broker: rebalances of many members, heartbeats, offset commits, and loading them again.
//!
//! groups HOST:PORT gather GROUPS MEMBERS      classic groups come together; then a member joins and another leaves
//! groups HOST:PORT consumer GROUP MEMBERS     one group of the consumer protocol (KIP-848) comes together
//! groups HOST:PORT heartbeat CONNECTIONS S    heartbeats of one member each, one in flight
//! groups HOST:PORT commit CONNECTIONS S       offset commits of one partition each, one in flight
//! groups HOST:PORT fill GROUPS PARTITIONS     commits an offset for each partition of the topic `many` in each group
//! groups HOST:PORT loaded GROUPS SINCE_NS     how long after SINCE_NS (ns since 1970) all those groups tell their offsets
//!
//! The topic `many` is to be there. Each prints one line of NAME=VALUE words. Members have a connection each, as clients have; those
//! that gather a thread each as well.
//!
//! Key invariant: a member counts when the broker told it its assignment; a commit when it was answered without an error.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod looped;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use corelog::protocol::{decode_response, encode_request};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};

use looped::{Looped, loops};

const TOPIC: &str = "many";
const HEARTBEAT: Duration = Duration::from_millis(500);
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);
const STACK_BYTES: usize = 128 << 10;
const COMMITTED_AT_ONCE: usize = 500;
/// The version of OffsetCommit.
const COMMIT: i16 = 8;
/// Groups of each mode have numbers of their own: members of an earlier run may still count as alive.
const HEARTBEAT_GROUPS: usize = 1_000_000;
const COMMIT_GROUPS: usize = 2_000_000;
const UNKNOWN_MEMBER: i16 = 25;
const REBALANCING: i16 = 27;
const MEMBER_ID_REQUIRED: i16 = 79;
/// The coordinator is not there yet, or loading.
const NOT_YET: [i16; 3] = [14, 15, 16];

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn group_id(number: usize) -> GroupId {
    GroupId(text(format!("group-{number}")))
}

/// One connection, one request at a time.
struct Connection(TcpStream);

impl Connection {
    fn open(address: &str) -> Self {
        let began = Instant::now();
        loop {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(GIVE_UP_AFTER)).unwrap();
                return Self(stream);
            }
            assert!(began.elapsed() < GIVE_UP_AFTER, "nobody listens on {address}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Opens a connection and waits until the group's coordinator serves.
    fn to_group(address: &str, group: &GroupId) -> Self {
        let mut connection = Self::open(address);
        let keys = vec![group.0.clone()];
        let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
        let began = Instant::now();
        while connection.call(&request, 4).coordinators[0].error_code != 0 {
            assert!(began.elapsed() < GIVE_UP_AFTER, "no coordinator");
            std::thread::sleep(Duration::from_millis(20));
        }
        connection
    }

    fn call<Q: Request>(&mut self, request: &Q, version: i16) -> Q::Response {
        let answer = self.exchange(&encode_request("groups", 1, version, request).unwrap());
        decode_response::<Q>(&mut Bytes::from(answer), version).unwrap().1
    }

    /// Sends a frame; returns what answers it, without its size.
    fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        self.0.write_all(request).unwrap();
        let mut size = [0; 4];
        self.0.read_exact(&mut size).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        self.0.read_exact(&mut answer).unwrap();
        answer
    }
}

/// Counters that members share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Members that have an assignment of the generation now wanted.
    synced: AtomicUsize,
    rebalances: AtomicU64,
}

/// A member of a classic group.
struct Member {
    connection: Connection,
    group: GroupId,
    id: StrBytes,
}

impl Member {
    fn new(address: &str, group: usize) -> Self {
        let group = group_id(group);
        Self { connection: Connection::to_group(address, &group), group, id: StrBytes::default() }
    }

    /// Joins and syncs until it has an assignment; returns the generation.
    fn join(&mut self) -> i32 {
        loop {
            let joined = self.ask_to_join();
            if joined.error_code != 0 {
                match joined.error_code {
                    MEMBER_ID_REQUIRED => self.id = joined.member_id,
                    UNKNOWN_MEMBER => self.id = StrBytes::default(),
                    code if NOT_YET.contains(&code) => std::thread::sleep(Duration::from_millis(20)),
                    code => panic!("join: error {code}"),
                }
                continue;
            }
            self.id = joined.member_id.clone();
            let give = |id: &StrBytes| {
                let assignment = SyncGroupRequestAssignment::default().with_member_id(id.clone());
                assignment.with_assignment(Bytes::from_static(b"what to work on"))
            };
            let request = SyncGroupRequest::default()
                .with_group_id(self.group.clone())
                .with_generation_id(joined.generation_id)
                .with_member_id(self.id.clone())
                .with_protocol_type(Some(text("bench")))
                .with_protocol_name(joined.protocol_name)
                .with_assignments(joined.members.iter().map(|member| give(&member.member_id)).collect());
            if self.connection.call(&request, 5).error_code == 0 {
                return joined.generation_id;
            }
        }
    }

    fn ask_to_join(&mut self) -> JoinGroupResponse {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("only"))
            .with_metadata(Bytes::from_static(b"what it can do"));
        let request = JoinGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_session_timeout_ms(45_000)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(self.id.clone())
            .with_protocol_type(text("bench"))
            .with_protocols(vec![protocol]);
        self.connection.call(&request, 9)
    }

    fn heartbeat(&mut self, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(generation)
            .with_member_id(self.id.clone());
        self.connection.call(&request, 4).error_code
    }

    fn leave(&mut self) {
        let member = MemberIdentity::default().with_member_id(self.id.clone());
        let request =
            LeaveGroupRequest::default().with_group_id(self.group.clone()).with_members(vec![member]);
        self.connection.call(&request, 5);
    }

    /// Stays a member until told to stop.
    fn live(mut self, shared: &Shared) {
        let mut generation = self.join();
        shared.synced.fetch_add(1, Ordering::Relaxed);
        while !shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(HEARTBEAT);
            match self.heartbeat(generation) {
                0 => {}
                REBALANCING => {
                    generation = self.join();
                    shared.rebalances.fetch_add(1, Ordering::Relaxed);
                }
                code => panic!("heartbeat: error {code}"),
            }
        }
        self.leave();
    }
}

/// Ends the whole probe when its thread panics: the others would wait for it.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(1);
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let watched = move || {
        let _exit = Exit;
        work();
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(watched).unwrap()
}

/// Waits until `done`; returns the milliseconds since `began`.
fn wait_until(began: Instant, what: &str, done: impl Fn() -> bool) -> f64 {
    while !done() {
        assert!(began.elapsed() < GIVE_UP_AFTER, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed().as_secs_f64() * 1e3
}

fn gather(address: &str, groups: usize, members: usize) {
    // Connections are made before the clock starts.
    let shared = Arc::new(Shared::default());
    let start = Arc::new(Barrier::new(groups * members + 1));
    let threads: Vec<_> = (0..groups * members)
        .map(|number| {
            let (address, shared, start) = (address.to_owned(), shared.clone(), start.clone());
            spawn(move || {
                let member = Member::new(&address, number / members);
                start.wait();
                member.live(&shared);
            })
        })
        .collect();
    start.wait();
    let began = Instant::now();
    let first = wait_until(began, "the first rebalance", || {
        shared.synced.load(Ordering::Relaxed) == groups * members
    });
    if members == 1 {
        println!("groups={groups} members={members} gathered_ms={first:.0}");
    } else {
        let mut newcomer = Member::new(address, 0);
        let began = Instant::now();
        newcomer.join();
        let done = || shared.rebalances.load(Ordering::Relaxed) >= members as u64;
        let joined = wait_until(began, "the rebalance after a join", done);
        let began = Instant::now();
        newcomer.leave();
        let done = || shared.rebalances.load(Ordering::Relaxed) >= 2 * members as u64;
        let left = wait_until(began, "the rebalance after a leave", done);
        println!(
            "groups={groups} members={members} gathered_ms={first:.0} one_joined_ms={joined:.0} one_left_ms={left:.0}"
        );
    }
    shared.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A member of a consumer group heartbeats until it has partitions, and its share of them stays the same.
fn consumer_member(address: &str, group: &GroupId, start: &Barrier, shared: &Shared) {
    let mut connection = Connection::to_group(address, group);
    let id = text(uuid::Uuid::new_v4().to_string());
    start.wait();
    let (mut epoch, mut owned, mut counted) = (0, None, false);
    while !shared.stop.load(Ordering::Relaxed) {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group.clone())
            .with_member_id(id.clone())
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(if epoch == 0 { 60_000 } else { -1 })
            .with_topic_partitions(owned.take());
        if epoch == 0 {
            request.subscribed_topic_names = Some(vec![TopicName(text(TOPIC))]);
            request.topic_partitions = Some(vec![]);
        }
        let answer = connection.call(&request, 1);
        assert!(
            answer.error_code == 0 || NOT_YET.contains(&answer.error_code),
            "heartbeat: {}",
            answer.error_code
        );
        if answer.error_code == 0 {
            epoch = answer.member_epoch;
        }
        if let Some(assignment) = answer.assignment {
            let said = assignment.topic_partitions.into_iter().map(|topic| {
                kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions::default()
                    .with_topic_id(topic.topic_id)
                    .with_partitions(topic.partitions)
            });
            let said: Vec<_> = said.collect();
            if !counted && !said.is_empty() {
                counted = true;
                shared.synced.fetch_add(1, Ordering::Relaxed);
            }
            owned = Some(said);
            // What was given up is said at once, so that others get it.
            continue;
        }
        std::thread::sleep(HEARTBEAT);
    }
}

fn consumer(address: &str, group: usize, members: usize) {
    let shared = Arc::new(Shared::default());
    let start = Arc::new(Barrier::new(members + 1));
    let threads: Vec<_> = (0..members)
        .map(|_| {
            let (address, shared, start) = (address.to_owned(), shared.clone(), start.clone());
            spawn(move || consumer_member(&address, &group_id(group), &start, &shared))
        })
        .collect();
    start.wait();
    let began = Instant::now();
    let all = wait_until(began, "the group", || shared.synced.load(Ordering::Relaxed) == members);
    println!("members={members} all_assigned_ms={all:.0}");
    shared.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
}

fn heartbeats(address: &str, connections: usize, seconds: u64) {
    loops(HEARTBEAT_GROUPS..HEARTBEAT_GROUPS + connections, seconds, |number| {
        let mut member = Member::new(address, number);
        let generation = member.join();
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(number))
            .with_generation_id(generation)
            .with_member_id(member.id);
        let request = encode_request("groups", 1, 4, &request).unwrap().to_vec();
        Looped::new(member.connection, request, |mut answer| {
            let (_, answer) = decode_response::<HeartbeatRequest>(&mut answer, 4).unwrap();
            assert_eq!(answer.error_code, 0);
            Some(())
        })
    });
}

fn commit_request(group: usize, partitions: impl Iterator<Item = usize>, offset: i64) -> OffsetCommitRequest {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index as i32)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(StrBytes::default()))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(TOPIC)))
        .with_partitions(partitions.map(partition).collect());
    OffsetCommitRequest::default().with_group_id(group_id(group)).with_topics(vec![topic])
}

/// Whether what was committed is; `None` if the coordinator is not there yet.
fn committed(answer: &OffsetCommitResponse) -> Option<()> {
    let mut codes =
        answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    match codes.find(|code| *code != 0) {
        None => Some(()),
        Some(code) if NOT_YET.contains(&code) => None,
        Some(code) => panic!("commit: error {code}"),
    }
}

fn commit(connection: &mut Connection, request: &OffsetCommitRequest) {
    while committed(&connection.call(request, COMMIT)).is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn commits(address: &str, connections: usize, seconds: u64) {
    loops(COMMIT_GROUPS..COMMIT_GROUPS + connections, seconds, |number| {
        let mut offset = 0x1122_3344_5566_7788_i64;
        let request = commit_request(number, std::iter::once(0), offset);
        let request = encode_request("groups", 1, COMMIT, &request).unwrap().to_vec();
        let at = request.windows(8).position(|bytes| bytes == offset.to_be_bytes()).unwrap();
        let connection = Connection::to_group(address, &group_id(number));
        let mut looped = Looped::new(connection, request, |mut answer| {
            committed(&decode_response::<OffsetCommitRequest>(&mut answer, COMMIT).unwrap().1)
        });
        looped.change = Box::new(move |request| {
            offset += 1;
            request[at..at + 8].copy_from_slice(&offset.to_be_bytes());
        });
        looped
    });
}

fn fill(address: &str, groups: usize, partitions: usize) {
    let began = Instant::now();
    let mut connection = Connection::to_group(address, &group_id(0));
    for group in 0..groups {
        for from in (0..partitions).step_by(COMMITTED_AT_ONCE) {
            let some = from..partitions.min(from + COMMITTED_AT_ONCE);
            commit(&mut connection, &commit_request(group, some, 1));
        }
    }
    println!("offsets={} filled_ms={:.0}", groups * partitions, began.elapsed().as_secs_f64() * 1e3);
}

fn loaded(address: &str, groups: usize, since_ns: u64) {
    let since = UNIX_EPOCH + Duration::from_nanos(since_ns);
    let mut connection = Connection::open(address);
    let mut offsets = 0;
    for number in 0..groups {
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id(number)).with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![group]);
        offsets += loop {
            assert!(since.elapsed().unwrap() < GIVE_UP_AFTER, "the groups do not come back");
            let answer = connection.call(&request, 8).groups.remove(0);
            if answer.error_code == 0 {
                break answer.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
    }
    println!("groups={groups} offsets={offsets} all_ms={:.0}", since.elapsed().unwrap().as_secs_f64() * 1e3);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, mode, first, second] = &arguments[..] else {
        panic!("groups HOST:PORT gather|consumer|heartbeat|commit|fill|loaded A B");
    };
    let (first, second): (usize, u64) = (first.parse().unwrap(), second.parse().unwrap());
    match mode.as_str() {
        "gather" => gather(address, first, second as usize),
        "consumer" => consumer(address, first, second as usize),
        "heartbeat" => heartbeats(address, first, second),
        "commit" => commits(address, first, second),
        "fill" => fill(address, first, second as usize),
        "loaded" => loaded(address, first, second),
        other => panic!("no such mode: {other}"),
    }
}
