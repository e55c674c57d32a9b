//! Tests of share groups: cases by hand, and any order of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::{BrokerSettings, GroupSettings};
use crate::metadata::{Command, LogId};
use crate::model::{BrokerId, PartitionIndex};

mod space;

const GROUP: &str = "queue";

/// A group's coordinator with its world: topics, settings, clock, and the records that were appended.
struct World {
    groups: Groups,
    image: Image,
    settings: GroupSettings,
    now: i64,
    log: Vec<GroupRecord>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            groups: Groups::default(),
            image: Image::default(),
            settings: GroupSettings::of(&BrokerSettings::default()),
            now: 1_000_000,
            log: vec![],
        };
        world.command(Command::StartBroker {
            broker: BrokerId(1),
            incarnation: uuid::Uuid::nil(),
            endpoints: vec![],
            rack: None,
        });
        world
    }

    fn command(&mut self, command: Command) {
        let id = LogId { term: 1, index: self.image.applied().index + 1 };
        self.image.apply(id, &command).unwrap();
    }

    fn topic(&mut self, number: u128, partitions: usize) {
        let replicas = vec![vec![BrokerId(1)]; partitions];
        let (id, name) = (topic_id(number), format!("t{number}"));
        self.command(Command::CreateTopic { id, name, overrides: Default::default(), replicas });
    }

    fn event<A>(&mut self, event: impl FnOnce(&mut Groups, &Turn<'_>, &mut Actions) -> A) -> A {
        let turn = Turn { now: TimestampMs(self.now), image: &self.image, settings: &self.settings };
        let mut actions = Actions::default();
        let answer = event(&mut self.groups, &turn, &mut actions);
        self.log.extend(actions.records);
        answer
    }

    fn heartbeat(
        &mut self,
        member: &str,
        epoch: i32,
        topics: &[u128],
    ) -> Result<ShareHeartbeatAnswer, GroupError> {
        let heartbeat = ShareHeartbeat {
            member_id: member.to_owned(),
            member_epoch: epoch,
            rack_id: None,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            subscribed_topics: (!topics.is_empty())
                .then(|| topics.iter().map(|topic| format!("t{topic}")).collect()),
        };
        let id = GroupId::from(GROUP);
        self.event(|groups, turn, actions| groups.share_heartbeat(&id, heartbeat, turn, actions))
    }

    /// Initializes all that an answer asks for.
    fn initialize(&mut self, answer: &ShareHeartbeatAnswer) {
        let Some(initialize) = &answer.initialize else { return };
        let partitions = initialize.partitions.iter().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| TopicPartition { topic_id: topic.topic_id, partition: *partition })
        });
        let partitions: BTreeSet<TopicPartition> = partitions.collect();
        let id = GroupId::from(GROUP);
        self.event(|groups, turn, actions| groups.share_initialized(&id, &partitions, turn, actions))
            .unwrap();
    }

    fn group(&self) -> &ShareGroup {
        self.groups.share(GROUP).unwrap()
    }

    /// What a start would find.
    fn replayed(&self) -> Groups {
        let mut groups = Groups::default();
        for record in &self.log {
            groups.replay(record.clone());
        }
        groups
    }
}

fn topic_id(number: u128) -> TopicId {
    TopicId(uuid::Uuid::from_u128(number))
}

fn count(answer: &ShareHeartbeatAnswer) -> Option<usize> {
    answer.assignment.as_ref().map(|topics| topics.iter().map(|topic| topic.partitions.len()).sum())
}

/// The durable part of a group.
fn durable(group: &ShareGroup) -> impl PartialEq + std::fmt::Debug {
    let members = group.members.clone();
    (
        group.id.clone(),
        group.epoch,
        group.metadata_hash,
        members,
        group.target_epoch,
        group.target.clone(),
        group.states.value(),
    )
}

#[test]
fn a_member_gets_partitions_once_their_state_is_initialized() {
    let mut world = World::new();
    world.topic(1, 3);
    let joined = world.heartbeat("a", 0, &[1]).unwrap();
    assert_eq!((joined.member_epoch, count(&joined)), (1, Some(0)));
    let initialize = joined.initialize.clone().unwrap();
    assert_eq!((initialize.state_epoch, initialize.partitions[0].partitions.len()), (1, 3));
    let waiting = world.heartbeat("a", 1, &[]).unwrap();
    assert_eq!((waiting.member_epoch, waiting.assignment, waiting.initialize), (1, None, None));
    world.initialize(&joined);
    let next = world.heartbeat("a", 1, &[]).unwrap();
    assert_eq!((next.member_epoch, count(&next)), (2, Some(3)));
    assert_eq!(world.heartbeat("a", 2, &[]).unwrap().assignment, None, "told already");
    let repeated = world.heartbeat("a", 1, &[]).unwrap();
    assert_eq!(repeated.member_epoch, 2, "the answer may have been lost");
}

#[test]
fn initializing_is_tried_again_after_a_while() {
    let mut world = World::new();
    world.topic(1, 2);
    assert!(world.heartbeat("a", 0, &[1]).unwrap().initialize.is_some());
    world.now += 9_999;
    assert!(world.heartbeat("a", 1, &[]).unwrap().initialize.is_none());
    world.now += 1;
    assert!(world.heartbeat("a", 1, &[]).unwrap().initialize.is_some());
}

#[test]
fn epochs_fence_and_sessions_end() {
    let mut world = World::new();
    world.topic(1, 2);
    let joined = world.heartbeat("a", 0, &[1]).unwrap();
    world.initialize(&joined);
    world.heartbeat("a", 1, &[]).unwrap();
    assert!(matches!(world.heartbeat("a", 7, &[]), Err(GroupError::FencedMemberEpoch(_))));
    world.heartbeat("b", 0, &[1]).unwrap();
    assert_eq!(world.heartbeat("a", 2, &[]).unwrap().member_epoch, 3);
    assert!(matches!(world.heartbeat("a", 1, &[]), Err(GroupError::FencedMemberEpoch(_))));
    assert!(matches!(world.heartbeat("c", 3, &[]), Err(GroupError::UnknownMemberId(_))));
    assert_eq!(world.heartbeat("a", 0, &[1]).unwrap().member_epoch, 3, "it may join anew");
    world.now += 45_000;
    assert_eq!(world.groups.next_deadline(), Some(TimestampMs(world.now)));
    world.event(|groups, turn, actions| groups.on_time(turn, actions));
    assert_eq!(world.group().state(), ShareGroupState::Empty);
    assert!(matches!(world.heartbeat("a", 3, &[]), Err(GroupError::UnknownMemberId(_))));
    assert_eq!(durable(world.replayed().share(GROUP).unwrap()), durable(world.group()));
}

#[test]
fn the_groups_own_session_timeout_holds() {
    let mut world = World::new();
    world.topic(1, 1);
    let settings = [("share.session.timeout.ms", "50000"), ("share.heartbeat.interval.ms", "7000")];
    world.command(Command::SetConfigs {
        resource: ConfigResource::Group(GROUP.to_owned()),
        settings: settings.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into(),
    });
    assert_eq!(world.heartbeat("a", 0, &[1]).unwrap().heartbeat_interval_ms, 7_000);
    assert_eq!(world.groups.next_deadline(), Some(TimestampMs(world.now + 50_000)));
}

#[test]
fn hostile_heartbeats_are_refused() {
    let mut world = World::new();
    world.settings.share.members_max = 1;
    let refused = |result: Result<ShareHeartbeatAnswer, GroupError>| result.unwrap_err();
    assert!(matches!(refused(world.heartbeat("", 0, &[1])), GroupError::InvalidRequest(_)));
    assert!(matches!(refused(world.heartbeat("a", 0, &[])), GroupError::InvalidRequest(_)));
    assert!(matches!(refused(world.heartbeat("a", -2, &[])), GroupError::InvalidRequest(_)));
    assert!(matches!(refused(world.heartbeat(&"a".repeat(2000), 0, &[1])), GroupError::InvalidRequest(_)));
    assert!(matches!(refused(world.heartbeat("a", 1, &[])), GroupError::GroupIdNotFound(_)));
    assert!(world.groups.is_empty(), "what was refused left nothing");
    world.heartbeat("a", 0, &[1]).unwrap();
    assert!(matches!(refused(world.heartbeat("b", 0, &[1])), GroupError::GroupMaxSizeReached(_)));
    world.heartbeat("a", -1, &[]).unwrap();
    world.heartbeat("b", 0, &[1]).unwrap();
}

#[test]
fn more_partitions_and_deleted_topics_begin_a_new_epoch() {
    let mut world = World::new();
    world.topic(1, 1);
    let joined = world.heartbeat("a", 0, &[1, 2]).unwrap();
    world.initialize(&joined);
    assert_eq!(count(&world.heartbeat("a", 1, &[]).unwrap()), Some(1));
    world.topic(2, 2);
    let answer = world.heartbeat("a", 2, &[]).unwrap();
    assert_eq!(answer.initialize.as_ref().map(|asked| asked.partitions.len()), Some(1));
    world.initialize(&answer);
    assert_eq!(count(&world.heartbeat("a", 3, &[]).unwrap()), Some(3));
    world.command(Command::DeleteTopic { id: topic_id(1) });
    let after = world.heartbeat("a", 4, &[]).unwrap();
    assert_eq!((after.member_epoch, count(&after)), (5, Some(2)));
    assert_eq!(world.group().state_partitions().len(), 2);
    let described = world.groups.describe_share(GROUP, &world.image).unwrap();
    assert_eq!((described.state.name(), described.epoch, described.assignor), ("Stable", 5, "simple"));
    assert_eq!(described.members[0].assignment[0].topic, "t2");
}

#[test]
fn offsets_change_only_while_nobody_is_there() {
    let mut world = World::new();
    world.topic(1, 2);
    let joined = world.heartbeat("a", 0, &[1]).unwrap();
    world.initialize(&joined);
    let id = GroupId::from(GROUP);
    let partition = TopicPartition { topic_id: topic_id(1), partition: PartitionIndex(1) };
    let alter = |world: &mut World| {
        world
            .event(|groups, turn, actions| groups.share_alter_offsets(&id, [partition].into(), turn, actions))
    };
    assert_eq!(alter(&mut world), Err(GroupError::NonEmptyGroup));
    assert_eq!(world.groups.share_deletion(GROUP), Err(GroupError::NonEmptyGroup));
    world.heartbeat("a", -1, &[]).unwrap();
    let epoch = world.group().epoch;
    let change = alter(&mut world).unwrap();
    assert_eq!((change.state_epoch, change.partitions), (epoch, [partition].into()));
    assert!(change.state_epoch > joined.initialize.unwrap().state_epoch, "older states are fenced");
    assert_eq!(alter(&mut world).unwrap().state_epoch, epoch, "nothing of the group itself has changed");
    let topics: BTreeSet<TopicId> = [topic_id(1)].into();
    let deleted = world
        .event(|groups, turn, actions| groups.share_delete_offsets(&id, &topics, turn, actions))
        .unwrap();
    assert_eq!(deleted.partitions.len(), 2);
    world.event(|groups, turn, actions| groups.share_offsets_deleted(&id, &topics, turn, actions)).unwrap();
    assert!(world.groups.share_deletion(GROUP).unwrap().is_empty());
    assert_eq!(durable(world.replayed().share(GROUP).unwrap()), durable(world.group()));
}

#[test]
fn setting_offsets_makes_a_group_that_is_not_there() {
    let mut world = World::new();
    world.topic(1, 2);
    let id = GroupId::from(GROUP);
    let alter = |world: &mut World, partitions: &[i32]| {
        let of = |index: &i32| TopicPartition { topic_id: topic_id(1), partition: PartitionIndex(*index) };
        let partitions: BTreeSet<TopicPartition> = partitions.iter().map(of).collect();
        world.event(|groups, turn, actions| groups.share_alter_offsets(&id, partitions, turn, actions))
    };
    assert!(alter(&mut world, &[]).unwrap().partitions.is_empty());
    assert!(world.groups.is_empty() && world.log.is_empty(), "there was nothing to set");
    let change = alter(&mut world, &[1]).unwrap();
    assert_eq!((change.state_epoch, change.partitions.len()), (0, 1));
    assert!(world.group().initialized_partitions().is_empty());
    world
        .event(|groups, turn, actions| groups.share_initialized(&id, &change.partitions, turn, actions))
        .unwrap();
    assert_eq!(*world.group().initialized_partitions(), change.partitions);
    let described = world.groups.describe_share(GROUP, &world.image).unwrap();
    assert_eq!((described.state, described.epoch, described.members.len()), (ShareGroupState::Empty, 0, 0));
    assert_eq!(durable(world.replayed().share(GROUP).unwrap()), durable(world.group()));
    // It is a group like any other for who joins it: what is set already is not begun anew.
    let joined = world.heartbeat("a", 0, &[1]).unwrap();
    assert_eq!((joined.member_epoch, count(&joined)), (1, Some(1)));
    assert_eq!(joined.initialize.unwrap().partitions[0].partitions, [PartitionIndex(0)]);
}

#[test]
fn who_asks_for_a_group_that_is_not_there_is_told() {
    let mut world = World::new();
    let text = |error: GroupError| error.to_string();
    let heartbeat = text(world.heartbeat("a", 3, &[]).unwrap_err());
    assert_eq!(heartbeat, "Share group queue not found.");
    assert_eq!(text(world.heartbeat("a", -1, &[]).unwrap_err()), "Group queue not found.");
    assert_eq!(text(world.groups.share(GROUP).unwrap_err()), "Group queue not found.");
}

#[derive(Clone, Debug)]
enum Event {
    Heartbeat { member: usize, epoch: i32, topics: Vec<u128> },
    Initialize,
    Time(i64),
    Topic(u128, usize),
    DeleteTopic(u128),
    Restart,
}

fn events() -> impl Strategy<Value = Event> {
    let topics = prop::collection::vec(1u128..4, 0..3);
    prop_oneof![
        10 => (0usize..5, prop_oneof![1 => Just(0), 1 => Just(-1), 3 => Just(i32::MAX), 1 => 1..20i32], topics)
            .prop_map(|(member, epoch, topics)| Event::Heartbeat { member, epoch, topics }),
        3 => Just(Event::Initialize),
        2 => (1i64..30_000).prop_map(Event::Time),
        2 => (1u128..4, 1usize..5).prop_map(|(topic, partitions)| Event::Topic(topic, partitions)),
        1 => (1u128..4).prop_map(Event::DeleteTopic),
        1 => Just(Event::Restart),
    ]
}

fn run(world: &mut World, asked: &mut Vec<ShareHeartbeatAnswer>, event: Event) {
    match event {
        Event::Heartbeat { member, epoch, topics } => {
            let name = format!("m{member}");
            let known = world.groups.share(GROUP).ok().and_then(|group| group.members.get(name.as_str()));
            // Most members say the epoch that they have.
            let epoch = if epoch == i32::MAX { known.map_or(0, |member| member.epoch) } else { epoch };
            if let Ok(answer) = world.heartbeat(&name, epoch, &topics)
                && epoch != -1
            {
                check_answer(world, &name, &answer);
                asked.push(answer);
            }
        }
        Event::Initialize => {
            if let Some(answer) = asked.pop() {
                world.initialize(&answer);
            }
        }
        Event::Time(ms) => {
            world.now += ms;
            world.event(|groups, turn, actions| groups.on_time(turn, actions));
        }
        Event::Topic(number, partitions) => {
            if world.image.topic_by_id(topic_id(number)).is_none() {
                world.topic(number, partitions);
            }
        }
        Event::DeleteTopic(number) => {
            if world.image.topic_by_id(topic_id(number)).is_some() {
                world.command(Command::DeleteTopic { id: topic_id(number) });
            }
        }
        Event::Restart => {
            world.groups = world.replayed();
            world.event(|groups, turn, actions| groups.on_loaded(turn, actions));
        }
    }
}

/// A member works on nothing that it did not ask for, and what it was told last is what it has.
fn check_answer(world: &World, name: &str, answer: &ShareHeartbeatAnswer) {
    let member = &world.group().members[name];
    assert_eq!(answer.member_epoch, world.group().target_epoch);
    if let Some(assignment) = &answer.assignment {
        assert_eq!(one_by_one(assignment), member.assigned);
    }
    for partition in &member.assigned {
        let topic = world.image.topic_by_id(partition.topic_id).expect("what is assigned exists");
        assert!(member.value.subscribed_topics.contains(&topic.name));
        assert!(world.group().states.is_initialized(partition));
    }
}

proptest! {
    #[test]
    fn the_log_gives_the_group_again_whatever_happens(events in prop::collection::vec(events(), 1..60)) {
        let mut world = World::new();
        let mut asked = vec![];
        for event in events {
            run(&mut world, &mut asked, event);
            let Ok(group) = world.groups.share(GROUP) else { continue };
            group.check_invariants();
            let replayed = world.replayed();
            prop_assert_eq!(durable(replayed.share(GROUP).unwrap()), durable(group));
            if group.target_epoch == group.epoch {
                let assigned: BTreeSet<&TopicPartition> = group.target.values().flatten().collect();
                let seen = group.seen == Some(world.image.applied());
                for partition in group.wanted(&world.image).values().flatten().filter(|_| seen) {
                    prop_assert!(assigned.contains(partition), "nobody has {:?}", partition);
                }
            }
        }
    }
}
