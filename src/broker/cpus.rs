//! Which CPUs the shards run on.
//!
//! Key invariant: only CPUs that the process may use are given out. With more shards than CPUs, shards share them. Who is given
//! none runs where the kernel finds room, within the same CPUs.

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

/// The CPU that each of `shards` shards stays on, if they are pinned.
pub fn pins(shards: u16, pinned: bool) -> Vec<Option<usize>> {
    assign(&allowed(), shards).into_iter().map(|cpu| pinned.then_some(cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_cpus_when_there_are_more_of_them() {
        assert_eq!(assign(&[2, 5], 3), [2, 5, 2]);
        assert_eq!(assign(&[2, 5], 1), [2]);
        assert_eq!(pins(3, false), [None; 3]);
        assert_eq!(pins(1, true), [Some(allowed()[0])]);
        assert!(!allowed().is_empty());
    }
}
