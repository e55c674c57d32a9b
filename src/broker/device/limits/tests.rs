//! Tests of the way from measurements to limits.

use super::super::profile::tests::example;
use super::super::profile::{DeviceFacts, Latency, Rate};
use super::*;

fn profile(latency_us: u64, write: u64, read: u64) -> DeviceProfile {
    let case = |depth, bytes_per_second| Bandwidth { size_bytes: 1 << 20, depth, bytes_per_second };
    DeviceProfile {
        durable_write: Latency { p50_us: latency_us, p99_us: latency_us },
        fdatasync: Latency { p50_us: latency_us, p99_us: latency_us },
        sequential_write: vec![case(1, write / 2), case(8, write)],
        sequential_read: vec![case(1, read / 3), case(4, read)],
        random_read: vec![Rate { depth: 1, operations_per_second: 1 }],
        device: DeviceFacts::default(),
        ..example()
    }
}

#[test]
fn the_development_host_gets_what_experiment_came_to_there() {
    let found = limits(&example(), 2);
    let defaults = DeviceLimits::default();
    assert_eq!(found.journal, defaults.journal);
    for class in
        [IoClass::Journal, IoClass::Bypass, IoClass::TailRead, IoClass::ColdRead, IoClass::Compaction]
    {
        assert_eq!(found.io.of(class), defaults.io.of(class), "{class:?}");
    }
    assert_eq!(found.io.of(IoClass::Checkpoint).contended, defaults.io.of(IoClass::Checkpoint).contended);
}

#[test]
fn a_device_whose_flush_is_costly_shares_more() {
    // A disk without power-loss protection: 2 ms a flush, half a gigabyte a second.
    let slow = limits(&profile(2_000, 500_000_000, 500_000_000), 2);
    assert_eq!(slow.journal.bypass_bytes, 512 << 10);
    assert_eq!(slow.journal.group_bytes_max, 2 << 20);
    assert_eq!(slow.io.of(IoClass::Bypass).full.bytes, 8 << 20, "in flight at its rate, and not more");
    assert_eq!(slow.journal.bytes_max, 250_000_000, "a start reads two of them in a second");
}

#[test]
fn a_device_whose_flush_costs_nothing_lets_small_writes_go_alone() {
    // NVMe with power-loss protection.
    let fast = limits(&profile(12, 3_000_000_000, 6_000_000_000), 8);
    assert_eq!(fast.journal.bypass_bytes, 32 << 10);
    assert_eq!(fast.journal.group_bytes_max, 512 << 10);
    assert_eq!(fast.journal.bytes_max, 256 << 20);
    assert_eq!(fast.io.of(IoClass::ColdRead).contended.bytes, 128 << 10, "eight shards share it");
}

#[test]
fn more_shards_get_no_more_each() {
    for shards in 1..=64 {
        let (one, other) = (limits(&example(), shards), limits(&example(), shards + 1));
        assert!(other.journal.bytes_max <= one.journal.bytes_max);
        assert_eq!(other.journal.bypass_bytes, one.journal.bypass_bytes);
        for class in IoClass::ALL {
            assert!(other.io.of(class).full.bytes <= one.io.of(class).full.bytes, "{class:?}");
            assert!(other.io.of(class).contended.bytes <= one.io.of(class).contended.bytes, "{class:?}");
        }
    }
}

#[test]
fn whatever_was_measured_the_limits_are_safe() {
    let edges = [1, 2, 99_999, 100_000, 10_000_000, 1_000_000_000, 1_000_000_000_000, u64::MAX];
    for latency_us in [1, 7, 1_000, 10_000_000] {
        for (write, read) in edges.iter().flat_map(|write| edges.iter().map(move |read| (*write, *read))) {
            for shards in [0, 1, 2, 1_000, u16::MAX] {
                let DeviceLimits { io, journal } = limits(&profile(latency_us, write, read), shards);
                let within = |bytes: u64, (least, most): (u64, u64)| (least..=most).contains(&bytes);
                assert!(within(journal.bypass_bytes, BYPASS_BYTES) && journal.bypass_bytes.is_power_of_two());
                assert!(within(journal.group_bytes_max as u64, GROUP_BYTES));
                assert!(within(journal.bytes_max, JOURNAL_BYTES));
                assert_eq!(journal.first_file_bytes, JournalLimits::default().first_file_bytes);
                // The least journal file, of 1 MiB, takes a group of a quarter and the entry that exceeds it.
                assert!(journal.bypass_bytes + (1 << 18) < 1 << 20);
                for class in IoClass::ALL {
                    let (caps, defaults) = (io.of(class), class.caps());
                    assert_eq!(caps.full.operations, defaults.full.operations, "the ring has room for these");
                    assert_eq!(caps.contended.operations, defaults.contended.operations);
                    assert!(caps.contended.bytes >= 128 << 10 && caps.contended.bytes <= caps.full.bytes);
                }
            }
        }
    }
}

#[test]
fn powers_of_two_are_the_nearest_by_ratio() {
    let bounds = (4, 1 << 20);
    for (bytes, power) in [(0, 4), (5, 4), (6, 8), (181, 128), (182, 256), (1 << 30, 1 << 20)] {
        let rounded = power_of_two(bytes, bounds);
        assert_eq!(rounded, power, "{bytes}");
    }
}
