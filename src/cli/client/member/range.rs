//! Who reads what: Kafka's range assignment, which the leader of a classic group computes for all.
//!
//! Key invariant: every partition of a topic goes to exactly one of the members that wish to read it, if there are any;
//! the members' shares of a topic differ by one partition at most.

use std::collections::BTreeMap;

use super::wire::TopicPartitions;

/// The partitions of every member of `members`, which maps a member to the topics that it wishes to read. Topics that
/// `partitions` does not count are left out.
pub(super) fn assign(
    members: &BTreeMap<String, Vec<String>>,
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, TopicPartitions> {
    let mut assigned: BTreeMap<String, TopicPartitions> =
        members.keys().map(|member| (member.clone(), TopicPartitions::new())).collect();
    for (topic, count) in partitions {
        let readers: Vec<&String> =
            members.iter().filter(|(_, topics)| topics.contains(topic)).map(|(member, _)| member).collect();
        let Ok(among) = i32::try_from(readers.len()) else { continue };
        let mut next = 0;
        for (at, member) in (0..among).zip(readers) {
            let size = count / among + i32::from(at < count % among);
            let share = (next..next + size).collect();
            next += size;
            if size > 0 {
                assigned.entry(member.clone()).or_default().insert(topic.clone(), share);
            }
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(wishes: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let owned = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect();
        wishes.iter().map(|(member, topics)| ((*member).to_owned(), owned(topics))).collect()
    }

    fn counts(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    #[test]
    fn the_first_members_get_one_more() {
        let assigned = assign(
            &members(&[("b", &["t"]), ("a", &["t", "u"]), ("c", &["t", "gone"])]),
            &counts(&[("t", 5), ("u", 1)]),
        );
        let of = |member: &str, topic: &str| assigned[member].get(topic).cloned().unwrap_or_default();
        assert_eq!((of("a", "t"), of("b", "t"), of("c", "t")), (vec![0, 1], vec![2, 3], vec![4]));
        assert_eq!((of("a", "u"), of("b", "u"), of("c", "gone")), (vec![0], vec![], vec![]));
    }

    #[test]
    fn members_beyond_the_partitions_get_none() {
        let assigned = assign(&members(&[("a", &["t"]), ("b", &["t"])]), &counts(&[("t", 1)]));
        assert_eq!(assigned["b"], TopicPartitions::new());
        assert_eq!(assign(&members(&[]), &counts(&[("t", 1)])), BTreeMap::new());
    }

    proptest! {
        #[test]
        fn nobody_shares_and_nothing_is_left(count in 0..50_i32, readers in 1..20_usize) {
            let names: Vec<String> = (0..readers).map(|n| format!("m{n}")).collect();
            let wishes = names.iter().map(|name| (name.clone(), vec!["t".to_owned()])).collect();
            let assigned = assign(&wishes, &counts(&[("t", count)]));
            let mut all: Vec<i32> = assigned.values().flat_map(|t| t.get("t").cloned().unwrap_or_default()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
            let sizes: Vec<usize> = assigned.values().map(|t| t.get("t").map_or(0, Vec::len)).collect();
            prop_assert!(sizes.iter().max().zip(sizes.iter().min()).is_some_and(|(most, least)| most - least <= 1));
        }
    }
}
