//! Cases told in full: joining, giving up, leaving, epochs, deadlines.

use super::*;
use crate::coordinator::records::consumer::{
    CurrentValue, GroupValue, MemberState, MemberValue, TargetMemberValue, TargetValue,
};

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut world = World::new(&[("a", 2)]);
    let (answer, actions) = world.heartbeat(join("m1", &["a", "nope", "a"]));
    let all = world.list(&[("a", &[0, 1])]);
    assert_eq!(
        answer.unwrap(),
        HeartbeatAnswer {
            member_id: "m1".into(),
            member_epoch: 1,
            heartbeat_interval_ms: 5_000,
            assignment: Some(all.clone()),
        }
    );
    let (group, member): (GroupId, MemberId) = ("g".into(), "m1".into());
    let value = MemberValue {
        instance_id: None,
        rack_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        subscribed_topics: vec!["a".to_owned(), "nope".to_owned()],
        subscribed_regex: None,
        rebalance_timeout_ms: 60_000,
        server_assignor: None,
        classic: None,
    };
    let metadata_hash = world.group().metadata_hash;
    assert_ne!(metadata_hash, 0);
    let current = CurrentValue {
        epoch: 1,
        previous_epoch: 0,
        state: MemberState::Stable,
        assigned: all.clone(),
        pending_revocation: vec![],
    };
    assert_eq!(
        actions.records,
        [
            GroupRecord::ConsumerMember(group.clone(), member.clone(), Some(value)),
            GroupRecord::ConsumerGroup(group.clone(), Some(GroupValue { epoch: 1, metadata_hash })),
            GroupRecord::ConsumerTargetMember(
                group.clone(),
                member.clone(),
                Some(TargetMemberValue { partitions: all })
            ),
            GroupRecord::ConsumerTarget(group.clone(), Some(TargetValue { assignment_epoch: 1 })),
            GroupRecord::ConsumerCurrent(group, member, Some(current)),
        ]
    );
    // Nothing new: nothing is written, nothing is told.
    let (answer, actions) = world.heartbeat(beat("m1", 1));
    assert_eq!((answer.unwrap().assignment, actions), (None, Actions::default()));
    assert_eq!(world.group().state(), ConsumerGroupState::Stable);
    // A member that says everything is told everything.
    let full = HeartbeatRequest { member_epoch: 1, ..join("m1", &["a", "nope"]) };
    assert!(world.beat(full).assignment.is_some());
}

#[test]
fn a_partition_changes_hands_only_when_it_was_given_up() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    let answer = world.beat(join("m2", &["a"]));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(vec![])), "what it is to get is taken");
    assert_eq!(world.member("m2").current.state, MemberState::UnreleasedPartitions);
    // The first one hears what it may keep, in its old epoch.
    let answer = world.beat(beat("m1", 1));
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(world.list(&[("a", &[0])]))));
    assert_eq!(world.group().state(), ConsumerGroupState::Reconciling);
    // It still has both.
    let both = world.list(&[("a", &[0, 1])]);
    assert_eq!(world.beat(owning("m1", 1, both)).assignment, None);
    assert_eq!(world.beat(beat("m1", 1)).assignment, None, "silence is no promise");
    assert_eq!(world.beat(beat("m2", 2)).assignment, None);
    // It gave one up, and comes to the new epoch.
    let one = world.list(&[("a", &[0])]);
    assert_eq!(world.beat(owning("m1", 1, one)).member_epoch, 2);
    let answer = world.beat(beat("m2", 2));
    assert_eq!(answer.assignment, Some(world.list(&[("a", &[1])])));
    assert_eq!(world.group().state(), ConsumerGroupState::Stable);
}

#[test]
fn who_leaves_is_gone_and_the_others_share() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    world.beat(join("m2", &["a"]));
    let (answer, actions) = world.heartbeat(beat("m1", -1));
    let answer = answer.unwrap();
    assert_eq!((answer.member_epoch, answer.heartbeat_interval_ms, answer.assignment), (-1, 0, None));
    assert_eq!(short(&actions.records), ["-current m1", "-target of m1", "-member m1", "group 3"]);
    assert_eq!(world.group().state(), ConsumerGroupState::Assigning);
    let (answer, actions) = world.heartbeat(beat("m2", 2));
    assert_eq!(answer.unwrap().assignment, Some(world.list(&[("a", &[0, 1])])));
    assert_eq!(short(&actions.records), ["target of m2", "target 3", "current m2 3"]);
    world.beat(beat("m2", -1));
    assert_eq!((world.group().state(), world.group().next_deadline()), (ConsumerGroupState::Empty, None));
    assert!(matches!(world.refused(beat("m2", 3)), GroupError::UnknownMemberId(_)));
    let mut actions = Actions::default();
    world.group().push_tombstones(&"g".into(), &mut actions);
    assert_eq!(short(&actions.records), ["-target", "-partitions", "-group"]);
}

#[test]
fn the_last_records_of_a_group_are_in_kafkas_order() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(HeartbeatRequest { subscribed_regex: Some("a".to_owned()), ..join("m1", &[]) });
    world.beat(join("m2", &["a"]));
    let mut actions = Actions::default();
    world.group().push_tombstones(&"g".into(), &mut actions);
    let expected = [
        "-current m1",
        "-current m2",
        "-target of m1",
        "-target of m2",
        "-target",
        "-member m1",
        "-member m2",
        "-regex a",
        "-partitions",
        "-group",
    ];
    assert_eq!(short(&actions.records), expected);
    for record in actions.records {
        world.copy.replay(record);
    }
    assert!(world.copy.is_empty());
}

#[test]
fn epochs_fence_and_a_lost_answer_is_forgiven() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    assert!(matches!(world.refused(beat("m1", 2)), GroupError::FencedMemberEpoch(_)), "ahead");
    world.beat(join("m2", &["a"]));
    let one = world.list(&[("a", &[0])]);
    world.beat(owning("m1", 1, one.clone()));
    assert_eq!(world.member("m1").current.epoch, 2);
    // It did not hear of epoch 2.
    assert_eq!(world.beat(owning("m1", 1, one)).member_epoch, 2);
    let both = world.list(&[("a", &[0, 1])]);
    assert!(matches!(world.refused(owning("m1", 1, both)), GroupError::FencedMemberEpoch(_)));
    assert!(matches!(world.refused(beat("m1", 1)), GroupError::FencedMemberEpoch(_)), "it may have anything");
    // One that starts anew is welcome at any time.
    assert_eq!(world.beat(join("m1", &["a"])).member_epoch, 2);
    assert!(matches!(world.refused(beat("m9", 2)), GroupError::UnknownMemberId(_)));
    assert!(matches!(world.refused(beat("m9", -1)), GroupError::UnknownMemberId(_)));
}

#[test]
fn a_group_that_is_not_there_is_not_made_by_a_heartbeat() {
    let mut world = World::new(&[]);
    assert!(matches!(world.refused(beat("m1", 1)), GroupError::GroupIdNotFound(_)));
    assert!(matches!(world.refused(beat("m1", -1)), GroupError::GroupIdNotFound(_)));
    assert!(world.groups.is_empty());
    let (described, _) = world.event(|groups, turn, _| groups.describe_consumer(turn, "g"));
    assert!(matches!(described, Err(GroupError::GroupIdNotFound(_))));
}

#[test]
fn late_members_are_removed() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    world.beat(join("m2", &["a"]));
    // The session is 45 s, the rebalance timeout 60 s.
    world.beat(beat("m1", 1));
    assert_eq!(world.pass(30_000), []);
    world.beat(beat("m1", 1));
    assert_eq!(short(&world.pass(15_000)), ["-current m2", "-target of m2", "-member m2", "group 3"]);
    world.beat(beat("m1", 1));
    assert_eq!(world.pass(14_999), []);
    assert_eq!(
        short(&world.pass(1)),
        ["-current m1", "-target of m1", "-member m1", "group 4"],
        "it was to give something up, and did not say that it did"
    );
}

#[test]
fn a_group_may_have_times_of_its_own() {
    let mut world = World::new(&[("a", 1)]);
    let settings = [("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "7000")]
        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
    let resource = ConfigResource::Group("g".to_owned());
    world.apply(Command::SetConfigs { resource, settings: BTreeMap::from(settings) });
    assert_eq!(world.beat(join("m1", &["a"])).heartbeat_interval_ms, 7_000);
    assert_eq!(world.groups.next_deadline(), Some(TimestampMs(1_050_000)));
}

#[test]
fn requests_are_checked() {
    let mut world = World::new(&[("a", 1)]);
    let good = || join("m1", &["a"]);
    let bad = [
        HeartbeatRequest { member_id: " ".to_owned(), ..good() },
        HeartbeatRequest { instance_id: Some(String::new()), ..good() },
        HeartbeatRequest { rack_id: Some("\t".to_owned()), ..good() },
        HeartbeatRequest { rebalance_timeout_ms: -1, ..good() },
        HeartbeatRequest { owned: None, ..good() },
        HeartbeatRequest { owned: Some(world.list(&[("a", &[0])])), ..good() },
        HeartbeatRequest { subscribed_topics: None, ..good() },
        HeartbeatRequest { member_epoch: -2, ..good() },
        HeartbeatRequest { member_epoch: -3, ..good() },
        HeartbeatRequest { member_id: String::new(), member_epoch: 1, brings_id: false, ..good() },
        HeartbeatRequest { member_id: String::new(), member_epoch: -1, brings_id: false, ..good() },
    ];
    for request in bad {
        let text = format!("{request:?}");
        assert!(matches!(world.refused(request), GroupError::InvalidRequest(_)), "{text}");
    }
    let (answer, _) = world
        .event(|groups, turn, actions| groups.consumer_heartbeat(turn, &GroupId::from(""), &good(), actions));
    assert_eq!(answer, Err(GroupError::InvalidRequest("GroupId can't be empty.".to_owned())));
    let large = HeartbeatRequest { rack_id: Some("r".repeat(MEMBER_BYTES_MAX)), ..good() };
    assert!(matches!(world.refused(large), GroupError::GroupTooLarge(_)));
    let other = HeartbeatRequest { server_assignor: Some("mine".to_owned()), ..good() };
    assert!(matches!(world.refused(other), GroupError::UnsupportedAssignor(_)));
    let old = HeartbeatRequest { member_id: String::new(), brings_id: false, ..good() };
    assert_eq!(world.beat(old).member_id.as_str(), uuid::Uuid::from_u128(77).to_string());
    assert!(world.group().members.len() == 1);
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut world = World::new(&[("a", 1)]);
    world.settings.consumer.members_max = 1;
    world.beat(join("m1", &["a"]));
    assert!(matches!(world.refused(join("m2", &["a"])), GroupError::GroupMaxSizeReached(_)));
    world.beat(join("m1", &["a"]));
}

#[test]
fn most_members_choose_the_assignor() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    let wishing = |id: &str, name: &str| HeartbeatRequest {
        server_assignor: Some(name.to_owned()),
        ..join(id, &["a", "b"])
    };
    let assignor = |world: &mut World| {
        world.event(|groups, turn, _| groups.describe_consumer(turn, "g")).0.unwrap().assignor
    };
    world.beat(join("m1", &["a", "b"]));
    assert_eq!(assignor(&mut world), "uniform");
    world.beat(wishing("m2", "range"));
    assert_eq!(assignor(&mut world), "range");
    world.beat(wishing("m3", "uniform"));
    world.beat(wishing("m4", "uniform"));
    assert_eq!(assignor(&mut world), "uniform");
}

#[test]
fn topics_that_come_grow_and_go_are_noticed() {
    let mut world = World::new(&[("a", 1)]);
    world.beat(join("m1", &["a", "b"]));
    assert_eq!(world.assigned("m1"), "a:0");
    world.create("other", 1);
    assert_eq!(world.heartbeat(beat("m1", 1)).1.records, [], "nobody is subscribed to it");
    world.create("b", 1);
    assert_eq!(world.beat(beat("m1", 1)).assignment, Some(world.list(&[("a", &[0]), ("b", &[0])])));
    world.grow("a", 2);
    assert_eq!(world.beat(beat("m1", 2)).member_epoch, 3);
    assert_eq!(world.assigned("m1"), "a:0,1,2 b:0");
    // A topic that is gone is to be given up like any other.
    let left = world.list(&[("b", &[0])]);
    world.drop_topic("a");
    let answer = world.beat(beat("m1", 3));
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(left.clone())));
    assert_eq!(world.beat(owning("m1", 3, left)).member_epoch, 4);
    assert_eq!(world.group().state(), ConsumerGroupState::Stable);
}

#[test]
fn what_is_not_subscribed_to_any_more_is_given_up() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    world.beat(join("m1", &["a", "b"]));
    let only_b = HeartbeatRequest { subscribed_topics: Some(vec!["b".to_owned()]), ..beat("m1", 1) };
    let b = world.list(&[("b", &[0])]);
    assert_eq!(world.beat(only_b).assignment, Some(b.clone()));
    assert!(!world.group().is_subscribed_to("a") && world.group().is_subscribed_to("b"));
    assert_eq!(world.beat(owning("m1", 1, b)).member_epoch, 2);
}

#[test]
fn commits_and_fetches_are_for_members_in_their_epoch() {
    let mut world = World::new(&[("a", 1)]);
    world.beat(join("m1", &["a"]));
    let group = world.group();
    assert_eq!(group.validate_commit("m1", 1, 9), Ok(()));
    assert!(matches!(group.validate_commit("m1", 0, 9), Err(GroupError::StaleMemberEpoch(_))));
    assert!(matches!(group.validate_commit("m1", 1, 8), Err(GroupError::UnsupportedVersion(_))));
    assert!(matches!(group.validate_commit("m2", 1, 9), Err(GroupError::UnknownMemberId(_))));
    assert!(matches!(group.validate_commit("", -1, 9), Err(GroupError::UnknownMemberId(_))));
    assert_eq!(group.validate_fetch(None, -1), Ok(()));
    assert_eq!(group.validate_fetch(Some("m1"), 1), Ok(()));
    assert!(matches!(group.validate_fetch(Some("m1"), 2), Err(GroupError::StaleMemberEpoch(_))));
    assert!(matches!(group.validate_fetch(Some("m2"), 1), Err(GroupError::UnknownMemberId(_))));
    world.beat(beat("m1", -1));
    assert_eq!(world.group().validate_commit("", -1, 9), Ok(()), "nobody is there");
}

#[test]
fn a_restart_gives_everybody_time_anew() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    world.beat(join("m2", &["a"]));
    world.beat(beat("m1", 1));
    world.pass(40_000);
    world.restart();
    assert_eq!(world.pass(44_999), []);
    world.beat(beat("m1", 1));
    world.beat(beat("m2", 2));
    assert_eq!(short(&world.pass(15_001))[0], "-current m1", "it has still not given up what it was to");
}

#[test]
fn a_member_of_a_newer_brokers_state_starts_anew() {
    let mut world = World::new(&[("a", 1)]);
    world.beat(join("m1", &["a"]));
    let mut current = world.member("m1").current.to_value();
    current.state = MemberState::Unknown;
    let record = GroupRecord::ConsumerCurrent("g".into(), "m1".into(), Some(current));
    world.log.push(record.clone());
    world.copy.replay(record);
    world.restart();
    assert!(matches!(world.refused(beat("m1", 1)), GroupError::FencedMemberEpoch(_)));
    assert_eq!(world.beat(join("m1", &["a"])).member_epoch, 1);
}

#[test]
fn a_log_that_gives_a_partition_twice_is_put_right() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(join("m1", &["a"]));
    let rival = CurrentValue { epoch: 0, ..world.member("m1").current.to_value() };
    let records = [
        GroupRecord::ConsumerMember("g".into(), "m2".into(), Some(world.member("m1").value.clone())),
        GroupRecord::ConsumerCurrent("g".into(), "m2".into(), Some(rival)),
    ];
    for record in records {
        world.log.push(record.clone());
        world.copy.replay(record);
    }
    world.restart();
    assert_eq!(world.group().members.len(), 1);
    assert_eq!(world.assigned("m1"), "a:0,1");
}
