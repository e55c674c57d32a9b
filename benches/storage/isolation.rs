//! Tail isolation: what consumers that read history at full speed, and compaction, cost producers at the tail.
//!
//! Key invariant: all cases append the same batches with the same appenders to the same number of logs; only what goes on beside
//! them differs.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::{self, Batch, Engine};
use crate::measure::{Measured, Until, closed_loop};
use crate::read::Reader;
use crate::report::{Report, Row};

const QUIET: &str = "isolation/append-1KB/no-readers";
const DISTURBED: &str = "isolation/append-1KB/8-cold-readers";
const COMPACTED: &str = "isolation/append-1KB/compaction";
/// Partitions and appenders, one each.
const PARTITIONS: usize = 8;
/// Time between an answer and an appender's next batch: producers at the tail are seldom as fast as they can be.
const PAUSE: Duration = Duration::from_millis(1);
/// Memory for batches: the logs' last blocks stay in it, their history does not.
const CACHE_BYTES: u64 = 16 << 20;
/// Batches of 64 KB that each log has for the readers.
const BATCHES: usize = 768;
/// What there is to compact: every key once, so that as much is written as is read.
const COMPACTED_BYTES: u64 = 2 << 30;

pub fn run(report: &mut Report) {
    let until = Until { elapsed: report.measured, bytes: u64::MAX };
    if report.wants(QUIET) || report.wants(DISTURBED) {
        beside_readers(report, until);
    }
    if report.wants(COMPACTED) {
        beside_compaction(report, until);
    }
}

fn beside_readers(report: &mut Report, until: Until) {
    let (quiet, disturbed, read_mb) = measure(until);
    let (p50, p99) = (quiet.wait_us(0.5), quiet.wait_us(0.99));
    report.add(Row::new(QUIET, quiet));
    let (mine_50, mine_99) = (disturbed.wait_us(0.5), disturbed.wait_us(0.99));
    let row = Row::new(DISTURBED, disturbed).compare(mine_50, p50, "the p50 without readers").compare(
        mine_99,
        p99,
        "the p99 without readers",
    );
    report.add(row.note(format!("readers at {read_mb:.0} MB/s")));
}

/// Appends without readers, with them, and what they read.
fn measure(until: Until) -> (Measured, Measured, f64) {
    let directory = engine::new_directory();
    engine::on_executor(&directory, async |disk| {
        let engine = Engine::open(&disk, PARTITIONS, CACHE_BYTES).await;
        engine.fill(&Batch::new(64, 1_000), BATCHES).await;
        let quiet = appends(&engine, until).await;
        let over = Rc::new(Cell::new(false));
        let reading = {
            let (reader, over) = (Reader::new(engine.clone(), 1 << 20), over.clone());
            glommio::spawn_local(async move {
                closed_loop(PARTITIONS, until, async move |task, _| {
                    // Those that come late read nothing: the appends they were to disturb are over.
                    match over.get() {
                        true => crate::measure::Done { records: 0, bytes: 0 },
                        false => reader.next(task).await,
                    }
                })
                .await
            })
        };
        let disturbed = appends(&engine, until).await;
        over.set(true);
        let read = reading.await;
        engine.close().await;
        (quiet, disturbed, read.mb_per_second())
    })
}

fn beside_compaction(report: &mut Report, until: Until) {
    let directory = engine::new_directory();
    let (quiet, disturbed, (moved_mb, elapsed)) = engine::on_executor(&directory, async |disk| {
        let engine = Engine::open_with_compacted(&disk, PARTITIONS, CACHE_BYTES).await;
        let (mut first, mut bytes) = (0, 0);
        while bytes < COMPACTED_BYTES {
            let batch = Batch::keyed(64, 1_000, |record| first + record);
            bytes += engine.append(PARTITIONS, &batch).await.bytes;
            first += batch.records;
        }
        engine.checkpoint().await;
        let quiet = appends(&engine, until).await;
        let compacting = {
            let engine = engine.clone();
            glommio::spawn_local(async move {
                let (begun, report) = (Instant::now(), engine.compact(PARTITIONS).await);
                (begun.elapsed(), report.read_bytes + report.written_bytes)
            })
        };
        let disturbed = appends(&engine, until).await;
        let (elapsed, moved) = compacting.await;
        engine.close().await;
        (quiet, disturbed, (moved as f64 / elapsed.as_secs_f64() / 1e6, elapsed))
    });
    let (p50, p99) = (disturbed.wait_us(0.5), disturbed.wait_us(0.99));
    let row = Row::new(COMPACTED, disturbed).compare(p50, quiet.wait_us(0.5), "the p50 without it").compare(
        p99,
        quiet.wait_us(0.99),
        "the p99 without it",
    );
    let elapsed = elapsed.as_secs_f64();
    report.add(row.note(format!("compaction read and wrote {moved_mb:.0} MB/s for {elapsed:.1} s")));
}

async fn appends(engine: &Rc<Engine>, until: Until) -> Measured {
    let (engine, batch) = (engine.clone(), Batch::new(1, 1_000));
    let waits = Rc::new(std::cell::RefCell::new(Measured::new()));
    let counted = waits.clone();
    let all = closed_loop(PARTITIONS, until, async move |task, _| {
        let begun = Instant::now();
        let done = engine.append(task, &batch).await;
        counted.borrow_mut().count(done, begun.elapsed());
        glommio::timer::sleep(PAUSE).await;
        done
    })
    .await;
    // The pause is not part of the wait, but it is of the rate.
    let mut measured = waits.replace(Measured::new());
    measured.elapsed = all.elapsed;
    measured
}
