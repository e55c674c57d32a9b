//! How much memory the broker may use, and how it is shared out.
//!
//! Key invariant: the shares of all shards together stay below what the process may use: the machine's memory or the
//! cgroup's limit, whichever is less.

use super::executor::Memory;
use crate::config::BrokerSettings;
use crate::storage::JournalLimits;

/// Requests in hand may take this share of the memory, unless `queued.max.request.bytes` says otherwise.
const REQUEST_SHARE_PERCENT: u64 = 10;
const REQUEST_BYTES_MIN: u64 = 32 << 20;
const REQUEST_BYTES_MAX: u64 = 1 << 30;
const CACHE_BYTES_MIN: u64 = 16 << 20;

/// Files in which a control group states its limit, version 2 first.
const CGROUP_LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Bytes that this process may use.
pub fn usable_bytes() -> u64 {
    let machine = machine_bytes();
    let limits = CGROUP_LIMITS.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    limits.filter_map(|text| text.trim().parse().ok()).fold(machine, u64::min)
}

fn machine_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::unnecessary_cast, reason = "the fields are narrower on 32-bit machines")]
    let bytes = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    bytes
}

/// One shard's memory, of `usable` bytes for `shards` shards.
pub fn per_shard(usable: u64, shards: u16, settings: &BrokerSettings) -> Memory {
    let shards = u64::from(shards.max(1));
    let cache = usable / 100 * u64::from(settings.memory.batch_cache_percent);
    let requests = match settings.network.queued_request_bytes_max {
        Some(bytes) => bytes / shards,
        None => (usable / 100 * REQUEST_SHARE_PERCENT / shards).clamp(REQUEST_BYTES_MIN, REQUEST_BYTES_MAX),
    };
    Memory { cache_bytes: (cache / shards).max(CACHE_BYTES_MIN), request_bytes: requests.max(1) }
}

/// Bounds of one shard's journal. What is in it and not in the segments is in the batch cache too, and cannot give way there.
pub fn journal_limits(memory: &Memory, limits: JournalLimits) -> JournalLimits {
    let bytes_max = limits.bytes_max.min(memory.cache_bytes / 2).max(2 * limits.first_file_bytes);
    JournalLimits { bytes_max: bytes_max & !(JOURNAL_ALIGN_BYTES - 1), ..limits }
}

/// Journal files are whole blocks.
const JOURNAL_ALIGN_BYTES: u64 = 1 << 20;

/// Of the files that the process may open, readers and writers of segments get a quarter each; connections the rest.
const SEGMENT_FILES_SHARE: u64 = 4;
const SEGMENT_FILES_MIN: usize = 64;
const SEGMENT_FILES_MAX: usize = 16 * 1024;

/// How many segment files one shard may hold open for reading, and as many for writing.
pub fn open_files_per_shard(shards: u16) -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = allowed / SEGMENT_FILES_SHARE / u64::from(shards.max(1));
    usize::try_from(share).unwrap_or(SEGMENT_FILES_MAX).clamp(SEGMENT_FILES_MIN, SEGMENT_FILES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_fit_into_what_may_be_used() {
        let settings = BrokerSettings::default();
        for shards in [1, 2, 16] {
            let memory = per_shard(8 << 30, shards, &settings);
            assert!((memory.cache_bytes + memory.request_bytes) * u64::from(shards) < 8 << 30);
        }
        assert!(usable_bytes() > 0);
    }
}
