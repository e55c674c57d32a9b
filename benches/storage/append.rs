//! Append and commit: acknowledged records per second and how long each append waited, by partitions and batch size.
//!
//! Key invariant: an append counts once it is durable, and its appender sends nothing else meanwhile. Every log was written
//! to before the clock starts: creating files is not what is measured.

use crate::baseline::{self, JOURNAL_4_KIB, WRITE_1_MIB};
use crate::engine::{self, Batch, Engine};
use crate::measure::{Measured, Until, closed_loop};
use crate::report::{Report, Row};

/// Bytes that one case writes at most; the files' reservations may be twice that.
const BYTES_MAX: u64 = 320 << 20;
/// Memory for cached batches.
const CACHE_BYTES: u64 = 256 << 20;

/// Partitions, and appends in flight: several for each while they are few, one each up to a thousand.
const FLEETS: [(usize, usize); 5] = [(1, 1), (1, 64), (16, 64), (1_000, 1_000), (10_000, 1_000)];

/// A batch size: its name, records and bytes of each value.
const SIZES: [(&str, u64, usize); 3] = [("100B", 1, 100), ("1KB", 1, 1_000), ("64KB", 64, 1_000)];

fn name(fleet: (usize, usize), size: &str) -> String {
    let (partitions, appenders) = fleet;
    format!("append/{partitions}-partitions/{appenders}-in-flight/{size}")
}

/// All of them; logs are shared by the sizes of a fleet.
pub fn run(report: &mut Report) {
    for fleet in FLEETS {
        let wanted: Vec<_> =
            SIZES.into_iter().filter(|(size, ..)| report.wants(&name(fleet, size))).collect();
        if wanted.is_empty() {
            continue;
        }
        let until = Until { elapsed: report.measured, bytes: BYTES_MAX };
        let measured = measure(fleet, &wanted, until);
        for ((size, ..), measured) in wanted.into_iter().zip(measured) {
            let row = row(report, &name(fleet, size), size, measured);
            report.add(row);
        }
    }
}

fn measure(fleet: (usize, usize), sizes: &[(&str, u64, usize)], until: Until) -> Vec<Measured> {
    let (partitions, appenders) = fleet;
    let directory = engine::new_directory();
    engine::on_executor(&directory, async |disk| {
        let engine = Engine::open(&disk, partitions, CACHE_BYTES).await;
        // Directories and files are made once in a partition's life.
        engine.fill(&Batch::new(1, 100), 1).await;
        engine.checkpoint().await;
        let mut results = vec![];
        for (_, records, value_bytes) in sizes {
            let (engine, batch) = (engine.clone(), Batch::new(*records, *value_bytes));
            let each = async move |task, round| engine.append(task + round * appenders, &batch).await;
            results.push(closed_loop(appenders, until, each).await);
        }
        engine.close().await;
        results
    })
}

fn row(report: &mut Report, case: &str, size: &str, measured: Measured) -> Row {
    let flushes = baseline::flush_per_partition(size);
    let (rate, wait, mb) = (measured.records_per_second(), measured.wait_us(0.5), measured.mb_per_second());
    let row = Row::new(case, measured);
    let each = baseline::need(report, &flushes).records_per_second();
    // A flush of the baseline stands for one append, however many records that has.
    let appends = rate / if size == "64KB" { 64.0 } else { 1.0 };
    let row = row.compare(appends, each, "one O_DSYNC write per partition");
    let flushed = baseline::need(report, &baseline::fdatasync_per_partition(size)).records_per_second();
    let row = row.compare(appends, flushed, "one write and fdatasync per partition");
    if size == "64KB" {
        let device = baseline::need(report, WRITE_1_MIB).mb_per_second();
        row.compare(mb, device, "raw write 1 MiB")
    } else {
        let alone = baseline::need(report, JOURNAL_4_KIB).wait_us(0.5);
        row.compare(wait, alone, "raw journal's p50 wait")
    }
}
