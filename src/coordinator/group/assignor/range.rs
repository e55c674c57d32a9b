//! The range assignor: of each topic, each subscriber gets a range, the first ones one partition more where it does not divide.
//!
//! Key invariant: topics with the same subscribers and equally many partitions are divided alike, so that records with the
//! same key in both are with the same member. Previous targets do not matter.

use super::{Assignment, Spec};
use crate::model::PartitionIndex;

/// What each member is to have.
pub(super) fn assign(spec: &Spec<'_>) -> Vec<Assignment> {
    let order = spec.order();
    let mut subscribers = vec![0_u32; spec.topics.len()];
    for member in &order {
        for topic in spec.subscription(*member) {
            subscribers[*topic] += 1;
        }
    }
    let mut next = vec![0_u32; spec.topics.len()];
    let mut turn = vec![0_u32; spec.topics.len()];
    let mut assignments = vec![Assignment::default(); spec.members.len()];
    for member in order {
        for &topic in spec.subscription(member) {
            let partitions = spec.topics[topic].partitions;
            // The member is a subscriber itself, so this never divides by zero.
            let share =
                partitions / subscribers[topic] + u32::from(turn[topic] < partitions % subscribers[topic]);
            turn[topic] += 1;
            for index in next[topic]..next[topic] + share {
                let at = PartitionIndex(i32::try_from(index).unwrap_or(i32::MAX));
                assignments[member].insert(spec.topics[topic].id, at);
            }
            next[topic] += share;
        }
    }
    assignments
}
