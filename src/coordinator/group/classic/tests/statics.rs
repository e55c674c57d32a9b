//! Members with instance ids (KIP-345) and leaders that skip their assignment (KIP-814).

use super::*;

/// A stable group of two static members `i` (the leader) and `j`; their ids.
fn stable(bench: &mut Bench) -> Vec<MemberId> {
    bench.join(fixed("i", ""));
    bench.join(fixed("j", ""));
    let ids = bench.settle();
    assert!(ids[0].as_str().starts_with("i-") && ids[1].as_str().starts_with("j-"), "{ids:?}");
    ids
}

fn instance(request: SyncRequest, id: &str) -> SyncRequest {
    SyncRequest { instance_id: Some(InstanceId::from(id)), ..request }
}

#[test]
fn a_static_member_needs_no_second_join() {
    let mut bench = Bench::new();
    let (ticket, actions) = bench.join(JoinRequest { requires_known_member: true, ..fixed("i", "") });
    assert!(actions.joined.is_empty());
    assert_eq!(joins(&bench.pass(DELAY_MS)), [(ticket, "ok")]);
}

#[test]
fn a_follower_that_starts_anew_takes_its_place_without_a_rebalance() {
    let mut bench = Bench::new();
    let ids = stable(&mut bench);
    let (ticket, actions) = bench.join(fixed("j", ""));
    assert_eq!(joins(&actions), [(ticket, "ok")]);
    assert_eq!(written(&actions), [Some((1, 2))], "who the member is now is written");
    let joined = only_joined(&actions);
    assert_eq!((joined.generation, &joined.leader, joined.skip_assignment), (1, &ids[0], false));
    assert_ne!(joined.member_id, ids[1]);
    assert_eq!(bench.state(), State::Stable);
    let (_, actions) = bench.sync(instance(sync(&joined.member_id, 1, vec![]), "j"));
    assert_eq!(only_synced(&actions).assignment, assigned(&ids[1]));
    // The one that it replaced is not heard any more.
    let (ticket, actions) = bench.sync(instance(sync(&ids[1], 1, vec![]), "j"));
    assert_eq!(syncs(&actions), [(ticket, "fenced")]);
    let (ticket, actions) = bench.join(fixed("j", ids[1].as_str()));
    assert_eq!(joins(&actions), [(ticket, "fenced")]);
    let heartbeat = |bench: &mut Bench, instance_id: Option<&str>| {
        let event = |groups: &mut Groups, turn: &Turn<'_>, _: &mut Actions| {
            groups.heartbeat(turn, &id(), ids[1].as_str(), instance_id, 1)
        };
        kind(&bench.event(event).0)
    };
    assert_eq!(heartbeat(&mut bench, Some("j")), "fenced");
    assert_eq!(heartbeat(&mut bench, Some("k")), "unknown member");
    assert_eq!(heartbeat(&mut bench, None), "unknown member");
}

#[test]
fn a_leader_that_starts_anew_skips_its_assignment_if_it_can() {
    for skips in [true, false] {
        let mut bench = Bench::new();
        let ids = stable(&mut bench);
        let request = JoinRequest { supports_skipping_assignment: skips, ..fixed("i", "") };
        let (_, actions) = bench.join(request);
        let joined = only_joined(&actions);
        assert_eq!((joined.generation, bench.state()), (1, State::Stable));
        assert_eq!(joined.skip_assignment, skips);
        assert_eq!(bench.group().leader(), Some(&joined.member_id));
        if skips {
            assert_eq!((&joined.leader, joined.members.len()), (&joined.member_id, 2));
        } else {
            assert_eq!(
                (&joined.leader, joined.members.len()),
                (&ids[0], 0),
                "it takes itself for a follower"
            );
        }
    }
}

#[test]
fn another_protocol_of_a_static_member_that_changes_the_choice_starts_a_rebalance() {
    let mut bench = Bench::new();
    bench.join(with_protocols(fixed("i", ""), &["a", "b"]));
    bench.join(with_protocols(fixed("j", ""), &["a", "b"]));
    bench.settle();
    let (_, actions) = bench.join(with_protocols(fixed("j", ""), &["a", "b", "c"]));
    assert_eq!((actions.joined.len(), bench.state()), (1, State::Stable));
    let (_, actions) = bench.join(with_protocols(fixed("j", ""), &["b"]));
    assert_eq!((actions, bench.state()), (Actions::default(), State::PreparingRebalance));
}

#[test]
fn a_static_member_that_starts_anew_while_the_leader_assigns_starts_a_rebalance() {
    let mut bench = Bench::new();
    bench.join(fixed("i", ""));
    bench.join(fixed("j", ""));
    let joined = bench.pass(3 * DELAY_MS).joined;
    let old = joined[1].1.as_ref().unwrap().member_id.clone();
    let (waits, _) = bench.sync(instance(sync(&old, 1, vec![]), "j"));
    let (_, actions) = bench.join(fixed("j", ""));
    assert_eq!(syncs(&actions), [(waits, "fenced")]);
    assert_eq!((actions.joined.len(), bench.state()), (0, State::PreparingRebalance));
}

#[test]
fn a_static_member_that_starts_anew_while_its_former_self_waits_fences_it() {
    let mut bench = Bench::new();
    let (old, _) = bench.join(fixed("i", ""));
    let (new, actions) = bench.join(fixed("i", ""));
    assert_eq!(joins(&actions), [(old, "fenced")]);
    assert_eq!(joins(&bench.pass(3 * DELAY_MS)), [(new, "ok")]);
    assert_eq!(bench.group().members().len(), 1);
}

#[test]
fn a_static_member_keeps_its_place_through_a_rebalance_it_misses() {
    let mut bench = Bench::new();
    let long = JoinRequest { session_timeout_ms: 600_000, ..fixed("i", "") };
    bench.join(long);
    bench.join(fixed("j", ""));
    let ids = bench.settle();
    let (ticket, _) =
        bench.join(JoinRequest { ..with_protocols(fixed("j", ids[1].as_str()), &["range", "x"]) });
    let actions = bench.pass(i64::from(REBALANCE_MS));
    assert_eq!(joins(&actions), [(ticket, "ok")]);
    let joined = only_joined(&actions);
    assert_eq!(joined.leader, ids[1], "the leader has not joined, so another leads");
    assert_eq!(joined.members.len(), 2, "and assigns to it all the same");
    // It has the time of a rebalance to ask for its assignment.
    bench.sync(instance(sync(&ids[1], 2, vec![]), "j"));
    assert_eq!(bench.state(), State::Stable);
    let mut passed = 0;
    while bench.state() == State::Stable {
        bench.pass(1_000);
        passed += 1;
        let _ = bench.event(|groups, turn, _| groups.heartbeat(turn, &id(), ids[1].as_str(), Some("j"), 2));
    }
    assert_eq!(passed, 60);
    assert!(bench.group().static_member("i").is_none());
}

#[test]
fn when_only_static_members_are_left_and_none_joins_their_sessions_decide() {
    let mut bench = Bench::new();
    for instance_id in ["i", "j"] {
        let request = fixed(instance_id, "");
        bench.join(JoinRequest { session_timeout_ms: 600_000, rebalance_timeout_ms: 0, ..request });
    }
    let joined = bench.pass(DELAY_MS).joined;
    assert_eq!(joined.len(), 2);
    // Nobody asks for an assignment: with a rebalance timeout of nothing both are gone at once.
    let actions = bench.pass(10);
    assert_eq!(written(&actions), [Some((2, 0))]);
    // Two that have their assignment, and a third that comes and goes while they are silent.
    let mut bench = Bench::new();
    for instance_id in ["i", "j"] {
        bench.join(JoinRequest { session_timeout_ms: 600_000, ..fixed(instance_id, "") });
    }
    bench.settle();
    let (_, actions) = bench.join(dynamic(""));
    assert!(actions.joined.is_empty());
    let new = bench.group().members().last().unwrap().id.clone();
    bench.leave(vec![leaving(new.as_str())]);
    let actions = bench.pass(500_000);
    assert_eq!((actions, bench.state()), (Actions::default(), State::PreparingRebalance));
    assert_eq!(written(&bench.pass(100_000)), [Some((2, 0))]);
}

#[test]
fn an_administrator_removes_static_members_by_their_instance_ids() {
    let mut bench = Bench::new();
    let ids = stable(&mut bench);
    let by = |member_id: &str, instance_id: &str| Leaving {
        member_id: member_id.to_owned(),
        instance_id: Some(instance_id.to_owned()),
        reason: Some("maintenance".to_owned()),
    };
    let cases = [
        by("", "k"),
        by(ids[0].as_str(), "j"),
        by(ids[0].as_str(), "k"),
        by("", "i"),
        by(ids[1].as_str(), "j"),
    ];
    let (answers, actions) = bench.leave(cases.to_vec());
    let kinds: Vec<_> = answers.iter().map(kind).collect();
    assert_eq!(kinds, ["unknown member", "fenced", "unknown member", "ok", "ok"]);
    assert_eq!(written(&actions), [Some((2, 0))]);
}

#[test]
fn a_static_member_that_starts_anew_before_it_asked_for_its_assignment_is_still_to_ask() {
    let mut bench = Bench::new();
    bench.join(fixed("i", ""));
    bench.join(fixed("j", ""));
    let joined = bench.pass(3 * DELAY_MS).joined;
    let leader = joined[0].1.as_ref().unwrap().member_id.clone();
    bench.sync(instance(sync(&leader, 1, vec![]), "i"));
    let (_, actions) = bench.join(fixed("j", ""));
    let new = only_joined(&actions).member_id;
    assert_eq!(bench.state(), State::Stable);
    let (ticket, actions) = bench.sync(instance(sync(&new, 1, vec![]), "j"));
    assert_eq!(syncs(&actions), [(ticket, "ok")]);
    for _ in 0..20 {
        bench.pass(5_000);
        for (id, instance_id) in [(&leader, "i"), (&new, "j")] {
            let event = |groups: &mut Groups, turn: &Turn<'_>, _: &mut Actions| {
                groups.heartbeat(turn, &super::id(), id.as_str(), Some(instance_id), 1)
            };
            assert_eq!(bench.event(event).0, Ok(()), "nobody is removed for not asking");
        }
    }
}
