//! What the broker acknowledged.
//!
//! Key invariant: only records whose acknowledgement arrived are held; those of unknown outcome may be in the log or not.

use std::collections::BTreeMap;

use super::sequences::Sequences;
use crate::payload::Lane;

/// Ranges of sequence numbers by lane and producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    sequences: BTreeMap<(Lane, u32), Sequences>,
}

impl Acknowledged {
    /// Notes that `count` records of a producer and lane were acknowledged, from sequence number `first` on.
    pub fn add(&mut self, producer: u32, lane: Lane, first: u64, count: u32) {
        self.sequences.entry((lane, producer)).or_default().add(first, u64::from(count));
    }

    /// Takes over what another worker noted.
    pub fn merge(&mut self, other: Self) {
        for (place, sequences) in other.sequences {
            self.sequences.entry(place).or_default().merge(&sequences);
        }
    }

    /// Acknowledged records of all lanes.
    pub fn records(&self) -> u64 {
        self.sequences.values().map(Sequences::len).sum()
    }

    /// The producers of a lane with what was acknowledged to them.
    pub(super) fn of_lane(&self, lane: Lane) -> impl Iterator<Item = (u32, &Sequences)> {
        self.sequences
            .range((lane, u32::MIN)..=(lane, u32::MAX))
            .map(|((_, producer), sequences)| (*producer, sequences))
    }
}
