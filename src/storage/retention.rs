//! Taking records away: from the start by retention and DeleteRecords, from the end by truncation.
//!
//! Key invariant: the log start moves durably, in the journal, before anything below it goes, so that no crash brings deleted
//! records or used offsets back. Only finished segments are deleted; the active one is rolled first. Files are renamed at once and
//! removed after `file.delete.delay.ms`, so that a reader still at one is not cut short.

use std::path::PathBuf;
use std::rc::Rc;

use super::error::StorageError;
use super::journal::{EntryHeader, EntryKind};
use super::log::{Log, LogSettings, Phase, Position, State};
use super::place::{self, INDEX_SUFFIX, LOG_SUFFIX, PRODUCERS_SUFFIX};
use super::remove;
use super::scan;
use super::segment::Segment;
use crate::io::{Access, IoClass};
use crate::model::{LeaderEpoch, Offset, TimestampMs};
use crate::record::HEADER_BYTES;

impl Log {
    /// Moves the log start up to `offset`, durably, and deletes the segments wholly below it (DeleteRecords, KIP-107).
    /// An offset at or below the start changes nothing; one above the durable end is `OutOfRange`.
    pub async fn advance_log_start(self: &Rc<Self>, offset: Offset) -> Result<(), StorageError> {
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        let bounds = {
            let state = self.state.borrow();
            if matches!(state.phase, Phase::Closed | Phase::Removed) {
                return Err(StorageError::Closed);
            }
            if state.end_unsettled {
                // What a failed cut left nobody knows before the next start.
                state.phase.check()?;
            }
            state.bounds
        };
        if offset > bounds.durable_end {
            return Err(StorageError::OutOfRange { offset, start: bounds.start, end: bounds.durable_end });
        }
        if offset > bounds.start {
            self.save_log_start(offset).await?;
        }
        self.delete_below_start().await.map(|_| ())
    }

    /// Deletes what `retention.ms`, `retention.bytes` and the log start allow; returns how many segments went.
    pub async fn apply_retention(self: &Rc<Self>, now: TimestampMs) -> Result<usize, StorageError> {
        self.forget_dropped();
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        self.state.borrow().phase.check()?;
        let settings = self.settings.get();
        // What lies below the start already does not count for what expires.
        let below = self.state.borrow().end_below_start();
        if let Some(end) = below {
            self.write_back(end).await?;
        }
        let deleted = self.delete_below_start().await?;
        if settings.delete {
            let (doomed, roll) = self.state.borrow().doomed(&settings, now);
            if roll {
                self.roll();
            }
            let end = {
                let state = self.state.borrow();
                doomed.checked_sub(1).map(|last| state.segments[last].next_offset)
            };
            if let Some(end) = end {
                // Only what is finished is deleted: it must not be half written when its file goes.
                self.write_back(end).await?;
                self.state.borrow().phase.check()?;
            }
            let start = self.state.borrow().start_after(doomed);
            if let Some(start) = start {
                self.save_log_start(start).await?;
            }
        }
        Ok(deleted + self.delete_below_start().await?)
    }

    /// Makes a higher log start durable, then visible.
    async fn save_log_start(self: &Rc<Self>, offset: Offset) -> Result<(), StorageError> {
        {
            let bounds = &mut self.state.borrow_mut().bounds;
            bounds.start_asked = bounds.start_asked.max(offset);
        }
        self.store.mark(self.mark(EntryKind::LogStart, offset)).await?;
        let mut state = self.state.borrow_mut();
        state.bounds.start = state.bounds.start.max(offset);
        if state.epochs.truncate_start(offset) {
            state.on_disk.epochs_stale = true;
        }
        state.check_invariants();
        Ok(())
    }

    /// An entry of the journal that holds no records.
    fn mark(&self, kind: EntryKind, offset: Offset) -> EntryHeader {
        let epoch = self.latest_epoch().unwrap_or(LeaderEpoch::UNKNOWN);
        EntryHeader { kind, place: self.place.in_journal(), epoch, offset, end: offset }
    }

    /// Deletes the finished segments that lie wholly below the log start.
    async fn delete_below_start(self: &Rc<Self>) -> Result<usize, StorageError> {
        let below = |state: &State, start: Offset| {
            let first = &state.segments[0];
            state.segments.len() > 1 && first.next_offset <= start && first.is_finished()
        };
        let start = self.log_start_offset();
        if !below(&self.state.borrow(), start) {
            return Ok(0);
        }
        // Batches that no snapshot covers would be lost to their producers. One above the log start may go with a cut.
        let covered = self.snapshots().await?.into_iter().filter(|offset| *offset <= start).max();
        let Some(start) = covered else { return Ok(0) };
        let gone: Vec<Segment> = {
            let mut state = self.state.borrow_mut();
            let count = state
                .segments
                .iter()
                .take_while(|segment| segment.next_offset <= start && segment.is_finished())
                .count();
            // The last one is active and stays.
            let count = count.min(state.segments.len() - 1);
            let gone = state.segments.drain(..count).collect::<Vec<_>>();
            let first = state.segments[0].base;
            state.chunks.retain(|chunk| chunk.segment >= first);
            if state.flow.durable_at.segment < first {
                // All of what went was durable.
                state.flow.durable_at = Position { segment: first, bytes: 0 };
            }
            gone
        };
        let bases: Vec<Offset> = gone.iter().map(|segment| segment.base).collect();
        let deleted = self.set_aside(&bases).await?;
        self.discard_later(deleted);
        Ok(gone.len())
    }

    /// Renames the files of segments out of the way, in the order given.
    async fn set_aside(&self, bases: &[Offset]) -> Result<Vec<PathBuf>, StorageError> {
        if bases.is_empty() {
            return Ok(vec![]);
        }
        let disk = self.store.disk();
        let mut renamed = Vec::with_capacity(bases.len());
        let _names = self.names.write().await.map_err(|_| StorageError::Closed)?;
        for base in bases {
            self.store.forget((self.number, *base));
            for suffix in [INDEX_SUFFIX, PRODUCERS_SUFFIX] {
                let path = place::file_of(&self.directory, *base, suffix);
                disk.remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
            }
            let path = place::file_of(&self.directory, *base, LOG_SUFFIX);
            let deleted = place::deleted_file(&path);
            if remove::rename(disk, &path, &deleted).await? {
                renamed.push(deleted);
            }
        }
        Ok(renamed)
    }

    /// Cuts the log at the batch that holds `offset`: that batch and all after it go. Returns the new log end, which is
    /// below `offset` if that lay within a batch. Whoever waits for what is cut off gets `OutOfRange`. The caller sees to
    /// it that nothing is appended meanwhile, rebuilds its producer state, and says so ([`Self::producers_rebuilt`]).
    pub async fn truncate_to(self: &Rc<Self>, offset: Offset) -> Result<Offset, StorageError> {
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        // Nothing of what is cut may reach the journal or a segment afterwards.
        let bounds = self.state.borrow().bounds;
        self.write_back(bounds.end).await?;
        self.wait_idle().await;
        {
            let mut state = self.state.borrow_mut();
            state.phase.check()?;
            let bounds = state.bounds;
            if offset >= bounds.end {
                return Ok(bounds.end);
            }
            if offset < bounds.start {
                return Err(StorageError::OutOfRange { offset, start: bounds.start, end: bounds.end });
            }
            // Holds the flusher off.
            state.flow.flushing = true;
            state.end_unsettled = true;
        }
        let result = self.truncate_files(offset).await;
        self.state.borrow_mut().flow.flushing = false;
        if let Err(error) = &result {
            self.poison(error);
        }
        self.kick();
        let end = result?;
        // The manifest still names the bytes that are gone. Until it does not, a crash repeats the cut; nothing may have
        // been appended after it by then.
        if let Err(error) = self.store.checkpoint().await {
            self.poison(&error);
            return Err(error);
        }
        Ok(end)
    }

    async fn truncate_files(self: &Rc<Self>, offset: Offset) -> Result<Offset, StorageError> {
        self.prepare_directory().await?;
        self.forget_cleaned().await?;
        let Cut { segment: base, position, end } = self.batch_position(offset).await?;
        self.store.mark(self.mark(EntryKind::Truncate, end)).await?;
        let start = self.log_start_offset();
        // A cut within the batch that holds the log start leaves nothing: the log begins anew at its start, without
        // producers.
        let nothing_left = end < start;
        self.remove_snapshots_above(if nothing_left { Offset::NONE } else { end }).await?;
        let writer = self.state.borrow_mut().writer.take();
        if let Some(writer) = writer {
            let failed = StorageError::io("closing", &self.directory);
            writer.file.close().await.map_err(failed)?;
        }
        let later: Vec<Offset> = {
            let state = self.state.borrow();
            let bases = state.segments.iter().rev().map(|segment| segment.base);
            bases.filter(|later| *later > base || nothing_left).collect()
        };
        // Newest first: a crash in between leaves a log without a gap.
        let deleted = self.set_aside(&later).await?;
        remove::remove_later(self.store.disk(), deleted, self.settings.get().delete_delay());
        self.store.forget((self.number, base));
        if nothing_left {
            self.replace_end(Segment::new(start));
            self.save_epochs().await?;
            return Ok(start);
        }
        let index = place::file_of(&self.directory, base, INDEX_SUFFIX);
        let disk = self.store.disk();
        disk.remove_file(&index).await.map_err(StorageError::io("removing", &index))?;
        disk.sync_directory(&self.directory).await.map_err(StorageError::io("syncing", &self.directory))?;
        let segment = self.cut_and_rebuild(base, position).await?;
        let end = segment.next_offset;
        self.replace_end(segment);
        self.save_epochs().await?;
        Ok(end)
    }

    fn replace_end(&self, segment: Segment) {
        let mut state = self.state.borrow_mut();
        self.store.remove_undurable(state.flow.undurable_bytes);
        self.store.remove_unwritten(state.unwritten_bytes());
        self.store.read_ahead().forget_log(self.number);
        state.replace_end(segment);
    }

    /// Removes, durably, the producer snapshots of offsets that the log is about to lose.
    async fn remove_snapshots_above(&self, end: Offset) -> Result<(), StorageError> {
        let disk = self.store.disk();
        for offset in self.snapshots().await?.into_iter().filter(|offset| *offset > end) {
            let path = place::file_of(&self.directory, offset, PRODUCERS_SUFFIX);
            disk.remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
        }
        disk.sync_directory(&self.directory).await.map_err(StorageError::io("syncing", &self.directory))
    }

    /// The offsets of the producer snapshots that are in files of their own.
    async fn snapshots(&self) -> Result<Vec<Offset>, StorageError> {
        let listing = self.store.disk().list(&self.directory).await;
        let listing = listing.map_err(StorageError::io("listing", &self.directory))?.unwrap_or_default();
        Ok(listing.iter().filter_map(|facts| place::offset_of(&facts.name, PRODUCERS_SUFFIX)).collect())
    }

    /// Cuts a segment's file, durably, and reads what is left of it.
    async fn cut_and_rebuild(&self, base: Offset, size: u64) -> Result<Segment, StorageError> {
        let path = place::file_of(&self.directory, base, LOG_SUFFIX);
        let failed = || StorageError::io("truncating", &path);
        let seen = self.state.borrow().segments.iter().find(|s| s.base == base).map(|s| s.times.last_append);
        let file = {
            let _names = self.names.read().await.map_err(|_| StorageError::Closed)?;
            self.store.disk().open_file(&path, Access::Durable).await.map_err(failed())?
        };
        file.truncate(size).await.map_err(failed())?;
        let interval = self.settings.get().index_interval_bytes;
        let seen = seen.unwrap_or(TimestampMs::NONE);
        let segment = scan::rebuild(file.clone(), &path, (base, size), interval, seen).await?;
        file.close().await.map_err(failed())?;
        Ok(segment)
    }

    /// The batch that holds `offset`.
    async fn batch_position(&self, offset: Offset) -> Result<Cut, StorageError> {
        let place = self.locate(offset).await?;
        let mut position = place.position;
        while position < place.size {
            let window = self.window(&place, position, HEADER_BYTES as u64, IoClass::ColdRead).await?;
            let header =
                crate::record::BatchHeader::parse(&window).map_err(|_| self.damaged(&place, position))?;
            if header.next_offset() > offset {
                return Ok(Cut { segment: place.segment, position, end: header.base_offset });
            }
            position += u64::from(header.size_bytes);
        }
        // Compaction took the segment's last batches, and what they were goes for good.
        Ok(Cut { segment: place.segment, position: place.size, end: offset })
    }
}

/// Where a log is cut.
struct Cut {
    segment: Offset,
    position: u64,
    /// The first offset that goes.
    end: Offset,
}

impl State {
    /// Bytes that are not in their segments' files yet.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        let unfinished = self.segments.iter().rev().take_while(|segment| !segment.is_finished());
        unfinished.map(|segment| segment.size - segment.written).sum()
    }

    /// Where the last segment ends that lies wholly below the log start and takes no more appends.
    fn end_below_start(&self) -> Option<Offset> {
        let below = |segment: &&Segment| segment.next_offset <= self.bounds.start;
        let closed = self.segments.len() - 1;
        self.segments.iter().take(closed).take_while(below).last().map(|segment| segment.next_offset)
    }

    /// How many of the oldest segments retention takes, and whether the active one is among them.
    fn doomed(&self, settings: &LogSettings, now: TimestampMs) -> (usize, bool) {
        let expired = |segment: &Segment| {
            settings.retention_ms >= 0 && now.since(segment.age_bound()) > settings.retention_ms
        };
        let active = self.segments.len() - 1;
        // Compaction may leave a segment without records, which holds up nothing; only the active one stays for that.
        let removable = |at: usize| at < active || self.segments[at].size > 0;
        let size = self.segments.iter().map(|segment| segment.size).sum::<u64>();
        let mut excess =
            u64::try_from(settings.retention_bytes).ok().and_then(|bytes| size.checked_sub(bytes));
        let mut doomed = 0;
        while let Some(left) = excess.filter(|_| doomed <= active && removable(doomed)) {
            excess = left.checked_sub(self.segments[doomed].size);
            doomed += usize::from(excess.is_some());
        }
        // By time from there on, as in Kafka: what size takes need not have expired.
        while doomed <= active && removable(doomed) && expired(&self.segments[doomed]) {
            doomed += 1;
        }
        (doomed, doomed == self.segments.len() && self.active().size > 0)
    }

    /// Where the log starts once `doomed` segments are gone, if that is higher than now; only what is written goes.
    fn start_after(&self, doomed: usize) -> Option<Offset> {
        let last =
            self.segments.iter().take(doomed).take_while(|segment| segment.written == segment.size).last()?;
        Some(last.next_offset).filter(|start| *start > self.bounds.start)
    }

    /// Makes `segment` the active one, dropping what lies beyond it.
    fn replace_end(&mut self, segment: Segment) {
        let (base, end) = (segment.base, segment.next_offset);
        // An empty log that begins anew at its start has nothing before it either.
        let anew = segment.size == 0 && base == self.bounds.start;
        while self.segments.back().is_some_and(|last| last.base >= base || anew) {
            self.segments.pop_back();
        }
        self.segments.push_back(segment);
        self.chunks.retain(|chunk| chunk.next_offset() <= end);
        self.epochs.truncate_end(end);
        self.on_disk.epochs_stale = true;
        self.bounds.end = end;
        self.bounds.durable_end = end;
        self.bounds.written_end = end;
        self.flow.undurable_bytes = 0;
        self.flow.durable_at = self.end_position();
        self.flow.asked_to = self.flow.asked_to.min(end);
        self.on_disk.torn = false;
        let bounds = self.bounds;
        for waiter in self.waiting.durable.drain(..) {
            let error = StorageError::OutOfRange { offset: waiter.end, start: bounds.start, end };
            // Who no longer waits needs no answer.
            let _ = waiter.answer.send(Err(error));
        }
        self.check_invariants();
    }
}
