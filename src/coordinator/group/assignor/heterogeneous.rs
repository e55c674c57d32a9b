//! The uniform assignor where members have different subscriptions.
//!
//! Key invariant: no single partition can move to a subscriber that has two partitions less than its owner (as far as
//! [`PASSES_MAX`] passes get), and none moves without that need.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::{Assignment, Partition, Spec};

/// Passes over all topics in search of better balance. Each move evens out, so this ends by itself; the bound is for the time
/// that one heartbeat may take.
const PASSES_MAX: usize = 32;

/// What each member is to have.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Assignment> {
    let mut balance = Balance::new(spec);
    balance.keep();
    balance.hand_out();
    for _ in 0..PASSES_MAX {
        let mut moved = false;
        for topic in 0..spec.topics.len() {
            moved |= balance.even_out(topic);
        }
        if !moved {
            break;
        }
    }
    balance.assignments()
}

/// Who has what so far. Members go by their place in the order of the spec.
struct Balance<'a> {
    spec: &'a Spec<'a>,
    order: Vec<usize>,
    /// Of each topic, its subscribers.
    subscribers: Vec<Vec<usize>>,
    /// Of each partition of each topic, its owner.
    owners: Vec<Vec<Option<usize>>>,
    /// How many partitions each has.
    load: Vec<u32>,
}

impl<'a> Balance<'a> {
    fn new(spec: &'a Spec<'a>) -> Self {
        let order = spec.order();
        let mut subscribers = vec![vec![]; spec.topics.len()];
        for (place, member) in order.iter().enumerate() {
            for topic in spec.subscription(*member) {
                subscribers[*topic].push(place);
            }
        }
        let owners = spec.topics.iter().map(|topic| vec![None; topic.partitions as usize]).collect();
        Self { spec, subscribers, owners, load: vec![0; order.len()], order }
    }

    /// All keep what they had and may have.
    fn keep(&mut self) {
        let positions = self.spec.positions();
        for (place, member) in self.order.iter().enumerate() {
            for Partition { topic, index } in self.spec.kept(*member, &positions) {
                let owner = &mut self.owners[topic][index as usize];
                if owner.is_none() {
                    *owner = Some(place);
                    self.load[place] += 1;
                }
            }
        }
    }

    /// What nobody has goes to the subscriber with least, topics with few subscribers first: they have the least choice.
    fn hand_out(&mut self) {
        let mut topics: Vec<usize> = (0..self.owners.len()).collect();
        topics.sort_by_key(|topic| self.subscribers[*topic].len());
        for topic in topics {
            if self.owners[topic].iter().all(Option::is_some) {
                continue;
            }
            let mut least: BinaryHeap<Reverse<(u32, usize)>> =
                self.subscribers[topic].iter().map(|place| Reverse((self.load[*place], *place))).collect();
            for owner in self.owners[topic].iter_mut().filter(|owner| owner.is_none()) {
                let Some(Reverse((load, place))) = least.pop() else { break };
                *owner = Some(place);
                self.load[place] = load + 1;
                least.push(Reverse((load + 1, place)));
            }
        }
    }

    /// Moves partitions of one topic from those with most to those with least; whether any moved.
    fn even_out(&mut self, topic: usize) -> bool {
        let load = &self.load;
        let mut all: BTreeSet<(u32, usize)> =
            self.subscribers[topic].iter().map(|place| (load[*place], *place)).collect();
        let mut held: Vec<Vec<usize>> = vec![vec![]; self.order.len()];
        for (index, owner) in self.owners[topic].iter().enumerate() {
            if let Some(place) = owner {
                held[*place].push(index);
            }
        }
        let mut owners: BTreeSet<(u32, usize)> =
            all.iter().copied().filter(|(_, place)| !held[*place].is_empty()).collect();
        let mut moved = false;
        while let (Some(&(most, from)), Some(&(least, to))) = (owners.last(), all.first()) {
            if most <= least + 1 {
                break;
            }
            let Some(index) = held[from].pop() else { break };
            held[to].push(index);
            self.owners[topic][index] = Some(to);
            for (place, before, now) in [(from, most, most - 1), (to, least, least + 1)] {
                all.remove(&(before, place));
                all.insert((now, place));
                owners.remove(&(before, place));
                if !held[place].is_empty() {
                    owners.insert((now, place));
                }
                self.load[place] = now;
            }
            moved = true;
        }
        moved
    }

    fn assignments(&self) -> Vec<Assignment> {
        let mut held: Vec<Vec<Partition>> = vec![vec![]; self.spec.members.len()];
        for (topic, owners) in self.owners.iter().enumerate() {
            for (index, owner) in owners.iter().enumerate() {
                if let Some(place) = owner {
                    held[self.order[*place]].push(Partition { topic, index: index as u32 });
                }
            }
        }
        held.iter().map(|held| self.spec.assignment(held)).collect()
    }
}
