//! What surrounds a segment's bytes on disk: the directory, the end of a rolled segment, the mark of a clean close.
//!
//! Key invariant: a sidecar describes a file that no longer changes. It is written after what it describes is durable, and
//! removed durably before that changes again. All of them can be absent: recovery then reads the batches.

use std::rc::Rc;

use bytes::Bytes;
use futures_channel::oneshot;

use super::error::StorageError;
use super::log::{Log, Phase, State};
use super::place::{
    self, CLEAN_CLOSE_FILE, EPOCHS_FILE, INDEX_SUFFIX, LOG_SUFFIX, METADATA_FILE, PRODUCERS_SUFFIX,
};
use super::segment::Stage;
use super::sidecar::{self, SegmentSummary};
use crate::io::{Access, File};
use crate::model::Offset;

impl Log {
    /// Creates the directory and its `partition.metadata` unless they are there, and removes the mark of a clean close.
    pub(super) async fn prepare_directory(&self) -> Result<(), StorageError> {
        let disk = self.store.disk();
        let on_disk = self.state.borrow().on_disk;
        if !on_disk.directory {
            let failed = || StorageError::io("creating", &self.directory);
            disk.create_directory(&self.directory).await.map_err(failed())?;
            let metadata = self.directory.join(METADATA_FILE);
            disk.replace_file(&metadata, self.place.metadata().into_bytes()).await.map_err(failed())?;
            self.state.borrow_mut().on_disk.directory = true;
        }
        if on_disk.clean_mark {
            let mark = self.directory.join(CLEAN_CLOSE_FILE);
            let failed = || StorageError::io("removing", &mark);
            disk.remove_file(&mark).await.map_err(failed())?;
            disk.sync_directory(&self.directory).await.map_err(failed())?;
            self.state.borrow_mut().on_disk.clean_mark = false;
        }
        Ok(())
    }

    /// Takes what belongs to a rolled segment whose bytes are all durable; the flusher is free for the next one.
    pub(super) fn begin_finish(&self, base: Offset, snapshot: Bytes) -> Unfinished {
        let mut state = self.state.borrow_mut();
        state.finishing += 1;
        if let Some(segment) = state.segment_mut(base) {
            segment.stage = Stage::Finishing;
        }
        Unfinished { base, snapshot, file: state.take_file(base) }
    }

    /// Ends a segment: its file is cut to its bytes, its sidecars written.
    pub(super) async fn finish(&self, unfinished: Unfinished) {
        if let Err(error) = self.finish_segment(unfinished).await {
            self.poison(&error);
        }
        let mut state = self.state.borrow_mut();
        state.finishing -= 1;
        state.tell_idle();
    }

    async fn finish_segment(&self, unfinished: Unfinished) -> Result<(), StorageError> {
        let Unfinished { base, snapshot, file } = unfinished;
        self.cut_file(base, file).await?;
        let (summary, next) = {
            let mut state = self.state.borrow_mut();
            let Some(segment) = state.segment_mut(base) else { return Ok(()) };
            (SegmentSummary::of(segment), segment.next_offset)
        };
        let saved = async {
            self.write_sidecar(next, PRODUCERS_SUFFIX, sidecar::seal(sidecar::PRODUCERS, &snapshot)).await?;
            {
                let mut state = self.state.borrow_mut();
                state.snapshot_at = state.snapshot_at.max(next);
            }
            if self.state.borrow().on_disk.epochs_stale {
                self.save_epochs().await?;
            }
            self.write_sidecar(base, INDEX_SUFFIX, summary.encode()).await
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
        let content = {
            let mut state = self.state.borrow_mut();
            state.on_disk.epochs_stale = false;
            state.epochs.encode()
        };
        let path = self.directory.join(EPOCHS_FILE);
        self.store
            .disk()
            .replace_file(&path, content.into_bytes())
            .await
            .map_err(StorageError::io("writing", &path))
    }

    /// Makes everything durable, leaves the log so that the next start need not scan it, and takes no more appends.
    /// A poisoned log is closed without that, and says so.
    pub async fn close(self: &Rc<Self>) -> Result<(), StorageError> {
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        let end = {
            let state = self.state.borrow();
            if matches!(state.phase, Phase::Closed) {
                return Ok(());
            }
            state.bounds.end
        };
        let flushed = self.wait_durable(end).await;
        self.wait_idle().await;
        let (touched, open) = {
            let mut state = self.state.borrow_mut();
            let touched = !state.on_disk.clean_mark || state.on_disk.epochs_stale;
            let open = state.phase.check();
            if open.is_ok() {
                state.phase = Phase::Closed;
            }
            (touched && state.on_disk.directory, open)
        };
        let flushed = flushed.and(open);
        let touched = touched && flushed.is_ok();
        let result = if touched { self.leave_clean_mark().await } else { Ok(()) };
        self.store.forget_log(self.number);
        let writer = self.state.borrow_mut().writer.take();
        if let Some(writer) = writer {
            let failed = StorageError::io("closing", &self.directory);
            writer.file.close().await.map_err(failed)?;
        }
        flushed.and(result)
    }

    async fn leave_clean_mark(&self) -> Result<(), StorageError> {
        let (base, file) = {
            let mut state = self.state.borrow_mut();
            let base = state.active().base;
            (base, state.take_file(base))
        };
        self.cut_file(base, file).await?;
        if self.state.borrow().on_disk.epochs_stale {
            self.save_epochs().await?;
        }
        let snapshot = self.observer.producer_snapshot();
        let content =
            sidecar::encode_clean_mark(&SegmentSummary::of(self.state.borrow().active()), &snapshot);
        let path = self.directory.join(CLEAN_CLOSE_FILE);
        let failed = StorageError::io("writing", &path);
        // Not synced, so that thousands of logs close within a second. Lost or torn, it reads as absent, and the log is
        // scanned.
        self.store.disk().put_file(&path, content).await.map_err(failed)?;
        self.state.borrow_mut().on_disk.clean_mark = true;
        Ok(())
    }

    /// Waits until nothing is being flushed or finished.
    pub(super) async fn wait_idle(&self) {
        let receiver = {
            let mut state = self.state.borrow_mut();
            if !state.flushing && state.finishing == 0 {
                return;
            }
            let (idle, receiver) = oneshot::channel();
            state.idle.push(idle);
            receiver
        };
        // The flusher answers, or is gone with its executor.
        let _ = receiver.await;
    }
}

/// A segment on its way to being finished.
pub(super) struct Unfinished {
    base: Offset,
    snapshot: Bytes,
    file: LongFile,
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
        LongFile { writer: writer.map(|writer| writer.file), reserved }
    }
}
