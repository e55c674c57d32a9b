//! Recovery: how long a shard takes to serve again after a crash.
//!
//! Key invariant: the logs were not closed; their executor ended with all of them open, right after each was written to.
//! After every recovery all records that were durable are there, or the case fails. Names and inodes are still in the kernel's memory, as after the crash of
//! a process and unlike after a loss of power.

use std::time::Duration;

use crate::baseline::{self, READ_1_MIB};
use crate::engine::{self, Batch, Engine};
use crate::measure::Measured;
use crate::report::{Report, Row};

/// Memory for cached batches.
const CACHE_BYTES: u64 = 256 << 20;
/// Recoveries that are measured; the middle one counts.
const ROUNDS: usize = 3;

/// A case: its name, partitions, batches of 64 KB in each, and small batches after those.
const CASES: [(&str, usize, usize, usize); 2] = [
    ("recovery/1000-partitions/256KB-each", 1_000, 4, 1),
    ("recovery/10000-partitions/1KB-each", 10_000, 0, 1),
];

pub fn run(report: &mut Report) {
    for (case, partitions, large, small) in CASES {
        if report.wants(case) {
            let rounds = measure(partitions, (large, small));
            let seconds: Vec<_> =
                rounds.iter().map(|round| format!("{:.3}", round.elapsed.as_secs_f64())).collect();
            let mut rounds = rounds;
            rounds.sort_by_key(|round| round.elapsed);
            let middle = rounds.swap_remove(rounds.len() / 2);
            let (mine, elapsed) = (middle.mb_per_second(), middle.elapsed);
            let device = baseline::need(report, READ_1_MIB).mb_per_second();
            let per_second = partitions as f64 / elapsed.max(Duration::from_nanos(1)).as_secs_f64();
            let note = format!("{per_second:.0} partitions/s; seconds of each round: {}", seconds.join(" "));
            report.add(Row::new(case, middle).compare(mine, device, "raw read 1 MiB").note(note));
        }
    }
}

/// Writes, ends without closing, and opens again, some times over. Every life writes to each log, so that all crashes find
/// the same: a recovery leaves less to do for the next.
fn measure(partitions: usize, batches: (usize, usize)) -> Vec<Measured> {
    let (large, small) = (Batch::new(64, 1_000), Batch::new(1, 1_000));
    let directory = engine::new_directory();
    let mut written = engine::on_executor(&directory, async |disk| {
        let engine = Engine::open(&disk, partitions, CACHE_BYTES).await;
        engine.fill(&large, batches.0).await;
        engine.fill(&small, batches.1).await;
        engine.durable_records()
    });
    let each_life = partitions * small.bytes.len() * batches.1;
    let mut bytes = partitions * large.bytes.len() * batches.0 + each_life;
    let mut rounds = vec![];
    for _ in 0..ROUNDS {
        let (mut measured, more) = engine::on_executor(&directory, async |disk| {
            let (engine, measured) = Engine::open_measured(&disk, partitions, CACHE_BYTES).await;
            assert_eq!(engine.durable_records(), written, "nothing durable is lost");
            engine.take_over().await;
            engine.fill(&small, batches.1).await;
            (measured, engine.durable_records())
        });
        (measured.records, measured.bytes) = (written, bytes as u64);
        written = more;
        bytes += each_life;
        rounds.push(measured);
    }
    rounds
}
