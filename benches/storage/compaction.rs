//! Compaction: bytes of a compacted log that are cleaned per second.
//!
//! Key invariant: what is measured is one round over finished segments that hold each key several times, on an otherwise idle
//! shard; how many records it removed is in the note.

use std::time::Instant;

use crate::baseline::{self, READ_1_MIB};
use crate::engine::{self, Batch, Engine};
use crate::measure::{Done, Measured};
use crate::report::{Report, Row};

const CASE: &str = "compaction/256MB";
const LOG_BYTES: u64 = 256 << 20;
/// Records of a batch, of 1 KB each.
const RECORDS: u64 = 64;
/// Different keys: each is there about ten times.
const KEYS: u64 = 25_000;
const CACHE_BYTES: u64 = 16 << 20;

pub fn run(report: &mut Report) {
    if !report.wants(CASE) {
        return;
    }
    let directory = engine::new_directory();
    let (measured, removed) = engine::on_executor(&directory, async |disk| {
        let engine = Engine::open_with_compacted(&disk, 0, CACHE_BYTES).await;
        let mut bytes = 0;
        let mut first = 0;
        while bytes < LOG_BYTES {
            let batch = Batch::keyed(RECORDS, 1_000, |record| (first + record) % KEYS);
            bytes += engine.append(0, &batch).await.bytes;
            first += RECORDS;
        }
        engine.checkpoint().await;
        let begun = Instant::now();
        let report = engine.compact(0).await;
        let mut measured = Measured::new();
        let done = Done { records: report.removed_records, bytes: report.read_bytes };
        measured.count(done, begun.elapsed());
        measured.elapsed = begun.elapsed();
        engine.close().await;
        (measured, report)
    });
    let device = baseline::need(report, READ_1_MIB).mb_per_second();
    let mine = measured.mb_per_second();
    let note = format!(
        "MB read per second, twice over the log; {} records removed, {} MB written",
        removed.removed_records,
        removed.written_bytes / 1_000_000
    );
    report.add(Row::new(CASE, measured).compare(mine, device, "raw read 1 MiB").note(note));
}
