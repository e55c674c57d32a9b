//! Deals partitions to connections, and connections to workers.
//!
//! Key invariants: every lane is dealt to someone if there is anyone; a connection's lanes have one leader as long as there are
//! at least as many connections as leaders; which CPU a partition's requests come from says nothing of its number.

use std::collections::BTreeMap;

use crate::payload::Lane;

/// Deals lanes, given by their leaders, to `connections`. With more connections than lanes several share a lane.
pub fn deal(leaders: &[i32], connections: u32) -> Vec<Vec<Lane>> {
    let mut of_leader: BTreeMap<i32, Vec<Lane>> = BTreeMap::new();
    for (lane, leader) in leaders.iter().enumerate() {
        of_leader.entry(*leader).or_default().push(Lane(lane as u32));
    }
    let connections = connections.max(1) as usize;
    let mut dealt = vec![vec![]; connections];
    if connections < of_leader.len() {
        for (number, lane) in of_leader.into_values().flatten().enumerate() {
            dealt[number % connections].push(lane);
        }
        return dealt;
    }
    for (first, share, lanes) in shares(of_leader, leaders.len(), connections) {
        for number in 0..share.max(lanes.len()) {
            dealt[first + number % share].push(lanes[number % lanes.len()]);
        }
    }
    dealt
}

/// The worker that has connection `at`, of `workers`.
///
/// Each round of them begins one further. With plain turns the connections of partitions 0, 2, 4 … were all one worker's; a broker that
/// spreads a topic's partitions over its cores the same way then had each core's clients all on its own CPU, or all on another, as the
/// topic's identifier fell: 182,000 or 145,000 requests/s over 1,000 connections.
pub fn worker_of(at: usize, workers: usize) -> usize {
    (at + at / workers) % workers
}

/// For each leader its first connection, how many it gets (at least one, in proportion to its lanes), and its lanes.
fn shares(
    of_leader: BTreeMap<i32, Vec<Lane>>,
    lanes: usize,
    connections: usize,
) -> Vec<(usize, usize, Vec<Lane>)> {
    let mut shares = vec![];
    let (mut first, mut lanes_left, mut leaders_left) = (0, lanes, of_leader.len());
    for group in of_leader.into_values() {
        let left = connections - first;
        let share = (left * group.len() / lanes_left).clamp(1, left - (leaders_left - 1));
        lanes_left -= group.len();
        leaders_left -= 1;
        shares.push((first, share, group));
        first += share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(dealt: &[Vec<Lane>]) -> Vec<Vec<u32>> {
        dealt.iter().map(|lanes| lanes.iter().map(|lane| lane.0).collect()).collect()
    }

    #[test]
    fn lanes_are_dealt_evenly() {
        assert_eq!(numbers(&deal(&[1, 1, 1, 1, 1], 2)), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(numbers(&deal(&[1, 1], 5)), [vec![0], vec![1], vec![0], vec![1], vec![0]]);
        assert_eq!(numbers(&deal(&[1, 2, 1, 2], 2)), [vec![0, 2], vec![1, 3]]);
        assert_eq!(numbers(&deal(&[1, 2, 3], 1)), [vec![0, 1, 2]]);
    }

    #[test]
    fn workers_have_as_many_connections_of_each_class_of_partitions() {
        assert_eq!((0..8).map(|at| worker_of(at, 2)).collect::<Vec<_>>(), [0, 1, 1, 0, 0, 1, 1, 0]);
        assert_eq!((0..3).map(|at| worker_of(at, 1)).collect::<Vec<_>>(), [0, 0, 0]);
        for workers in 1..9 {
            let dealt = deal(&vec![1; 2 * workers * workers], (4 * workers * workers) as u32);
            for class in 0..workers {
                let mut counts = vec![0; workers];
                let of_class = |lanes: &[Lane]| lanes.iter().all(|lane| lane.0 as usize % workers == class);
                dealt.iter().enumerate().filter(|(_, lanes)| of_class(lanes)).for_each(|(at, _)| {
                    counts[worker_of(at, workers)] += 1;
                });
                assert_eq!(counts, vec![4; workers], "{workers} workers, class {class}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_lane_and_every_connection_has_its_part(
            leaders in prop::collection::vec(0_i32..5, 1..60), connections in 1_u32..40,
        ) {
            let dealt = deal(&leaders, connections);
            prop_assert_eq!(dealt.len(), connections as usize);
            let mut seen = vec![false; leaders.len()];
            let mut distinct: Vec<i32> = leaders.clone();
            distinct.sort_unstable();
            distinct.dedup();
            for lanes in &dealt {
                for lane in lanes {
                    seen[lane.0 as usize] = true;
                }
                if connections as usize >= distinct.len() {
                    prop_assert!(!lanes.is_empty());
                    prop_assert!(lanes.iter().all(|lane| leaders[lane.0 as usize] == leaders[lanes[0].0 as usize]));
                }
            }
            prop_assert!(seen.into_iter().all(|seen| seen));
            // Not more connections than lanes: none is dealt twice.
            if connections as usize <= leaders.len() {
                prop_assert_eq!(dealt.iter().map(Vec::len).sum::<usize>(), leaders.len());
            }
        }
    }
}
