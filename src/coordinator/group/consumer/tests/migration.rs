//! Groups that change between the protocols, and members of both in one group.

use super::*;
use crate::config::MigrationPolicy;
use crate::coordinator::group::classic::{JoinRequest, Joined, Leaving, Left, SyncRequest, Synced};
use crate::coordinator::group::consumer::embedded;
use bytes::Bytes;
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
use kafka_protocol::messages::{ConsumerProtocolSubscription, TopicName};
use kafka_protocol::protocol::{Encodable, StrBytes};

/// A subscription of version 1, with what the member has.
fn subscription(topics: &[&str], owned: &[(&str, &[i32])]) -> Bytes {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let owned = owned.iter().map(|(topic, partitions)| {
        TopicPartition::default().with_topic(TopicName(text(topic))).with_partitions(partitions.to_vec())
    });
    let message = ConsumerProtocolSubscription::default()
        .with_topics(topics.iter().map(|topic| text(topic)).collect())
        .with_owned_partitions(owned.collect());
    let mut bytes = 1_i16.to_be_bytes().to_vec();
    message.encode(&mut bytes, 1).unwrap();
    bytes.into()
}

fn classic(id: &str, owned: &[(&str, &[i32])]) -> JoinRequest {
    classic_request(id, &[("range", &subscription(&["a"], owned))])
}

impl World {
    fn classic_join(&mut self, request: JoinRequest) -> Option<Result<Joined, GroupError>> {
        let (_, actions) =
            self.event(|groups, turn, actions| groups.join(turn, &"g".into(), request, Ticket(1), actions));
        actions.joined.into_iter().find(|(ticket, _)| *ticket == Ticket(1)).map(|(_, answer)| answer)
    }

    fn classic_sync(&mut self, request: SyncRequest) -> Result<Synced, GroupError> {
        let (_, actions) =
            self.event(|groups, turn, actions| groups.sync(turn, &"g".into(), request, Ticket(2), actions));
        actions.synced.into_iter().find(|(ticket, _)| *ticket == Ticket(2)).unwrap().1
    }

    fn classic_beat(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        self.event(|groups, turn, _| groups.heartbeat(turn, &"g".into(), id, None, generation)).0
    }

    fn classic_leave(&mut self, id: &str) -> (Vec<Left>, Vec<GroupRecord>) {
        let leaving = Leaving { member_id: id.to_owned(), instance_id: None, reason: None };
        let (left, actions) =
            self.event(|groups, turn, actions| groups.leave(turn, &"g".into(), vec![leaving], actions));
        (left.unwrap(), actions.records)
    }

    /// A classic group of one member that has all of topic a. Returns the member's id.
    fn old_group(&mut self) -> String {
        assert_eq!(self.classic_join(classic("", &[])), None, "it waits");
        let (_, actions) = self.elapse(3_000);
        let joined = actions.joined.into_iter().next().unwrap().1.unwrap();
        let id = joined.member_id.as_str().to_owned();
        let all = embedded::assignment(1, &[("a".to_owned(), vec![0, 1])]);
        let given = vec![(joined.member_id, all.clone())];
        assert_eq!(self.classic_sync(sync(&id, joined.generation, given)).unwrap().assignment, all);
        id
    }

    fn elapse(&mut self, ms: i64) -> ((), Actions) {
        self.now = TimestampMs(self.now.0 + ms);
        self.event(|groups, turn, actions| groups.on_time(turn, actions))
    }

    fn is_classic(&self) -> bool {
        matches!(self.groups.get("g").map(|group| &group.kind), Some(Kind::Classic(_)))
    }
}

fn sync(id: &str, generation: i32, assignments: Vec<(MemberId, Bytes)>) -> SyncRequest {
    SyncRequest {
        member_id: id.to_owned(),
        instance_id: None,
        generation,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        assignments,
    }
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_back() {
    let mut world = World::new(&[("a", 2)]);
    let old = world.old_group();
    // The first member of the new protocol joins.
    let (answer, actions) = world.heartbeat(join("new", &["a"]));
    let answer = answer.unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(vec![])));
    let told = short(&actions.records);
    let member = |kind: &str| kind.replace("old", &old);
    let expected = ["-classic", "member old", "group 1", "target of old", "target 1", "current old 1"];
    assert_eq!(told[..6], expected.map(member));
    // The old one hears of a rebalance and joins with all it has, as eager and cooperative clients do.
    assert_eq!(world.classic_beat(&old, 1), Err(GroupError::RebalanceInProgress));
    assert!(matches!(world.classic_beat(&old, 7), Err(GroupError::IllegalGeneration)));
    let joined = world.classic_join(classic(&old, &[("a", &[0, 1])])).unwrap().unwrap();
    assert_eq!((joined.generation, joined.members.len(), joined.leader.as_str()), (1, 0, ""));
    let synced = world.classic_sync(sync(&old, 1, vec![])).unwrap();
    assert_eq!(embedded::assigned(&synced.assignment).unwrap().partitions, [("a".to_owned(), vec![0])]);
    // It gives one up, is told to join again, and has its final one.
    assert_eq!(world.classic_beat(&old, 1), Err(GroupError::RebalanceInProgress));
    let joined = world.classic_join(classic(&old, &[("a", &[0])])).unwrap().unwrap();
    assert_eq!(joined.generation, 2);
    assert!(world.classic_sync(sync(&old, 2, vec![])).is_ok());
    assert_eq!(world.classic_beat(&old, 2), Ok(()));
    assert_eq!(world.beat(beat("new", 2)).assignment, Some(world.list(&[("a", &[1])])));
    let group = world.group();
    assert_eq!(group.validate_commit(&old, 2, 8), Ok(()));
    assert_eq!(group.validate_commit(&old, 1, 8), Err(GroupError::IllegalGeneration));
    world.restart();
    // The last one of the new protocol goes.
    let (_, actions) = world.heartbeat(beat("new", -1));
    let told = short(&actions.records);
    assert_eq!(told.last().map(String::as_str), Some("classic 2"), "in the generation that members are in");
    assert!(world.is_classic());
    assert_eq!(world.classic_beat(&old, 2), Err(GroupError::RebalanceInProgress));
}

#[test]
fn what_a_cooperative_member_lost_is_kept_until_it_joins_again() {
    let mut world = World::new(&[("a", 2)]);
    let old = world.old_group();
    // The leader takes partition 1 away from itself. Whether it has heard that is not known.
    assert_eq!(world.classic_join(classic(&old, &[("a", &[0, 1])])).unwrap().unwrap().generation, 2);
    let given = embedded::assignment(1, &[("a".to_owned(), vec![0])]);
    world.classic_sync(sync(&old, 2, vec![(old.as_str().into(), given)])).unwrap();
    assert_eq!(world.beat(join("new", &["a"])).assignment, Some(vec![]));
    assert_eq!(world.told(&world.member(&old).current.revoking.to_list()), "a:1");
    assert_eq!(world.classic_beat(&old, 2), Err(GroupError::RebalanceInProgress));
    world.classic_join(classic(&old, &[("a", &[0])])).unwrap().unwrap();
    assert_eq!(world.beat(beat("new", 3)).assignment, Some(world.list(&[("a", &[1])])));
}

#[test]
fn a_member_that_was_removed_and_still_has_partitions_hears_so() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("new", &["a"]));
    let joined = world.classic_join(classic("gone", &[("a", &[0])])).unwrap();
    assert!(matches!(joined, Err(GroupError::UnknownMemberId(_))), "{joined:?}");
    assert_eq!(world.group().members.len(), 1);
    // With nothing, it may be one that was told this id.
    assert!(world.classic_join(classic("told", &[])).unwrap().is_ok());
}

#[test]
fn a_static_member_that_makes_the_group_classic_leaves_nobody_waiting() {
    let mut world = World::new(&[("a", 3)]);
    let instance = |request| JoinRequest { instance_id: Some("i1".into()), ..request };
    world.beat(HeartbeatRequest { instance_id: Some("i1".to_owned()), ..join("m1", &["a"]) });
    let fresh = |n| JoinRequest { fresh: uuid::Uuid::from_u128(n), ..classic("", &[]) };
    let old = world.classic_join(fresh(1)).unwrap().unwrap().member_id;
    world.classic_sync(sync(old.as_str(), 2, vec![])).unwrap();
    // A partition is with the one that is replaced, and on its way to the other.
    assert_eq!(world.group().state(), ConsumerGroupState::Reconciling);
    let joined = world.classic_join(instance(fresh(2))).unwrap().unwrap();
    assert!(world.is_classic());
    assert_eq!(world.classic_beat(old.as_str(), 2), Err(GroupError::RebalanceInProgress));
    let sync = SyncRequest { instance_id: Some("i1".into()), ..sync(joined.member_id.as_str(), 2, vec![]) };
    assert!(world.classic_sync(sync).is_err());
}

#[test]
fn migration_may_be_forbidden() {
    let mut world = World::new(&[("a", 2)]);
    world.settings.consumer.migration = MigrationPolicy::Disabled;
    world.old_group();
    assert!(matches!(world.refused(join("new", &["a"])), GroupError::GroupIdNotFound(_)));
    assert!(world.is_classic());
    world.settings.consumer.migration = MigrationPolicy::Upgrade;
    world.beat(join("new", &["a"]));
    world.beat(beat("new", -1));
    assert!(!world.is_classic(), "no way back");
}

#[test]
fn groups_of_another_type_are_left_alone() {
    let mut world = World::new(&[("a", 2)]);
    let connect = JoinRequest { protocol_type: "connect".to_owned(), ..classic("", &[]) };
    world.classic_join(connect);
    world.elapse(3_000);
    assert!(matches!(world.refused(join("new", &["a"])), GroupError::GroupIdNotFound(_)));
    let garbage =
        JoinRequest { protocols: vec![("range".to_owned(), Bytes::from_static(b"?"))], ..classic("", &[]) };
    let mut world = World::new(&[("a", 2)]);
    world.classic_join(garbage);
    world.elapse(3_000);
    assert!(matches!(world.refused(join("new", &["a"])), GroupError::GroupIdNotFound(_)));
    assert!(world.is_classic());
}

#[test]
fn an_empty_group_changes_its_kind_without_ado() {
    let mut world = World::new(&[("a", 2)]);
    let old = world.old_group();
    world.classic_leave(&old);
    let (answer, actions) = world.heartbeat(join("new", &["a"]));
    assert_eq!(answer.unwrap().member_epoch, 1);
    assert_eq!(short(&actions.records)[..3], ["-classic", "member new", "group 1"]);
    world.beat(beat("new", -1));
    assert_eq!(world.classic_join(classic("", &[])), None);
    assert!(world.is_classic());
}

#[test]
fn members_of_both_protocols_hand_partitions_over() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("new", &["a"]));
    let joined = world.classic_join(classic("", &[])).unwrap().unwrap();
    let old = joined.member_id.as_str().to_owned();
    assert_eq!(joined.generation, 2);
    let synced = world.classic_sync(sync(&old, 2, vec![])).unwrap();
    assert_eq!(embedded::assigned(&synced.assignment).unwrap().partitions, []);
    assert_eq!(world.classic_beat(&old, 2), Ok(()), "what it is to get is still with the other");
    let kept = world.beat(beat("new", 1)).assignment.unwrap();
    world.beat(owning("new", 1, kept));
    assert_eq!(world.classic_beat(&old, 2), Err(GroupError::RebalanceInProgress), "now it is free");
    world.classic_join(classic(&old, &[])).unwrap().unwrap();
    let synced = world.classic_sync(sync(&old, 2, vec![])).unwrap();
    assert_eq!(embedded::assigned(&synced.assignment).unwrap().partitions, [("a".to_owned(), vec![1])]);
    let (left, records) = world.classic_leave(&old);
    assert_eq!((&left[0].outcome, records.len()), (&Ok(()), 4));
    assert_eq!(world.beat(beat("new", 2)).assignment, Some(world.list(&[("a", &[0, 1])])));
}

#[test]
fn members_of_the_classic_protocol_join_and_sync_in_time() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("new", &["a"]));
    let old = world.classic_join(classic("", &[])).unwrap().unwrap().member_id;
    // It never asks for what it got: 20 s, with heartbeats meanwhile.
    world.pass(8_000);
    let _ = world.classic_beat(old.as_str(), 2);
    world.pass(8_000);
    let _ = world.classic_beat(old.as_str(), 2);
    assert_eq!(world.group().members.len(), 2);
    world.pass(4_000);
    assert_eq!(world.group().members.len(), 1);
    let old = world.classic_join(classic("", &[])).unwrap().unwrap().member_id;
    world.pass(10_000);
    assert_eq!(world.group().members.len(), 1, "{old} sent no heartbeat within its own session timeout");
}

#[test]
fn protocols_and_ids_are_checked() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("new", &["a"]));
    world.classic_join(classic("", &[])).unwrap().unwrap();
    let other = JoinRequest {
        protocols: vec![("sticky".to_owned(), subscription(&["a"], &[]))],
        fresh: uuid::Uuid::from_u128(1),
        ..classic("", &[])
    };
    let answer = world.classic_join(other).unwrap();
    assert!(matches!(answer, Err(GroupError::InconsistentGroupProtocol(_))));
    let known =
        JoinRequest { requires_known_member: true, fresh: uuid::Uuid::from_u128(2), ..classic("", &[]) };
    let answer = world.classic_join(known).unwrap();
    let Err(GroupError::MemberIdRequired(id)) = answer else { panic!("{answer:?}") };
    assert!(world.classic_join(classic(id.as_str(), &[])).unwrap().is_ok());
    assert_eq!(world.group().members.len(), 3);
}

#[test]
fn a_static_member_takes_its_place_in_the_other_protocol() {
    let mut world = World::new(&[("a", 2)]);
    let instance = |request| JoinRequest { instance_id: Some("i1".into()), ..request };
    let new = |id: &str, epoch| HeartbeatRequest { instance_id: Some("i1".to_owned()), ..beat(id, epoch) };
    let joins = |id: &str| HeartbeatRequest { instance_id: Some("i1".to_owned()), ..join(id, &["a"]) };
    world.beat(joins("m1"));
    world.beat(join("m2", &["a"]));
    // From the new to the classic one: the place need not have been released.
    let joined = world.classic_join(instance(classic("", &[]))).unwrap().unwrap();
    assert!(matches!(world.refused(new("m1", 1)), GroupError::FencedInstanceId(_)));
    assert_eq!(world.assigned(joined.member_id.as_str()), "a:0");
    // And back.
    assert_eq!(world.beat(joins("m3")).assignment, Some(world.list(&[("a", &[0])])));
    world.beat(beat("m2", -1));
    assert_eq!(world.beat(new("m3", 2)).member_epoch, 3);
    // Alone in the group, the classic one makes it a classic group at once, and keeps what it had.
    let joined = world.classic_join(instance(classic("", &[]))).unwrap().unwrap();
    assert!(world.is_classic());
    let sync = SyncRequest { instance_id: Some("i1".into()), ..sync(joined.member_id.as_str(), 3, vec![]) };
    let synced = world.classic_sync(sync).unwrap();
    assert_eq!(embedded::assigned(&synced.assignment).unwrap().partitions, [("a".to_owned(), vec![0, 1])]);
}

#[test]
fn an_administrator_removes_members_of_either_protocol() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    world.beat(HeartbeatRequest { instance_id: Some("i".into()), ..join("m2", &["a"]) });
    let (left, actions) = world.classic_leave("m1");
    assert_eq!(left[0].outcome, Ok(()));
    assert_eq!(short(&actions)[..3], ["-current m1", "-target of m1", "-member m1"]);
    assert!(matches!(world.refused(beat("m1", 2)), GroupError::UnknownMemberId(_)));
    let by_instance = || Leaving { member_id: String::new(), instance_id: Some("i".into()), reason: None };
    let (left, _) = world.event(|groups, turn, actions| {
        groups.leave(turn, &"g".into(), vec![by_instance(), by_instance()], actions)
    });
    let outcomes: Vec<_> = left.unwrap().into_iter().map(|left| left.outcome).collect();
    assert_eq!(outcomes, [Ok(()), Ok(())], "the second time as if it were the first");
    assert_eq!(world.group().state(), ConsumerGroupState::Empty);
    assert!(matches!(world.classic_leave("m1").0[0].outcome, Err(GroupError::UnknownMemberId(_))));
}

#[test]
fn no_group_has_an_empty_id() {
    let mut world = World::new(&[]);
    let (described, _) = world.event(|groups, turn, _| groups.describe_consumer(turn, ""));
    assert_eq!(described.map(|group| group.id), Err(GroupError::InvalidGroupId));
}
