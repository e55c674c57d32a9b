//! What a record costs. Prints figures and judges nothing:
//! `cargo test --release -p corelog-bench --lib payload::tests::cost -- --ignored --nocapture`.
//!
//! Key invariant: time is the thread's own CPU time, so that others on the host count little; every batch is dropped at once,
//! as after its answer.

use super::*;
use crate::workload::Encoding;

const RECORDS: u64 = 2_000_000;
/// Long against the clock's steps, a few milliseconds.
const CPU_S_MIN: f64 = 0.2;
const CPU_S_MAX: f64 = 2.0;

/// CPU seconds of this thread, as Linux tells them in nanoseconds.
fn cpu_s() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let ns: f64 = told.split(' ').next().and_then(|ns| ns.parse().ok()).expect("the first is a number");
    ns / 1e9
}

fn time(name: &str, plan: &RecordPlan, lanes: (u32, i32), stamped: bool, origin: Option<Origin>) {
    let mut supply = supply(plan, lanes, stamped);
    let records = supply.records_per_batch();
    if supply.is_ready_made() {
        supply.prepare_ready(records, NOW_MS).expect("they fit");
    }
    let all = (0..supply.lanes()).map(Lane).collect();
    let mut maker = Maker::new(Arc::new(supply), 0, all);
    let (mut made, mut bytes) = (0, 0);
    let (start, mut took) = (cpu_s(), 0.0);
    while took < CPU_S_MIN || made < RECORDS && took < CPU_S_MAX {
        // The clock is asked seldom: asking is slow.
        for _ in 0..1_000 {
            let lane = maker.next_lane().expect("there is one");
            let batch = maker.batch(lane, records, NOW_MS, origin, &|_| 0).expect("made");
            made += u64::from(batch.records);
            bytes += batch.bytes.len();
        }
        took = cpu_s() - start;
    }
    let (each_ns, gb) = (took * 1e9 / made as f64, bytes as f64 / took / 1e9);
    println!("{name:44} {records:5} records a batch {each_ns:8.1} ns a record {gb:6.2} GB/s");
}

#[test]
#[ignore = "prints timings; see the file's first lines"]
fn cost_per_record() {
    let sized =
        |size, batch_bytes| RecordPlan { size: SizePlan::Fixed(size), batch_bytes, ..RecordPlan::default() };
    let origin = Some(Origin { producer_id: 1, producer_epoch: 1, base_sequence: 1 });
    time("1 KB", &sized(1_000, 101_000), (1, 16), false, None);
    time("1 KB, one a batch", &sized(1_000, 1), (1, 16), false, None);
    time("1 KB, stamped", &sized(1_000, 101_000), (1, 16), true, None);
    time("100 B", &sized(100, 16_384), (1, 16), false, None);
    time("100 B, ten a batch", &sized(100, 1_100), (1, 16), false, None);
    time("100 B, one a batch", &sized(100, 1), (1, 16), false, None);
    time("100 B, stamped", &sized(100, 16_384), (1, 16), true, None);
    for (name, keys) in [
        ("100 B, 1,000 Zipf keys", KeyPlan::Zipf { count: 1_000, exponent: 1.0 }),
        ("100 B, 1,000,000 Zipf keys", KeyPlan::Zipf { count: 1_000_000, exponent: 1.0 }),
        ("100 B, 10,000,000 uniform keys", KeyPlan::Uniform { count: 10_000_000 }),
    ] {
        time(name, &RecordPlan { keys, ..sized(100, 16_384) }, (1, 16), false, None);
    }
    let uneven = SizePlan::LogNormal { median: 100, sigma: 0.5, max: 1_000 };
    time("100 B log-normal", &RecordPlan { size: uneven, ..sized(0, 16_384) }, (1, 16), false, None);
    for codec in [CodecName::Lz4, CodecName::Zstd, CodecName::Snappy] {
        let values = ValuePlan::Random { compressibility: 0.5 };
        let plan = RecordPlan { codec, values, ..sized(1_000, 101_000) };
        time(&format!("1 KB, {codec:?}"), &plan, (1, 16), false, None);
    }
    let ready = RecordPlan { encoding: Encoding::Ready, ..sized(1_000, 101_000) };
    time("1 KB, ready-made", &ready, (1, 16), false, None);
    time("1 KB, ready-made, signed", &ready, (1, 16), false, origin);
}
