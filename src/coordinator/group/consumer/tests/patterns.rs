//! Subscriptions by pattern (KIP-848): which topics they match, and when that is looked at anew.

use super::*;

fn matching(id: &str, pattern: &str) -> HeartbeatRequest {
    HeartbeatRequest { subscribed_regex: Some(pattern.to_owned()), subscribed_topics: None, ..join(id, &[]) }
}

#[test]
fn a_pattern_is_matched_at_once() {
    let mut world = World::new(&[("foo", 1), ("foobar", 1), ("bar", 1)]);
    let (answer, actions) = world.heartbeat(matching("m1", "foo.*"));
    assert_eq!(world.told(&answer.unwrap().assignment.unwrap()), "foo:0 foobar:0");
    let expected = ["member m1", "regex foo.*", "group 1", "target of m1", "target 1", "current m1 1"];
    assert_eq!(short(&actions.records), expected);
    assert!(world.group().is_subscribed_to("foo") && !world.group().is_subscribed_to("bar"));
    // Another member with the same pattern does not have it matched again.
    let (_, actions) = world.heartbeat(matching("m2", "foo.*"));
    assert!(!short(&actions.records).contains(&"regex foo.*".to_owned()));
}

#[test]
fn names_and_a_pattern_go_together() {
    let mut world = World::new(&[("foo", 1), ("bar", 1)]);
    let both = HeartbeatRequest { subscribed_regex: Some("fo+".to_owned()), ..join("m1", &["bar"]) };
    world.beat(both);
    assert_eq!(world.assigned("m1"), "foo:0 bar:0");
    // The pattern is taken away, the name stays.
    let without = HeartbeatRequest { subscribed_regex: Some(String::new()), ..beat("m1", 1) };
    let (answer, actions) = world.heartbeat(without);
    assert_eq!(answer.unwrap().assignment, Some(world.list(&[("bar", &[0])])));
    assert_eq!(short(&actions.records)[..2], ["member m1", "-regex fo+"]);
}

#[test]
fn new_topics_are_matched_but_not_all_the_time() {
    let mut world = World::new(&[("foo1", 1)]);
    world.beat(matching("m1", "foo.*"));
    world.create("foo2", 1);
    assert_eq!(world.heartbeat(beat("m1", 1)).1.records, [], "it was looked at less than 10 s ago");
    world.pass(10_001);
    assert_eq!(world.beat(beat("m1", 1)).member_epoch, 2);
    assert_eq!(world.assigned("m1"), "foo1:0 foo2:0");
    // Topics that do not match change nothing, and neither does time.
    world.create("bar", 1);
    world.pass(10_001);
    assert_eq!(world.heartbeat(beat("m1", 2)).1.records, []);
    // After the refresh interval what it matched is written again.
    for _ in 0..21 {
        world.pass(30_000);
        world.beat(beat("m1", 2));
    }
    let refreshed =
        world.log.iter().filter(|record| matches!(record, GroupRecord::ConsumerRegex(..))).count();
    assert_eq!(refreshed, 3);
    assert_eq!(world.group().epoch(), 2);
}

#[test]
fn a_pattern_goes_with_its_last_member() {
    let mut world = World::new(&[("foo", 1)]);
    world.beat(matching("m1", "f.*"));
    world.beat(matching("m2", "f.*"));
    let (_, actions) = world.heartbeat(beat("m1", -1));
    assert_eq!(short(&actions.records), ["-current m1", "-target of m1", "-member m1", "group 3"]);
    let (_, actions) = world.heartbeat(beat("m2", -1));
    assert_eq!(
        short(&actions.records),
        ["-current m2", "-target of m2", "-member m2", "-regex f.*", "group 4"]
    );
}

#[test]
fn what_is_no_pattern_is_refused_and_makes_no_group() {
    let mut world = World::new(&[("foo", 1)]);
    let refused = world.refused(matching("m1", "(foo"));
    assert!(matches!(refused, GroupError::InvalidRegularExpression(_)), "{refused:?}");
    assert!(world.groups.is_empty());
    world.beat(join("m1", &["foo"]));
    let change = HeartbeatRequest { subscribed_regex: Some("*".to_owned()), ..beat("m1", 1) };
    assert!(matches!(world.refused(change), GroupError::InvalidRegularExpression(_)));
}

#[test]
fn internal_topics_match_as_in_kafka() {
    let mut world = World::new(&[("__consumer_offsets", 1), ("foo", 1)]);
    world.beat(matching("m1", ".*"));
    assert_eq!(world.assigned("m1"), "__consumer_offsets:0 foo:0");
}
