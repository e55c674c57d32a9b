//! What is written of a group, read back, described, deleted, and turned into a group of another kind.

use super::super::{DescribedGroup, DescribedMember, Migrant};
use super::*;
use crate::coordinator::records::classic::{ClassicGroupValue, ClassicMemberValue};

fn value(members: &[(&str, Option<&str>)]) -> ClassicGroupValue {
    let member = |(id, instance): &(&str, Option<&str>)| ClassicMemberValue {
        id: MemberId::from(*id),
        instance_id: instance.map(InstanceId::from),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: REBALANCE_MS,
        session_timeout_ms: SESSION_MS,
        subscription: subscribed("t"),
        assignment: Bytes::from_static(b"all"),
    };
    ClassicGroupValue {
        protocol_type: "consumer".to_owned(),
        generation: 7,
        protocol: Some("range".to_owned()),
        leader: members.last().map(|(id, _)| MemberId::from(*id)),
        state_since: TimestampMs(5),
        members: members.iter().map(member).collect(),
    }
}

/// Puts a group that was read into the bench.
fn load(bench: &mut Bench, value: ClassicGroupValue) -> Actions {
    let mut group = ClassicGroup::replay(id(), Some(value)).unwrap();
    let load = |groups: &mut Groups, turn: &Turn<'_>, actions: &mut Actions| {
        group.on_loaded(turn, actions);
        groups.change(&id(), |slot| slot.kind = Kind::Classic(Box::new(group)));
    };
    bench.event(load).1
}

#[test]
fn a_group_goes_on_where_it_was() {
    let mut bench = Bench::new();
    assert_eq!(load(&mut bench, value(&[("a", None), ("b", Some("i"))])), Actions::default());
    let group = bench.group();
    assert_eq!(
        (group.state(), group.generation(), group.leader()),
        (State::Stable, 7, Some(&MemberId::from("b")))
    );
    assert_eq!(group.static_member("i"), Some(&MemberId::from("b")));
    assert!(group.is_subscribed_to("t") && !group.is_subscribed_to("u"));
    bench.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(kind(&bench.heartbeat("a", 7)), "ok");
    let (_, actions) = bench.sync(sync(&MemberId::from("a"), 7, vec![]));
    assert_eq!(only_synced(&actions).assignment, "all");
    bench.pass(1);
    assert_eq!(bench.state(), State::PreparingRebalance, "the other was not heard of");
}

#[test]
fn a_group_without_members_is_empty_since_it_was_written() {
    let mut bench = Bench::new();
    load(&mut bench, ClassicGroupValue { protocol: None, ..value(&[]) });
    assert_eq!((bench.state(), bench.group().is_empty_since()), (State::Empty, Some(TimestampMs(5))));
    assert_eq!(bench.groups.next_deadline(), None);
    load(&mut bench, ClassicGroupValue { state_since: TimestampMs(-1), ..value(&[]) });
    assert_eq!(bench.group().is_empty_since(), None);
    // Its generations go on.
    bench.stable(1);
    assert_eq!(bench.group().generation(), 8);
}

#[test]
fn records_that_contradict_themselves_are_read_as_far_as_they_make_sense() {
    let odd = ClassicGroupValue {
        leader: Some(MemberId::from("nobody")),
        protocol: None,
        ..value(&[("a", Some("i")), ("a", None), ("b", Some("i")), ("c", None)])
    };
    let mut bench = Bench::new();
    load(&mut bench, odd);
    let ids: Vec<_> = bench.group().members().map(|member| member.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(bench.group().leader(), Some(&MemberId::from("a")));
    let mut old = value(&[("a", None)]);
    old.members[0].rebalance_timeout_ms = -1;
    load(&mut bench, old);
    assert_eq!(bench.group().member("a").unwrap().rebalance_timeout_ms, SESSION_MS, "of the oldest members");
}

#[test]
fn a_group_that_is_larger_than_allowed_now_is_rebalanced() {
    let mut bench = Bench::new();
    bench.settings.classic.members_max = 1;
    load(&mut bench, value(&[("a", None), ("b", None)]));
    assert_eq!(bench.state(), State::PreparingRebalance);
    bench.join(dynamic("b"));
    let (late, actions) = bench.join(dynamic("a"));
    assert_eq!(joins(&actions).last(), Some(&(late, "full")));
    assert_eq!(bench.group().members().len(), 1);
}

#[test]
fn a_tombstone_is_written_and_read() {
    let mut bench = Bench::new();
    load(&mut bench, value(&[]));
    let mut actions = Actions::default();
    bench.group().delete(&mut actions);
    assert_eq!(actions.records, [GroupRecord::ClassicGroup(id(), None)]);
    assert!(ClassicGroup::replay(id(), None).is_none());
}

#[test]
fn a_group_is_described_by_its_state() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.groups.describe_classic("g"),
        Err(GroupError::GroupIdNotFound("Group g not found.".to_owned()))
    );
    let ids = bench.stable(1);
    let member = DescribedMember {
        id: ids[0].clone(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        metadata: subscribed("t"),
        assignment: assigned(&ids[0]),
    };
    let stable = DescribedGroup {
        state: "Stable",
        protocol_type: "consumer".to_owned(),
        protocol: "range".to_owned(),
        members: vec![member.clone()],
    };
    assert_eq!(bench.groups.describe_classic("g"), Ok(stable.clone()));
    bench.join(dynamic(""));
    let preparing = bench.groups.describe_classic("g").unwrap();
    assert_eq!((preparing.state, preparing.protocol.as_str()), ("PreparingRebalance", ""));
    assert_eq!(preparing.members[0], DescribedMember { metadata: Bytes::new(), ..member });
    bench.pass(900_000);
    let empty = DescribedGroup { state: "Empty", protocol: String::new(), members: vec![], ..stable };
    assert_eq!(bench.groups.describe_classic("g"), Ok(empty));
    bench.event(|groups, _, _| groups.change(&id(), |group| group.kind = Kind::Share(Box::default())));
    let not_classic = GroupError::GroupIdNotFound("Group g is not a classic group.".to_owned());
    assert_eq!(bench.groups.describe_classic("g"), Err(not_classic));
}

#[test]
fn a_group_that_changes_its_kind_answers_who_waits() {
    let mut bench = Bench::new();
    let ids = bench.stable(2);
    let (waits, _) = bench.join(dynamic(ids[0].as_str()));
    let dissolve = |groups: &mut Groups, _: &Turn<'_>, actions: &mut Actions| {
        groups.change(&id(), |group| match &mut group.kind {
            Kind::Classic(classic) => {
                classic.dissolve(actions);
                classic.delete(actions);
                group.kind = Kind::Simple;
            }
            other => panic!("{other:?}"),
        });
    };
    let ((), actions) = bench.event(dissolve);
    assert_eq!(joins(&actions), [(waits, "rebalance")]);
    assert!(bench.groups.is_empty());
}

#[test]
fn a_consumer_group_becomes_a_classic_one() {
    let mut bench = Bench::new();
    let migrant = |name: &str, instance: Option<&str>| Migrant {
        id: MemberId::from(name),
        instance_id: instance.map(InstanceId::from),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: REBALANCE_MS,
        session_timeout_ms: SESSION_MS,
        protocols: vec![("x".to_owned(), Bytes::new()), ("range".to_owned(), subscribed(name))],
    };
    let mut migrants = vec![migrant("a", None), migrant("b", Some("i"))];
    migrants[1].protocols.remove(0);
    let ((), actions) = bench.event(|groups, turn, actions| {
        let assign = |id: &MemberId, subscription: &[u8]| {
            assert_eq!(subscription, subscribed(id.as_str()));
            assigned(id)
        };
        let mut group = ClassicGroup::downgraded(turn, id(), 12, migrants, assign);
        actions.records.push(group.to_record());
        assert_eq!((group.state(), group.generation(), group.protocol()), (State::Stable, 12, Some("range")));
        group.rebalance(turn, actions);
        groups.change(&id(), |slot| slot.kind = Kind::Classic(Box::new(group)));
    });
    assert_eq!(written(&actions), [Some((12, 2))]);
    assert_eq!(bench.state(), State::PreparingRebalance);
    let (_, actions) = bench.join(dynamic("a"));
    assert!(actions.joined.is_empty());
    let (_, actions) = bench.join(fixed("i", "b"));
    assert_eq!(actions.joined.len(), 2);
    assert_eq!(bench.group().generation(), 13);
}
