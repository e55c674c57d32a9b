//! The checkpoint: what is only in the journal goes to the segments, then a manifest says so, then the journal's tail moves.
//!
//! Key invariant: when a manifest is durable, every group below its sequence is in the segments that it names, and for each log
//! it tells the log start, the leader epochs and the producers at exactly the end it names. A log that cannot be written holds
//! the tail back; nothing that was acknowledged is given up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use glommio::sync::Semaphore;

use super::error::StorageError;
use super::journal::{LogRecord, Written};
use super::log::{Log, Phase};
use super::store::Store;
use crate::model::Offset;

/// Logs whose dirty bytes are written at the same time.
const WRITING_MAX: u64 = 16;
/// Logs looked at between two turns of other tasks.
const LOGS_PER_TURN: usize = 64;

/// What a store knows of its checkpoints.
pub(super) struct Checkpoints {
    /// Held by the one that is under way.
    turn: Semaphore,
    /// One was asked for that has not begun.
    asked: Cell<bool>,
    /// Something became durable since the last one began.
    due: Cell<bool>,
    /// Bytes that went past the journal since the last one began.
    bypassed_bytes: Cell<u64>,
    failure: RefCell<Option<StorageError>>,
    completed: Cell<u64>,
    failed: Cell<u64>,
    bypassed: Cell<(u64, u64)>,
    /// Logs close without being written.
    pub(super) hurried: Cell<bool>,
    /// Logs that were closed so.
    pub(super) left_to_journal: Cell<usize>,
}

impl Checkpoints {
    /// Checkpoints that are durable.
    pub(super) fn completed(&self) -> u64 {
        self.completed.get()
    }

    /// Writes that went past the journal, and their bytes.
    pub(super) fn bypassed(&self) -> (u64, u64) {
        self.bypassed.get()
    }
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self {
            turn: Semaphore::new(1),
            asked: Cell::new(false),
            due: Cell::new(false),
            bypassed_bytes: Cell::new(0),
            failure: RefCell::default(),
            completed: Cell::new(0),
            failed: Cell::new(0),
            bypassed: Cell::default(),
            hurried: Cell::new(false),
            left_to_journal: Cell::new(0),
        }
    }
}

impl Store {
    /// Checkpoints in the background, unless one is about to begin.
    pub(super) fn checkpoint_soon(self: &Rc<Self>) {
        if !self.checkpoints().asked.replace(true) {
            let store = self.clone();
            glommio::spawn_local(async move {
                if let Err(error) = store.checkpoint().await {
                    tracing::error!(%error, "the checkpoint failed; the journal keeps what it has");
                }
            })
            .detach();
        }
    }

    /// Takes note that something became durable in the journal.
    pub(super) fn note_committed(&self) {
        self.checkpoints().due.set(true);
    }

    /// Takes note of bytes that became durable in their segment. A start reads what follows the last checkpoint, so that must
    /// not become much.
    pub(super) fn note_bypassed(self: &Rc<Self>, bytes: u64) {
        let checkpoints = self.checkpoints();
        checkpoints.due.set(true);
        let (writes, all_bytes) = checkpoints.bypassed.get();
        checkpoints.bypassed.set((writes + 1, all_bytes + bytes));
        checkpoints.bypassed_bytes.set(checkpoints.bypassed_bytes.get() + bytes);
        if checkpoints.bypassed_bytes.get() >= self.limits().journal.bypassed_bytes_max {
            self.checkpoint_soon();
        }
    }

    /// Checkpoints if anything became durable since the last one, so that an idle broker has nothing to replay.
    pub async fn checkpoint_if_due(self: &Rc<Self>) -> Result<(), StorageError> {
        if self.checkpoints().due.get() { self.checkpoint().await } else { Ok(()) }
    }

    /// Writes everything that was appended so far to the segments and moves the journal's tail there. One at a time.
    pub async fn checkpoint(self: &Rc<Self>) -> Result<(), StorageError> {
        let checkpoints = self.checkpoints();
        let _turn = checkpoints.turn.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        checkpoints.asked.set(false);
        checkpoints.due.set(false);
        checkpoints.bypassed_bytes.set(0);
        let result = self.write_checkpoint().await;
        checkpoints.failure.replace(result.clone().err());
        let count = if result.is_ok() { &checkpoints.completed } else { &checkpoints.failed };
        count.set(count.get() + 1);
        if result.is_err() {
            // What it was to write still has to be written.
            checkpoints.due.set(true);
        }
        self.committer().room_made();
        result
    }

    /// Why the last checkpoint failed, if it did.
    pub(super) fn checkpoint_failure(&self) -> Option<StorageError> {
        self.checkpoints().failure.borrow().clone()
    }

    /// Checkpoints that failed so far.
    pub(super) fn checkpoints_failed(&self) -> u64 {
        self.checkpoints().failed.get()
    }

    async fn write_checkpoint(self: &Rc<Self>) -> Result<(), StorageError> {
        let from_sequence = self.committer().ring.borrow_mut().begin_checkpoint();
        let logs = self.logs();
        let writing = Rc::new(Semaphore::new(WRITING_MAX));
        let closed = self.closed_records()?;
        let mut records = Vec::with_capacity(logs.len());
        let mut idle = Vec::new();
        let mut tasks = Vec::new();
        for (at, log) in logs.into_iter().enumerate() {
            match log.record_at_rest() {
                Some(record) => {
                    idle.extend(log.holds_much_index(true).then(|| log.clone()));
                    records.push((log, record));
                }
                None => {
                    let writing = writing.clone();
                    tasks.push(glommio::spawn_local(async move {
                        let _turn = writing.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
                        let record = log.write_record().await?;
                        Ok(record.map(|record| (log, record)))
                    }));
                }
            }
            if at % LOGS_PER_TURN == LOGS_PER_TURN - 1 {
                futures_lite::future::yield_now().await;
            }
        }
        let mut result: Result<(), StorageError> = Ok(());
        for task in tasks {
            match task.await {
                Ok(record) => records.extend(record),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result?;
        let named: Vec<Offset> = records.iter().map(|(_, record)| newest_segment(record)).collect();
        let (logs, mut records): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        records.extend(closed);
        let files = &self.committer().files;
        let path = files.manifest_path();
        let content = files.manifest(from_sequence, records).encode();
        self.disk().replace_file(&path, content).await.map_err(StorageError::io("writing", &path))?;
        self.committer().ring.borrow_mut().move_tail(from_sequence);
        for (log, base) in logs.iter().zip(named) {
            log.state.borrow_mut().manifest_base = base;
        }
        for log in idle {
            log.spill_or_keep().await;
        }
        Ok(())
    }

    /// Leaves everything as a start finds it fastest: all logs closed, all of the journal in the segments. Returns how many logs
    /// were closed in a hurry ([`Self::hurry`]): then the journal keeps what it has, and the next start replays it.
    pub async fn close(self: &Rc<Self>) -> Result<usize, StorageError> {
        let left = self.checkpoints().left_to_journal.get();
        let result = if left == 0 {
            self.checkpoint().await.map(|()| 0)
        } else {
            // One that is under way gives up soon.
            let turn = self.checkpoints().turn.acquire_permit(1).await;
            turn.map(|_| left).map_err(|_| StorageError::Closed)
        };
        self.committer().files.close().await;
        result
    }
}

/// What a start finds by name: compaction must leave it alone.
fn newest_segment(record: &LogRecord) -> Offset {
    record.written.as_ref().map_or(Offset::ZERO, |written| written.base)
}

impl Log {
    /// What the manifest says of this log, if all of it is in its files. What is removed has no record.
    pub(super) fn record_at_rest(&self) -> Option<LogRecord> {
        let state = self.state.borrow();
        let rests = state.is_written_to(state.bounds.end) && state.phase.check_writing().is_ok();
        drop(state);
        rests.then(|| self.record())
    }

    /// The record of the log as it is now.
    pub(super) fn record(&self) -> LogRecord {
        let producers = self.observer.producer_snapshot();
        let state = self.state.borrow();
        let active = state.active();
        if state.end_unsettled {
            // The next start reads the segments from the newest snapshot in a file.
            return LogRecord {
                place: self.place.in_journal(),
                log_start: state.bounds.start_asked,
                written: None,
            };
        }
        // One that has no batch yet begins anew with the next leader.
        let epochs = state.epochs.entries().iter().filter(|entry| entry.start_offset < active.next_offset);
        let epochs = epochs.map(|entry| (entry.epoch, entry.start_offset)).collect();
        LogRecord {
            place: self.place.in_journal(),
            log_start: state.bounds.start_asked,
            written: Some(Written {
                base: active.base,
                next_offset: active.next_offset,
                size_bytes: active.size,
                largest_timestamp: active.times.largest,
                largest_at: active.times.largest_at,
                first_batch: active.times.first_batch,
                first_append: active.times.first_append,
                last_append: active.times.last_append,
                epochs,
                producers,
            }),
        }
    }

    /// Writes what the log has now to its segments; the record of that. `None` if the log was removed meanwhile.
    async fn write_record(self: &Rc<Self>) -> Result<Option<LogRecord>, StorageError> {
        if self.store.is_hurried() {
            return Err(StorageError::Closed);
        }
        let record = self.record();
        let end = self.log_end_offset();
        match self.write_back(end).await {
            Ok(()) => {
                if self.holds_much_index(false) {
                    self.spill_or_keep().await;
                }
                Ok(Some(record))
            }
            Err(_) if matches!(self.state.borrow().phase, Phase::Removed) => Ok(None),
            // What is in flight may be acknowledged once the disk has room.
            Err(error) if error.is_storage_full() => Err(error),
            Err(error) => self.record_of_failed().map(Some).ok_or(error),
        }
    }

    async fn spill_or_keep(&self) {
        if let Err(error) = self.spill_index().await {
            tracing::warn!(log = %self.directory.display(), %error, "an index is kept in memory");
        }
    }

    /// Of a log that takes no more writes: only its start, and that only if the journal has nothing that its files lack.
    fn record_of_failed(&self) -> Option<LogRecord> {
        let state = self.state.borrow();
        let bounds = state.bounds;
        (bounds.written_end >= bounds.durable_end).then(|| LogRecord {
            place: self.place.in_journal(),
            log_start: bounds.start_asked,
            written: None,
        })
    }
}
