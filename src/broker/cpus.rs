//! Which CPUs the shards run on.
//!
//! Key invariant: only CPUs that the process may use are given out. With more shards than CPUs, shards share them.

use rustix::thread::{CpuSet, sched_getaffinity};

/// CPUs that the process may run on, ascending; never empty.
pub fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Shards of a broker that is told no number: one for each CPU.
pub fn shards_by_default() -> u16 {
    u16::try_from(allowed().len()).unwrap_or(u16::MAX)
}

/// The CPU of each of `shards` shards, in turn over `cpus`.
pub fn assign(cpus: &[usize], shards: u16) -> Vec<usize> {
    cpus.iter().copied().cycle().take(usize::from(shards)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_cpus_when_there_are_more_of_them() {
        assert_eq!(assign(&[2, 5], 3), [2, 5, 2]);
        assert_eq!(assign(&[2, 5], 1), [2]);
        assert!(!allowed().is_empty());
    }
}
