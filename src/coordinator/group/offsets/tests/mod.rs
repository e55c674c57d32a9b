//! Committed offsets, driven as requests drive them, under a virtual clock.

mod commits;
mod expiry;
mod lists;
mod memory;
mod model;

use std::collections::BTreeMap;

use super::*;
use crate::config::{BrokerSettings, GroupSettings};
use crate::coordinator::group::classic::JoinRequest;
use crate::coordinator::group::{Groups, Turn};
use crate::coordinator::records::GroupRecord;
use crate::coordinator::records::offsets::OffsetValue;
use crate::coordinator::{Actions, GroupId, Ticket};
use crate::metadata::{ClusterId, Command, LogId};
use crate::model::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TimestampMs};

const DAY_MS: i64 = 24 * 3_600_000;
/// The default of `offsets.retention.minutes`.
const RETENTION_MS: i64 = 7 * DAY_MS;

/// Topics of the given ids, names and numbers of partitions.
fn image(topics: &[(u128, &str, usize)]) -> Image {
    let mut image = Image::default();
    let node = BrokerId(1);
    let mut commands = vec![
        Command::InitCluster {
            cluster_id: ClusterId(uuid::Uuid::from_u128(9)),
            features: BTreeMap::default(),
        },
        Command::StartBroker {
            broker: node,
            incarnation: uuid::Uuid::from_u128(5),
            endpoints: vec![],
            rack: None,
        },
    ];
    commands.extend(topics.iter().map(|(id, name, partitions)| Command::CreateTopic {
        id: TopicId(uuid::Uuid::from_u128(*id)),
        name: (*name).to_owned(),
        overrides: BTreeMap::default(),
        replicas: vec![vec![node]; *partitions],
    }));
    for (command, index) in commands.iter().zip(1..) {
        image.apply(LogId { term: 1, index }, command).expect("the command fits");
    }
    image
}

/// The groups of one partition, their log and their clock.
struct Bench {
    groups: Groups,
    log: Vec<GroupRecord>,
    now: i64,
    image: Image,
    settings: GroupSettings,
    tickets: u64,
}

impl Bench {
    /// With topics `a` (3 partitions) and `b` (2).
    fn new() -> Self {
        Self {
            groups: Groups::default(),
            log: vec![],
            now: 1_000,
            image: image(&[(1, "a", 3), (2, "b", 2)]),
            settings: GroupSettings::of(&BrokerSettings::default()),
            tickets: 0,
        }
    }

    fn event<A>(&mut self, event: impl FnOnce(&mut Groups, &Turn<'_>, &mut Actions) -> A) -> A {
        let turn = Turn { now: TimestampMs(self.now), image: &self.image, settings: &self.settings };
        let mut actions = Actions::default();
        let answer = event(&mut self.groups, &turn, &mut actions);
        self.log.append(&mut actions.records);
        answer
    }

    fn commit(&mut self, group: &str, commit: Commit) -> Committed {
        self.event(|groups, turn, actions| groups.commit(&group.into(), commit, turn, actions))
    }

    /// A commit of a client that is no member, for one partition.
    fn put(&mut self, group: &str, topic: &str, partition: i32, offset: i64) {
        let answer = self.commit(group, simple(&[(topic, partition, offset)]));
        assert_eq!(answer, [[Ok(())]]);
    }

    fn fetch(&mut self, group: &str, topics: Option<&[(&str, i32)]>) -> Vec<(String, i32, i64)> {
        let topics = topics.map(|topics| topics.iter().map(|(name, n)| asked(name, *n)).collect());
        let fetch = FetchOffsets { member_id: None, member_epoch: -1, topics };
        let found = self.event(|groups, turn, _| groups.fetch(group, &fetch, turn)).expect("no refusal");
        let each = |topic: FetchedTopic| {
            let name = topic.name.to_string();
            topic.partitions.into_iter().map(move |at| (name.clone(), at.partition.0, at.offset.0))
        };
        found.into_iter().flat_map(each).collect()
    }

    /// Expires what is due; how many events it took.
    fn expire(&mut self) -> usize {
        (1..1_000).find(|_| self.event(|groups, turn, actions| groups.on_expiry_due(turn, actions))).unwrap()
    }

    /// One member joins a classic group, which then waits for its assignment.
    fn join(&mut self, group: &str, protocol_type: &str, topic: &str) -> String {
        self.tickets += 1;
        let request = JoinRequest {
            member_id: String::new(),
            instance_id: None,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: protocol_type.to_owned(),
            protocols: vec![("range".to_owned(), subscription(topic))],
            reason: None,
            requires_known_member: false,
            supports_skipping_assignment: false,
            fresh: uuid::Uuid::from_u128(u128::from(self.tickets)),
        };
        let (ticket, id) = (Ticket(self.tickets), GroupId::from(group));
        self.event(|groups, turn, actions| groups.join(turn, &id, request, ticket, actions));
        self.now += 3_000;
        let mut joined = vec![];
        self.event(|groups, turn, actions| {
            groups.on_time(turn, actions);
            joined = std::mem::take(&mut actions.joined);
        });
        let (_, joined) = joined.pop().expect("the initial delay is over");
        joined.expect("the only member").member_id.to_string()
    }

    /// The groups as the log says that they are.
    fn replayed(&self) -> Groups {
        let mut replayed = Groups::default();
        for record in &self.log {
            replayed.replay(record.clone());
        }
        replayed
    }

    fn check(&self) {
        assert_eq!(offsets_of(&self.replayed()), offsets_of(&self.groups), "the log says what memory says");
    }
}

/// Everything committed, as records hold it.
fn offsets_of(groups: &Groups) -> BTreeMap<(String, String, i32), OffsetValue> {
    let of_group = |(id, group): (&GroupId, &crate::coordinator::group::Group)| {
        let each = group.offsets().iter().map(|(topic, partition, offset)| {
            let key = (id.to_string(), topic.to_string(), partition.get());
            (key, offset.value(&Default::default()))
        });
        each.collect::<Vec<_>>()
    };
    groups.iter().flat_map(of_group).collect()
}

fn asked(name: &str, partition: i32) -> FetchTopic {
    FetchTopic { topic: TopicRef::Name(name.to_owned()), partitions: vec![PartitionIndex(partition)] }
}

/// A commit of a client that is no member.
fn simple(partitions: &[(&str, i32, i64)]) -> Commit {
    let topic = |(name, partition, offset): &(&str, i32, i64)| CommitTopic {
        topic: TopicRef::Name((*name).to_owned()),
        partitions: vec![CommitPartition {
            partition: PartitionIndex(*partition),
            offset: Offset(*offset),
            leader_epoch: LeaderEpoch(4),
            metadata: None,
        }],
    };
    Commit {
        member_id: String::new(),
        instance_id: None,
        generation: -1,
        version: 9,
        retention_ms: None,
        topics: partitions.iter().map(topic).collect(),
    }
}

/// A subscription of the consumer protocol, version 0, to one topic.
fn subscription(topic: &str) -> bytes::Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend((topic.len() as u16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend((-1i32).to_be_bytes());
    bytes.into()
}
