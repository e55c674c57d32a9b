//! SyncGroup: the leader's assignment, those who wait for it, those who never ask.

use super::super::record::RECORD_BYTES_MAX;
use super::*;

/// A group that has joined and has no assignment yet; the leader's id first.
fn completing(bench: &mut Bench, size: usize) -> Vec<MemberId> {
    for _ in 0..size {
        bench.join(dynamic(""));
    }
    bench.complete()
}

fn all(ids: &[MemberId]) -> Vec<(MemberId, Bytes)> {
    ids.iter().map(|id| (id.clone(), assigned(id))).collect()
}

#[test]
fn the_leaders_assignment_is_written_and_given_to_all() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 3);
    let (early, actions) = bench.sync(sync(&ids[1], 1, vec![(ids[1].clone(), Bytes::from_static(b"all"))]));
    assert_eq!(actions, Actions::default(), "what a follower brings is not taken");
    // The leader forgot the last member, and names one that does not exist.
    let mut assignments = all(&ids[..2]);
    assignments.push((MemberId::from("nobody"), Bytes::from_static(b"x")));
    let (leader, actions) = bench.sync(sync(&ids[0], 1, assignments));
    assert_eq!(written(&actions), [Some((1, 3))]);
    assert_eq!(syncs(&actions), [(leader, "ok"), (early, "ok")]);
    let synced = actions.synced[1].1.clone().unwrap();
    assert_eq!(synced.assignment, assigned(&ids[1]));
    assert_eq!(
        (synced.protocol_type.as_deref(), synced.protocol.as_deref()),
        (Some("consumer"), Some("range"))
    );
    assert_eq!(bench.state(), State::Stable);
    let (late, actions) = bench.sync(sync(&ids[2], 1, vec![]));
    assert_eq!(syncs(&actions), [(late, "ok")]);
    assert!(actions.records.is_empty() && only_synced(&actions).assignment.is_empty());
    let (again, actions) = bench.sync(sync(&ids[0], 1, all(&ids)));
    assert_eq!(syncs(&actions), [(again, "ok")]);
    assert!(actions.records.is_empty(), "a generation has one assignment");
    let GroupRecord::ClassicGroup(_, Some(value)) = bench.group().to_record() else { panic!() };
    assert_eq!((value.protocol.as_deref(), value.leader.as_ref()), (Some("range"), Some(&ids[0])));
    assert_eq!(value.members[1].assignment, assigned(&ids[1]));
    assert_eq!(value.members[1].subscription, subscribed("t"));
}

#[test]
fn what_does_not_fit_the_generation_is_refused() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 2);
    let base = || sync(&ids[1], 1, vec![]);
    let named = |kind: &str, name: &str| SyncRequest {
        protocol_type: Some(kind.to_owned()),
        protocol: Some(name.to_owned()),
        ..base()
    };
    let cases = [
        (SyncRequest { generation: 0, ..base() }, "illegal generation"),
        (SyncRequest { generation: 2, ..base() }, "illegal generation"),
        (SyncRequest { member_id: "nobody".to_owned(), ..base() }, "unknown member"),
        (SyncRequest { member_id: String::new(), ..base() }, "unknown member"),
        (SyncRequest { instance_id: Some(InstanceId::from("i")), ..base() }, "unknown member"),
        (named("connect", "range"), "inconsistent"),
        (named("consumer", "roundrobin"), "inconsistent"),
    ];
    for (request, refusal) in cases {
        let (ticket, actions) = bench.sync(request);
        assert_eq!(syncs(&actions), [(ticket, refusal)]);
    }
    let (_, actions) = bench.sync(named("consumer", "range"));
    assert!(actions.synced.is_empty());
}

#[test]
fn who_waits_hears_of_a_rebalance_and_of_a_request_of_its_own_that_came_later() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 2);
    let (first, _) = bench.sync(sync(&ids[1], 1, vec![]));
    let (second, actions) = bench.sync(sync(&ids[1], 1, vec![]));
    assert_eq!(syncs(&actions), [(first, "rebalance")]);
    let (_, actions) = bench.join(dynamic(""));
    assert_eq!(syncs(&actions), [(second, "rebalance")]);
    let (third, actions) = bench.sync(sync(&ids[0], 1, all(&ids)));
    assert_eq!(syncs(&actions), [(third, "rebalance")]);
    assert!(actions.records.is_empty(), "an assignment that comes too late is not taken");
}

#[test]
fn a_leader_that_goes_before_it_assigned_starts_a_rebalance() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 2);
    let (ticket, _) = bench.sync(sync(&ids[1], 1, vec![]));
    let (_, actions) = bench.leave(vec![leaving(ids[0].as_str())]);
    assert_eq!(syncs(&actions), [(ticket, "rebalance")]);
    assert_eq!((bench.state(), bench.group().leader()), (State::PreparingRebalance, Some(&ids[1])));
    let (ticket, actions) = bench.join(dynamic(ids[1].as_str()));
    assert_eq!(joins(&actions), [(ticket, "ok")]);
    assert_eq!(only_joined(&actions).members.len(), 1);
}

#[test]
fn a_leader_that_lives_and_never_assigns_is_removed() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 2);
    let (ticket, _) = bench.sync(sync(&ids[1], 1, vec![]));
    let mut left = i64::from(REBALANCE_MS);
    while left > 5_000 {
        assert_eq!(bench.pass(5_000), Actions::default());
        assert_eq!(kind(&bench.heartbeat(ids[0].as_str(), 1)), "ok");
        left -= 5_000;
    }
    assert_eq!(bench.pass(left - 1 - 500), Actions::default());
    let actions = bench.pass(501);
    assert_eq!(syncs(&actions), [(ticket, "rebalance")]);
    assert_eq!((bench.state(), bench.group().leader()), (State::PreparingRebalance, Some(&ids[1])));
    assert_eq!(kind(&bench.heartbeat(ids[0].as_str(), 1)), "unknown member");
}

#[test]
fn a_follower_that_never_asks_for_its_assignment_is_removed() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 2);
    let begun = bench.now;
    bench.sync(sync(&ids[0], 1, all(&ids)));
    while bench.state() == State::Stable {
        bench.pass(1_000);
        for id in &ids {
            let _ = bench.heartbeat(id.as_str(), 1);
        }
        assert!(bench.now < begun + i64::from(REBALANCE_MS) + 1_000);
    }
    assert!(bench.group().member(ids[1].as_str()).is_none());
    assert_eq!(bench.group().leader(), Some(&ids[0]));
}

#[test]
fn an_assignment_that_is_too_large_is_refused_and_can_be_made_anew() {
    let mut bench = Bench::new();
    let ids = completing(&mut bench, 2);
    let (waits, _) = bench.sync(sync(&ids[1], 1, vec![]));
    let large = Bytes::from(vec![0; RECORD_BYTES_MAX]);
    let (leader, actions) = bench.sync(sync(&ids[0], 1, vec![(ids[1].clone(), large)]));
    assert_eq!(syncs(&actions), [(leader, "too large"), (waits, "too large")]);
    assert!(actions.records.is_empty());
    assert_eq!(bench.state(), State::PreparingRebalance);
    for id in &ids {
        bench.join(dynamic(id.as_str()));
    }
    bench.sync_all(&ids);
    assert_eq!(bench.state(), State::Stable);
}

#[test]
fn a_group_that_is_not_there_or_empty_knows_no_member() {
    let mut bench = Bench::new();
    let (ticket, actions) = bench.sync(sync(&MemberId::from("a"), 1, vec![]));
    assert_eq!(syncs(&actions), [(ticket, "unknown member")]);
    assert!(bench.groups.is_empty());
    let ids = bench.stable(1);
    bench.leave(vec![leaving(ids[0].as_str())]);
    let (ticket, actions) = bench.sync(sync(&ids[0], 2, vec![]));
    assert_eq!(syncs(&actions), [(ticket, "unknown member")]);
    let ticket = Ticket(1_000);
    let request = sync(&ids[0], 2, vec![]);
    let ((), actions) =
        bench.event(|groups, turn, actions| groups.sync(turn, &GroupId::from(""), request, ticket, actions));
    assert_eq!(syncs(&actions), [(ticket, "invalid id")]);
}
