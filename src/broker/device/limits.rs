//! From what was measured of a device to the bounds of journal and direct I/O.
//!
//! Key invariants: pure. Whatever a profile says, each bound stays within the range named here, in which every value is
//! safe: it only decides how fast a broker is. The defaults are what the development host came to by experiment; each rule is
//! one whose result there is about the default.
//!
//! The figures that rules are made of: `L`, the median of a durable 4 KiB write; `W` and `R`, the best sequential rates.
//! All shards use one device, so what is in flight is divided among them.

use std::fmt;

use super::profile::{Bandwidth, DeviceProfile};
use crate::io::{BACKGROUND_WRITE_BYTES, BLOCK_BYTES, IoCap, IoCaps, IoClass, IoLimits, QUEUE_PLACES};
use crate::storage::JournalLimits;

/// The size from which a log's own write is worth its fixed cost. Below, a group of the journal takes too long to fill;
/// above, a group could not take two such entries.
const BYPASS_BYTES: (u64, u64) = (32 << 10, 512 << 10);
/// The upper end is the default: a larger group makes everyone in it wait longer.
const GROUP_BYTES: (u64, u64) = (512 << 10, 2 << 20);
/// The upper end is the default; the lower one keeps checkpoints from following each other without a pause.
const JOURNAL_BYTES: (u64, u64) = (64 << 20, 256 << 20);
/// How long all journals together may take to be read by a start, in milliseconds.
const REPLAY_MS_MAX: u64 = 1_000;
/// How long the bypass writes of all shards may keep the device busy, in milliseconds.
const BYPASS_MS_MAX: u64 = 16;
const BYPASS_IN_FLIGHT_BYTES: (u64, u64) = (2 << 20, 16 << 20);
const READ_IN_FLIGHT_BYTES: (u64, u64) = (2 << 20, 16 << 20);
/// The lower end is more than its operations of 256 KiB come to.
const CHECKPOINT_IN_FLIGHT_BYTES: (u64, u64) = (4 << 20, 16 << 20);
/// From one window that a reader takes at least, to the largest that it ever takes.
const CONTENDED_READ_BYTES: (u64, u64) = (128 << 10, 1 << 20);
/// From one of a checkpoint's writes to all that a virtual disk's queue takes.
const CONTENDED_CHECKPOINT_BYTES: (u64, u64) = (BACKGROUND_WRITE_BYTES, QUEUE_PLACES * BLOCK_BYTES);
/// The transfers that a journal write may find before it, in durable writes (`L`), of readers and of a checkpoint.
const READ_WAITS_MAX: u64 = 4;
const CHECKPOINT_WAITS_MAX: u64 = 2;
/// A depth reaches a device's rate if it comes to this share of the best, in percent.
const RATE_REACHED_PERCENT: u64 = 90;
/// One direct write of bulk; see `storage/flush`.
const WRITE_BYTES: u64 = 256 << 10;

/// Bounds that depend on the device, of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceLimits {
    pub io: IoLimits,
    pub journal: JournalLimits,
}

/// The bounds of each of `shards` shards on the device that the profile is of.
pub fn limits(profile: &DeviceProfile, shards: u16) -> DeviceLimits {
    let shards = u64::from(shards.max(1));
    let latency_us = profile.durable_write.p50_us;
    let write = best(&profile.sequential_write);
    let read = best(&profile.sequential_read);
    // While one durable write takes its fixed time, the device could have written this much.
    let idle_bytes = transferred(write, latency_us);
    let defaults = JournalLimits::default();
    let journal = JournalLimits {
        // A log with half of that shares its fixed cost with itself well enough: writing it alone takes half again as
        // long as the fixed cost, while in the journal it would be written twice.
        bypass_bytes: power_of_two(idle_bytes / 2, BYPASS_BYTES),
        // Sixteen times that: at most a sixteenth of a full group's time is fixed cost. More only makes it longer.
        group_bytes_max: power_of_two(idle_bytes.saturating_mul(16), GROUP_BYTES) as usize,
        // A start reads all of it before partitions serve.
        bytes_max: bounded(transferred(read, REPLAY_MS_MAX * 1_000) / shards, JOURNAL_BYTES),
        ..defaults
    };
    DeviceLimits { io: io_limits(profile, shards), journal }
}

fn io_limits(profile: &DeviceProfile, shards: u64) -> IoLimits {
    let latency_us = profile.durable_write.p50_us;
    let (writes, reads) = (&profile.sequential_write, &profile.sequential_read);
    // What is in flight beyond the need of the device's rate only stands before the next journal write.
    let bypass = IoCap {
        bytes: bounded(
            (transferred(best(writes), BYPASS_MS_MAX * 1_000) / shards).max(in_flight_at_rate(writes)),
            BYPASS_IN_FLIGHT_BYTES,
        ),
        ..IoClass::Bypass.caps().full
    };
    // Undivided: a shard that has the device to itself should get all of it. Twice, so that it never runs dry.
    let read = IoCap {
        bytes: bounded(2 * in_flight_at_rate(reads), READ_IN_FLIGHT_BYTES),
        ..IoClass::ColdRead.caps().full
    };
    let contended_read = transferred(best(reads), READ_WAITS_MAX * latency_us) / shards;
    let checkpoint = IoCap {
        bytes: bounded(2 * in_flight_at_rate(writes), CHECKPOINT_IN_FLIGHT_BYTES),
        ..IoClass::Checkpoint.caps().full
    };
    let contended_checkpoint = transferred(best(writes), CHECKPOINT_WAITS_MAX * latency_us) / shards;
    IoLimits::default()
        .with(IoClass::Bypass, IoCaps { full: bypass, contended: bypass })
        .with(
            IoClass::ColdRead,
            IoCaps {
                full: read,
                contended: IoCap {
                    bytes: power_of_two(contended_read, CONTENDED_READ_BYTES),
                    ..IoClass::ColdRead.caps().contended
                },
            },
        )
        .with(
            IoClass::Checkpoint,
            IoCaps {
                full: checkpoint,
                contended: IoCap {
                    bytes: power_of_two(contended_checkpoint, CONTENDED_CHECKPOINT_BYTES),
                    ..IoClass::Checkpoint.caps().contended
                },
            },
        )
}

/// The best rate of these cases, in bytes per second.
fn best(cases: &[Bandwidth]) -> u64 {
    cases.iter().map(|case| case.bytes_per_second).max().unwrap_or(0)
}

/// The least bytes in flight with which these cases come near their best rate.
fn in_flight_at_rate(cases: &[Bandwidth]) -> u64 {
    let enough = best(cases) / 100 * RATE_REACHED_PERCENT;
    let fast = cases.iter().filter(|case| case.bytes_per_second >= enough);
    fast.map(|case| case.size_bytes.saturating_mul(u64::from(case.depth))).min().unwrap_or(WRITE_BYTES)
}

/// Bytes that move at a rate in some time.
fn transferred(bytes_per_second: u64, us: u64) -> u64 {
    u64::try_from(u128::from(bytes_per_second) * u128::from(us) / 1_000_000).unwrap_or(u64::MAX)
}

fn bounded(bytes: u64, (least, most): (u64, u64)) -> u64 {
    bytes.clamp(least, most)
}

/// The power of two nearest to `bytes` by ratio, within bounds that are powers of two themselves. Measurements differ from run
/// to run by a fifth; most of that ends here.
fn power_of_two(bytes: u64, (least, most): (u64, u64)) -> u64 {
    let bytes = bytes.clamp(least, most);
    let below = 1_u64 << bytes.ilog2();
    // The middle of the ratio is at the root of two; 181 / 128 is that.
    let nearest = if bytes * 128 > below * 181 { below * 2 } else { below };
    nearest.clamp(least, most)
}

impl fmt::Display for DeviceLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
        let full = |class| kib(self.io.of(class).full.bytes);
        let contended = |class| kib(self.io.of(class).contended.bytes);
        write!(
            f,
            "bypass from {}, groups to {}, journal to {}, in flight: bypass {}, cold reads {} ({} contended), \
             checkpoint {} ({} contended)",
            kib(self.journal.bypass_bytes),
            kib(self.journal.group_bytes_max as u64),
            kib(self.journal.bytes_max),
            full(IoClass::Bypass),
            full(IoClass::ColdRead),
            contended(IoClass::ColdRead),
            full(IoClass::Checkpoint),
            contended(IoClass::Checkpoint),
        )
    }
}

#[cfg(test)]
#[path = "limits/tests.rs"]
mod tests;
