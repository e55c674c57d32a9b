//! Listing and deleting groups.

use super::*;

fn listed(
    bench: &Bench,
    states: &[&str],
    types: &[&str],
) -> Vec<(String, String, &'static str, &'static str)> {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let filter = GroupFilter { states: own(states), types: own(types) };
    let mut groups: Vec<_> = bench.groups.list(&filter).into_iter().collect();
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    groups
        .into_iter()
        .map(|group| (group.id.to_string(), group.protocol_type, group.state, group.kind))
        .collect()
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut bench = Bench::new();
    bench.put("simple", "a", 0, 5);
    bench.join("classic", "connect", "a");
    let simple = ("simple".to_owned(), String::new(), "Empty", "classic");
    let classic = ("classic".to_owned(), "connect".to_owned(), "CompletingRebalance", "classic");
    assert_eq!(listed(&bench, &[], &[]), [classic.clone(), simple.clone()]);
    assert_eq!(listed(&bench, &[" empty"], &[]), std::slice::from_ref(&simple));
    assert_eq!(listed(&bench, &["Stable", "COMPLETINGREBALANCE"], &["Classic"]), [classic]);
    assert_eq!(listed(&bench, &[], &["consumer", "share"]), []);
    assert_eq!(listed(&bench, &["Nonsense"], &[]), [], "a state that is none");
    assert_eq!(listed(&bench, &[], &["nonsense"]), []);
    assert_eq!(listed(&bench, &["Empty"], &["nonsense", "classic"]), [simple]);
}

#[test]
fn groups_without_members_are_deleted_with_their_offsets() {
    let mut bench = Bench::new();
    let delete = |bench: &mut Bench, group: &str| {
        bench.event(|groups, _, actions| groups.delete_group(&group.into(), actions))
    };
    assert!(matches!(delete(&mut bench, "g"), Err(GroupError::GroupIdNotFound(_))));
    bench.put("g", "a", 0, 5);
    bench.put("g", "b", 1, 5);
    bench.put("h", "a", 0, 5);
    bench.join("h", "consumer", "a");
    assert_eq!(delete(&mut bench, "h"), Err(GroupError::NonEmptyGroup));
    assert_eq!(delete(&mut bench, "g"), Ok(Deletion::Done));
    assert!(matches!(delete(&mut bench, "g"), Err(GroupError::GroupIdNotFound(_))));
    assert_eq!(bench.fetch("h", None).len(), 1);
    bench.check();
    assert!(bench.replayed().get("g").is_none());
}

#[test]
fn a_group_of_very_many_offsets_is_deleted_bit_by_bit() {
    let mut bench = Bench::new();
    bench.image = image(&[(1, "a", 20_000)]);
    for chunk in 0..4 {
        let part: Vec<_> = (0..5_000).map(|n| ("a", n + chunk * 5_000, 1)).collect();
        assert!(bench.commit("g", simple(&part)).iter().flatten().all(Result::is_ok));
    }
    let mut events = 0;
    loop {
        let before = bench.log.len();
        events += 1;
        let came = bench.event(|groups, _, actions| groups.delete_group(&"g".into(), actions));
        assert!(bench.log.len() - before < 20_000);
        if came == Ok(Deletion::Done) {
            break;
        }
        assert_eq!(came, Ok(Deletion::Begun));
    }
    assert!((2..=10).contains(&events));
    assert!(bench.groups.is_empty() && bench.replayed().is_empty());
}
