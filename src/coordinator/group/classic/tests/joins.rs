//! JoinGroup of members without instance ids: first joins, rejoins in each state, refusals, bounds.

use super::super::join::{NAME_BYTES_MAX, PENDING_MEMBERS_MAX, PROTOCOLS_MAX};
use super::*;

#[test]
fn the_first_members_are_joined_after_the_initial_delay() {
    let mut bench = Bench::new();
    let (first, actions) = bench.join(dynamic(""));
    assert_eq!(written(&actions), [Some((0, 0))], "the group is there after a restart");
    assert!(actions.joined.is_empty());
    assert_eq!(bench.state(), State::PreparingRebalance);
    let (second, actions) = bench.join(dynamic(""));
    assert_eq!(actions, Actions::default());
    // The second came during the first delay, so there is one more.
    assert_eq!(bench.pass(2 * DELAY_MS - 1), Actions::default());
    let actions = bench.pass(1);
    assert!(actions.records.is_empty(), "a generation is written when it has its assignment");
    assert_eq!(joins(&actions), [(first, "ok"), (second, "ok")]);
    let leader = actions.joined[0].1.clone().unwrap();
    assert_eq!(leader.member_id.as_str(), "client-00000000-0000-0000-0000-000000000001");
    assert_eq!((leader.generation, leader.leader.clone()), (1, leader.member_id.clone()));
    assert_eq!(
        (leader.protocol_type.as_deref(), leader.protocol.as_deref()),
        (Some("consumer"), Some("range"))
    );
    assert!(!leader.skip_assignment);
    let follower = actions.joined[1].1.clone().unwrap();
    assert_eq!((follower.leader, follower.members), (leader.member_id.clone(), vec![]));
    let member = |id: &MemberId| super::super::JoinedMember {
        id: id.clone(),
        instance_id: None,
        metadata: subscribed("t"),
    };
    assert_eq!(leader.members, [member(&leader.member_id), member(&follower.member_id)]);
    assert_eq!(bench.state(), State::CompletingRebalance);
}

#[test]
fn the_initial_delay_grows_no_longer_than_the_rebalance_timeout() {
    let mut bench = Bench::new();
    let begun = bench.now;
    let request = || JoinRequest { rebalance_timeout_ms: 7_000, ..dynamic("") };
    bench.join(request());
    let mut joined = Actions::default();
    while joined.joined.is_empty() {
        joined = bench.pass(500);
        if joined.joined.is_empty() {
            bench.join(request());
        }
    }
    assert_eq!(bench.now - begun, 7_000);
    assert!(joined.joined.iter().all(|(_, joined)| joined.is_ok()));
}

#[test]
fn without_an_initial_delay_members_are_joined_at_once() {
    let mut bench = Bench::new();
    bench.settings.classic.initial_rebalance_delay_ms = 0;
    let (ticket, _) = bench.join(dynamic(""));
    assert_eq!(joins(&bench.pass(1)), [(ticket, "ok")]);
}

#[test]
fn a_new_member_is_told_an_id_first_and_expected() {
    let mut bench = Bench::new();
    let requires = |id: &str| JoinRequest { requires_known_member: true, ..dynamic(id) };
    let (ticket, actions) = bench.join(requires(""));
    assert_eq!(joins(&actions), [(ticket, "id required")]);
    let id = given_id(&actions);
    assert_eq!((bench.state(), bench.group().is_empty_since()), (State::Empty, Some(TimestampMs(bench.now))));
    // It joins with the id; another that was told one does not, and the first waits for it until its session is over.
    let (first, _) = bench.join(requires(id.as_str()));
    let (_, actions) = bench.join(requires(""));
    let other = given_id(&actions);
    assert_ne!(id, other);
    let actions = bench.pass(DELAY_MS);
    assert_eq!(joins(&actions), [(first, "ok")], "the end of the initial delay does not wait for it");
    assert_eq!(only_joined(&actions).member_id, id);
    // A later rebalance does, until the id expires.
    let (leave, _) = bench.leave(vec![leaving(other.as_str()), leaving("nobody")]);
    assert_eq!(leave.iter().map(kind).collect::<Vec<_>>(), ["ok", "unknown member"]);
    assert_eq!(bench.state(), State::PreparingRebalance);
}

#[test]
fn an_id_that_is_not_used_holds_a_rebalance_up_for_its_session_timeout() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    let (_, actions) = bench.join(JoinRequest { requires_known_member: true, ..dynamic("") });
    let id = given_id(&actions);
    let (ticket, actions) = bench.join(dynamic(ids[0].as_str()));
    assert!(actions.joined.is_empty(), "the leader rejoined, the new one is awaited");
    assert_eq!(bench.pass(i64::from(SESSION_MS) - 1), Actions::default());
    assert_eq!(joins(&bench.pass(1)), [(ticket, "ok")]);
    let (late, actions) = bench.join(dynamic(id.as_str()));
    assert_eq!(joins(&actions), [(late, "unknown member")]);
}

#[test]
fn refusals_leave_nothing_behind() {
    let mut bench = Bench::new();
    let too_many: Vec<String> = (0..=PROTOCOLS_MAX).map(|i| i.to_string()).collect();
    let too_many: Vec<&str> = too_many.iter().map(String::as_str).collect();
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let cases = [
        (JoinRequest { session_timeout_ms: 5_999, ..dynamic("") }, "session"),
        (JoinRequest { session_timeout_ms: 1_800_001, ..dynamic("") }, "session"),
        (JoinRequest { session_timeout_ms: -1, ..dynamic("") }, "session"),
        (with_protocols(dynamic(""), &[]), "inconsistent"),
        (with_protocols(dynamic(""), &too_many), "inconsistent"),
        (JoinRequest { protocol_type: String::new(), ..dynamic("") }, "inconsistent"),
        (JoinRequest { protocol_type: long.clone(), ..dynamic("") }, "too long"),
        (JoinRequest { client_id: long.clone(), ..dynamic("") }, "too long"),
        (with_protocols(dynamic(""), &[&long]), "too long"),
        (fixed(&long, ""), "too long"),
        (dynamic("someone"), "unknown member"),
        (fixed("i", "someone"), "unknown member"),
    ];
    for (request, refusal) in cases {
        let (ticket, actions) = bench.join(request);
        assert_eq!(joins(&actions), [(ticket, refusal)]);
        assert!(actions.records.is_empty());
        assert!(bench.groups.is_empty());
    }
    let ticket = Ticket(1_000);
    let ((), actions) = bench
        .event(|groups, turn, actions| groups.join(turn, &GroupId::from(""), dynamic(""), ticket, actions));
    assert_eq!(joins(&actions), [(ticket, "invalid id")]);
}

#[test]
fn a_member_has_to_share_a_protocol_of_the_same_type_with_all_others() {
    let mut bench = Bench::new();
    bench.join(with_protocols(dynamic(""), &["a", "b"]));
    bench.join(with_protocols(dynamic(""), &["b", "c"]));
    for (request, refusal) in [
        (with_protocols(dynamic(""), &["a"]), "inconsistent"),
        (with_protocols(dynamic(""), &[]), "inconsistent"),
        (
            JoinRequest { protocol_type: "connect".to_owned(), ..with_protocols(dynamic(""), &["b"]) },
            "inconsistent",
        ),
        (with_protocols(fixed("i", ""), &["a", "c"]), "inconsistent"),
    ] {
        let (ticket, actions) = bench.join(request);
        assert_eq!(joins(&actions), [(ticket, refusal)]);
    }
    let joined = bench.pass(3 * DELAY_MS).joined;
    assert_eq!(joined.len(), 2);
    assert!(joined.iter().all(|(_, joined)| joined.as_ref().unwrap().protocol.as_deref() == Some("b")));
}

#[test]
fn the_protocol_is_what_most_prefer_of_what_all_support() {
    let cases: [(&[&[&str]], &str); 5] = [
        (&[&["a", "b"], &["a", "b"], &["b", "a"]], "a"),
        (&[&["a", "b"], &["b", "a"], &["b", "a"]], "b"),
        (&[&["c", "a", "b"], &["b", "a"], &["c", "a", "b"]], "a"),
        (&[&["b", "a"], &["a", "b"]], "a"),
        // A name that is sent twice counts once.
        (&[&["a", "a", "b"], &["b"]], "b"),
    ];
    for (members, chosen) in cases {
        let mut bench = Bench::new();
        for protocols in members {
            bench.join(with_protocols(dynamic(""), protocols));
        }
        let joined = bench.pass(4 * DELAY_MS).joined;
        assert_eq!(joined[0].1.as_ref().unwrap().protocol.as_deref(), Some(chosen), "{members:?}");
    }
}

/// What a rejoin brings: who sends it, whether it has other protocols, the answer now, the state after.
#[test]
fn rejoins_in_each_state() {
    let completing = |bench: &mut Bench| {
        bench.join(dynamic(""));
        bench.join(dynamic(""));
        bench.complete()
    };
    let stable = |bench: &mut Bench| bench.stable(2);
    type Begin<'a> = &'a dyn Fn(&mut Bench) -> Vec<MemberId>;
    let cases: [(Begin, usize, bool, &[&str], State); 8] = [
        (&completing, 0, false, &["ok"], State::CompletingRebalance),
        (&completing, 1, false, &["ok"], State::CompletingRebalance),
        (&completing, 0, true, &[], State::PreparingRebalance),
        (&completing, 1, true, &[], State::PreparingRebalance),
        (&stable, 0, false, &[], State::PreparingRebalance),
        (&stable, 1, false, &["ok"], State::Stable),
        (&stable, 0, true, &[], State::PreparingRebalance),
        (&stable, 1, true, &[], State::PreparingRebalance),
    ];
    for (at, (begin, member, changes, answers, state)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new();
        let ids = begin(&mut bench);
        let request = dynamic(ids[member].as_str());
        let request = if changes { with_protocols(request, &["range", "new"]) } else { request };
        let (_, actions) = bench.join(request);
        let kinds: Vec<_> = joins(&actions).into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, answers, "case {at}");
        assert!(actions.records.is_empty());
        assert_eq!(bench.state(), state, "case {at}");
        if let Some((_, joined)) = actions.joined.first() {
            let joined = joined.as_ref().unwrap();
            assert_eq!((joined.generation, &joined.leader), (1, &ids[0]));
            assert_eq!(joined.members.len(), if member == 0 { 2 } else { 0 });
        }
    }
}

#[test]
fn a_second_join_of_a_member_answers_its_first() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let (first, actions) = bench.join(dynamic(ids[0].as_str()));
    assert!(actions.joined.is_empty());
    let (second, actions) = bench.join(dynamic(ids[0].as_str()));
    assert_eq!(joins(&actions), [(first, "rebalance")]);
    let (third, actions) = bench.join(dynamic(ids[1].as_str()));
    assert_eq!(joins(&actions), [(second, "ok"), (third, "ok")]);
    assert_eq!(actions.joined[0].1.as_ref().unwrap().generation, 2);
}

#[test]
fn members_that_do_not_rejoin_in_time_are_left_out_and_another_leads() {
    let mut bench = Bench::new();
    let ids = bench.stable(3);
    let (one, _) = bench.join(with_protocols(dynamic(ids[1].as_str()), &["range", "x"]));
    // The others hear of it, and live, but do not join.
    for _ in 0..8 {
        bench.now += 7_000;
        assert!(bench.pass(0).joined.is_empty());
        for id in [&ids[0], &ids[2]] {
            assert_eq!(kind(&bench.heartbeat(id.as_str(), 1)), "rebalance");
        }
    }
    let actions = bench.pass(i64::from(REBALANCE_MS) - 56_000);
    assert_eq!(joins(&actions), [(one, "ok")]);
    let joined = only_joined(&actions);
    assert_eq!((joined.generation, &joined.leader, joined.members.len()), (2, &ids[1], 1));
    assert_eq!(kind(&bench.heartbeat(ids[0].as_str(), 1)), "unknown member");
}

#[test]
fn the_size_of_a_group_is_bounded() {
    let mut bench = Bench::new();
    bench.settings.classic.members_max = 2;
    let ids = bench.stable(2);
    let (ticket, actions) = bench.join(dynamic(""));
    assert_eq!(joins(&actions), [(ticket, "full")]);
    assert_eq!(bench.state(), State::Stable);
    // While a rebalance is prepared, who comes first stays.
    let (first, _) = bench.join(dynamic(ids[0].as_str()));
    let (new, actions) = bench.join(dynamic(""));
    assert!(actions.joined.is_empty());
    let (late, actions) = bench.join(dynamic(ids[1].as_str()));
    assert_eq!(joins(&actions), [(first, "ok"), (new, "ok"), (late, "full")]);
    assert_eq!(bench.group().members().len(), 2);
    assert!(bench.group().member(ids[1].as_str()).is_none());
}

#[test]
fn the_longest_names_can_be_written() {
    let mut bench = Bench::new();
    let name = "n".repeat(NAME_BYTES_MAX);
    bench.join(JoinRequest { protocol_type: name.clone(), ..with_protocols(fixed(&name, ""), &[&name]) });
    bench.complete();
    let record = bench.group().to_record();
    let (key, value) = record.encode().unwrap();
    assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(Some(record)));
}

#[test]
fn a_full_group_is_not_hurried_out_of_its_initial_delay() {
    let mut bench = Bench::new();
    bench.settings.classic.members_max = 1;
    bench.join(dynamic(""));
    let (ticket, actions) = bench.join(dynamic(""));
    assert_eq!(joins(&actions), [(ticket, "full")]);
}

#[test]
fn ids_that_are_given_out_are_bounded() {
    let mut bench = Bench::new();
    let request = || JoinRequest { requires_known_member: true, ..dynamic("") };
    assert_eq!(joins(&bench.join(request()).1)[0].1, "id required");
    bench.event(|groups, turn, _| {
        groups.change(&id(), |group| {
            let Kind::Classic(group) = &mut group.kind else { panic!("it was joined") };
            for number in 1..PENDING_MEMBERS_MAX {
                let id = MemberId::from(number.to_string());
                group.roster.add_pending(id.clone());
                group.set_timer(turn, super::super::Due::Session(id), SESSION_MS);
            }
        });
    });
    let (ticket, actions) = bench.join(request());
    assert_eq!(joins(&actions), [(ticket, "full")]);
    bench.pass(i64::from(SESSION_MS));
    assert_eq!(joins(&bench.join(request()).1)[0].1, "id required");
}

#[test]
fn an_id_that_chance_gave_twice_is_refused() {
    let mut bench = Bench::new();
    let (first, _) = bench.join(dynamic(""));
    bench.fresh -= 1;
    let (ticket, actions) = bench.join(dynamic(""));
    assert_eq!(joins(&actions), [(ticket, "unknown member")]);
    assert_eq!(joins(&bench.pass(2 * DELAY_MS)), [(first, "ok")]);
}

#[test]
fn a_group_of_another_kind_is_not_joined() {
    let mut bench = Bench::new();
    bench.event(|groups, _, _| groups.change(&id(), |group| group.kind = Kind::Share(Box::default())));
    let (ticket, actions) = bench.join(dynamic(""));
    assert_eq!(joins(&actions), [(ticket, "inconsistent")]);
    let (ticket, actions) = bench.sync(sync(&MemberId::from("a"), 1, vec![]));
    assert_eq!(syncs(&actions), [(ticket, "unknown member")]);
    assert_eq!(kind(&bench.heartbeat("a", 1)), "unknown member");
    assert_eq!(bench.leave(vec![leaving("a")]).0.iter().map(kind).collect::<Vec<_>>(), ["unknown member"]);
}
