//! A bounded set of things worth keeping, by which segment they belong to.
//!
//! Key invariant: never more than the bound; the one used longest ago goes first. Few enough that a walk over all of them
//! costs less than keeping them sorted.

use std::rc::Rc;

use crate::model::Offset;

/// Names a segment among all logs of the shard: the log's number and the segment's base.
pub(super) type SegmentKey = (u64, Offset);

struct Kept<T> {
    key: SegmentKey,
    value: Rc<T>,
    used: u64,
}

/// See the module.
pub(super) struct Recent<T> {
    kept: Vec<Kept<T>>,
    kept_max: usize,
    ticks: u64,
}

impl<T> Recent<T> {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept: Vec::new(), kept_max: kept_max.max(1), ticks: 0 }
    }

    pub(super) fn get(&mut self, key: SegmentKey) -> Option<Rc<T>> {
        self.ticks += 1;
        let kept = self.kept.iter_mut().find(|kept| kept.key == key)?;
        kept.used = self.ticks;
        Some(kept.value.clone())
    }

    /// Keeps a value; returns the one that gives way, if any.
    pub(super) fn put(&mut self, key: SegmentKey, value: Rc<T>) -> Option<Rc<T>> {
        self.ticks += 1;
        self.kept.push(Kept { key, value, used: self.ticks });
        if self.kept.len() <= self.kept_max {
            return None;
        }
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, kept)| kept.used).map(|(at, _)| at)?;
        Some(self.kept.swap_remove(oldest).value)
    }

    /// Lets go of the values used longest ago until the rest is within `bytes_max`, or only one is left.
    pub(super) fn shrink(&mut self, bytes_max: u64, bytes_of: impl Fn(&T) -> u64) {
        let mut bytes: u64 = self.kept.iter().map(|kept| bytes_of(&kept.value)).sum();
        while bytes > bytes_max && self.kept.len() > 1 {
            let oldest = self.kept.iter().enumerate().min_by_key(|(_, kept)| kept.used).map(|(at, _)| at);
            let Some(at) = oldest else { return };
            bytes -= bytes_of(&self.kept.swap_remove(at).value);
        }
    }

    /// Takes out what `doomed` names.
    pub(super) fn take(&mut self, doomed: impl Fn(SegmentKey) -> bool) -> Vec<Rc<T>> {
        let mut taken = Vec::new();
        while let Some(at) = self.kept.iter().position(|kept| doomed(kept.key)) {
            taken.push(self.kept.swap_remove(at).value);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_used_longest_ago_gives_way() {
        let mut recent = Recent::new(2);
        let key = |n| (1, Offset(n));
        assert!(recent.put(key(1), Rc::new("one")).is_none());
        assert!(recent.put(key(2), Rc::new("two")).is_none());
        assert_eq!(recent.get(key(1)).as_deref(), Some(&"one"));
        assert_eq!(recent.put(key(3), Rc::new("three")).as_deref(), Some(&"two"));
        assert!(recent.get(key(2)).is_none());
        recent.shrink(100, |value| value.len() as u64);
        assert!(recent.get(key(1)).is_some());
        recent.shrink(5, |value| value.len() as u64);
        assert!(recent.get(key(3)).is_none(), "used longest ago");
        recent.shrink(0, |value| value.len() as u64);
        assert!(recent.get(key(1)).is_some(), "one stays");
        assert_eq!(recent.take(|key| key.0 == 1).len(), 1);
        assert!(recent.get(key(1)).is_none());
    }
}
