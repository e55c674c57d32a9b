//! Bringing back what the batch cache dropped, for readers who come a little late.
//!
//! The cache takes memory when it is wanted (`batch_cache`). Who reads what it dropped a short while ago shows that more is wanted:
//! the cache grows, and what was dropped comes back, for this reader's next request and for the readers after it.
//!
//! Key invariant: what comes back is what was dropped: the file's bytes of that place, in a segment that nobody replaced, cut or
//! deleted meanwhile, and whole batches with the same offsets. All else is left to the readers of files.

use std::rc::Rc;

use super::chunk::{Chunk, Returning};
use super::error::StorageError;
use super::log::{Log, State};
use crate::io::IoClass;
use crate::model::Offset;

/// Bytes of neighbouring chunks that come back with one read, unless one alone has more.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// Neighbouring chunks on their way back.
struct Run {
    segment: Offset,
    start: u64,
    end: u64,
    chunks: Vec<Returning>,
}

impl Log {
    /// Brings back the chunk that holds `from`, and some after it, if it was dropped a short while ago. Whether it may be in
    /// memory now.
    pub(super) async fn refill(self: &Rc<Self>, from: Offset) -> bool {
        let Some(chunk) = self.state.borrow().dropped_at(from) else { return false };
        self.store.cache().want(&chunk);
        let Some(run) = self.state.borrow().run_from(from) else {
            chunk.returned().await;
            return true;
        };
        let next = run.chunks.last().map_or(from, |last| last.chunk().next_offset());
        if !self.bring_back(run, self.class_of(chunk.segment, chunk.start)).await {
            return false;
        }
        // Who reads in order comes for these next. What is more urgent than that goes first.
        if !self.store.disk().is_contended() {
            self.bring_back_soon(next);
        }
        true
    }

    fn bring_back_soon(self: &Rc<Self>, from: Offset) {
        let run = self.state.borrow().run_from(from);
        if let Some(run) = run {
            let log = self.clone();
            glommio::spawn_local(async move { log.bring_back(run, IoClass::ColdRead).await }).detach();
        }
    }

    /// Forgets what was dropped too long ago to be brought back.
    pub(super) fn forget_dropped(&self) {
        self.state.borrow_mut().forget_dropped();
    }

    /// Reads a run's bytes and gives them to its chunks. False if nothing came back.
    async fn bring_back(&self, run: Run, class: IoClass) -> bool {
        let generation = self.compaction.generation();
        let Some(place) = self.place_at(run.segment, run.start) else { return false };
        let bytes = match self.window(&place, run.start, run.end - run.start, class).await {
            Ok(bytes) => bytes,
            // Deleted meanwhile: the reader finds out for itself, as it does about any other failure.
            Err(StorageError::OutOfRange { .. } | StorageError::Closed) => return false,
            Err(error) => {
                tracing::debug!(log = %self.directory.display(), %error, "bringing dropped batches back");
                return false;
            }
        };
        if generation != self.compaction.generation() {
            return false;
        }
        let mut came_back = false;
        for returning in run.chunks {
            let chunk = returning.chunk().clone();
            let range = (chunk.start - run.start) as usize..(chunk.end() - run.start) as usize;
            let Some(bytes) = bytes.get(range).filter(|_| self.state.borrow().has(&chunk)) else { break };
            came_back |= returning.complete(bytes);
        }
        came_back
    }
}

impl State {
    /// The chunk that holds `from`, if it was dropped and is worth bringing back.
    fn dropped_at(&self, from: Offset) -> Option<Rc<Chunk>> {
        let at = self.chunks.partition_point(|chunk| chunk.next_offset() <= from);
        let chunk = self.chunks.get(at)?;
        (chunk.base_offset <= from && chunk.is_wanted_back()).then(|| chunk.clone())
    }

    /// The dropped chunk that holds `from`, and those after it that one read can bring back too; `None` if there is none, or someone
    /// is about to bring it back.
    fn run_from(&self, from: Offset) -> Option<Run> {
        let at = self.chunks.partition_point(|chunk| chunk.next_offset() <= from);
        let first = self.chunks.get(at).filter(|chunk| chunk.base_offset <= from)?;
        let mut run = Run { segment: first.segment, start: first.start, end: first.start, chunks: vec![] };
        for chunk in self.chunks.range(at..) {
            let continues = chunk.segment == run.segment && chunk.start == run.end;
            let fits = |chunk: &Chunk| run.chunks.is_empty() || chunk.end() - run.start <= RUN_BYTES_MAX;
            if !continues || !fits(chunk) || !chunk.is_wanted_back() {
                break;
            }
            let Some(returning) = chunk.begin_return() else { break };
            run.end = chunk.end();
            run.chunks.push(returning);
        }
        (!run.chunks.is_empty()).then_some(run)
    }

    /// Whether a chunk is still one of the log's.
    fn has(&self, chunk: &Rc<Chunk>) -> bool {
        let at = self.chunks.partition_point(|other| other.next_offset() <= chunk.base_offset);
        self.chunks.get(at).is_some_and(|other| Rc::ptr_eq(other, chunk))
    }

    pub(super) fn forget_dropped(&mut self) {
        self.chunks.retain(|chunk| chunk.is_resident() || chunk.is_wanted_back());
    }
}
