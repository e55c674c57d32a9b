//! Expiry, and topics that are deleted.

use super::*;

#[test]
fn offsets_of_a_simple_group_expire_by_their_own_age() {
    let mut bench = Bench::new();
    bench.put("g", "a", 0, 5);
    bench.now += DAY_MS;
    bench.put("g", "a", 1, 6);
    bench.now = 1_000 + RETENTION_MS - 1;
    bench.expire();
    assert_eq!(bench.fetch("g", None).len(), 2, "a millisecond early");
    bench.now += 1;
    bench.expire();
    assert_eq!(bench.fetch("g", None), [("a".into(), 1, 6)]);
    bench.check();
    bench.now += DAY_MS;
    bench.expire();
    assert!(bench.groups.is_empty(), "nothing is left of the group");
    assert_eq!(bench.log.last(), Some(&GroupRecord::ClassicGroup("g".into(), None)));
    bench.check();
}

#[test]
fn a_retention_of_the_clients_own_is_kept_to() {
    let mut bench = Bench::new();
    for (partition, ms) in [(0, 10_000), (1, 2 * RETENTION_MS), (2, i64::MAX)] {
        let commit = Commit { retention_ms: Some(ms), version: 2, ..simple(&[("a", partition, 5)]) };
        assert_eq!(bench.commit("g", commit), [[Ok(())]]);
    }
    bench.now += 9_999;
    bench.expire();
    assert_eq!(bench.fetch("g", None).len(), 3);
    bench.now += 1;
    bench.expire();
    assert_eq!(bench.fetch("g", None), [("a".into(), 1, 5), ("a".into(), 2, 5)]);
    bench.now = 1_000 + 2 * RETENTION_MS;
    bench.expire();
    assert_eq!(bench.fetch("g", None), [("a".into(), 2, 5)]);
    bench.check();
}

#[test]
fn offsets_of_a_group_count_from_when_it_became_empty() {
    let mut bench = Bench::new();
    bench.put("g", "a", 0, 5);
    bench.now += 6 * DAY_MS;
    bench.join("g", "consumer", "a");
    // Nobody syncs or beats: the session ends and the group is empty.
    bench.now += 60_000;
    bench.event(|groups, turn, actions| groups.on_time(turn, actions));
    bench.now += 60_000;
    bench.event(|groups, turn, actions| groups.on_time(turn, actions));
    let emptied = bench.now;
    let listed = bench.groups.list(&GroupFilter::default());
    assert_eq!((listed[0].state, listed[0].protocol_type.as_str()), ("Empty", "consumer"));
    bench.now += RETENTION_MS - 60_001;
    bench.expire();
    assert_eq!(bench.fetch("g", None).len(), 1, "the commit is older than the retention, the group is not");
    bench.now = emptied + RETENTION_MS;
    bench.expire();
    assert!(bench.groups.is_empty());
    assert!(bench.replayed().is_empty());
}

#[test]
fn no_offset_expires_while_the_group_rebalances() {
    let mut bench = Bench::new();
    for protocol_type in ["consumer", "connect"] {
        bench.put(protocol_type, "b", 0, 5);
        bench.now += 2 * RETENTION_MS;
        bench.join(protocol_type, protocol_type, "a");
        bench.expire();
        assert_eq!(bench.fetch(protocol_type, None).len(), 1, "{protocol_type}");
    }
}

#[test]
fn a_stable_consumer_group_keeps_what_it_is_subscribed_to() {
    for (protocol_type, left) in [("consumer", vec!["a"]), ("connect", vec!["a", "b"])] {
        let mut bench = Bench::new();
        bench.put("g", "a", 0, 5);
        bench.put("g", "b", 0, 5);
        bench.now += 2 * RETENTION_MS;
        let member = bench.join("g", protocol_type, "a");
        let request = crate::coordinator::group::classic::SyncRequest {
            member_id: member.clone(),
            instance_id: None,
            generation: 1,
            protocol_type: None,
            protocol: None,
            assignments: vec![(member.as_str().into(), bytes::Bytes::new())],
        };
        bench.event(|groups, turn, actions| groups.sync(turn, &"g".into(), request, Ticket(99), actions));
        assert_eq!(bench.groups.list(&GroupFilter::default())[0].state, "Stable");
        bench.expire();
        let names: Vec<String> = bench.fetch("g", None).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, left, "{protocol_type}");
        bench.check();
    }
}

#[test]
fn much_that_is_due_is_done_in_batches() {
    let mut bench = Bench::new();
    bench.image = image(&[(1, "a", 20_000)]);
    let many: Vec<(&str, i32, i64)> = (0..5_000).map(|n| ("a", n, 1)).collect();
    for chunk in 0..4 {
        let part: Vec<_> =
            many.iter().map(|(topic, n, offset)| (*topic, n + chunk * 5_000, *offset)).collect();
        assert!(bench.commit("g", simple(&part)).iter().flatten().all(Result::is_ok));
    }
    bench.now += RETENTION_MS;
    let events = bench.expire();
    assert!((2..=10).contains(&events), "{events} events");
    assert!(bench.groups.is_empty() && bench.replayed().is_empty());
}

#[test]
fn offsets_go_with_their_topic() {
    let mut bench = Bench::new();
    bench.put("g", "a", 0, 5);
    bench.put("g", "b", 0, 6);
    bench.put("h", "a", 1, 7);
    bench.event(|groups, turn, _| groups.begin_upkeep(turn));
    assert_eq!(bench.groups.upkeep_deadline(), Some(TimestampMs(bench.now)));
    bench.event(|groups, turn, actions| groups.on_upkeep_due(turn, actions));
    assert_eq!(bench.log.len(), 3, "all topics are there");
    // `a` is deleted, and created anew before anybody looked; one offset of the new one is there already.
    bench.image = image(&[(11, "a", 3), (2, "b", 2)]);
    bench.put("g", "a", 2, 8);
    bench.event(|groups, turn, _| groups.on_topics_changed(turn));
    bench.event(|groups, turn, actions| groups.on_upkeep_due(turn, actions));
    assert_eq!(bench.fetch("g", None), [("a".into(), 2, 8), ("b".into(), 0, 6)]);
    assert!(bench.groups.get("h").is_none(), "it had nothing else");
    bench.check();
    let interval = bench.settings.offsets.check_interval_ms;
    assert_eq!(bench.groups.upkeep_deadline(), Some(TimestampMs(1_000 + interval)), "then expiry is next");
    // A coordinator that was not there when the topic was deleted learns it when it has loaded.
    bench.image = image(&[(11, "a", 3)]);
    bench.groups = bench.replayed();
    bench.event(|groups, turn, _| groups.begin_upkeep(turn));
    bench.event(|groups, turn, actions| groups.on_upkeep_due(turn, actions));
    assert_eq!(bench.fetch("g", None), [("a".into(), 2, 8)]);
    bench.check();
}

#[test]
fn expiry_comes_again_after_each_interval() {
    let mut bench = Bench::new();
    bench.put("g", "a", 0, 5);
    bench.event(|groups, turn, _| groups.begin_upkeep(turn));
    let mut checks = 0;
    while !bench.groups.is_empty() {
        bench.now = bench.groups.upkeep_deadline().expect("upkeep never ends").0;
        bench.event(|groups, turn, actions| groups.on_upkeep_due(turn, actions));
        checks += 1;
        assert!(checks < 2_000);
    }
    let interval = bench.settings.offsets.check_interval_ms;
    assert!((1_000 + RETENTION_MS..1_000 + RETENTION_MS + interval).contains(&bench.now));
}
