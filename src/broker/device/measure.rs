//! Measures a data device: `corelog tune io`.
//!
//! Key invariants: one file of a bounded size, which loses its name as soon as it is open, so that nothing of it is left
//! whatever happens; each case ends by time or once it went over the file; the directory's lock is held, so that no
//! broker is measured along, or disturbed. All of it is direct I/O through the runtime that the broker has, so that its
//! overhead is in the figures as it will be in the broker.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::LocalExecutorBuilder;
use glommio::io::{DmaFile, OpenOptions};
use hdrhistogram::Histogram;

use super::profile::{Bandwidth, DeviceFacts, DeviceProfile, FORMAT, Latency, Rate};
use crate::cluster::{self, SuperblockError};
use crate::io::{Disk, DiskLimits};

/// The file's name for the moment in which it has one.
const FILE: &str = "io-measure.tmp";
/// Sizes of operations.
const BLOCK_BYTES: u64 = 4 << 10;
const SMALL_BYTES: u64 = 128 << 10;
const LARGE_BYTES: u64 = 1 << 20;
/// Writes in flight while the file is filled.
const FILL_DEPTH: u32 = 8;
/// What stays free beside the file.
const SPARE_BYTES: u64 = 1 << 30;
/// Each case is measured so often. Whatever else the host does makes a figure worse and never better, so the best counts.
const ROUNDS: usize = 3;
/// The median of the worst round above the best one's, from which on the host was not quiet.
const DISTURBED_RATIO: u64 = 2;
/// The longest wait that is told from longer ones.
const WAIT_NS_MAX: u64 = 60_000_000_000;
/// Bounds of the file, in bytes.
pub const FILE_BYTES_MIN: u64 = 16 << 20;
pub const FILE_BYTES_MAX: u64 = 64 << 30;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Of the file; whole MiB.
    pub file_bytes: u64,
    /// Of each case in each of three rounds; writing or reading the file once ends it too.
    pub case_time: Duration,
}

/// Why a device could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    #[error("{path} has {} MiB free; the measurement takes {} MiB and leaves {} MiB: free some, or measure less with --size-mib",
        free_bytes >> 20, file_bytes >> 20, SPARE_BYTES >> 20)]
    Space { path: PathBuf, free_bytes: u64, file_bytes: u64 },
    #[error(transparent)]
    Directory(#[from] SuperblockError),
    #[error("cannot measure in {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Measures the device below a data directory, which is created where absent. `tell` hears of each case before it begins.
pub fn measure(
    data_dir: &Path,
    amount: Amount,
    measured_at: String,
    tell: impl Fn(&str) + 'static,
) -> Result<DeviceProfile, MeasureError> {
    let failed = |source| MeasureError::Io { path: data_dir.to_owned(), source };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let _lock = cluster::lock(data_dir)?;
    let file_bytes = amount.file_bytes.clamp(FILE_BYTES_MIN, FILE_BYTES_MAX) / LARGE_BYTES * LARGE_BYTES;
    let facts = rustix::fs::statvfs(data_dir).map_err(|error| failed(error.into()))?;
    let free_bytes = facts.f_bavail.saturating_mul(facts.f_frsize);
    if free_bytes < file_bytes.saturating_add(SPARE_BYTES) {
        return Err(MeasureError::Space { path: data_dir.to_owned(), free_bytes, file_bytes });
    }
    let device = super::facts(data_dir);
    let amount = Amount { file_bytes, ..amount };
    let executor = LocalExecutorBuilder::default().name("measure").make();
    let executor = executor.map_err(|error| failed(io::Error::other(error.to_string())))?;
    let measured = executor.run(async { run_cases(data_dir, amount, tell).await }).map_err(failed)?;
    let profile = measured.into_profile(measured_at, device);
    profile.ok_or_else(|| failed(io::Error::other("a case was not measured")))
}

/// What a case does with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Durable by itself.
    DurableWrite,
    /// A write and then a flush, of which only the flush is timed.
    Flush,
    Write,
    Read,
    RandomRead,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    action: Action,
    size_bytes: u64,
    depth: u32,
}

/// What a case came to.
struct Seen {
    operations: u64,
    bytes: u64,
    elapsed: Duration,
    waits_ns: Histogram<u64>,
}

impl Seen {
    fn per_second(&self, count: u64) -> u64 {
        (count as f64 / self.elapsed.as_secs_f64().max(1e-6)) as u64
    }

    fn latency(&self) -> Latency {
        let us = |share| (self.waits_ns.value_at_quantile(share) / 1_000).clamp(1, 10_000_000);
        Latency { p50_us: us(0.5), p99_us: us(0.99) }
    }

    fn bandwidth(&self, case: Case) -> Bandwidth {
        let bytes_per_second = self.per_second(self.bytes).clamp(100_000, 1_000_000_000_000);
        Bandwidth { size_bytes: case.size_bytes, depth: case.depth, bytes_per_second }
    }

    fn rate(&self, case: Case) -> Rate {
        let operations_per_second = self.per_second(self.operations).clamp(1, 1_000_000_000);
        Rate { depth: case.depth, operations_per_second }
    }
}

/// All that was measured: of each case the best round.
#[derive(Default)]
struct Measured {
    durable_write: Option<Latency>,
    fdatasync: Option<Latency>,
    sequential_write: Vec<Bandwidth>,
    sequential_read: Vec<Bandwidth>,
    random_read: Vec<Rate>,
    /// The worst round's median of a durable write.
    worst_us: u64,
}

impl Measured {
    /// Takes note of a case's round.
    fn add(&mut self, case: Case, seen: &Seen) {
        let lesser = |known: Option<Latency>| {
            let latency = seen.latency();
            known.filter(|known| known.p50_us <= latency.p50_us).or(Some(latency))
        };
        match case.action {
            Action::DurableWrite if case.size_bytes == BLOCK_BYTES => {
                self.durable_write = lesser(self.durable_write);
                self.worst_us = self.worst_us.max(seen.latency().p50_us);
            }
            Action::Flush => self.fdatasync = lesser(self.fdatasync),
            Action::DurableWrite => greater(&mut self.sequential_write, seen.bandwidth(case)),
            Action::Read => greater(&mut self.sequential_read, seen.bandwidth(case)),
            Action::RandomRead => {
                let rate = seen.rate(case);
                match self.random_read.iter_mut().find(|known| known.depth == rate.depth) {
                    Some(known) => {
                        known.operations_per_second =
                            known.operations_per_second.max(rate.operations_per_second);
                    }
                    None => self.random_read.push(rate),
                }
            }
            Action::Write => {}
        }
    }

    fn is_disturbed(&self) -> bool {
        self.durable_write.is_some_and(|best| self.worst_us > DISTURBED_RATIO * best.p50_us)
    }

    /// `None` if a case is missing, which none is once every round is over.
    fn into_profile(self, measured_at: String, device: DeviceFacts) -> Option<DeviceProfile> {
        let Self { durable_write, fdatasync, sequential_write, sequential_read, random_read, .. } = self;
        Some(DeviceProfile {
            format: FORMAT,
            measured_at,
            device,
            durable_write: durable_write?,
            fdatasync: fdatasync?,
            sequential_write,
            sequential_read,
            random_read,
        })
    }
}

/// Keeps the better one of two rounds of a case.
fn greater(cases: &mut Vec<Bandwidth>, round: Bandwidth) {
    let same = |case: &&mut Bandwidth| (case.size_bytes, case.depth) == (round.size_bytes, round.depth);
    match cases.iter_mut().find(same) {
        Some(case) => case.bytes_per_second = case.bytes_per_second.max(round.bytes_per_second),
        None => cases.push(round),
    }
}

/// The cases of a round, each with its name.
fn cases() -> Vec<(String, Case)> {
    let case = |action, size_bytes, depth| Case { action, size_bytes, depth };
    let mut cases = vec![
        ("durable writes of 4 KiB, one at a time".to_owned(), case(Action::DurableWrite, BLOCK_BYTES, 1)),
        ("flushes, each after a write of 4 KiB".to_owned(), case(Action::Flush, BLOCK_BYTES, 1)),
    ];
    for size_bytes in [SMALL_BYTES, LARGE_BYTES] {
        cases.extend([1, 4, 8, 16].map(|depth| {
            let name = format!("durable sequential writes of {} KiB, {depth} in flight", size_bytes >> 10);
            (name, case(Action::DurableWrite, size_bytes, depth))
        }));
    }
    cases.extend([1, 4, 8, 16].map(|depth| {
        let name = format!("sequential reads of {} KiB, {depth} in flight", LARGE_BYTES >> 10);
        (name, case(Action::Read, LARGE_BYTES, depth))
    }));
    cases.extend([1, 8, 32].map(|depth| {
        (format!("random reads of 4 KiB, {depth} in flight"), case(Action::RandomRead, BLOCK_BYTES, depth))
    }));
    cases
}

async fn run_cases(data_dir: &Path, amount: Amount, tell: impl Fn(&str)) -> io::Result<Measured> {
    // Opening the disk first settles how this executor does direct I/O on the device.
    let disk = Disk::open(data_dir, DiskLimits::default()).await?;
    let bench = Rc::new(Bench::open(disk.directory(), amount).await?);
    tell(&format!("writing a file of {} MiB", amount.file_bytes >> 20));
    bench.fill().await?;
    let mut measured = Measured::default();
    for round in 1..=ROUNDS {
        for (name, case) in cases() {
            tell(&format!("round {round} of {ROUNDS}: {name}"));
            let seen = bench.run_until(case, amount.case_time, amount.file_bytes).await?;
            measured.add(case, &seen);
        }
    }
    Rc::try_unwrap(bench).map_err(|_| io::Error::other("a case still runs"))?.close().await?;
    disk.quiesce().await;
    if measured.is_disturbed() {
        tell(
            "the rounds differ by more than a factor of two: something else uses this device; measure again when it is quiet",
        );
    }
    Ok(measured)
}

/// The file, opened both ways.
struct Bench {
    durable: DmaFile,
    plain: DmaFile,
    /// What is written: no device gains by its content.
    content: Vec<u8>,
    amount: Amount,
}

impl Bench {
    /// Makes the file and takes its name away.
    async fn open(directory: &Path, amount: Amount) -> io::Result<Self> {
        let path = directory.join(FILE);
        let durable = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .custom_flags(libc::O_DSYNC)
            .dma_open(&path)
            .await;
        let plain = OpenOptions::new().read(true).write(true).dma_open(&path).await;
        // The runtime looks at the path when it opens, and not later. Nobody else runs on this executor.
        std::fs::remove_file(&path)?;
        let (durable, plain) = (durable?, plain?);
        // Where space cannot be reserved, filling the file takes it.
        let _ = durable.pre_allocate(amount.file_bytes, false).await;
        let mut state = 0;
        let words = std::iter::repeat_with(|| scattered(&mut state).to_le_bytes());
        let content = words.take(LARGE_BYTES as usize / 8).flatten().collect();
        Ok(Self { durable, plain, content, amount })
    }

    async fn close(self) -> io::Result<()> {
        self.durable.close().await?;
        self.plain.close().await?;
        Ok(())
    }

    /// Writes all of the file once: overwriting written blocks is what the journal does.
    async fn fill(self: &Rc<Self>) -> io::Result<()> {
        let once = Case { action: Action::Write, size_bytes: LARGE_BYTES, depth: FILL_DEPTH };
        self.run_until(once, Duration::MAX, self.amount.file_bytes).await?;
        self.plain.fdatasync().await?;
        Ok(())
    }

    async fn run_until(self: &Rc<Self>, case: Case, time_max: Duration, bytes_max: u64) -> io::Result<Seen> {
        let waits_ns = Histogram::new_with_bounds(1, WAIT_NS_MAX, 3).map_err(io::Error::other)?;
        let waits_ns = Rc::new(RefCell::new(waits_ns));
        let turns = Rc::new(Cell::new(0_u64));
        let start = Instant::now();
        let task = || {
            let (bench, turns, waits_ns) = (self.clone(), turns.clone(), waits_ns.clone());
            glommio::spawn_local(async move {
                loop {
                    let turn = turns.get();
                    let first_ones = turn < u64::from(case.depth);
                    let over = turn * case.size_bytes >= bytes_max || start.elapsed() >= time_max;
                    // However slow the device, each case has something to tell.
                    if over && !first_ones {
                        return io::Result::Ok(());
                    }
                    turns.set(turn + 1);
                    let took = bench.operation(case, turn).await?;
                    let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    waits_ns.borrow_mut().saturating_record(took.max(1));
                }
            })
        };
        let tasks: Vec<_> = (0..case.depth).map(|_| task()).collect();
        let mut result = Ok(());
        for task in tasks {
            result = result.and(task.await);
        }
        result?;
        let elapsed = start.elapsed();
        let operations = turns.get();
        let waits_ns = waits_ns.borrow().clone();
        Ok(Seen { operations, bytes: operations * case.size_bytes, elapsed, waits_ns })
    }

    /// One operation; answers how long it took.
    async fn operation(&self, case: Case, turn: u64) -> io::Result<Duration> {
        let places = self.amount.file_bytes / case.size_bytes;
        let mut state = turn;
        let place = if case.action == Action::RandomRead { scattered(&mut state) } else { turn };
        let position = place % places * case.size_bytes;
        let size = case.size_bytes as usize;
        let mut begun = Instant::now();
        match case.action {
            Action::DurableWrite => self.write(&self.durable, position, size).await?,
            Action::Write => self.write(&self.plain, position, size).await?,
            Action::Flush => {
                self.write(&self.plain, position, size).await?;
                begun = Instant::now();
                self.plain.fdatasync().await?;
            }
            Action::Read | Action::RandomRead => {
                let read = self.plain.read_at_aligned(position, size).await?;
                if read.len() != size {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(begun.elapsed())
    }

    async fn write(&self, file: &DmaFile, position: u64, size: usize) -> io::Result<()> {
        let mut buffer = file.alloc_dma_buffer(size);
        buffer.as_bytes_mut()[..size].copy_from_slice(&self.content[..size]);
        let written = file.write_at(buffer, position).await?;
        if written == size { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// The next of a sequence of numbers without a pattern (SplitMix64, Steele and others 2014).
fn scattered(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(operations: u64, wait_us: u64) -> Seen {
        let mut waits_ns = Histogram::new_with_bounds(1, WAIT_NS_MAX, 3).expect("bounds that it takes");
        waits_ns.record(wait_us * 1_000).expect("within bounds");
        Seen { operations, bytes: operations << 20, elapsed: Duration::from_secs(1), waits_ns }
    }

    #[test]
    fn of_each_case_the_best_round_counts() {
        let mut measured = Measured::default();
        for (operations, wait_us) in [(100, 90), (300, 60), (200, 110)] {
            for (_, case) in cases() {
                measured.add(case, &seen(operations, wait_us));
            }
        }
        assert!(!measured.is_disturbed());
        measured.add(cases()[0].1, &seen(1, 500));
        assert!(measured.is_disturbed());
        let profile = measured.into_profile("now".to_owned(), DeviceFacts::default()).expect("all cases ran");
        assert_eq!((profile.durable_write.p50_us, profile.fdatasync.p50_us), (60, 60));
        assert_eq!(profile.sequential_write.len(), 8);
        let reads = profile.sequential_read.iter();
        assert!(reads.len() == 4 && reads.into_iter().all(|case| case.bytes_per_second == 300 << 20));
        let random: Vec<(u32, u64)> =
            profile.random_read.iter().map(|case| (case.depth, case.operations_per_second)).collect();
        assert_eq!(random, [(1, 300), (8, 300), (32, 300)]);
        let text = profile.text().expect("it can be written");
        assert!(DeviceProfile::parse(Path::new("p"), &text).is_ok(), "what is measured is valid");
        assert!(Measured::default().into_profile(String::new(), DeviceFacts::default()).is_none());
    }
}
