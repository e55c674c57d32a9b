//! What the system lets this process have: locked memory, open files, memory on demand.
//!
//! Key invariant: limits are judged as they are now. `cli::serve` raises the soft limit of open files before it asks.

use rustix::process::{Resource, Rlimit, getrlimit};

use super::Finding;

/// Locked memory that the runtime takes for each shard's rings.
const LOCKED_BYTES_PER_SHARD: u64 = 512 << 10;
/// Open files below which a broker with few partitions and clients works.
const OPEN_FILES_MIN: u64 = 1024;
/// Open files from which on nobody has to think of them.
const OPEN_FILES_ADVISED: u64 = 65_536;
/// Linux's CAP_IPC_LOCK: locked memory without a limit.
const CAPABILITY_LOCK: u64 = 1 << 14;

/// Locked memory for the rings of `shards` shards.
pub(super) fn locked_memory(shards: usize) -> Finding {
    const NAME: &str = "locked memory";
    if may_lock_any() {
        return Finding::ok(NAME, "without limit (the process has CAP_IPC_LOCK)");
    }
    judge_locked(NAME, getrlimit(Resource::Memlock), shards)
}

fn judge_locked(name: &'static str, limit: Rlimit, shards: usize) -> Finding {
    let needed = LOCKED_BYTES_PER_SHARD * shards as u64;
    let Some(current) = limit.current else { return Finding::ok(name, "without limit") };
    let found = format!("{} KiB allowed, {} KiB needed for {shards} shards", current >> 10, needed >> 10);
    if current >= needed {
        return Finding::ok(name, found);
    }
    let fitting = current / LOCKED_BYTES_PER_SHARD;
    let kib = needed >> 10;
    let fewer = if fitting > 0 { format!(", or --shards {fitting}") } else { String::new() };
    let remedy = format!(
        "ulimit -l {kib} before starting (limits.conf: memlock; systemd: LimitMEMLOCK={kib}K; docker run --ulimit \
memlock={needed}){fewer}."
    );
    Finding::fail(name, found, remedy)
}

/// Whether the process has CAP_IPC_LOCK, so that the limit does not apply to it.
fn may_lock_any() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set & CAPABILITY_LOCK != 0)
}

/// File descriptors: a segment and its index, and a connection, take one each.
pub(super) fn open_files() -> Finding {
    judge_files("open files", getrlimit(Resource::Nofile))
}

fn judge_files(name: &'static str, limit: Rlimit) -> Finding {
    let Some(current) = limit.current else { return Finding::ok(name, "without limit") };
    let most = limit.maximum.map_or_else(|| "without limit".to_owned(), |maximum| maximum.to_string());
    let found = format!("{current} allowed (can be raised to {most})");
    let remedy = format!(
        "ulimit -n {OPEN_FILES_ADVISED} before starting (limits.conf: nofile; systemd: LimitNOFILE={OPEN_FILES_ADVISED}; \
docker run --ulimit nofile={OPEN_FILES_ADVISED})."
    );
    if current < OPEN_FILES_MIN {
        return Finding::fail(name, found, remedy);
    }
    if current < OPEN_FILES_ADVISED {
        return Finding::warn(
            name,
            found,
            format!("Enough for some thousand partitions and clients in all. {remedy}"),
        );
    }
    Finding::ok(name, found)
}

/// Whether the system promises memory only if it has it, which counts reserved, unused memory.
pub(super) fn overcommit() -> Finding {
    let mode = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    judge_overcommit("memory overcommit", mode.trim())
}

fn judge_overcommit(name: &'static str, mode: &str) -> Finding {
    if mode == "2" {
        return Finding::warn(
            name,
            "vm.overcommit_memory is 2: memory that is reserved but not used counts as used",
            "sysctl -w vm.overcommit_memory=0, or lower corelog.batch.cache.percent.",
        );
    }
    Finding::ok(name, format!("vm.overcommit_memory is {mode}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::checks::Status;

    fn limit(current: u64) -> Rlimit {
        Rlimit { current: Some(current), maximum: Some(1 << 20) }
    }

    #[test]
    fn eight_mebibytes_are_enough_for_sixteen_shards_and_no_more() {
        assert_eq!(judge_locked("m", limit(8 << 20), 16).status, Status::Ok);
        let finding = judge_locked("m", limit(8 << 20), 17);
        assert_eq!(finding.status, Status::Fail);
        let remedy = finding.remedy.expect("a failure has a remedy");
        assert!(remedy.contains("ulimit -l 8704") && remedy.contains("--shards 16"), "{remedy}");
        let tiny = judge_locked("m", limit(64 << 10), 1).remedy.expect("a failure has a remedy");
        assert!(!tiny.contains("--shards"), "{tiny}");
    }

    #[test]
    fn few_files_fail_and_some_warn() {
        assert_eq!(judge_files("f", limit(256)).status, Status::Fail);
        assert_eq!(judge_files("f", limit(1024)).status, Status::Warn);
        assert_eq!(judge_files("f", limit(65_536)).status, Status::Ok);
        assert_eq!(judge_overcommit("o", "2").status, Status::Warn);
        assert_eq!(judge_overcommit("o", "1").status, Status::Ok);
    }
}
