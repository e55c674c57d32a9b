//! Tests of consumer groups: a world with topics, a clock and groups, whose records are replayed into a second one after each
//! event, which has to come to the same state.

mod bounds;
mod cases;
mod cost;
mod migration;
mod mixed;
mod patterns;
mod property;
mod statics;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::config::{BrokerSettings, GroupSettings};
use crate::coordinator::group::classic::{JoinRequest, State};
use crate::coordinator::group::{Groups, Kind};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::consumer::TopicPartitions;
use crate::coordinator::{GroupError, Ticket};
use crate::metadata::{Command, ConfigResource, Image, Settings};
use crate::model::BrokerId;

const NODE: BrokerId = BrokerId(1);

/// Topics, a clock, groups, and a second copy of them that knows only their records.
struct World {
    image: Image,
    settings: GroupSettings,
    now: TimestampMs,
    groups: Groups,
    copy: Groups,
    /// All records so far.
    log: Vec<GroupRecord>,
    chance: u128,
}

impl World {
    /// With topics of these names and numbers of partitions.
    fn new(topics: &[(&str, usize)]) -> Self {
        let mut world = Self {
            image: Image::default(),
            settings: GroupSettings::of(&BrokerSettings::default()),
            now: TimestampMs(1_000_000),
            groups: Groups::default(),
            copy: Groups::default(),
            log: vec![],
            chance: 1 << 64,
        };
        let cluster_id = crate::metadata::ClusterId(uuid::Uuid::from_u128(9));
        world.apply(Command::InitCluster { cluster_id, features: BTreeMap::new() });
        let incarnation = uuid::Uuid::from_u128(5);
        world.apply(Command::StartBroker { broker: NODE, incarnation, endpoints: vec![], rack: None });
        for (name, partitions) in topics {
            world.create(name, *partitions);
        }
        world
    }

    fn apply(&mut self, command: Command) {
        let mut at = self.image.applied();
        at.term = 1;
        at.index += 1;
        self.image.apply(at, &command).unwrap();
    }

    /// Creates a topic; topics have ids by the order in which they are created.
    fn create(&mut self, name: &str, partitions: usize) -> TopicId {
        self.chance += 1;
        let id = TopicId(uuid::Uuid::from_u128(self.chance));
        let replicas = vec![vec![NODE]; partitions];
        self.apply(Command::CreateTopic { id, name: name.to_owned(), overrides: Settings::new(), replicas });
        id
    }

    fn grow(&mut self, name: &str, by: usize) {
        let topic = self.image.topic(name).unwrap().clone();
        let first = PartitionIndex(topic.partitions.len() as i32);
        self.apply(Command::CreatePartitions { id: topic.id, first, replicas: vec![vec![NODE]; by] });
    }

    fn drop_topic(&mut self, name: &str) {
        let id = self.image.topic(name).unwrap().id;
        self.apply(Command::DeleteTopic { id });
    }

    /// Lets an event happen; what it wants appended is replayed into the copy.
    fn event<A>(&mut self, event: impl FnOnce(&mut Groups, &Turn<'_>, &mut Actions) -> A) -> (A, Actions) {
        let turn = Turn { now: self.now, image: &self.image, settings: &self.settings };
        let mut actions = Actions::default();
        let answer = event(&mut self.groups, &turn, &mut actions);
        for record in &actions.records {
            self.copy.replay(record.clone());
            self.log.push(record.clone());
        }
        self.compare();
        (answer, actions)
    }

    fn compare(&self) {
        match (self.groups.get("g").map(|group| &group.kind), self.copy.get("g").map(|group| &group.kind)) {
            (Some(Kind::Consumer(live)), Some(Kind::Consumer(copy))) => {
                live.check_invariants();
                assert_eq!(durable(live), durable(copy));
            }
            (Some(Kind::Classic(live)), Some(Kind::Classic(copy))) => {
                live.check_invariants();
                assert!(copy.generation() <= live.generation(), "the log is not ahead");
                if live.state() == State::Stable {
                    assert_eq!(live.to_record(), copy.to_record());
                }
            }
            (Some(Kind::Simple), Some(Kind::Simple)) | (None, None) => {}
            (live, copy) => panic!("live {live:?}, read back {copy:?}"),
        }
        let offsets = |groups: &Groups| -> Vec<_> {
            let held = groups.get("g").into_iter().flat_map(|group| group.offsets.iter());
            held.map(|(topic, partition, held)| (topic.clone(), partition, held.offset)).collect()
        };
        assert_eq!(offsets(&self.groups), offsets(&self.copy));
    }

    /// The group.
    fn group(&self) -> &ConsumerGroup {
        match self.groups.get("g").map(|group| &group.kind) {
            Some(Kind::Consumer(group)) => group,
            other => panic!("no consumer group: {other:?}"),
        }
    }

    fn member(&self, id: &str) -> &Member {
        &self.group().members[id]
    }

    fn heartbeat(&mut self, request: HeartbeatRequest) -> (Result<HeartbeatAnswer, GroupError>, Actions) {
        self.event(|groups, turn, actions| {
            groups.consumer_heartbeat(turn, &GroupId::from("g"), &request, actions)
        })
    }

    /// A heartbeat that is answered.
    fn beat(&mut self, request: HeartbeatRequest) -> HeartbeatAnswer {
        self.heartbeat(request).0.unwrap()
    }

    /// A heartbeat that is refused; nothing changes.
    fn refused(&mut self, request: HeartbeatRequest) -> GroupError {
        let (answer, actions) = self.heartbeat(request);
        assert_eq!(actions.records, []);
        answer.unwrap_err()
    }

    /// Lets time pass, and what is due happen.
    fn pass(&mut self, ms: i64) -> Vec<GroupRecord> {
        self.now = TimestampMs(self.now.0 + ms);
        self.event(|groups, turn, actions| groups.on_time(turn, actions)).1.records
    }

    /// The broker starts anew.
    fn restart(&mut self) {
        self.groups = Groups::default();
        self.copy = Groups::default();
        for record in self.log.clone() {
            self.groups.replay(record.clone());
            self.copy.replay(record);
        }
        let turn = Turn { now: self.now, image: &self.image, settings: &self.settings };
        self.copy.on_loaded(&turn, &mut Actions::default());
        self.event(|groups, turn, actions| groups.on_loaded(turn, actions));
    }

    fn topic_id(&self, name: &str) -> TopicId {
        self.image.topic(name).unwrap().id
    }

    fn list(&self, partitions: &[(&str, &[i32])]) -> Vec<TopicPartitions> {
        let list = partitions.iter().map(|(name, partitions)| TopicPartitions {
            topic_id: self.topic_id(name),
            partitions: partitions.iter().copied().map(PartitionIndex).collect(),
        });
        list.collect()
    }

    /// `a:0,1` for partitions 0 and 1 of the topic a.
    fn told(&self, partitions: &[TopicPartitions]) -> String {
        let each = partitions.iter().map(|of| {
            let name = self.image.topic_by_id(of.topic_id).map_or("?", |topic| &topic.name);
            let list: Vec<String> = of.partitions.iter().map(ToString::to_string).collect();
            format!("{name}:{}", list.join(","))
        });
        each.collect::<Vec<_>>().join(" ")
    }

    fn assigned(&self, id: &str) -> String {
        self.told(&self.member(id).current.assigned.to_list())
    }
}

/// What of a group is in records.
type Durable<'a> = (
    (i32, i32, i64),
    &'a BTreeMap<MemberId, Member>,
    &'a BTreeMap<MemberId, Assignment>,
    &'a HashMap<InstanceId, MemberId>,
    &'a HashMap<(TopicId, PartitionIndex), MemberId>,
    &'a Subscriptions,
);

fn durable(group: &ConsumerGroup) -> Durable<'_> {
    let ConsumerGroup { epoch, target_epoch, metadata_hash, members, targets, statics, owners, .. } = group;
    let numbers = (*epoch, *target_epoch, *metadata_hash);
    (numbers, members, targets, statics, owners, &group.subscriptions)
}

/// A heartbeat that says nothing new.
fn beat(id: &str, epoch: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        member_id: id.to_owned(),
        member_epoch: epoch,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: -1,
        subscribed_topics: None,
        subscribed_regex: None,
        server_assignor: None,
        owned: None,
        from: Caller { client_id: "client".to_owned(), client_host: "/127.0.0.1".to_owned() },
        brings_id: true,
        fresh: uuid::Uuid::from_u128(77),
    }
}

/// A member joins.
fn join(id: &str, topics: &[&str]) -> HeartbeatRequest {
    HeartbeatRequest {
        rebalance_timeout_ms: 60_000,
        subscribed_topics: Some(topics.iter().map(|&name| name.to_owned()).collect()),
        owned: Some(vec![]),
        ..beat(id, 0)
    }
}

/// A heartbeat that tells what the member has.
fn owning(id: &str, epoch: i32, owned: Vec<TopicPartitions>) -> HeartbeatRequest {
    HeartbeatRequest { owned: Some(owned), ..beat(id, epoch) }
}

/// Who a record is about, in short: its kind, and the member or pattern.
/// A member of the classic protocol joins, with its subscription for each assignor.
fn classic_request(id: &str, protocols: &[(&str, &Bytes)]) -> JoinRequest {
    JoinRequest {
        member_id: id.to_owned(),
        instance_id: None,
        client_id: "old".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".to_owned(),
        protocols: protocols.iter().map(|(name, bytes)| ((*name).to_owned(), (*bytes).clone())).collect(),
        reason: None,
        requires_known_member: false,
        supports_skipping_assignment: false,
        fresh: uuid::Uuid::from_u128(0),
    }
}

fn short(records: &[GroupRecord]) -> Vec<String> {
    let each = records.iter().map(|record| match record {
        GroupRecord::ConsumerGroup(_, value) => {
            value.map_or("-group".to_owned(), |v| format!("group {}", v.epoch))
        }
        GroupRecord::ConsumerMember(_, id, value) => format!("{}member {id}", sign(value.is_some())),
        GroupRecord::ConsumerTarget(_, value) => {
            value.map_or("-target".to_owned(), |value| format!("target {}", value.assignment_epoch))
        }
        GroupRecord::ConsumerTargetMember(_, id, value) => format!("{}target of {id}", sign(value.is_some())),
        GroupRecord::ConsumerCurrent(_, id, Some(value)) => format!("current {id} {}", value.epoch),
        GroupRecord::ConsumerCurrent(_, id, None) => format!("-current {id}"),
        GroupRecord::ConsumerRegex(_, text, value) => format!("{}regex {text}", sign(value.is_some())),
        GroupRecord::ConsumerPartitionMetadata(..) => "-partitions".to_owned(),
        GroupRecord::ClassicGroup(_, value) => {
            value.as_ref().map_or("-classic".to_owned(), |value| format!("classic {}", value.generation))
        }
        other => format!("{other:?}"),
    });
    each.collect()
}

fn sign(value: bool) -> &'static str {
    if value { "" } else { "-" }
}
