//! The committer: what was appended to any log of the shard becomes durable in one write of the journal.
//!
//! ```text
//! append ──► queue of logs ──► group (one entry per log) ──► journal, O_DSYNC ──► every log's durable end, every waiter
//!                 ▲                                                    │
//!                 └──────────── the next group fills meanwhile ────────┘
//! ```
//!
//! Key invariant: one group is in flight; a log's entry in it continues what of that log is durable. A failed write gives up
//! the shard's logs for writing and is never repeated. When the journal is full, the committer waits for a checkpoint: then
//! producers wait, and nothing fails.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_channel::oneshot;
use futures_lite::future::yield_now;
use smallvec::SmallVec;

use super::error::StorageError;
use super::journal::{
    EntryHeader, EntryKind, GroupBuilder, GroupId, Ring, RingFiles, Slot, entry_size_bytes, group_size_bytes,
};
use super::log::{Log, Position};
use super::store::{JournalLimits, Store};
use crate::io::IoClass;
use crate::metrics::Histogram;
use crate::model::{LeaderEpoch, Offset};

/// How long to wait before a full disk is tried again.
pub(super) const SPACE_RETRY: Duration = Duration::from_secs(1);
/// Entries without records in one group.
const MARKS_MAX: usize = 4096;

/// What the committer is about.
pub(super) struct Committer {
    pub(super) files: RingFiles,
    pub(super) ring: RefCell<Ring>,
    queue: RefCell<VecDeque<Rc<Log>>>,
    marks: RefCell<VecDeque<Mark>>,
    running: Cell<bool>,
    previous_crc: Cell<u32>,
    failed: RefCell<Option<Arc<str>>>,
    /// The committer waits for the tail to move.
    waiting_for_room: RefCell<Option<oneshot::Sender<()>>>,
    groups: Cell<u64>,
    group_bytes: Cell<u64>,
    /// How long the durable writes took.
    writes: Histogram,
    /// Groups that waited for the tail to move or for a further file.
    room_waits: Cell<u64>,
}

/// An entry without records, and who waits for it.
struct Mark {
    header: EntryHeader,
    answer: oneshot::Sender<Result<(), StorageError>>,
}

/// A log's part of a group.
pub(super) struct Pending {
    log: Rc<Log>,
    header: EntryHeader,
    /// Where the log's durable bytes end once the group is written.
    at: Position,
    parts: SmallVec<[Bytes; 2]>,
    bytes: usize,
}

/// What a log in the queue has for the committer.
enum Offer {
    Nothing,
    /// Too much for the journal.
    Bypass,
    Entry(Pending),
}

/// One group on its way.
struct Group {
    entries: Vec<Pending>,
    marks: Vec<Mark>,
    /// Bytes that the entries take in it.
    entries_bytes: usize,
}

impl Committer {
    pub(super) fn new(files: RingFiles, ring: Ring) -> Self {
        Self {
            files,
            ring: RefCell::new(ring),
            queue: RefCell::default(),
            marks: RefCell::default(),
            running: Cell::new(false),
            previous_crc: Cell::new(0),
            failed: RefCell::default(),
            waiting_for_room: RefCell::default(),
            groups: Cell::new(0),
            group_bytes: Cell::new(0),
            writes: Histogram::default(),
            room_waits: Cell::new(0),
        }
    }

    /// Groups that are durable, and their bytes.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.groups.get(), self.group_bytes.get())
    }

    /// How long each group's write took, from its submission until the shard heard of its end.
    pub(super) fn writes(&self) -> &Histogram {
        &self.writes
    }

    /// Groups for which the journal had no room at first.
    pub(super) fn room_waits(&self) -> u64 {
        self.room_waits.get()
    }

    fn count(&self, group: &Group) {
        self.groups.set(self.groups.get() + 1);
        self.group_bytes.set(self.group_bytes.get() + group_size_bytes(group.entries_bytes) as u64);
    }

    /// Takes note that the ring may have room again.
    pub(super) fn room_made(&self) {
        if let Some(waiting) = self.waiting_for_room.take() {
            // The committer looks for itself.
            let _ = waiting.send(());
        }
    }
}

impl Store {
    /// Has a log's appends made durable by the next group.
    pub(super) fn commit(self: &Rc<Self>, log: Rc<Log>) {
        self.committer().queue.borrow_mut().push_back(log);
        self.start_committer();
    }

    /// Makes an entry without records durable.
    pub(super) async fn mark(self: &Rc<Self>, header: EntryHeader) -> Result<(), StorageError> {
        let (answer, receiver) = oneshot::channel();
        if let Some(reason) = &*self.committer().failed.borrow() {
            return Err(StorageError::Poisoned(reason.clone()));
        }
        self.committer().marks.borrow_mut().push_back(Mark { header, answer });
        self.start_committer();
        receiver.await.unwrap_or(Err(StorageError::Closed))
    }

    fn start_committer(self: &Rc<Self>) {
        if !self.committer().running.replace(true) {
            let store = self.clone();
            glommio::spawn_local(async move { store.commit_all().await }).detach();
        }
    }

    async fn commit_all(self: Rc<Self>) {
        // glommio polls a new task at once: without this turn the first append of many would go alone.
        yield_now().await;
        while let Some(group) = self.next_group() {
            match self.write_group(&group).await {
                Ok(()) => {
                    self.committer().count(&group);
                    self.note_committed();
                    group.answer();
                }
                Err(error) => self.give_up_journal(group, &error),
            }
        }
    }

    /// What is to be committed; `None`, and the committer is off, if nothing is.
    fn next_group(&self) -> Option<Group> {
        let limits = self.limits().journal;
        let committer = self.committer();
        let marks: Vec<Mark> = {
            let mut waiting = committer.marks.borrow_mut();
            let count = waiting.len().min(MARKS_MAX);
            waiting.drain(..count).collect()
        };
        let mut group = Group { entries: vec![], entries_bytes: marks.len() * entry_size_bytes(0), marks };
        let failed = committer.failed.borrow().is_some();
        while group.entries_bytes < limits.group_bytes_max {
            let Some(log) = committer.queue.borrow_mut().pop_front() else { break };
            match log.offer(&limits) {
                Offer::Entry(pending) if !failed => {
                    group.entries_bytes += entry_size_bytes(pending.bytes);
                    group.entries.push(pending);
                }
                Offer::Bypass => log.kick(),
                // After a failure every log is poisoned; one that is not was opened since.
                Offer::Entry(_) => self.poison_late(&log),
                Offer::Nothing => {}
            }
        }
        if group.entries.is_empty() && group.marks.is_empty() {
            committer.running.set(false);
            return None;
        }
        Some(group)
    }

    async fn write_group(self: &Rc<Self>, group: &Group) -> Result<(), StorageError> {
        let committer = self.committer();
        if let Some(reason) = &*committer.failed.borrow() {
            return Err(StorageError::Poisoned(reason.clone()));
        }
        let size = group_size_bytes(group.entries_bytes);
        let slot = self.slot(size as u64).await?;
        let file = committer.files.file(slot.file).ok_or(StorageError::Closed)?;
        let failed = || StorageError::io("writing", committer.files.directory());
        let mut buffer = self.disk().write_buffer(size, IoClass::Journal).await.map_err(failed())?;
        let crc = group.fill(
            buffer.as_mut_slice(),
            committer.files.group_id(slot.sequence, committer.previous_crc.get()),
        );
        let began = Instant::now();
        file.write_at(buffer, slot.position).await.map_err(failed())?;
        committer.writes.record(began.elapsed());
        committer.previous_crc.set(crc);
        Ok(())
    }

    /// A place for a group of `bytes`, once there is one. An error if checkpoints fail, but for a full disk: that may
    /// have room again, so it is waited for.
    async fn slot(self: &Rc<Self>, bytes: u64) -> Result<Slot, StorageError> {
        let committer = self.committer();
        let (mut slot, wants_checkpoint) = {
            let mut ring = committer.ring.borrow_mut();
            (ring.place(bytes), ring.wants_checkpoint())
        };
        if slot.is_none() || wants_checkpoint {
            self.grow_soon();
        }
        if slot.is_some() && wants_checkpoint {
            self.checkpoint_soon();
        }
        let mut failures = 0;
        committer.room_waits.set(committer.room_waits.get() + u64::from(slot.is_none()));
        loop {
            if let Some(slot) = slot {
                return Ok(slot);
            }
            let (sender, receiver) = oneshot::channel();
            committer.waiting_for_room.replace(Some(sender));
            let failed_before = self.checkpoints_failed();
            self.checkpoint_soon();
            // Whoever made room, or failed to, says so.
            let _ = receiver.await;
            slot = committer.ring.borrow_mut().place(bytes);
            let failure = self.checkpoint_failure().filter(|_| self.checkpoints_failed() > failed_before);
            match failure.filter(|_| slot.is_none()) {
                Some(error) if error.is_storage_full() => self.disk().sleep(SPACE_RETRY).await,
                // The first may have been under way when its room was missed.
                Some(error) if failures > 0 => return Err(error),
                Some(_) => failures += 1,
                None => {}
            }
        }
    }

    /// Adds a file to the journal in the background, as large as those there are, up to the bound.
    fn grow_soon(self: &Rc<Self>) {
        let committer = self.committer();
        let capacity = committer.ring.borrow().capacity_bytes();
        let bytes = capacity.min(self.limits().journal.bytes_max.saturating_sub(capacity));
        // The first file and a second one make sense of a ring; a rest that is smaller does not.
        if bytes < self.limits().journal.first_file_bytes
            || !committer.files.begin_growing()
            || !self.admits_growth(bytes)
        {
            return;
        }
        let store = self.clone();
        glommio::spawn_local(async move {
            let committer = store.committer();
            match committer.files.add(bytes).await {
                Ok(()) => {
                    committer.ring.borrow_mut().add_file(bytes);
                    committer.room_made();
                }
                // Who waits for room gets it from a checkpoint.
                Err(error) => tracing::warn!(%error, "the journal stays as small as it is"),
            }
            committer.files.end_growing();
        })
        .detach();
    }

    /// Whether there is space for a further file; records need it more.
    fn admits_growth(&self, bytes: u64) -> bool {
        let admitted = self.disk().admit_reservation(bytes);
        if !admitted {
            self.committer().files.end_growing();
        }
        admitted
    }

    /// A write of the journal failed: no log of this shard takes appends any more, and nobody is told that what was in the
    /// group is durable.
    fn give_up_journal(&self, group: Group, error: &StorageError) {
        let reason: Arc<str> = format!("the journal of this shard failed: {error}").into();
        self.committer().failed.borrow_mut().get_or_insert(reason.clone());
        let error = StorageError::Poisoned(reason);
        for log in self.logs() {
            log.poison(&error);
        }
        for mark in group.marks {
            // Who no longer waits needs no answer.
            let _ = mark.answer.send(Err(error.clone()));
        }
    }

    fn poison_late(&self, log: &Log) {
        if let Some(reason) = &*self.committer().failed.borrow() {
            log.poison(&StorageError::Poisoned(reason.clone()));
        }
    }
}

impl Group {
    /// Writes the group into `bytes`; returns its checksum.
    fn fill(&self, bytes: &mut [u8], id: GroupId) -> u32 {
        let mut builder = GroupBuilder::new(bytes, id);
        for mark in &self.marks {
            builder.add::<Bytes>(&mark.header, &[]);
        }
        for entry in &self.entries {
            builder.add(&entry.header, &entry.parts);
        }
        builder.seal()
    }

    /// The group is durable.
    fn answer(self) {
        for mark in self.marks {
            // Who no longer waits needs no answer.
            let _ = mark.answer.send(Ok(()));
        }
        for entry in self.entries {
            entry.log.durable(entry.header.end, entry.at);
        }
    }
}

impl Log {
    /// What this log has for the next group. It is out of the queue then.
    fn offer(self: &Rc<Self>, limits: &JournalLimits) -> Offer {
        let mut state = self.state.borrow_mut();
        state.flow.queued = false;
        if state.flow.bypassing || state.flow.undurable_bytes == 0 || state.phase.check_writing().is_err() {
            return Offer::Nothing;
        }
        // Who waits does not wait for a flusher that writes other things, unless it is too much for a group.
        let may_bypass = !state.flow.flushing || state.exceeds_group(limits);
        if may_bypass && state.bypasses(limits) {
            return Offer::Bypass;
        }
        let catch_up = state.flow.undurable_bytes >= limits.bypass_bytes && !state.flow.full;
        if catch_up {
            // It comes faster than it should be written twice: it is bypassed once the segment is not far behind.
            state.flow.asked_to = state.flow.asked_to.max(state.bounds.durable_end);
        }
        let parts = state.undurable_parts();
        let bytes = parts.iter().map(Bytes::len).sum();
        debug_assert_eq!(bytes as u64, state.flow.undurable_bytes, "what is not durable is in memory");
        let header = EntryHeader {
            kind: EntryKind::Append,
            place: self.place.in_journal(),
            epoch: state.epochs.latest().unwrap_or(LeaderEpoch::UNKNOWN),
            offset: state.bounds.durable_end,
            end: state.bounds.end,
        };
        let pending = Pending { log: self.clone(), header, at: state.end_position(), parts, bytes };
        drop(state);
        if catch_up {
            self.kick();
        }
        Offer::Entry(pending)
    }
}

impl super::log::State {
    /// Whether what is not durable goes to its segment: there is much of it, and little before it that would have to be written
    /// first; or it is too much for a group of the journal.
    pub(super) fn bypasses(&self, limits: &JournalLimits) -> bool {
        let undurable_bytes = self.flow.undurable_bytes;
        let is_near = || self.unwritten_bytes().saturating_sub(undurable_bytes) <= limits.behind_bytes_max;
        self.exceeds_group(limits) || (undurable_bytes >= limits.bypass_bytes && is_near())
    }

    /// Whether what is not durable is too much for a group of the journal.
    fn exceeds_group(&self, limits: &JournalLimits) -> bool {
        self.flow.undurable_bytes > limits.group_bytes_max as u64
    }

    /// The batches that are not durable, in order.
    fn undurable_parts(&self) -> SmallVec<[Bytes; 2]> {
        let from = self.flow.durable_at;
        let after = |segment: Offset| if segment == from.segment { from.bytes } else { 0 };
        let mut parts: SmallVec<[Bytes; 2]> = self
            .chunks
            .iter()
            .rev()
            .take_while(|chunk| chunk.segment >= from.segment)
            .map_while(|chunk| chunk.bytes(after(chunk.segment), u64::MAX))
            .map(|(_, bytes)| bytes)
            .collect();
        parts.reverse();
        parts
    }
}
