//! The `simple` assignor of share groups (KIP-932).
//!
//! Key invariants: each partition is with at least one of the members that want it, and each of those with at least one
//! partition. If all members want the same, the numbers differ by at most one; what a member has it keeps as far as balance
//! allows.

use std::collections::{BTreeMap, BTreeSet};

use crate::coordinator::MemberId;
use crate::model::TopicPartition;

/// The assignor's name.
pub const SIMPLE: &str = "simple";

/// Partitions of each member.
pub type Assignment = BTreeMap<MemberId, BTreeSet<TopicPartition>>;

/// Assigns what each member wants; `before` is what they have.
pub fn assign(wanted: &Assignment, before: &Assignment) -> Assignment {
    let mut first = wanted.values();
    let sample = first.next();
    if first.all(|other| Some(other) == sample) {
        assign_alike(wanted, before)
    } else {
        assign_unlike(wanted, before)
    }
}

/// All members want the same partitions.
fn assign_alike(wanted: &Assignment, before: &Assignment) -> Assignment {
    let mut assigned: Assignment = wanted.keys().map(|member| (member.clone(), BTreeSet::new())).collect();
    let Some(partitions) = wanted.values().next().filter(|partitions| !partitions.is_empty()) else {
        return assigned;
    };
    let members: Vec<&MemberId> = wanted.keys().collect();
    let pairs = before.iter().flat_map(|(member, had)| had.iter().map(move |partition| (member, *partition)));
    let pairs =
        pairs.filter(|(member, partition)| wanted.contains_key(*member) && partitions.contains(partition));
    if members.len() <= partitions.len() {
        let partitions: Vec<TopicPartition> = partitions.iter().copied().collect();
        let before: Vec<_> = pairs.map(|(member, partition)| (partition, member)).collect();
        for (partition, member) in balance(&partitions, &members, &before) {
            assigned.entry(member.clone()).or_default().insert(partition);
        }
    } else {
        let partitions: Vec<TopicPartition> = partitions.iter().copied().collect();
        let before: Vec<_> = pairs.collect();
        for (member, partition) in balance(&members, &partitions, &before) {
            assigned.entry(member.clone()).or_default().insert(partition);
        }
    }
    assigned
}

/// Gives each of `items` one of the owners, evenly; pairs of `before` stay as far as that allows. There are as many items as
/// owners, or more.
fn balance<I: Ord + Copy, O: Ord + Copy>(items: &[I], owners: &[O], before: &[(I, O)]) -> Vec<(I, O)> {
    let (quota, mut extras) = (items.len() / owners.len(), items.len() % owners.len());
    let mut counts: BTreeMap<O, usize> = owners.iter().map(|owner| (*owner, 0)).collect();
    let mut given: BTreeMap<I, O> = BTreeMap::new();
    let mut take = |item: I, owner: O, given: &mut BTreeMap<I, O>| {
        let Some(count) = counts.get_mut(&owner) else { return false };
        if given.contains_key(&item) || *count > quota || (*count == quota && extras == 0) {
            return false;
        }
        if *count == quota {
            extras -= 1;
        }
        *count += 1;
        given.insert(item, owner);
        true
    };
    for (item, owner) in before {
        take(*item, *owner, &mut given);
    }
    let mut next = owners.iter().copied().peekable();
    for item in items {
        while !given.contains_key(item) {
            match next.peek() {
                Some(owner) if take(*item, *owner, &mut given) => {}
                Some(_) => _ = next.next(),
                None => break,
            }
        }
    }
    given.into_iter().collect()
}

/// Members want different partitions: each partition goes to the member with the fewest of those that want it, unless one has
/// it already; then each member without any gets the one that the fewest have.
fn assign_unlike(wanted: &Assignment, before: &Assignment) -> Assignment {
    let mut wanting: BTreeMap<TopicPartition, Vec<&MemberId>> = BTreeMap::new();
    for (member, partitions) in wanted {
        for partition in partitions {
            wanting.entry(*partition).or_default().push(member);
        }
    }
    let mut assigned: Assignment = wanted.keys().map(|member| (member.clone(), BTreeSet::new())).collect();
    let mut sharing: BTreeMap<TopicPartition, usize> = BTreeMap::new();
    let fair = wanting.len().div_ceil(wanted.len().max(1));
    for (partition, members) in &wanting {
        let count = |member: &&MemberId| assigned.get(*member).map_or(0, BTreeSet::len);
        let has = |member: &&&MemberId| before.get(**member).is_some_and(|had| had.contains(partition));
        let keeper = members.iter().filter(has).find(|member| count(member) < fair);
        let fewest = || members.iter().min_by_key(|member| count(member));
        if let Some(member) = keeper.or_else(fewest) {
            assigned.entry((*member).clone()).or_default().insert(*partition);
            *sharing.entry(*partition).or_default() += 1;
        }
    }
    for (member, partitions) in &mut assigned {
        let Some(wants) = wanted.get(member).filter(|_| partitions.is_empty()) else { continue };
        let had = |partition: &TopicPartition| before.get(member).is_some_and(|had| had.contains(partition));
        let shared = |partition: &&TopicPartition| {
            (sharing.get(*partition).copied().unwrap_or(0), !had(partition), **partition)
        };
        if let Some(partition) = wants.iter().min_by_key(shared) {
            partitions.insert(*partition);
            *sharing.entry(*partition).or_default() += 1;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PartitionIndex, TopicId};
    use proptest::prelude::*;

    fn partition(topic: u128, index: i32) -> TopicPartition {
        TopicPartition { topic_id: TopicId(uuid::Uuid::from_u128(topic)), partition: PartitionIndex(index) }
    }

    fn wants(members: usize, partitions: i32) -> Assignment {
        let all: BTreeSet<TopicPartition> = (0..partitions).map(|index| partition(1, index)).collect();
        (0..members).map(|member| (MemberId::from(format!("m{member:02}")), all.clone())).collect()
    }

    fn shares(assigned: &Assignment) -> BTreeMap<TopicPartition, usize> {
        let mut shares = BTreeMap::new();
        for partition in assigned.values().flatten() {
            *shares.entry(*partition).or_default() += 1;
        }
        shares
    }

    fn check(wanted: &Assignment, assigned: &Assignment) {
        assert!(wanted.keys().eq(assigned.keys()));
        let all: BTreeSet<&TopicPartition> = wanted.values().flatten().collect();
        assert!(shares(assigned).keys().eq(all), "each partition is with somebody");
        for (member, partitions) in assigned {
            assert!(partitions.is_subset(&wanted[member]));
            assert!(!partitions.is_empty() || wanted[member].is_empty(), "{member} has nothing to do");
        }
    }

    fn spread(counts: impl Iterator<Item = usize> + Clone) -> usize {
        counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
    }

    #[test]
    fn partitions_are_shared_when_there_are_more_members() {
        let wanted = wants(7, 3);
        let assigned = assign(&wanted, &Assignment::new());
        check(&wanted, &assigned);
        assert!(shares(&assigned).values().all(|count| (2..=3).contains(count)));
        let fewer = wants(2, 3);
        let after = assign(&fewer, &assigned);
        check(&fewer, &after);
        assert_eq!(after.values().map(BTreeSet::len).sum::<usize>(), 3, "each with one member again");
    }

    proptest! {
        #[test]
        fn members_that_want_the_same_get_about_the_same(
            sizes in prop::collection::vec((0usize..9, 0i32..9), 1..6)
        ) {
            let mut before = Assignment::new();
            for (members, partitions) in sizes {
                let wanted = wants(members, partitions);
                let assigned = assign(&wanted, &before);
                check(&wanted, &assigned);
                prop_assert!(spread(assigned.values().map(BTreeSet::len)) <= 1);
                prop_assert!(spread(shares(&assigned).values().copied()) <= 1);
                prop_assert_eq!(&assign(&wanted, &assigned), &assigned, "what is balanced stays");
                before = assigned;
            }
        }

        #[test]
        fn members_that_want_different_things_all_get_some(
            subscriptions in prop::collection::vec((0u8..8, 0u8..8), 1..10)
        ) {
            let topics = |set: u8| (0u128..3).filter(move |topic| set & (1 << topic) != 0);
            let of = |set: u8| topics(set).flat_map(|topic| (0..3).map(move |index| partition(topic, index))).collect();
            let member = |index: usize| MemberId::from(format!("m{index}"));
            let all = |pick: fn(&(u8, u8)) -> u8| -> Assignment {
                subscriptions.iter().enumerate().map(|(index, both)| (member(index), of(pick(both)))).collect()
            };
            let (first, second) = (all(|both| both.0), all(|both| both.1));
            let assigned = assign(&first, &Assignment::new());
            check(&first, &assigned);
            check(&second, &assign(&second, &assigned));
        }
    }
}
