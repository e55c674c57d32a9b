//! Flushing: what was appended goes to the device in groups.
//!
//! Key invariant: one group of a log is in flight, the next fills meanwhile. A group is the segment's bytes from its
//! durable end to its end, in blocks; it is durable only when all of its writes are. The block that holds the durable end
//! is written again with the same bytes before it. Writes take copies, so the device never reads memory that changes.
//! Any failure poisons the log.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future::yield_now;

use super::error::StorageError;
use super::log::{Log, Phase, Writer};
use super::place::{self, LOG_SUFFIX};
use super::segment::{Segment, Stage};
use crate::io::{Access, BLOCK_BYTES, File, IoClass, align_down, align_up};
use crate::model::Offset;

/// Bytes of one direct write; a group has several of them in flight.
const WRITE_BYTES_MAX: u64 = 256 << 10;
/// Segments of one log being finished while the next is written; beyond that the flusher waits. 0: a seed of the crash test
/// (7233) stalls with more, not yet understood.
const FINISHING_MAX: usize = 0;
/// The first reservation of a new file.
const RESERVE_BYTES_MIN: u64 = 64 << 10;
/// The largest step by which a file's reservation grows.
const RESERVE_BYTES_MAX: u64 = 32 << 20;

/// What the flusher does next.
enum Work {
    /// Write a segment's dirty bytes.
    Write(Group),
    /// Cut a rolled segment's file to its size and write its sidecars.
    Finish { segment: Offset, snapshot: Bytes },
    /// Save the leader epochs.
    SaveEpochs,
}

/// One group of writes.
struct Group {
    segment: Offset,
    /// The durable end rounded down to a block.
    from: u64,
    durable: u64,
    to: u64,
    /// The offset that `to` stands for.
    end: Offset,
    /// The bytes of `from..to` that are in memory, in order.
    parts: Rc<Vec<(u64, Bytes)>>,
}

impl Log {
    /// Starts the flusher unless it runs.
    pub(super) fn kick(self: &Rc<Self>) {
        if !std::mem::replace(&mut self.state.borrow_mut().flushing, true) {
            let log = self.clone();
            glommio::spawn_local(async move { log.flush_all().await }).detach();
        }
    }

    async fn flush_all(self: Rc<Self>) {
        // glommio polls a new task at once: without this turn the first append of many would go alone.
        yield_now().await;
        while let Some(work) = self.next_work() {
            self.store.disk().home().drain();
            if let Err(error) = self.do_work(work).await {
                self.poison(&error);
            }
        }
    }

    /// What is to be done; `None`, and the flusher is off, if nothing is.
    fn next_work(&self) -> Option<Work> {
        let mut state = self.state.borrow_mut();
        let work = match state.phase {
            Phase::Poisoned(_) => None,
            Phase::Open | Phase::Closed => state.next_work(),
        };
        if work.is_none() {
            state.flushing = false;
            state.tell_idle();
            drop(state);
            self.store.close_idle_writers();
        }
        work
    }

    async fn do_work(self: &Rc<Self>, work: Work) -> Result<(), StorageError> {
        match work {
            Work::Write(group) => {
                self.write_group(&group).await?;
                self.group_durable(&group);
                Ok(())
            }
            Work::Finish { segment, snapshot } => {
                let unfinished = self.begin_finish(segment, snapshot);
                if self.state.borrow().finishing > FINISHING_MAX {
                    self.finish(unfinished).await;
                } else {
                    let log = self.clone();
                    glommio::spawn_local(async move { log.finish(unfinished).await }).detach();
                }
                Ok(())
            }
            Work::SaveEpochs => self.save_epochs().await,
        }
    }

    async fn write_group(self: &Rc<Self>, group: &Group) -> Result<(), StorageError> {
        let path = place::file_of(&self.directory, group.segment, LOG_SUFFIX);
        let file = self.writer(group.segment, align_up(group.to)).await?;
        let failed = || StorageError::io("writing", &path);
        let head = self.head_bytes(&file, group).await.map_err(failed())?;
        let mut writes = Vec::new();
        let mut at = group.from;
        while at < group.to {
            // Later writes of a large group start where a multiple of the write size does.
            let to = align_up(group.to).min((at / WRITE_BYTES_MAX + 1) * WRITE_BYTES_MAX);
            let (file, disk) = (file.clone(), self.store.disk().clone());
            let (head, parts, from, end) = (head.clone(), group.parts.clone(), at, group.to);
            writes.push(glommio::spawn_local(async move {
                let mut buffer = disk.write_buffer((to - from) as usize, IoClass::Bypass).await?;
                // All before the group's end is copied over; what follows it is defined too.
                let used = ((end - from) as usize).min(buffer.len());
                buffer.as_mut_slice()[used..].fill(0);
                copy_to(buffer.as_mut_slice(), from, head.iter().chain(parts.iter()));
                file.write_at(buffer, from).await
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

    /// The durable bytes of the block that the group begins in, where they are in memory no more.
    async fn head_bytes(&self, file: &Rc<File>, group: &Group) -> std::io::Result<Option<(u64, Bytes)>> {
        let in_memory = group.parts.first().map_or(group.to, |(at, _)| *at);
        if in_memory <= group.from {
            return Ok(None);
        }
        debug_assert!(in_memory <= group.durable, "dirty bytes stay in memory");
        let block = file.read_at(group.from, BLOCK_BYTES as usize, IoClass::Bypass).await?;
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
        let disk = self.store.disk();
        let failed = || StorageError::io("opening", &path);
        let file = {
            let _names = self.names.read().await.map_err(|_| StorageError::Closed)?;
            disk.open_file(&path, Access::Durable).await.map_err(failed())?
        };
        let allocated = file.size().await.map_err(failed())?;
        if allocated == 0 {
            disk.sync_directory(&self.directory).await.map_err(failed())?;
        }
        let writer = Writer { segment, file: file.clone(), allocated };
        let old = self.state.borrow_mut().writer.replace(writer);
        if let Some(old) = old {
            old.file.close().await.map_err(failed())?;
        }
        self.store.writer_opened(self);
        Ok((file, allocated))
    }

    /// Takes note that a group is on the device, and tells those who wait.
    fn group_durable(&self, group: &Group) {
        let woken = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            if matches!(state.phase, Phase::Poisoned(_)) {
                // Given up while this was in flight; whoever waited knows.
                return;
            }
            if let Some(segment) = state.segment_mut(group.segment) {
                self.store.remove_dirty(group.to - segment.durable);
                segment.durable = segment.durable.max(group.to);
            }
            for chunk in state.chunks.iter().rev().filter(|chunk| chunk.segment == group.segment) {
                if chunk.is_durable() {
                    break;
                }
                chunk.set_durable(group.to);
            }
            state.bounds.durable_end = group.end;
            state.check_invariants();
            let woken = state.waiters.partition_point(|waiter| waiter.end <= group.end);
            state.waiters.drain(..woken).collect::<Vec<_>>()
        };
        self.store.cache().make_room();
        for waiter in woken {
            // Who no longer waits needs no answer.
            let _ = waiter.answer.send(Ok(()));
        }
        self.observer.durable_advanced(group.end);
    }

    /// Hands out the writer to be closed, unless a flush needs it. The next flush opens another.
    pub(super) fn give_up_writer(&self) -> Result<Option<Rc<File>>, Busy> {
        let mut state = self.state.borrow_mut();
        if state.flushing {
            return Err(Busy);
        }
        Ok(state.writer.take().map(|writer| writer.file))
    }

    /// Gives the log up for writing.
    pub(super) fn poison(&self, error: &StorageError) {
        let reason: Arc<str> = error.to_string().into();
        let waiters = {
            let mut state = self.state.borrow_mut();
            if matches!(state.phase, Phase::Poisoned(_)) {
                return;
            }
            state.phase = Phase::Poisoned(reason.clone());
            self.store.remove_dirty(state.dirty_bytes());
            std::mem::take(&mut state.waiters)
        };
        tracing::error!(log = %self.directory.display(), %error, "the log takes no more writes");
        for waiter in waiters {
            let _ = waiter.answer.send(Err(StorageError::Poisoned(reason.clone())));
        }
        self.observer.poisoned();
    }
}

impl super::log::State {
    fn next_work(&self) -> Option<Work> {
        // Only the newest few segments are not durable yet.
        let writable = |segment: &&Segment| matches!(segment.stage, Stage::Active | Stage::Rolled(_));
        let unfinished = self.segments.iter().rev().take_while(writable).last();
        if let Some(segment) = unfinished {
            if segment.durable < segment.size {
                let from = align_down(segment.durable);
                let parts = self
                    .chunks
                    .iter()
                    .filter(|chunk| chunk.segment == segment.base)
                    .filter_map(|chunk| chunk.bytes(from, segment.size))
                    .collect::<Vec<_>>();
                return Some(Work::Write(Group {
                    segment: segment.base,
                    from,
                    durable: segment.durable,
                    to: segment.size,
                    end: segment.next_offset,
                    parts: Rc::new(contiguous_tail(parts)),
                }));
            }
            if let Stage::Rolled(snapshot) = &segment.stage {
                return Some(Work::Finish { segment: segment.base, snapshot: snapshot.clone() });
            }
        }
        (self.on_disk.epochs_stale && self.on_disk.directory).then_some(Work::SaveEpochs)
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

/// Copies what of `parts` falls into the buffer that stands for the file's bytes from `from`.
fn copy_to<'a>(buffer: &mut [u8], from: u64, parts: impl Iterator<Item = &'a (u64, Bytes)>) {
    let to = from + buffer.len() as u64;
    for (at, bytes) in parts {
        let (start, end) = ((*at).max(from), (at + bytes.len() as u64).min(to));
        if start < end {
            let source = &bytes[(start - at) as usize..(end - at) as usize];
            buffer[(start - from) as usize..(end - from) as usize].copy_from_slice(source);
        }
    }
}
