//! One partition's log: its state, and what can be asked of it at once.
//!
//! Key invariant: `written end <= durable end <= log end`; offsets are assigned once, at the end, and never again. What is
//! appended is in memory first and answered for only when durable: in the shard's journal, or in the segment's file. What
//! is durable but not written yet is in the journal *and* in memory. No borrow of the state lives across an await.
//! What the records mean (producers, transactions, visibility) is left to `partition`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use glommio::sync::{RwLock, Semaphore};

use super::chunk::Chunk;
use super::compaction::{CompactionSettings, CompactionState};
use super::epochs::EpochCache;
use super::error::StorageError;
use super::place::LogPlace;
use super::segment::Segment;
use super::spares::Spares;
use super::store::Store;
use crate::io::File;
use crate::model::{LeaderEpoch, Offset};

/// The settings of a log, in the units of Kafka's topic settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// `segment.bytes`
    pub segment_bytes: u32,
    /// `segment.ms`; negative: never.
    pub segment_ms: i64,
    /// `index.interval.bytes`
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: a segment whose index is this large takes no more batches.
    pub index_bytes: u32,
    /// `retention.ms`; negative: for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; negative: without bound.
    pub retention_bytes: i64,
    /// `file.delete.delay.ms`
    pub delete_delay_ms: i64,
    /// Whether `cleanup.policy` has `delete`; without it only `DeleteRecords` removes records.
    pub delete: bool,
    /// What `cleanup.policy=compact` brings with it.
    pub compaction: CompactionSettings,
}

impl LogSettings {
    /// How long what is deleted keeps its files.
    pub(super) fn delete_delay(&self) -> Duration {
        Duration::from_millis(self.delete_delay_ms.max(0) as u64)
    }
}

impl Default for LogSettings {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            index_interval_bytes: 4096,
            index_bytes: 10 << 20,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            delete_delay_ms: 60_000,
            delete: true,
            compaction: CompactionSettings::default(),
        }
    }
}

/// Who is told of a log's progress. Called without any borrow held; may call the log's synchronous methods.
pub trait LogObserver {
    /// Everything below `end` is durable.
    fn durable_advanced(&self, end: Offset);
    /// The producer state after exactly the batches appended so far, in the observer's own encoding. Called within
    /// [`Log::append`], before its batch is in, when a segment rolls; and at a clean close.
    fn producer_snapshot(&self) -> Bytes;
    /// A write failed: the log takes no more appends.
    fn poisoned(&self);
}

/// What an append was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
}

/// A segment as metrics and DescribeLogDirs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    pub base_offset: Offset,
    pub next_offset: Offset,
    pub size_bytes: u64,
}

/// Whether the log still takes appends.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Open,
    Poisoned(Arc<str>),
    /// Takes no more appends; what it has may still be written.
    Closed,
    /// Its directory is on its way out: nothing is written any more.
    Removed,
}

/// The file that the active or a rolled segment is written through.
pub(super) struct Writer {
    pub segment: Offset,
    pub file: Rc<File>,
    /// The file's length, reserved ahead of what is written.
    pub allocated: u64,
}

/// Someone who waits for an offset: to be durable, or to be in its segment's file.
pub(super) struct Waiter {
    pub end: Offset,
    pub answer: oneshot::Sender<Result<(), StorageError>>,
}

/// Who waits for the log.
#[derive(Default)]
pub(super) struct Waiting {
    /// For durability; ascending in what they wait for.
    pub durable: VecDeque<Waiter>,
    /// For the file: everything below is written, and the segments that end there are finished.
    pub written: Vec<Waiter>,
    /// For the flusher to have nothing to do.
    pub idle: Vec<oneshot::Sender<()>>,
}

/// Offsets that bound the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub start: Offset,
    /// What the start is about to be, once the journal says so. A checkpoint takes it: the journal's entry may be behind the
    /// tail that it sets.
    pub start_asked: Offset,
    pub end: Offset,
    /// Everything below is on the device, in the journal or in a segment.
    pub durable_end: Offset,
    /// Everything below is in its segment's file.
    pub written_end: Offset,
}

/// A place among the log's bytes, at a batch's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub segment: Offset,
    pub bytes: u64,
}

/// How bytes leave for the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Where the durable bytes end.
    pub durable_at: Position,
    /// Bytes that were appended and are not durable.
    pub undurable_bytes: u64,
    /// In the committer's queue.
    pub queued: bool,
    /// In a group of the journal that is in flight.
    pub committing: bool,
    /// The flusher is at work.
    pub flushing: bool,
    /// The flusher makes appends durable: none of them goes into the journal meanwhile, so that what the journal holds
    /// always continues what is durable.
    pub bypassing: bool,
    /// The last write to a segment found the disk full.
    pub full: bool,
    /// Everything below is to be written to its segment.
    pub asked_to: Offset,
}

impl Flow {
    /// Of a log whose active segment is all durable.
    pub(super) fn at_rest(active: &Segment) -> Self {
        Self {
            durable_at: Position { segment: active.base, bytes: active.size },
            undurable_bytes: 0,
            queued: false,
            committing: false,
            flushing: false,
            bypassing: false,
            full: false,
            asked_to: Offset::ZERO,
        }
    }
}

/// What of the log exists on disk beside its segments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnDisk {
    /// The directory exists and names its topic.
    pub directory: bool,
    /// The file of the oldest unfinished segment may be longer than its batches.
    pub reserved: bool,
    /// The epoch checkpoint lacks something.
    pub epochs_stale: bool,
    /// The active segment's file goes on with bytes that are no batch, as a crash left it: they are cut off before anything
    /// is written there. Until then every start finds the same end.
    pub torn: bool,
}

pub(super) struct State {
    /// Never empty; the last one is active.
    pub segments: VecDeque<Segment>,
    /// In offset order; some were dropped, and are known for as long as they may be brought back.
    pub chunks: VecDeque<Rc<Chunk>>,
    pub epochs: EpochCache,
    pub bounds: Bounds,
    pub flow: Flow,
    pub writer: Option<Writer>,
    pub waiting: Waiting,
    pub phase: Phase,
    pub on_disk: OnDisk,
    /// The log is being cut, or the observer has not said since that it knows the producers of what is left: a checkpoint
    /// must not name an end.
    pub end_unsettled: bool,
    /// The newest segment of the last manifest: the next start looks for it, and for all after it, by name.
    pub manifest_base: Offset,
    pub spares: Spares,
}

impl State {
    pub(super) fn active(&self) -> &Segment {
        self.segments.back().expect("a log has an active segment")
    }

    pub(super) fn active_mut(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has an active segment")
    }

    pub(super) fn segment_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        self.segments.iter_mut().rev().find(|segment| segment.base == base)
    }

    /// The segment that holds `offset`, or would.
    pub(super) fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    /// Whether the next start does without the segment as it is: it looks for the manifest's newest one and for all after it
    /// by name, and the manifest tells of all producers before.
    pub(super) fn is_settled(&self, segment: &Segment) -> bool {
        segment.is_finished() && segment.next_offset <= self.manifest_base
    }

    /// Bytes appended after `position`.
    pub(super) fn bytes_after(&self, position: Position) -> u64 {
        let later = self.segments.iter().rev().take_while(|segment| segment.base >= position.segment);
        later.map(|segment| segment.size).sum::<u64>().saturating_sub(position.bytes)
    }

    /// Where the next batch goes.
    pub(super) fn end_position(&self) -> Position {
        Position { segment: self.active().base, bytes: self.active().size }
    }

    /// Whether everything below `end` is in its file, and every segment that ends there is finished.
    pub(super) fn is_written_to(&self, end: Offset) -> bool {
        let unfinished = self.segments.iter().rev().skip(1).take_while(|segment| !segment.is_finished());
        self.bounds.written_end >= end && unfinished.last().is_none_or(|segment| segment.next_offset > end)
    }

    /// Tells those who wait for the file how far it is.
    pub(super) fn tell_written(&mut self) {
        if self.waiting.written.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting.written);
        for waiter in waiting {
            if self.is_written_to(waiter.end) {
                // Who no longer waits needs no answer.
                let _ = waiter.answer.send(Ok(()));
            } else {
                self.waiting.written.push(waiter);
            }
        }
    }

    /// Tells those who wait for it that nothing is under way, if so.
    pub(super) fn tell_idle(&mut self) {
        if !self.flow.flushing {
            for idle in self.waiting.idle.drain(..) {
                // Who no longer waits need not know.
                let _ = idle.send(());
            }
        }
    }

    pub(super) fn check_invariants(&self) {
        if cfg!(debug_assertions) {
            let Bounds { start, start_asked, end, durable_end, written_end } = self.bounds;
            debug_assert!(start <= start_asked && start_asked <= durable_end, "{:?}", self.bounds);
            debug_assert!(start <= durable_end && durable_end <= end, "{:?}", self.bounds);
            debug_assert!(written_end <= durable_end, "{:?}", self.bounds);
            debug_assert!(self.active().next_offset == end, "the active segment ends where the log does");
            debug_assert!(self.bytes_after(self.flow.durable_at) == self.flow.undurable_bytes);
            self.segments.iter().for_each(Segment::check_invariants);
        }
    }
}

/// One partition's log.
pub struct Log {
    pub(super) store: Rc<Store>,
    pub(super) place: LogPlace,
    pub(super) directory: PathBuf,
    pub(super) number: u64,
    pub(super) settings: Cell<LogSettings>,
    pub(super) observer: Rc<dyn LogObserver>,
    pub(super) state: RefCell<State>,
    pub(super) compaction: CompactionState,
    /// Where the last cold read ended: one that begins there reads in order.
    pub(super) last_cold_end: Cell<Offset>,
    /// Opening a file reads this, renaming or removing one writes it: glommio panics where an open races a removal.
    pub(super) names: RwLock<()>,
    /// Held while the leader epochs are saved.
    pub(super) saving: Semaphore,
    /// Held by whatever changes segments other than by appending.
    pub(super) maintenance: Semaphore,
}

impl Log {
    /// Which partition this is.
    pub fn place(&self) -> &LogPlace {
        &self.place
    }

    /// What this log shares with the others of its shard.
    pub fn store(&self) -> &Rc<Store> {
        &self.store
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> Offset {
        self.state.borrow().bounds.start
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.state.borrow().bounds.end
    }

    /// Everything below this is on the device.
    pub fn durable_end_offset(&self) -> Offset {
        self.state.borrow().bounds.durable_end
    }

    /// Bytes of all batches in the log.
    pub fn size_bytes(&self) -> u64 {
        self.state.borrow().segments.iter().map(|segment| segment.size).sum()
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentFacts> {
        let facts = |segment: &Segment| SegmentFacts {
            base_offset: segment.base,
            next_offset: segment.next_offset,
            size_bytes: segment.size,
        };
        self.state.borrow().segments.iter().map(facts).collect()
    }

    /// The leader epoch cache, as it is now.
    pub fn epochs(&self) -> EpochCache {
        self.state.borrow().epochs.clone()
    }

    /// The newest leader epoch that the log knows.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.state.borrow().epochs.latest()
    }

    /// The largest known epoch that is at most `epoch`, and the offset where it ends (OffsetForLeaderEpoch).
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.borrow();
        state.epochs.end_offset_for(epoch, state.bounds.end)
    }

    /// Notes that `epoch` begins at the log's end, as a new leader does before it appends. It is durable with its first
    /// batch, which carries it: every start of a broker begins epochs, few of them in logs that are written to.
    pub fn start_epoch(&self, epoch: LeaderEpoch) {
        let mut state = self.state.borrow_mut();
        let end = state.bounds.end;
        state.epochs.start(epoch, end);
    }

    /// Whether a write failed.
    pub fn is_poisoned(&self) -> bool {
        matches!(self.state.borrow().phase, Phase::Poisoned(_))
    }

    /// The observer's producer state is that of the log again, after a truncation. Until then no checkpoint takes it.
    pub fn producers_rebuilt(&self) {
        self.state.borrow_mut().end_unsettled = false;
    }

    /// The settings in force.
    pub fn settings(&self) -> LogSettings {
        self.settings.get()
    }

    /// Changes the settings; they act from the next append or retention run on.
    pub fn update_settings(&self, settings: LogSettings) {
        self.settings.set(settings);
    }

    /// Waits until everything below `end` is durable.
    pub async fn wait_durable(&self, end: Offset) -> Result<(), StorageError> {
        let receiver = {
            let mut state = self.state.borrow_mut();
            let durable = end <= state.bounds.durable_end;
            if durable && !state.end_unsettled {
                return Ok(());
            }
            // What a failed cut left below the durable end nobody knows before the next start.
            state.phase.check_writing()?;
            if durable {
                return Ok(());
            }
            let (answer, receiver) = oneshot::channel();
            let at = state.waiting.durable.partition_point(|waiter| waiter.end <= end);
            state.waiting.durable.insert(at, Waiter { end, answer });
            receiver
        };
        receiver.await.unwrap_or(Err(StorageError::Closed))
    }

    /// Has everything below `end` written to the segments, and waits until it is.
    pub(super) async fn write_back(self: &Rc<Self>, end: Offset) -> Result<(), StorageError> {
        let receiver = {
            let mut state = self.state.borrow_mut();
            if state.is_written_to(end) {
                return Ok(());
            }
            state.phase.check_writing()?;
            state.flow.asked_to = state.flow.asked_to.max(end);
            let (answer, receiver) = oneshot::channel();
            state.waiting.written.push(Waiter { end, answer });
            receiver
        };
        self.kick();
        receiver.await.unwrap_or(Err(StorageError::Closed))
    }
}

impl Phase {
    /// An error unless what the log has may still become durable.
    pub(super) fn check_writing(&self) -> Result<(), StorageError> {
        match self {
            Self::Open | Self::Closed => Ok(()),
            Self::Poisoned(reason) => Err(StorageError::Poisoned(reason.clone())),
            Self::Removed => Err(StorageError::Closed),
        }
    }

    /// An error unless the log takes appends.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        match self {
            Self::Open => Ok(()),
            Self::Poisoned(reason) => Err(StorageError::Poisoned(reason.clone())),
            Self::Closed | Self::Removed => Err(StorageError::Closed),
        }
    }
}
