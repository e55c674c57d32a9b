//! Where a connection's requests are served, and so where the connection should be.
//!
//! A request for another shard costs two messages between shards and, when they sleep, two wake-ups. A consumer's connection to
//! its coordinator, or a producer's to a topic of one partition, has all of its work on one shard: then it moves there.
//!
//! Key invariants: pure. A connection moves only after a long run of requests for one other shard, and each move makes the next
//! run longer, so that none goes to and fro. One whose state belongs to its shard (fetch sessions) never moves.

use std::cell::Cell;

use crate::model::ShardId;

/// Requests in a row for one other shard after which a connection moves there for the first time.
const RUN_FIRST: u32 = 64;
/// Each further move takes a run this many times as long.
const RUN_GROWTH: u32 = 8;
/// Moves of one connection.
const MOVES_MAX: u32 = 6;

/// What a connection's requests were about lately.
#[derive(Debug, Default)]
pub struct Affinity {
    /// Requests in a row for one shard, and which.
    run: Cell<Option<(ShardId, u32)>>,
    /// How often the connection has moved.
    moves: u32,
    pinned: Cell<bool>,
}

impl Affinity {
    /// Of a connection that has moved `moves` times.
    pub fn after(moves: u32) -> Self {
        Self { moves, ..Self::default() }
    }

    /// How often the connection has moved.
    pub fn moves(&self) -> u32 {
        self.moves
    }

    /// A request was for `owner` alone.
    pub fn served_by(&self, owner: ShardId) {
        let length = match self.run.get() {
            Some((shard, length)) if shard == owner => length.saturating_add(1),
            _ => 1,
        };
        self.run.set(Some((owner, length)));
    }

    /// A request was for several shards.
    pub fn served_by_many(&self) {
        self.run.set(None);
    }

    /// The connection stays where it is.
    pub fn pin(&self) {
        self.pinned.set(true);
    }

    /// The shard, other than `here`, where the connection should be. Having said so it begins a new run.
    pub fn better_than(&self, here: ShardId) -> Option<ShardId> {
        let (shard, length) = self.run.get()?;
        let needed = RUN_FIRST.saturating_mul(RUN_GROWTH.saturating_pow(self.moves));
        if length < needed || shard == here || self.pinned.get() || self.moves >= MOVES_MAX {
            return None;
        }
        self.run.set(None);
        Some(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ShardId = ShardId(0);
    const THERE: ShardId = ShardId(1);

    fn requests(affinity: &Affinity, owner: ShardId, count: u32) -> Option<ShardId> {
        (0..count).for_each(|_| affinity.served_by(owner));
        affinity.better_than(HERE)
    }

    #[test]
    fn a_long_run_for_another_shard_moves_a_connection() {
        let affinity = Affinity::default();
        assert_eq!(requests(&affinity, THERE, RUN_FIRST - 1), None);
        assert_eq!(requests(&affinity, THERE, 1), Some(THERE));
        assert_eq!(affinity.better_than(HERE), None, "it is said once");
        assert_eq!(requests(&affinity, HERE, 10 * RUN_FIRST), None);
    }

    #[test]
    fn what_interrupts_the_run_begins_it_anew() {
        let affinity = Affinity::default();
        assert_eq!(requests(&affinity, THERE, RUN_FIRST - 1), None);
        affinity.served_by(HERE);
        assert_eq!(requests(&affinity, THERE, RUN_FIRST - 1), None);
        affinity.served_by_many();
        assert_eq!(requests(&affinity, THERE, RUN_FIRST - 1), None);
        assert_eq!(requests(&affinity, THERE, 1), Some(THERE));
    }

    #[test]
    fn each_move_takes_a_longer_run_and_there_is_a_last_one() {
        let affinity = Affinity::after(1);
        assert_eq!(requests(&affinity, THERE, RUN_FIRST * RUN_GROWTH - 1), None);
        assert_eq!(requests(&affinity, THERE, 1), Some(THERE));
        let affinity = Affinity::after(MOVES_MAX);
        affinity.run.set(Some((THERE, u32::MAX)));
        assert_eq!(affinity.better_than(HERE), None);
    }

    #[test]
    fn a_pinned_connection_stays() {
        let affinity = Affinity::default();
        affinity.pin();
        assert_eq!(requests(&affinity, THERE, 10 * RUN_FIRST), None);
    }
}
