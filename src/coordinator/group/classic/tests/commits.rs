//! Who may commit offsets, and to what a group is subscribed.

use super::*;

#[test]
fn commits_are_taken_of_members_of_the_generation() {
    let mut bench = Bench::new();
    bench.join(fixed("i", ""));
    bench.join(dynamic(""));
    let check =
        |bench: &Bench, member: &str, instance: Option<&str>, generation: i32, transactional: bool| {
            kind(&bench.group().validate_commit(member, instance, generation, transactional))
        };
    let ids = bench.complete();
    let (i, other) = (ids[0].as_str(), ids[1].as_str());
    assert_eq!(check(&bench, i, Some("i"), 1, false), "rebalance", "it has yet to learn what it has");
    assert_eq!(check(&bench, i, Some("i"), 1, true), "ok");
    bench.sync_all(&ids);
    let cases = [
        (i, Some("i"), 1, "ok", "ok"),
        (other, None, 1, "ok", "ok"),
        (other, None, 0, "illegal generation", "illegal generation"),
        (other, None, -1, "illegal generation", "illegal generation"),
        (other, Some("i"), 1, "fenced", "fenced"),
        (other, Some("k"), 1, "unknown member", "unknown member"),
        ("nobody", None, 1, "unknown member", "unknown member"),
        ("", None, 1, "unknown member", "unknown member"),
        ("", None, -1, "unknown member", "ok"),
        ("", Some("i"), -1, "fenced", "fenced"),
    ];
    for (member, instance, generation, plain, transactional) in cases {
        assert_eq!(check(&bench, member, instance, generation, false), plain);
        assert_eq!(check(&bench, member, instance, generation, true), transactional);
    }
    // While a rebalance is prepared members commit what they are about to give up.
    bench.join(dynamic(""));
    assert_eq!(bench.state(), State::PreparingRebalance);
    assert_eq!(check(&bench, other, None, 1, false), "ok");
    bench.pass(900_000);
    assert_eq!(bench.state(), State::Empty);
    assert_eq!(check(&bench, "", None, -1, false), "ok");
    assert_eq!(check(&bench, other, None, -1, false), "ok");
    assert_eq!(check(&bench, other, None, 1, false), "unknown member");
}

#[test]
fn a_commit_is_a_heartbeat() {
    let mut bench = Bench::new();
    let ids = bench.stable(1);
    for _ in 0..3 {
        assert_eq!(bench.pass(i64::from(SESSION_MS) - 1), Actions::default());
        bench.event(|groups, turn, _| {
            groups.change(&id(), |group| match &mut group.kind {
                Kind::Classic(group) => group.on_commit(turn, ids[0].as_str()),
                other => panic!("{other:?}"),
            });
        });
    }
    assert_eq!(bench.state(), State::Stable);
}

#[test]
fn a_consumer_group_knows_its_topics() {
    let mut bench = Bench::new();
    let to = |topic: &str, member: &str| JoinRequest {
        protocols: vec![("range".to_owned(), subscribed(topic)), ("x".to_owned(), Bytes::new())],
        ..dynamic(member)
    };
    bench.join(to("t", ""));
    bench.join(to("u", ""));
    assert!(bench.group().is_subscribed_to("anything"), "not known yet");
    let ids = bench.settle();
    let topics =
        |bench: &Bench| bench.group().subscribed_topics().map(|topics| topics.iter().cloned().collect());
    assert_eq!(topics(&bench), Some(vec!["t".to_owned(), "u".to_owned()]));
    assert!(bench.group().is_subscribed_to("u") && !bench.group().is_subscribed_to("v"));
    for id in &ids {
        bench.join(JoinRequest {
            protocols: vec![("range".to_owned(), Bytes::new())],
            ..dynamic(id.as_str())
        });
    }
    assert_eq!(topics(&bench), None);
    assert!(bench.group().is_subscribed_to("v"), "what cannot be read may be anything");
    bench.pass(900_000);
    assert_eq!(topics(&bench), Some(vec![]));
    assert!(!bench.group().is_subscribed_to("t"));
}

#[test]
fn other_protocol_types_have_no_topics() {
    let mut bench = Bench::new();
    bench.join(JoinRequest { protocol_type: "connect".to_owned(), ..dynamic("") });
    bench.settle();
    assert_eq!(bench.group().subscribed_topics(), None);
    assert!(!bench.group().is_subscribed_to("t"));
}
