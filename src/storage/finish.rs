//! What surrounds a segment's bytes on disk: the directory, the end of a rolled segment, a close.
//!
//! Key invariant: a sidecar describes bytes that no longer change. It is written after what it describes is durable, and
//! removed durably before that changes again. All of them can be absent: recovery then reads the batches.

use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;

use super::error::StorageError;
use super::log::{Log, Phase, State};
use super::place::{self, EPOCHS_FILE, INDEX_SUFFIX, LOG_SUFFIX, METADATA_FILE, PRODUCERS_SUFFIX};
use super::segment::Stage;
use super::sidecar::{self, SegmentSummary};
use crate::io::{Access, File};
use crate::model::Offset;

/// Bytes of the active segment's index that an idle log holds in memory at most.
const IDLE_INDEX_BYTES_MAX: u64 = 1 << 10;
/// Bytes of the active segment's index that a busy log holds in memory at most, by and large.
const INDEX_BYTES_MAX: u64 = 128 << 10;

impl Log {
    /// Creates the directory and its `partition.metadata` unless they are there.
    pub(super) async fn prepare_directory(&self) -> Result<(), StorageError> {
        if self.state.borrow().on_disk.directory {
            return Ok(());
        }
        let disk = self.store.disk();
        let failed = || StorageError::io("creating", &self.directory);
        disk.create_directory(&self.directory).await.map_err(failed())?;
        let metadata = self.directory.join(METADATA_FILE);
        disk.replace_file(&metadata, self.place.metadata().into_bytes()).await.map_err(failed())?;
        self.state.borrow_mut().on_disk.directory = true;
        Ok(())
    }

    /// Ends a rolled segment whose bytes are all in its file: that is cut to them, its sidecars are written.
    pub(super) async fn finish(&self, base: Offset, snapshot: Option<Bytes>) -> Result<(), StorageError> {
        let file = self.state.borrow_mut().take_file(base);
        if let Err(error) = self.cut_file(base, file).await {
            self.state.borrow_mut().on_disk.reserved = true;
            return Err(error);
        }
        let (summary, next) = {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(base) else { return Ok(()) };
            (SegmentSummary::of(segment), segment.next_offset)
        };
        let saved = async {
            if let Some(snapshot) = snapshot {
                self.write_sidecar(next, PRODUCERS_SUFFIX, sidecar::seal(sidecar::PRODUCERS, &snapshot))
                    .await?;
            }
            if self.state.borrow().on_disk.epochs_stale {
                self.save_epochs().await?;
            }
            self.save_index(base, summary).await
        };
        let saved = saved.await;
        if let Err(error) = &saved {
            // Recovery does without them; only the next start is slower.
            tracing::warn!(log = %self.directory.display(), %error, "a closed segment lacks its sidecars");
        }
        if let Some(segment) = self.state.borrow_mut().segment_mut(base) {
            segment.stage = Stage::Finished;
            if saved.is_ok() {
                segment.index = None;
            }
        }
        Ok(())
    }

    /// Cuts a segment's file to the bytes that are in use, durably, and closes it.
    async fn cut_file(&self, base: Offset, file: LongFile) -> Result<(), StorageError> {
        let path = place::file_of(&self.directory, base, LOG_SUFFIX);
        let failed = || StorageError::io("closing", &path);
        let size = self.state.borrow_mut().segment_mut(base).map(|segment| segment.size);
        let (Some(size), true) = (size, file.reserved) else { return Ok(()) };
        let file = match file.writer {
            Some(file) => file,
            // It gave way to other writers.
            None => {
                let _names = self.names.read().await.map_err(|_| StorageError::Closed)?;
                self.store.disk().open_file(&path, Access::Durable).await.map_err(failed())?
            }
        };
        file.truncate(size).await.map_err(failed())?;
        file.close().await.map_err(failed())
    }

    /// Writes a segment's index, with what an earlier one on disk has of it.
    async fn save_index(&self, base: Offset, mut summary: SegmentSummary) -> Result<(), StorageError> {
        let path = place::file_of(&self.directory, base, INDEX_SUFFIX);
        let key = (self.number, base);
        let starts_later = summary.index.entries().first().is_none_or(|first| first.position > 0);
        if starts_later && summary.size > 0 {
            let mut whole = self.store.index(key, &path).await?.below(summary.size);
            whole.extend(&summary.index);
            summary.index = whole;
        }
        let written = self.write_sidecar(base, INDEX_SUFFIX, summary.encode()).await;
        self.store.forget_index(key);
        written
    }

    /// Whether the active segment's index takes memory that it should not: an idle log's, or more than a busy one needs.
    pub(super) fn holds_much_index(&self, idle: bool) -> bool {
        let state = self.state.borrow();
        let held = state.active().index.as_ref().map_or(0, |index| index.size_bytes());
        held > if idle { IDLE_INDEX_BYTES_MAX } else { INDEX_BYTES_MAX }
    }

    /// Writes the active segment's index as far as its file goes, and forgets that part. Losing it costs a walk.
    pub(super) async fn spill_index(&self) -> Result<(), StorageError> {
        let (base, written, summary) = {
            let state = self.state.borrow();
            let active = state.active();
            let Some(index) = &active.index else { return Ok(()) };
            let index = index.below(active.written);
            if index.is_empty() {
                return Ok(());
            }
            let summary = SegmentSummary {
                base: active.base,
                next_offset: state.bounds.written_end,
                size: active.written,
                times: active.times,
                index,
            };
            (active.base, active.written, summary)
        };
        self.save_index(base, summary).await?;
        if let Some(index) =
            self.state.borrow_mut().segment_mut(base).and_then(|segment| segment.index.as_mut())
        {
            index.forget_below(written);
        }
        Ok(())
    }

    async fn write_sidecar(
        &self,
        offset: Offset,
        suffix: &str,
        content: Vec<u8>,
    ) -> Result<(), StorageError> {
        let path = place::file_of(&self.directory, offset, suffix);
        self.store.disk().replace_file(&path, content).await.map_err(StorageError::io("writing", &path))
    }

    /// Saves the leader epochs in Kafka's format.
    pub(super) async fn save_epochs(&self) -> Result<(), StorageError> {
        let _alone = self.saving.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        let (path, content) = self.take_epochs();
        self.store.disk().replace_file(&path, content).await.map_err(StorageError::io("writing", &path))
    }

    /// The epochs' file and what it is to hold; whoever takes it writes it.
    fn take_epochs(&self) -> (PathBuf, Vec<u8>) {
        let mut state = self.state.borrow_mut();
        state.on_disk.epochs_stale = false;
        (self.directory.join(EPOCHS_FILE), state.epochs.encode().into_bytes())
    }

    /// Makes everything durable and writes it to the segments, leaves the files as Kafka's tools expect them, and takes no
    /// more appends. What the next start needs to know is in the shard's manifest ([`super::Store::close`]). A poisoned log
    /// is closed without that, and says so.
    pub async fn close(self: &Rc<Self>) -> Result<(), StorageError> {
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        let end = {
            let mut state = self.state.borrow_mut();
            if matches!(state.phase, Phase::Closed | Phase::Removed) {
                return Ok(());
            }
            state.phase.check()?;
            state.phase = Phase::Closed;
            state.bounds.end
        };
        let closed = self.close_files(end).await;
        if let Err(error) = &closed {
            // Nobody is to wait for what will not be written.
            self.poison(error);
        }
        if closed.is_ok() && !self.store.note_closed(self) {
            // Its end is in the journal only: the next start replays it.
            self.store.leave_to_journal(self);
        }
        self.discard_spares();
        self.store.forget_files(self.number);
        let writer = self.state.borrow_mut().writer.take();
        if let Some(writer) = writer {
            let failed = StorageError::io("closing", &self.directory);
            writer.file.close().await.map_err(failed)?;
        }
        closed
    }

    async fn close_files(self: &Rc<Self>, end: Offset) -> Result<(), StorageError> {
        if self.store.is_hurried() {
            self.wait_durable(end).await?;
            self.wait_idle().await;
            return Ok(());
        }
        // On a full disk durability is waited for, the file is not.
        self.write_back(end).await?;
        self.wait_idle().await;
        let (base, file, on_disk) = {
            let mut state = self.state.borrow_mut();
            let base = state.active().base;
            (base, state.take_file(base), state.on_disk)
        };
        self.cut_file(base, file).await?;
        if on_disk.directory && on_disk.epochs_stale {
            self.leave_epochs().await?;
        }
        if self.holds_much_index(true) { self.spill_index().await } else { Ok(()) }
    }

    /// As [`Self::save_epochs`], for Kafka's tools: the last manifest has them durably, so that thousands of logs close within a
    /// second.
    async fn leave_epochs(&self) -> Result<(), StorageError> {
        let (path, content) = self.take_epochs();
        self.store.disk().put_file(&path, content).await.map_err(StorageError::io("writing", &path))
    }

    /// Waits until nothing is being written.
    pub(super) async fn wait_idle(&self) {
        let receiver = {
            let mut state = self.state.borrow_mut();
            if !state.flow.flushing {
                return;
            }
            let (idle, receiver) = oneshot::channel();
            state.waiting.idle.push(idle);
            receiver
        };
        // The flusher answers, or is gone with its executor.
        let _ = receiver.await;
    }
}

/// A segment's file that may be longer than its batches.
struct LongFile {
    /// Absent if it gave way to other writers.
    writer: Option<Rc<File>>,
    reserved: bool,
}

impl State {
    /// Takes the writer of a segment, the only one whose file can be too long.
    fn take_file(&mut self, base: Offset) -> LongFile {
        let writer = self.writer.take_if(|writer| writer.segment == base);
        let reserved = std::mem::take(&mut self.on_disk.reserved);
        // Whoever takes it cuts it.
        self.on_disk.torn = false;
        LongFile { writer: writer.map(|writer| writer.file), reserved }
    }
}
