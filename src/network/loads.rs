//! How many connections each shard has, and which shard takes one more.
//!
//! Key invariant: a connection counts at the shard that serves it, or is about to; the counts are all that the shards' networks
//! share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::ShardId;

/// How many connections each shard has.
#[derive(Debug)]
pub struct Loads(Vec<AtomicUsize>);

impl Loads {
    /// Counts for `shards` shards, all 0.
    pub fn new(shards: u16) -> Arc<Self> {
        Arc::new(Self((0..shards).map(|_| AtomicUsize::new(0)).collect()))
    }

    /// The shard that should take a connection which `me` accepted; counts it there.
    pub(super) fn place(&self, me: ShardId) -> ShardId {
        let load = |shard: usize| self.0[shard].load(Ordering::Relaxed);
        let least = (0..self.0.len()).min_by_key(|shard| load(*shard)).unwrap_or(me.index());
        let chosen = if load(me.index()) > load(least) { least } else { me.index() };
        self.0[chosen].fetch_add(1, Ordering::Relaxed);
        ShardId(chosen as u16)
    }

    /// Counts a connection that stays where it was accepted.
    pub(super) fn stay(&self, shard: ShardId) {
        self.0[shard.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, shard: ShardId) {
        self.0[shard.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a shard may take a connection that has its work there. A shard that has half again as many as the mean gets no
    /// more: some messages between shards are better than all work on one.
    pub(super) fn takes_more(&self, shard: ShardId) -> bool {
        let has = self.0.get(shard.index()).map_or(usize::MAX, |load| load.load(Ordering::Relaxed));
        has.saturating_mul(2 * self.0.len()) < self.total().saturating_mul(3)
    }

    /// Counts a connection that moves.
    pub(super) fn transfer(&self, from: ShardId, to: ShardId) {
        self.leave(from);
        self.stay(to);
    }

    pub(super) fn total(&self) -> usize {
        self.0.iter().map(|load| load.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_there_are_fewest() {
        let loads = Loads::new(3);
        let placed: Vec<u16> = (0..6).map(|_| loads.place(ShardId(0)).0).collect();
        assert_eq!(placed, [0, 1, 2, 0, 1, 2]);
        loads.leave(ShardId(1));
        assert_eq!(loads.place(ShardId(2)), ShardId(1));
        assert_eq!(loads.total(), 6);
        loads.stay(ShardId(0));
        loads.stay(ShardId(0));
        assert_eq!(loads.place(ShardId(0)), ShardId(1));
    }

    #[test]
    fn no_shard_takes_much_more_than_its_share() {
        let (here, there) = (ShardId(0), ShardId(1));
        let loads = Loads::new(2);
        loads.stay(here);
        assert!(loads.takes_more(there), "the only connection may go where its work is");
        (0..15).for_each(|_| loads.stay(here));
        let mut moved = 0;
        while loads.takes_more(there) {
            loads.transfer(here, there);
            moved += 1;
        }
        assert_eq!((moved, loads.total()), (12, 16));
        assert!(!loads.takes_more(ShardId(7)), "there is no such shard");
    }
}
