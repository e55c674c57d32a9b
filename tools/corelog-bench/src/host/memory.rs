//! How much memory another process of this host has resident.
//!
//! Key invariant: figures are the kernel's own, in units of 1,024 bytes as it tells them.

use super::{HostError, read};

/// Memory of a process, from `/proc/PID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// `VmRSS`: resident now, in KiB.
    pub resident_kib: u64,
    /// `VmHWM`: the most that was resident since the process began, in KiB.
    pub peak_kib: u64,
}

/// What a process has resident; fails if there is none of that id, or it is one of the kernel's.
pub fn process_memory(pid: u32) -> Result<MemoryUse, HostError> {
    let path = format!("/proc/{pid}/status");
    parse(&read(&path)?).ok_or(HostError::Unexpected { path })
}

fn parse(status: &str) -> Option<MemoryUse> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some(MemoryUse { resident_kib: field("VmRSS")?, peak_kib: field("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let text = "Name:\tVmRSS: 1 kB\nVmHWM:\t  500 kB\nVmRSS:\t  123 kB\nThreads:\t4\n";
        assert_eq!(parse(text), Some(MemoryUse { resident_kib: 123, peak_kib: 500 }));
        for wrong in ["", "VmRSS:\t1 kB\n", "VmHWM:\t1 kB\nVmRSS:\tmany kB\n", "VmHWM:\t1\nVmRSS:\t1\n"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn this_process_has_memory_and_a_process_that_is_not_there_is_an_error() {
        let mine = process_memory(std::process::id()).unwrap();
        assert!(mine.resident_kib > 0 && mine.peak_kib > 0, "{mine:?}");
        assert!(matches!(process_memory(u32::MAX), Err(HostError::Unreadable { .. })));
    }
}
