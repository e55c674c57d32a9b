//! Sessions, heartbeats and leaving, in each state.

use super::super::NEW_MEMBER_JOIN_MS;
use super::*;

#[test]
fn heartbeats_are_answered_by_state_and_generation() {
    let mut bench = Bench::new();
    assert_eq!(kind(&bench.heartbeat("a", 0)), "unknown member");
    bench.join(dynamic(""));
    bench.join(dynamic(""));
    let ids = bench.complete();
    for state in [State::CompletingRebalance, State::Stable] {
        assert_eq!(bench.state(), state);
        assert_eq!(kind(&bench.heartbeat(ids[1].as_str(), 1)), "ok");
        assert_eq!(kind(&bench.heartbeat(ids[1].as_str(), 0)), "illegal generation");
        assert_eq!(kind(&bench.heartbeat(ids[1].as_str(), 2)), "illegal generation");
        assert_eq!(kind(&bench.heartbeat("", 1)), "unknown member");
        bench.sync_all(&ids);
    }
    bench.join(dynamic(""));
    assert_eq!(bench.state(), State::PreparingRebalance);
    assert_eq!(kind(&bench.heartbeat(ids[1].as_str(), 1)), "rebalance");
    let answer = bench.event(|groups, turn, _| groups.heartbeat(turn, &GroupId::from(""), "a", None, 1)).0;
    assert_eq!(kind(&answer), "invalid id");
}

#[test]
fn a_member_lives_as_long_as_it_is_heard_of() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    for _ in 0..5 {
        bench.pass(i64::from(SESSION_MS) - 1);
        for id in &ids {
            assert_eq!(kind(&bench.heartbeat(id.as_str(), 1)), "ok");
        }
    }
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(kind(&bench.heartbeat(ids[1].as_str(), 1)), "ok");
    let actions = bench.pass(1);
    assert_eq!(actions, Actions::default());
    assert_eq!((bench.state(), bench.group().leader()), (State::PreparingRebalance, Some(&ids[1])));
    assert_eq!(kind(&bench.heartbeat(ids[0].as_str(), 1)), "unknown member");
}

#[test]
fn when_all_sessions_are_over_the_group_is_empty() {
    let mut bench = Bench::new();
    bench.stable(2);
    let actions = bench.pass(i64::from(SESSION_MS));
    assert_eq!(written(&actions), [Some((2, 0))]);
    let group = bench.group();
    assert_eq!((group.state(), group.state_name()), (State::Empty, "Empty"));
    assert_eq!((group.protocol_type(), group.protocol(), group.leader()), (Some("consumer"), None, None));
    assert_eq!(group.is_empty_since(), Some(TimestampMs(bench.now)));
    assert_eq!(bench.groups.next_deadline(), None);
}

#[test]
fn a_new_member_whose_client_went_away_while_it_waited_expires() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let (new, _) = bench.join(JoinRequest { rebalance_timeout_ms: 3_600_000, ..dynamic("") });
    let mut answered = Actions::default();
    let begun = bench.now;
    while answered.joined.is_empty() {
        answered = bench.pass(1_000);
        let _ = bench.heartbeat(ids[0].as_str(), 1);
    }
    assert_eq!(joins(&answered), [(new, "unknown member")]);
    assert_eq!(bench.now - begun, i64::from(NEW_MEMBER_JOIN_MS));
}

#[test]
fn a_known_member_that_waits_needs_no_heartbeats() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let (ticket, _) = bench.join(dynamic(ids[0].as_str()));
    let mut answered = Actions::default();
    while answered.joined.is_empty() {
        answered = bench.pass(1_000);
        let _ = bench.heartbeat(ids[1].as_str(), 1);
    }
    assert_eq!(joins(&answered), [(ticket, "ok")], "at the end of the rebalance timeout");
    assert_eq!(bench.group().members().len(), 1);
}

#[test]
fn who_leaves_is_gone_at_once_and_the_others_rebalance() {
    let mut bench = Bench::new();
    let ids = bench.stable(3);
    let (answers, actions) = bench.leave(vec![
        leaving(ids[0].as_str()),
        leaving("nobody"),
        leaving(ids[1].as_str()),
        leaving(ids[1].as_str()),
        leaving(""),
    ]);
    let kinds: Vec<_> = answers.iter().map(kind).collect();
    assert_eq!(kinds, ["ok", "unknown member", "ok", "unknown member", "unknown member"]);
    assert_eq!(actions, Actions::default());
    assert_eq!((bench.state(), bench.group().leader()), (State::PreparingRebalance, Some(&ids[2])));
    let (_, actions) = bench.leave(vec![leaving(ids[2].as_str())]);
    assert_eq!(written(&actions), [Some((2, 0))]);
    assert_eq!(bench.state(), State::Empty);
    let (answers, actions) = bench.leave(vec![leaving(ids[2].as_str())]);
    assert_eq!((kind(&answers[0]), actions), ("unknown member", Actions::default()));
}

#[test]
fn nobody_leaves_nothing_happens() {
    let mut bench = Bench::new();
    bench.stable(1);
    let (answers, actions) = bench.leave(vec![leaving("nobody")]);
    assert_eq!((kind(&answers[0]), actions), ("unknown member", Actions::default()));
    assert_eq!(bench.state(), State::Stable);
    assert_eq!(bench.leave(vec![]).1, Actions::default());
    assert_eq!(bench.state(), State::Stable);
}

#[test]
fn requests_that_wait_are_answered_when_their_member_leaves() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let (waits, _) = bench.join(dynamic(ids[0].as_str()));
    let (_, actions) = bench.leave(vec![leaving(ids[0].as_str())]);
    assert_eq!(joins(&actions), [(waits, "unknown member")]);
    let (joined, actions) = bench.join(dynamic(ids[1].as_str()));
    assert_eq!(joins(&actions), [(joined, "ok")]);
    let (_, actions) = bench.join(dynamic(""));
    assert!(actions.joined.is_empty());
    bench.join(dynamic(ids[1].as_str()));
    let follower = bench.group().members().nth(1).unwrap().id.clone();
    let (waits, _) = bench.sync(sync(&follower, 3, vec![]));
    let (_, actions) = bench.leave(vec![leaving(follower.as_str())]);
    assert_eq!(syncs(&actions), [(waits, "unknown member")]);
}

#[test]
fn the_last_who_is_awaited_leaves_and_the_others_are_joined() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let (ticket, _) = bench.join(dynamic(ids[0].as_str()));
    let (_, actions) = bench.leave(vec![leaving(ids[1].as_str())]);
    assert_eq!(joins(&actions), [(ticket, "ok")]);
}

#[test]
fn a_group_whose_first_members_leave_during_the_initial_delay_ends_empty() {
    let mut bench = Bench::new();
    let (ticket, actions) = bench.join(JoinRequest { requires_known_member: true, ..dynamic("") });
    assert_eq!(joins(&actions), [(ticket, "id required")]);
    let member = given_id(&actions);
    let (waits, _) = bench.join(dynamic(member.as_str()));
    let (_, actions) = bench.leave(vec![leaving(member.as_str())]);
    assert_eq!(joins(&actions), [(waits, "unknown member")]);
    assert!(actions.records.is_empty(), "others may come until the delay is over");
    assert_eq!(written(&bench.pass(DELAY_MS)), [Some((1, 0))]);
    assert_eq!(bench.state(), State::Empty);
}

#[test]
fn an_unknown_group_is_told_member_by_member() {
    let mut bench = Bench::new();
    let (answers, actions) = bench.leave(vec![leaving("a"), leaving("b")]);
    assert_eq!(answers.iter().map(kind).collect::<Vec<_>>(), ["unknown member"; 2]);
    assert_eq!(actions, Actions::default());
    assert!(bench.groups.is_empty());
    let no_id =
        bench.event(|groups, turn, actions| groups.leave(turn, &GroupId::from(""), vec![], actions)).0;
    assert_eq!(kind(&no_id), "invalid id");
}
