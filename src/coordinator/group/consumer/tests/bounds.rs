//! Members that bring as much as they can: bounded in each group, and in all groups together; whoever is there goes on.

use super::*;
use crate::coordinator::group::classic::JoinRequest;
use crate::coordinator::group::{CONSUMER_GROUP_BYTES_MAX, MEMBERS_BYTES_MAX};
use bytes::Bytes;

/// Names that together take somewhat less than a member may bring.
fn names(member: usize) -> Vec<String> {
    (0..3_600).map(|at| format!("{member:04}-{at:04}-{}", "n".repeat(230))).collect()
}

fn heavy(member: usize) -> HeartbeatRequest {
    HeartbeatRequest { subscribed_topics: Some(names(member)), ..join(&format!("m{member}"), &[]) }
}

impl World {
    fn beat_in(&mut self, group: &str, request: HeartbeatRequest) -> Result<HeartbeatAnswer, GroupError> {
        let answer = self.event(|groups, turn, actions| {
            groups.consumer_heartbeat(turn, &GroupId::from(group), &request, actions)
        });
        assert_eq!(self.groups.member_bytes(), self.copy.member_bytes(), "read back as it was");
        answer.0
    }

    /// The first group that refuses a heavy member, by its number.
    fn fill(&mut self) -> usize {
        let is_full = |answer| matches!(answer, Err(GroupError::GroupMaxSizeReached(_)));
        (0..100).find(|at| is_full(self.beat_in(&format!("g{at}"), heavy(0)))).unwrap()
    }
}

#[test]
fn what_the_members_of_a_group_bring_is_bounded() {
    let mut world = World::new(&[("a", 2)]);
    let is_full = |answer| matches!(answer, Err(GroupError::GroupMaxSizeReached(_)));
    let refused = (0..100).find(|at| is_full(world.heartbeat(heavy(*at)).0)).unwrap();
    assert_eq!(world.group().members.len(), refused);
    let bytes = world.group().member_bytes();
    assert!((CONSUMER_GROUP_BYTES_MAX - 1_500_000..=CONSUMER_GROUP_BYTES_MAX).contains(&bytes), "{bytes}");
    // Small ones still fit, and cannot grow.
    world.beat(join("small", &["a"]));
    let grown = HeartbeatRequest { subscribed_topics: Some(names(99)), ..beat("small", 0) };
    let grown = HeartbeatRequest { rebalance_timeout_ms: 1, owned: Some(vec![]), ..grown };
    assert!(matches!(world.refused(grown), GroupError::GroupMaxSizeReached(_)));
    // Who is in goes on, and may join again.
    world.beat(heavy(0));
    let epoch = world.member("m0").current.epoch;
    world.beat(beat("m0", epoch));
    // And makes room when it goes.
    world.beat(beat("m0", -1));
    world.beat(heavy(refused));
    world.restart();
    assert_eq!(world.group().member_bytes(), world.groups.member_bytes());
}

#[test]
fn what_patterns_match_counts() {
    let topics: Vec<String> = (0..400).map(|at| format!("{at:04}{}", "t".repeat(240))).collect();
    let topics: Vec<(&str, usize)> = topics.iter().map(|name| (name.as_str(), 1)).collect();
    let mut world = World::new(&topics);
    let with_pattern = |at: usize| HeartbeatRequest {
        subscribed_topics: None,
        subscribed_regex: Some(format!(".*|{at}")),
        ..join(&format!("m{at}"), &[])
    };
    let is_full = |answer| matches!(answer, Err(GroupError::GroupMaxSizeReached(_)));
    let refused = (0..1_000).find(|at| is_full(world.heartbeat(with_pattern(*at)).0)).unwrap();
    let matched = 400 * 308;
    assert_eq!(refused, CONSUMER_GROUP_BYTES_MAX / (matched + 1_100) + 1);
    // One that has a pattern of another costs no more than itself: 1 KB, of which there was not enough.
    world.beat(beat("m0", -1));
    world.beat(HeartbeatRequest { member_id: "again".to_owned(), ..with_pattern(1) });
}

#[test]
fn what_all_groups_hold_is_bounded() {
    let mut world = World::new(&[("a", 2)]);
    let refused = world.fill();
    assert!(world.groups.get(&format!("g{refused}")).is_none(), "nothing is left of it");
    let sum: usize = world.groups.iter().map(|(_, group)| group.member_bytes()).sum();
    assert_eq!(sum, world.groups.member_bytes());
    assert!((MEMBERS_BYTES_MAX - 1_500_000..=MEMBERS_BYTES_MAX).contains(&sum), "{sum}");
    // Members of the classic protocol count as well.
    let large = Bytes::from(vec![0; 900_000]);
    let request = classic_request("", &[("1", &large), ("2", &large)]);
    let (_, actions) =
        world.event(|groups, turn, actions| groups.join(turn, &"c".into(), request, Ticket(1), actions));
    assert!(matches!(actions.joined[0].1, Err(GroupError::GroupMaxSizeReached(_))), "{actions:?}");
    // Who is in goes on, and may join again.
    let epoch = world.beat_in("g0", heavy(0)).unwrap().member_epoch;
    world.beat_in("g0", beat("m0", epoch)).unwrap();
    // And makes room when it goes.
    world.beat_in("g0", beat("m0", -1)).unwrap();
    assert_eq!(world.fill(), refused, "the first group has it again");
}

#[test]
fn a_classic_group_whose_subscriptions_take_too_much_stays_as_it_is() {
    let mut world = World::new(&[("a", 2)]);
    // 960 KB on the wire, nine times as much as names in memory.
    let mut subscription = vec![0, 0];
    subscription.extend(120_000_i32.to_be_bytes());
    (0..120_000).for_each(|at| subscription.extend([b"\0\x06", format!("{at:06}").as_bytes()].concat()));
    let subscription = Bytes::from(subscription);
    for at in 0..2 {
        let request = JoinRequest {
            fresh: uuid::Uuid::from_u128(at),
            ..classic_request("", &[("range", &subscription)])
        };
        world.event(|groups, turn, actions| groups.join(turn, &"g".into(), request, Ticket(1), actions));
    }
    let refused = world.refused(join("new", &["a"]));
    assert!(matches!(refused, GroupError::GroupIdNotFound(_)), "{refused:?}");
    assert!(matches!(world.groups.get("g").map(|group| &group.kind), Some(Kind::Classic(_))));
}
