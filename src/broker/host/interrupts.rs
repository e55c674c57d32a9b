//! Interrupts of disks and network interfaces: which there are, and where they should be served.
//!
//! Key invariant: only the interrupts of queues are moved, never those that report a device's changes; what is found as
//! wanted stays as it is, so that planning again after a change plans nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::cpulist;
use super::facts::Reading;
use super::tree::Tree;

/// Words in an interrupt's name that tell that it is no queue's.
const NO_QUEUE: [&str; 5] = ["config", "event", "async", "mbox", "admin"];

/// The numbers of the interrupts of the queues of the device at `directory`, which may be a link.
pub(super) fn of_device(tree: &Tree, directory: &str) -> Vec<u32> {
    let names = names(tree);
    let Some(device) = tree.resolve(directory) else { return vec![] };
    // The device that has the interrupts stands above the one that is known by its kind: virtio, NVMe namespaces.
    let mut place = device.as_str();
    let numbers = loop {
        let numbers = tree.list(&format!("{place}/msi_irqs"));
        if !numbers.is_empty() {
            break numbers;
        }
        match place.rsplit_once('/') {
            Some((above, _)) if above.starts_with("/sys/devices/") => place = above,
            _ => return vec![],
        }
    };
    let numbers = numbers.iter().filter_map(|number| number.parse::<u32>().ok());
    numbers.filter(|number| names.get(number).is_some_and(|name| is_queue(name))).collect()
}

/// The file that says which CPUs serve an interrupt.
pub(super) fn file_of(number: u32) -> String {
    format!("/proc/irq/{number}/smp_affinity_list")
}

/// The names of all interrupts: the last word of their line.
fn names(tree: &Tree) -> BTreeMap<u32, String> {
    let text = tree.read("/proc/interrupts").unwrap_or_default();
    let line = |line: &str| {
        let (number, rest) = line.trim_start().split_once(':')?;
        Some((number.parse().ok()?, rest.split_whitespace().last()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// An NVMe controller's queue 0 takes commands that manage it.
fn is_queue(name: &str) -> bool {
    let is_admin = name.starts_with("nvme") && name.ends_with("q0");
    !is_admin && !NO_QUEUE.iter().any(|word| name.contains(word))
}

/// Where each interrupt should be served that is not where it should be: on `others` if there are such CPUs, else evenly
/// over `shards`. Answers pairs of place in `readings` and list of CPUs.
pub(super) fn moves(
    readings: &[Reading],
    shards: &BTreeSet<usize>,
    others: &BTreeSet<usize>,
) -> Vec<(usize, String)> {
    let found: Vec<Option<BTreeSet<usize>>> =
        readings.iter().map(|reading| reading.value.as_deref().ok().and_then(cpulist::parse)).collect();
    let target = if others.is_empty() { shards } else { others };
    if target.is_empty() || is_even(&found, target, others.is_empty()) {
        return vec![];
    }
    let turn = target.iter().cycle();
    let wanted = turn.map(|cpu| BTreeSet::from([*cpu]));
    let moves = found.iter().zip(wanted).enumerate();
    moves
        .filter(|(_, (found, wanted))| found.as_ref().is_some_and(|found| found != wanted))
        .map(|(at, (_, wanted))| (at, cpulist::format(&wanted)))
        .collect()
}

/// Whether the interrupts are on these CPUs, none of which has more than its share of them to itself. Where shards have to
/// live with them, an interrupt that may be served anywhere is the kernel's to place.
fn is_even(found: &[Option<BTreeSet<usize>>], target: &BTreeSet<usize>, anywhere: bool) -> bool {
    let share = found.len().div_ceil(target.len());
    let mut alone: BTreeMap<usize, usize> = BTreeMap::new();
    for cpus in found.iter().flatten() {
        if !anywhere && !cpus.is_subset(target) {
            return false;
        }
        if let (1, Some(cpu)) = (cpus.len(), cpus.first()) {
            *alone.entry(*cpu).or_default() += 1;
        }
    }
    alone.values().all(|count| *count <= share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(lists: &[&str]) -> Vec<Reading> {
        let reading = |(at, list): (usize, &&str)| Reading {
            path: file_of(at as u32),
            value: Ok((*list).to_owned()),
            offered: vec![],
        };
        lists.iter().enumerate().map(reading).collect()
    }

    fn moved(lists: &[&str], shards: &str, others: &str) -> Vec<(usize, String)> {
        let cpus = |text| cpulist::parse(text).expect("a list");
        moves(&readings(lists), &cpus(shards), &cpus(others))
    }

    fn owned(moves: &[(usize, &str)]) -> Vec<(usize, String)> {
        moves.iter().map(|(at, list)| (*at, (*list).to_owned())).collect()
    }

    #[test]
    fn with_cpus_to_spare_interrupts_leave_the_shards() {
        assert_eq!(moved(&["0-3", "0", "3"], "0-1", "2-3"), owned(&[(0, "2"), (1, "3"), (2, "2")]));
        assert_eq!(moved(&["2", "3", "2-3"], "0-1", "2-3"), []);
    }

    #[test]
    fn without_they_are_spread_and_what_the_kernel_may_place_stays() {
        assert_eq!(moved(&["0-3", "0-3"], "0-3", ""), []);
        assert_eq!(moved(&["0", "0", "0"], "0-1", ""), owned(&[(1, "1")]));
        assert_eq!(moved(&["0", "1", "0"], "0-1", ""), [], "what was planned is even");
        assert_eq!(moved(&["nonsense", "1"], "0-1", ""), []);
        assert_eq!(moved(&["0"], "", ""), []);
    }

    #[test]
    fn only_queues_count() {
        assert!(is_queue("nvme0q1") && is_queue("virtio1-req.0") && is_queue("eth0-TxRx-3"));
        assert!(!is_queue("nvme0q0") && !is_queue("virtio1-config") && !is_queue("mlx5_async0"));
        assert!(is_queue("nvme0q10"), "queue 10 is no queue 0");
    }
}
