//! Deadlines of many things, one each.
//!
//! Key invariant: a key has at most one deadline; what is due comes out in the order of time, then of keys.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::model::TimestampMs;

/// Deadlines by key.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    due: BTreeSet<(TimestampMs, K)>,
    by_key: HashMap<K, TimestampMs>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Sets the deadline of `key`, in place of the one it had.
    pub fn set(&mut self, key: K, at: TimestampMs) {
        if let Some(before) = self.by_key.insert(key.clone(), at) {
            if before == at {
                return;
            }
            self.due.remove(&(before, key.clone()));
        }
        self.due.insert((at, key));
    }

    /// Forgets the deadline of `key`.
    pub fn cancel(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }

    /// The deadline of `key`.
    pub fn deadline(&self, key: &K) -> Option<TimestampMs> {
        self.by_key.get(key).copied()
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<TimestampMs> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out one key whose deadline is `now` or before.
    pub fn pop_due(&mut self, now: TimestampMs) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// How many deadlines there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no deadline.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_what_is_due_comes_in_order() {
        let mut timers = Timers::default();
        timers.set("b", TimestampMs(20));
        timers.set("a", TimestampMs(20));
        timers.set("c", TimestampMs(10));
        timers.set("c", TimestampMs(30));
        timers.set("d", TimestampMs(5));
        timers.cancel(&"d");
        assert_eq!(timers.next(), Some(TimestampMs(20)));
        assert_eq!(timers.deadline(&"c"), Some(TimestampMs(30)));
        assert_eq!(timers.pop_due(TimestampMs(19)), None);
        assert_eq!(timers.pop_due(TimestampMs(25)), Some("a"));
        assert_eq!(timers.pop_due(TimestampMs(25)), Some("b"));
        assert_eq!(timers.pop_due(TimestampMs(25)), None);
        assert_eq!(timers.len(), 1);
    }
}
