//! The same device without the storage engine: what the other cases are compared with.
//!
//! Key invariant: all of it is direct I/O through the same runtime, with `O_DSYNC` where the engine has to be durable. So a
//! ratio shows the engine's part, not the runtime's.

use std::path::Path;
use std::rc::Rc;

use corelog::io::{Disk, IoClass};
use glommio::io::{DmaFile, OpenOptions};

use crate::engine;
use crate::measure::{Done, Measured, Until, closed_loop};
use crate::report::{Report, Row};

/// One durable write of a block after the other to a file that was written before: the least that a commit can cost.
pub const JOURNAL_4_KIB: &str = "raw/journal/4KiB";
/// The same with a group of many appends.
const JOURNAL_64_KIB: &str = "raw/journal/64KiB";
const WRITE_256_KIB: &str = "raw/write/256KiB";
/// Durable sequential writes, eight in flight.
pub const WRITE_1_MIB: &str = "raw/write/1MiB";
const READ_256_KIB: &str = "raw/read/256KiB";
/// Sequential reads, eight in flight.
pub const READ_1_MIB: &str = "raw/read/1MiB";

/// Writes or reads in flight of the sequential cases.
const DEPTH: usize = 8;
/// Size of the one file of the sequential cases.
const FILE_BYTES: u64 = 256 << 20;
/// Partitions of the case with one flush for each append.
const PARTITIONS: usize = 1_000;
/// What each of their files has reserved; then writing begins at its start again, which only makes it faster.
const PARTITION_BYTES: u64 = 512 << 10;
/// The unit of direct writes.
const BLOCK_BYTES: u64 = 4096;

/// The case of one flush per partition for a batch size.
pub fn flush_per_partition(size: &str) -> String {
    format!("raw/flush-per-partition/{size}")
}

/// The same with a write and then a flush of the file, `fdatasync`, as brokers do that have one log file for each partition.
pub fn fdatasync_per_partition(size: &str) -> String {
    format!("raw/fdatasync-per-partition/{size}")
}

/// All of them, or those asked for.
pub fn run(report: &mut Report) {
    let flushes = ["100B", "1KB", "64KB"].map(flush_per_partition);
    let fdatasyncs = ["100B", "1KB", "64KB"].map(fdatasync_per_partition);
    let sequential = [JOURNAL_4_KIB, JOURNAL_64_KIB, WRITE_256_KIB, WRITE_1_MIB, READ_256_KIB, READ_1_MIB];
    let flushes = flushes.iter().chain(&fdatasyncs).map(String::as_str);
    for case in sequential.into_iter().chain(flushes) {
        if report.wants(case) {
            need(report, case);
        }
    }
}

/// What a baseline came to; measured now if it was not yet.
pub fn need<'a>(report: &'a mut Report, case: &str) -> &'a Measured {
    if report.find(case).is_none() {
        let until = Until { elapsed: report.measured, bytes: u64::MAX };
        let measured = match case {
            JOURNAL_4_KIB => sequential_writes(1, 4 << 10, until),
            JOURNAL_64_KIB => sequential_writes(1, 64 << 10, until),
            WRITE_256_KIB => sequential_writes(DEPTH, 256 << 10, until),
            WRITE_1_MIB => sequential_writes(DEPTH, 1 << 20, until),
            READ_256_KIB => sequential_reads(256 << 10, until),
            READ_1_MIB => sequential_reads(1 << 20, until),
            case => {
                let bytes = match case.rsplit('/').next() {
                    Some("100B") => 171,
                    Some("1KB") => 1_072,
                    _ => 64 << 10,
                };
                let kind = if case.contains("fdatasync") { Flush::Fdatasync } else { Flush::Dsync };
                flushes(bytes, kind, until)
            }
        };
        report.add(Row::new(case, measured));
    }
    report.find(case).expect("it was just added")
}

/// How a write is made durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// By itself: the file is opened with `O_DSYNC`.
    Dsync,
    /// By a call of its own.
    Fdatasync,
}

async fn open(path: &Path, flush: Flush) -> Rc<DmaFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    if flush == Flush::Dsync {
        options.custom_flags(libc::O_DSYNC);
    }
    Rc::new(options.dma_open(path).await.expect("a file that can be made"))
}

async fn write(file: &DmaFile, position: u64, bytes: u64) -> Done {
    let mut buffer = file.alloc_dma_buffer(bytes as usize);
    buffer.as_bytes_mut().fill(b'v');
    let written = file.write_at(buffer, position).await.expect("written");
    assert_eq!(written as u64, bytes, "whole");
    Done { records: 1, bytes }
}

/// A file of whole, written blocks: overwriting those needs nothing of the file system.
async fn written_file(disk: &Rc<Disk>) -> Rc<DmaFile> {
    let file = open(&disk.directory().join("raw"), Flush::Dsync).await;
    file.pre_allocate(FILE_BYTES, false).await.expect("space");
    for position in (0..FILE_BYTES).step_by(1 << 20) {
        write(&file, position, 1 << 20).await;
    }
    file
}

fn sequential_writes(depth: usize, bytes: u64, until: Until) -> Measured {
    let directory = engine::new_directory();
    engine::on_executor(&directory, async |disk| {
        let file = written_file(&disk).await;
        let each = async move |task, round| {
            write(&file, (task + round * depth) as u64 * bytes % FILE_BYTES, bytes).await
        };
        closed_loop(depth, until, each).await
    })
}

fn sequential_reads(bytes: u64, until: Until) -> Measured {
    let directory = engine::new_directory();
    engine::on_executor(&directory, async |disk| {
        let file = written_file(&disk).await;
        let each = async move |task, round| {
            let position = (task + round * DEPTH) as u64 * bytes % FILE_BYTES;
            let read = file.read_at_aligned(position, bytes as usize).await.expect("read");
            assert_eq!(read.len() as u64, bytes, "whole");
            Done { records: 1, bytes }
        };
        closed_loop(DEPTH, until, each).await
    })
}

/// Each append of `bytes` is one durable write of the blocks that it touches, to its partition's own reserved file, with as
/// many in flight as the engine lets bypass the journal.
fn flushes(bytes: u64, flush: Flush, until: Until) -> Measured {
    let in_flight = IoClass::Bypass.caps().full.operations as usize;
    let directory = engine::new_directory();
    engine::on_executor(&directory, async |disk| {
        let mut files = Vec::with_capacity(PARTITIONS);
        for partition in 0..PARTITIONS {
            let file = open(&disk.directory().join(format!("{partition}")), flush).await;
            file.pre_allocate(PARTITION_BYTES, false).await.expect("space");
            files.push(file);
        }
        let each = async move |task: usize, round: usize| {
            // Every partition gets one append before any gets its next.
            let turn = task + round * in_flight;
            let (file, before) = (&files[turn % PARTITIONS], (turn / PARTITIONS) as u64);
            let room = PARTITION_BYTES - bytes.next_multiple_of(BLOCK_BYTES) - BLOCK_BYTES;
            let from = before * bytes % room;
            let first = from / BLOCK_BYTES * BLOCK_BYTES;
            let after = (from + bytes).next_multiple_of(BLOCK_BYTES);
            write(file, first, after - first).await;
            if flush == Flush::Fdatasync {
                file.fdatasync().await.expect("flushed");
            }
            Done { records: 1, bytes }
        };
        closed_loop(in_flight, until, each).await
    })
}
