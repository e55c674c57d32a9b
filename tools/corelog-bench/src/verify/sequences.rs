//! Sets of sequence numbers as ranges.
//!
//! Key invariant: ranges are not empty, do not overlap and do not touch, so equal sets have equal ranges.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequences {
    /// From each range's first number to the one after its last.
    ranges: BTreeMap<u64, u64>,
}

impl Sequences {
    /// Adds `count` numbers from `first` on; tells how many were not there yet.
    pub(super) fn add(&mut self, first: u64, count: u64) -> u64 {
        let (mut start, mut end) = (first, first.saturating_add(count));
        if start >= end {
            return 0;
        }
        // Numbers mostly ascend without a gap.
        if let Some(mut last) = self.ranges.last_entry()
            && *last.get() == start
        {
            last.insert(end);
            return end - start;
        }
        let mut added = end - start;
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back() {
            if to < start {
                break;
            }
            // Of a range that only touches nothing is shared.
            added -= to.min(first.saturating_add(count)).saturating_sub(from.max(first));
            start = start.min(from);
            end = end.max(to);
            self.ranges.remove(&from);
        }
        self.ranges.insert(start, end);
        added
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (from, to) in &other.ranges {
            self.add(*from, to - from);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.ranges.iter().map(|(from, to)| to - from).sum()
    }

    /// What is in this set and not in `other`, ascending.
    pub(super) fn without(&self, other: &Self) -> Vec<Range<u64>> {
        let mut left = Vec::new();
        for (&from, &to) in &self.ranges {
            let mut at = from;
            let before = other.ranges.range(..=from).next_back();
            let within = other.ranges.range(from.saturating_add(1)..to);
            for (&cut_from, &cut_to) in before.into_iter().chain(within) {
                if cut_from > at {
                    left.push(at..cut_from);
                }
                at = at.max(cut_to);
            }
            if at < to {
                left.push(at..to);
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn parts() -> impl Strategy<Value = Vec<(u64, u64)>> {
        proptest::collection::vec((0..60_u64, 0..12_u64), 0..20)
    }

    fn built(parts: &[(u64, u64)]) -> (Sequences, BTreeSet<u64>) {
        let (mut set, mut model) = (Sequences::default(), BTreeSet::new());
        for (first, count) in parts {
            let before = model.len();
            model.extend(*first..first + count);
            assert_eq!(set.add(*first, *count), (model.len() - before) as u64);
        }
        (set, model)
    }

    proptest! {
        #[test]
        fn ranges_hold_what_a_set_holds(left in parts(), right in parts()) {
            let (mut a, mut model_a) = built(&left);
            let (b, model_b) = built(&right);
            let held: Vec<u64> = a.ranges.iter().flat_map(|(from, to)| *from..*to).collect();
            prop_assert_eq!(held, model_a.iter().copied().collect::<Vec<_>>());
            prop_assert!(a.ranges.values().zip(a.ranges.keys().skip(1)).all(|(to, from)| to < from));
            let difference: Vec<u64> = a.without(&b).into_iter().flatten().collect();
            prop_assert_eq!(difference, model_a.difference(&model_b).copied().collect::<Vec<_>>());
            a.merge(&b);
            model_a.extend(model_b);
            prop_assert_eq!(a.len(), model_a.len() as u64);
        }
    }
}
