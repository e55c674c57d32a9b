//! Static members (KIP-345 within KIP-848): leaving for a while, coming back, and two that claim one place.

use super::*;

fn joining(id: &str, instance: &str) -> HeartbeatRequest {
    HeartbeatRequest { instance_id: Some(instance.to_owned()), ..join(id, &["a"]) }
}

fn with(id: &str, epoch: i32, instance: &str) -> HeartbeatRequest {
    HeartbeatRequest { instance_id: Some(instance.to_owned()), ..beat(id, epoch) }
}

#[test]
fn who_comes_back_has_what_it_had() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(joining("m1", "i1"));
    world.beat(joining("m2", "i2"));
    let one = world.list(&[("a", &[0])]);
    world.beat(HeartbeatRequest { owned: Some(one.clone()), ..with("m1", 1, "i1") });
    world.beat(with("m2", 2, "i2"));
    let (answer, actions) = world.heartbeat(with("m1", -2, "i1"));
    assert_eq!(answer.unwrap().member_epoch, -2);
    assert_eq!(short(&actions.records), ["current m1 -2"]);
    let (answer, actions) = world.heartbeat(joining("m3", "i1"));
    let answer = answer.unwrap();
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(one)));
    let expected = [
        "-current m1",
        "-target of m1",
        "-member m1",
        "member m3",
        "target of m3",
        "current m3 0",
        "current m3 2",
    ];
    assert_eq!(short(&actions.records), expected, "nobody else notices");
    assert_eq!(world.group().state(), ConsumerGroupState::Stable);
}

#[test]
fn who_does_not_come_back_in_time_is_gone() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(joining("m1", "i1"));
    world.beat(with("m1", -2, "i1"));
    world.pass(44_999);
    assert_eq!(world.group().members.len(), 1);
    world.pass(1);
    assert!(world.group().is_empty());
    assert_eq!(world.beat(joining("m1", "i1")).member_epoch, 3);
}

#[test]
fn a_place_that_is_held_is_not_given_away() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(joining("m1", "i1"));
    assert!(matches!(world.refused(joining("m2", "i1")), GroupError::UnreleasedInstanceId(_)));
    assert!(matches!(world.refused(with("m2", 1, "i1")), GroupError::FencedInstanceId(_)));
    assert!(matches!(world.refused(with("m2", -1, "i1")), GroupError::FencedInstanceId(_)));
    assert!(matches!(world.refused(with("m1", 1, "i9")), GroupError::UnknownMemberId(_)));
    assert!(matches!(world.refused(with("m1", -2, "i9")), GroupError::UnknownMemberId(_)));
    // Leaving for good frees it.
    world.beat(with("m1", -1, "i1"));
    world.beat(joining("m2", "i1"));
}

#[test]
fn who_comes_back_with_another_subscription_is_assigned_anew() {
    let mut world = World::new(&[("a", 1), ("b", 1)]);
    world.beat(joining("m1", "i1"));
    world.beat(with("m1", -2, "i1"));
    let other = HeartbeatRequest { subscribed_topics: Some(vec!["b".to_owned()]), ..joining("m2", "i1") };
    let answer = world.beat(other);
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(world.list(&[("b", &[0])]))));
}

#[test]
fn a_member_that_left_for_a_while_is_not_late_with_giving_up() {
    let mut world = World::new(&[("a", 2)]);
    world.beat(HeartbeatRequest { rebalance_timeout_ms: 1_000, ..joining("m1", "i1") });
    world.beat(join("m2", &["a"]));
    world.beat(with("m1", 1, "i1"));
    world.beat(with("m1", -2, "i1"));
    assert_eq!(world.pass(10_000), []);
    // What it was giving up is free: it does not work on anything.
    assert_eq!(world.beat(beat("m2", 2)).assignment, Some(world.list(&[("a", &[1])])));
}
