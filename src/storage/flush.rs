//! Writing to the segments: what a checkpoint asks for, and what is too large for the journal.
//!
//! Key invariant: one group of a log is in flight, the next fills meanwhile. A group is the segment's bytes from its
//! written end to its end, in blocks; it counts only when all of its writes are durable. The block that holds the written end
//! is written again with the same bytes before it. What the device reads never changes: finished bytes of chunks, and copies of
//! blocks that are not full (`gather`).
//! Any failure poisons the log, but for a full disk: that is tried again.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future::yield_now;

use super::commit::SPACE_RETRY;
use super::error::StorageError;
use super::gather;
use super::log::{Log, Phase, Position, State, Writer};
use super::place::{self, LOG_SUFFIX};
use super::segment::{Segment, Stage};
use super::store::JournalLimits;
use crate::io::{
    Access, BACKGROUND_WRITE_BYTES, BLOCK_BYTES, File, IoClass, QUEUE_PLACES, QUEUE_PLACES_MORE, align_down,
    align_up,
};
use crate::model::Offset;

/// Bytes of one direct write that someone waits for; a group has several of them in flight. To space that was reserved the file
/// system writes of its own for each, so fewer are better: bulk took a sixth more with 512 than with 256 KiB. Of these
/// two fit into the queue of a virtual disk.
const BYPASS_WRITE_BYTES_MAX: u64 = 480 << 10;
const _: () = assert!(2 * (BYPASS_WRITE_BYTES_MAX / BLOCK_BYTES + QUEUE_PLACES_MORE) <= QUEUE_PLACES);
/// Bytes of one direct write of a checkpoint. What is more urgent waits for one of these.
const CHECKPOINT_WRITE_BYTES_MAX: u64 = BACKGROUND_WRITE_BYTES;
/// The first reservation of a new file.
const RESERVE_BYTES_MIN: u64 = 64 << 10;
/// The largest step by which a file's reservation grows.
const RESERVE_BYTES_MAX: u64 = 32 << 20;

/// What the flusher does next.
enum Work {
    /// Write a segment's dirty bytes.
    Write(Group),
    /// Cut a rolled segment's file to its size and write its sidecars.
    Finish { segment: Offset, snapshot: Option<Bytes> },
}

/// One group of writes.
struct Group {
    segment: Offset,
    /// The written end rounded down to a block.
    from: u64,
    written: u64,
    to: u64,
    /// The offset that `to` stands for.
    end: Offset,
    /// The bytes of `from..to` that are in memory, in order.
    parts: Rc<Vec<(u64, Bytes)>>,
    /// Someone waits for its durability: it was too much for the journal.
    bypass: bool,
}

impl Group {
    fn class(&self) -> IoClass {
        if self.bypass { IoClass::Bypass } else { IoClass::Checkpoint }
    }

    fn write_bytes_max(&self) -> u64 {
        if self.bypass { BYPASS_WRITE_BYTES_MAX } else { CHECKPOINT_WRITE_BYTES_MAX }
    }
}

impl Log {
    /// Starts the flusher unless it runs.
    pub(super) fn kick(self: &Rc<Self>) {
        let starts = {
            let flow = &mut self.state.borrow_mut().flow;
            !std::mem::replace(&mut flow.flushing, true)
        };
        if starts {
            let log = self.clone();
            glommio::spawn_local(async move { log.flush_all().await }).detach();
        }
    }

    /// Has what was appended made durable by the committer, unless the flusher is about to.
    pub(super) fn commit_soon(self: &Rc<Self>) {
        let queues = {
            let flow = &mut self.state.borrow_mut().flow;
            !flow.bypassing && flow.undurable_bytes > 0 && !std::mem::replace(&mut flow.queued, true)
        };
        if queues {
            self.store.commit(self.clone());
        }
    }

    async fn flush_all(self: Rc<Self>) {
        // glommio polls a new task at once: without this turn the first append of many would go alone.
        yield_now().await;
        while let Some(work) = self.next_work() {
            self.store.disk().home().drain();
            match self.do_work(work).await {
                Ok(()) => self.state.borrow_mut().flow.full = false,
                Err(error) if error.is_storage_full() => {
                    if !std::mem::replace(&mut self.state.borrow_mut().flow.full, true) {
                        tracing::warn!(log = %self.directory.display(), %error, "the log waits for space");
                    }
                    self.wait_for_space(&error).await;
                }
                Err(error) => self.poison(&error),
            }
            self.state.borrow_mut().tell_written();
        }
    }

    /// The disk is full. Who waits for the file learns of it and may come again: a checkpoint must not wait for ever. Who
    /// waits for durability waits on, and for them it is tried again later.
    async fn wait_for_space(&self, error: &StorageError) {
        let waiters = {
            let mut state = self.state.borrow_mut();
            state.flow.asked_to = Offset::ZERO;
            std::mem::take(&mut state.waiting.written)
        };
        for waiter in waiters {
            // Who no longer waits needs no answer.
            let _ = waiter.answer.send(Err(error.clone()));
        }
        let waits = self.state.borrow().bypasses(&self.store.limits().journal);
        if waits {
            self.store.disk().sleep(SPACE_RETRY).await;
        }
    }

    /// What is to be done; `None`, and the flusher is off, if nothing is.
    fn next_work(self: &Rc<Self>) -> Option<Work> {
        let limits = self.store.limits().journal;
        let work = {
            let mut state = self.state.borrow_mut();
            let work = match state.phase {
                Phase::Poisoned(_) | Phase::Removed => None,
                Phase::Open | Phase::Closed => state.next_work(&limits),
            };
            // While a segment is finished, the journal takes what comes.
            state.flow.bypassing = matches!(&work, Some(Work::Write(group)) if group.bypass);
            if work.is_none() {
                state.flow.flushing = false;
                state.tell_written();
                state.tell_idle();
            }
            work
        };
        // What is not bypassed need not wait for the flusher.
        self.commit_soon();
        if work.is_none() {
            self.store.close_idle_writers();
        }
        work
    }

    async fn do_work(self: &Rc<Self>, work: Work) -> Result<(), StorageError> {
        match work {
            Work::Write(group) => {
                self.write_group(&group).await?;
                self.group_written(&group);
                Ok(())
            }
            Work::Finish { segment, snapshot } => self.finish(segment, snapshot).await,
        }
    }

    async fn write_group(self: &Rc<Self>, group: &Group) -> Result<(), StorageError> {
        let path = place::file_of(&self.directory, group.segment, LOG_SUFFIX);
        let file = self.writer(group.segment, align_up(group.to)).await?;
        let failed = || StorageError::io("writing", &path);
        let parts = match self.head_bytes(&file, group).await.map_err(failed())? {
            Some(head) => Rc::new(std::iter::once(head).chain(group.parts.iter().cloned()).collect()),
            None => group.parts.clone(),
        };
        let mut writes = Vec::new();
        let mut at = group.from;
        while at < group.to {
            let to = align_up(group.to).min(at + group.write_bytes_max());
            let (file, class, parts, from) = (file.clone(), group.class(), parts.clone(), at);
            writes.push(glommio::spawn_local(async move {
                let gather = || gather::blocks(&parts, from, to);
                file.write_gathered(from, (to - from) as usize, class, gather).await
            }));
            at = to;
        }
        let mut result = Ok(());
        // All of them are awaited, also after a failure: none may still be writing when the log is given up.
        for write in writes {
            result = result.and(write.await);
        }
        result.map_err(failed())
    }

    /// The written bytes of the block that the group begins in, where they are in memory no more.
    async fn head_bytes(&self, file: &Rc<File>, group: &Group) -> std::io::Result<Option<(u64, Bytes)>> {
        let in_memory = group.parts.first().map_or(group.to, |(at, _)| *at);
        if in_memory <= group.from {
            return Ok(None);
        }
        debug_assert!(in_memory <= group.written, "dirty bytes stay in memory");
        let block = file.read_at(group.from, BLOCK_BYTES as usize, group.class()).await?;
        let wanted = (in_memory - group.from) as usize;
        if block.len() < wanted {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the last block is gone"));
        }
        Ok(Some((group.from, block.slice(..wanted))))
    }

    /// The segment's file, open for durable writes, at least `bytes` long where the file system can reserve.
    async fn writer(self: &Rc<Self>, segment: Offset, bytes: u64) -> Result<Rc<File>, StorageError> {
        let open = {
            let state = self.state.borrow();
            let writer = state.writer.as_ref().filter(|writer| writer.segment == segment);
            writer.map(|writer| (writer.file.clone(), writer.allocated))
        };
        let (file, allocated) = match open {
            Some(open) => open,
            None => self.open_writer(segment).await?,
        };
        if bytes > allocated {
            let step = allocated.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
            let segment_bytes = align_up(u64::from(self.settings.get().segment_bytes));
            let wanted = bytes.max((allocated + step).min(segment_bytes));
            // Without a reservation the writes extend the file themselves.
            let reserve = self.store.disk().admit_reservation(wanted - allocated);
            let allocated = match reserve {
                true if file.preallocate(wanted).await.is_ok() => wanted,
                _ => bytes,
            };
            let mut state = self.state.borrow_mut();
            state.on_disk.reserved = true;
            if let Some(writer) = &mut state.writer {
                writer.allocated = allocated;
            }
        }
        Ok(file)
    }

    /// Opens the segment's file, after the directory and its names are in order.
    async fn open_writer(self: &Rc<Self>, segment: Offset) -> Result<(Rc<File>, u64), StorageError> {
        self.prepare_directory().await?;
        let path = place::file_of(&self.directory, segment, LOG_SUFFIX);
        let begins = {
            let state = self.state.borrow();
            state.segments.iter().any(|other| other.base == segment && other.written == 0)
        };
        if begins {
            self.take_spare(&path).await;
        }
        let disk = self.store.disk();
        let failed = || StorageError::io("opening", &path);
        let file = {
            let _names = self.names.read().await.map_err(|_| StorageError::Closed)?;
            disk.open_file(&path, Access::Durable).await.map_err(failed())?
        };
        let torn_after = {
            let state = self.state.borrow();
            let found = state.segments.iter().find(|other| other.base == segment);
            found.filter(|_| state.on_disk.torn).map(|found| found.written)
        };
        if let Some(written) = torn_after {
            // What a crash left behind the last batch must never come back behind later ones.
            file.truncate(written).await.map_err(failed())?;
            self.state.borrow_mut().on_disk.torn = false;
        }
        let allocated = file.size().await.map_err(failed())?;
        if begins {
            disk.sync_directory(&self.directory).await.map_err(failed())?;
        }
        let writer = Writer { segment, file: file.clone(), allocated };
        let old = {
            let mut state = self.state.borrow_mut();
            state.on_disk.reserved |= allocated > 0;
            state.writer.replace(writer)
        };
        if let Some(old) = old {
            old.file.close().await.map_err(failed())?;
        }
        self.store.writer_opened(self);
        Ok((file, allocated))
    }

    /// Takes note that a group is in the segment's file, and tells those who wait.
    fn group_written(self: &Rc<Self>, group: &Group) {
        {
            let mut state = self.state.borrow_mut();
            if state.phase.check_writing().is_err() {
                // Given up while this was in flight; whoever waited knows.
                return;
            }
            if let Some(segment) = state.segment_mut(group.segment) {
                self.store.remove_unwritten(group.to - segment.written);
                segment.written = group.to;
            }
            for chunk in state.chunks.iter().rev().filter(|chunk| chunk.segment == group.segment) {
                if chunk.is_written() {
                    break;
                }
                chunk.set_written(group.to);
            }
        }
        if group.bypass {
            self.store.note_bypassed(group.to - group.written);
        }
        self.durable(group.end, Position { segment: group.segment, bytes: group.to });
        self.state.borrow_mut().bounds.written_end = group.end;
        self.store.cache().make_room();
    }

    /// Takes note that everything below `end` is on the device, here or in the journal, and tells those who wait.
    pub(super) fn durable(&self, end: Offset, at: Position) {
        let woken = {
            let mut state = self.state.borrow_mut();
            if state.phase.check_writing().is_err() || end <= state.bounds.durable_end {
                return;
            }
            let left = state.bytes_after(at);
            self.store.remove_undurable(state.flow.undurable_bytes - left);
            state.flow.undurable_bytes = left;
            state.flow.durable_at = at;
            state.bounds.durable_end = end;
            state.check_invariants();
            let woken = state.waiting.durable.partition_point(|waiter| waiter.end <= end);
            state.waiting.durable.drain(..woken).collect::<smallvec::SmallVec<[_; 4]>>()
        };
        for waiter in woken {
            // Who no longer waits needs no answer.
            let _ = waiter.answer.send(Ok(()));
        }
        self.observer.durable_advanced(end);
    }

    /// Hands out the writer to be closed, unless a flush needs it. The next flush opens another.
    pub(super) fn give_up_writer(&self) -> Result<Option<Rc<File>>, Busy> {
        let mut state = self.state.borrow_mut();
        if state.flow.flushing {
            return Err(Busy);
        }
        Ok(state.writer.take().map(|writer| writer.file))
    }

    /// Gives the log up for writing.
    pub(super) fn poison(&self, error: &StorageError) {
        let reason: Arc<str> = error.to_string().into();
        let waiters = {
            let mut state = self.state.borrow_mut();
            if state.phase.check_writing().is_err() {
                return;
            }
            state.phase = Phase::Poisoned(reason.clone());
            self.store.remove_undurable(state.flow.undurable_bytes);
            self.store.remove_unwritten(state.unwritten_bytes());
            let mut waiters: Vec<_> = state.waiting.durable.drain(..).collect();
            waiters.append(&mut state.waiting.written);
            waiters
        };
        tracing::error!(log = %self.directory.display(), %error, "the log takes no more writes");
        for waiter in waiters {
            let _ = waiter.answer.send(Err(StorageError::Poisoned(reason.clone())));
        }
        self.observer.poisoned();
    }
}

impl State {
    /// The oldest thing that is due: a write that someone asked for or waits for, or the end of a rolled segment.
    fn next_work(&self, limits: &JournalLimits) -> Option<Work> {
        let bypass = self.bypasses(limits);
        // Only the newest few segments are not finished yet.
        let segment = self.segments.iter().rev().take_while(|segment| !segment.is_finished()).last()?;
        if segment.written < segment.size && (bypass || self.bounds.written_end < self.flow.asked_to) {
            return Some(Work::Write(self.group_of(segment, bypass)));
        }
        match &segment.stage {
            Stage::Rolled(snapshot)
                if segment.written == segment.size
                    && (bypass || segment.next_offset <= self.flow.asked_to) =>
            {
                Some(Work::Finish { segment: segment.base, snapshot: snapshot.clone() })
            }
            _ => None,
        }
    }

    fn group_of(&self, segment: &Segment, bypass: bool) -> Group {
        let from = align_down(segment.written);
        // From the newest back: a segment has thousands of chunks, and what is written lies in the older ones.
        let mut parts = self
            .chunks
            .iter()
            .rev()
            .skip_while(|chunk| chunk.segment > segment.base)
            .take_while(|chunk| chunk.segment == segment.base && chunk.end() > from)
            .filter_map(|chunk| chunk.bytes(from, segment.size))
            .collect::<Vec<_>>();
        parts.reverse();
        Group {
            segment: segment.base,
            from,
            written: segment.written,
            to: segment.size,
            end: segment.next_offset,
            parts: Rc::new(contiguous_tail(parts)),
            bypass,
        }
    }
}

/// A flush is under way.
pub(super) struct Busy;

/// Drops parts before a gap that eviction left: what lies before it is read from the file.
fn contiguous_tail(mut parts: Vec<(u64, Bytes)>) -> Vec<(u64, Bytes)> {
    let gap = parts.windows(2).rposition(|pair| pair[0].0 + (pair[0].1.len() as u64) != pair[1].0);
    if let Some(gap) = gap {
        parts.drain(..=gap);
    }
    parts
}
