//! The committer: what was appended to any log of the shard becomes durable in one write of the journal.
//!
//! ```text
//! append ──► queue of logs ──► group (one entry per log) ──► journal, O_DSYNC ──► every log's durable end, every waiter
//!                 ▲                                                    │
//!                 └──────────── the next group fills meanwhile ────────┘
//! ```
//!
//! Key invariants: a log's entry in a group continues what of that log is durable, so a log is in one group in flight at most.
//! A second group is in flight only while both are small (0024); groups are answered in their order, so what was answered never
//! follows something that is lost. A failed write gives up the shard's logs for writing and is never repeated. When the journal
//! is full, the committer waits for a checkpoint: then producers wait, and nothing fails.

mod flights;
mod group;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_lite::future::yield_now;

use self::flights::{Flight, Flights, News, SMALL_BYTES_MAX};
use self::group::{Group, Mark, Offer};
use super::error::StorageError;
use super::journal::{EntryHeader, Ring, RingFiles, Slot, entry_size_bytes, group_size_bytes};
use super::log::Log;
use super::store::Store;
use crate::io::{File, IoClass, WriteBuffer};
use crate::metrics::Histogram;

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
    news: News,
    /// The newest group is not with the device yet: its place and checksum, which the next one needs, are not known.
    pub(super) departing: Cell<bool>,
    /// Bytes of the entries of the last group that landed.
    landed_bytes: Cell<usize>,
    previous_crc: Cell<u32>,
    failed: RefCell<Option<Arc<str>>>,
    /// The committer waits for the tail to move.
    waiting_for_room: RefCell<Option<oneshot::Sender<()>>>,
    counts: Counts,
}

/// For the metrics.
#[derive(Default)]
struct Counts {
    groups: Cell<u64>,
    group_bytes: Cell<u64>,
    /// How long the durable writes took.
    writes: Histogram,
    /// Groups that waited for the tail to move or for a further file.
    room_waits: Cell<u64>,
}

impl Committer {
    pub(super) fn new(files: RingFiles, ring: Ring) -> Self {
        Self {
            files,
            ring: RefCell::new(ring),
            queue: RefCell::default(),
            marks: RefCell::default(),
            running: Cell::new(false),
            news: News::default(),
            departing: Cell::new(false),
            landed_bytes: Cell::new(0),
            previous_crc: Cell::new(0),
            failed: RefCell::default(),
            waiting_for_room: RefCell::default(),
            counts: Counts::default(),
        }
    }

    /// Groups that are durable, and their bytes.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.counts.groups.get(), self.counts.group_bytes.get())
    }

    /// How long each group's write took, from its submission until the shard heard of its end.
    pub(super) fn writes(&self) -> &Histogram {
        &self.counts.writes
    }

    /// Groups for which the journal had no room at first.
    pub(super) fn room_waits(&self) -> u64 {
        self.counts.room_waits.get()
    }

    fn count(&self, group: &Group) {
        let Counts { groups, group_bytes, .. } = &self.counts;
        groups.set(groups.get() + 1);
        group_bytes.set(group_bytes.get() + group.size_bytes() as u64);
    }

    /// Why nothing is written any more, if so.
    fn check(&self) -> Result<(), StorageError> {
        self.failed.borrow().as_ref().map_or(Ok(()), |reason| Err(StorageError::Poisoned(reason.clone())))
    }

    /// Whether what waits should leave behind a small group that is in flight.
    fn may_follow(&self) -> bool {
        // After a large group, the small one was only the beginning of what comes.
        if self.departing.get() || self.landed_bytes.get() > SMALL_BYTES_MAX {
            return false;
        }
        let mut bytes = self.marks.borrow().len() * entry_size_bytes(0);
        for log in self.queue.borrow().iter() {
            let flow = &log.state.borrow().flow;
            if !flow.committing {
                bytes += entry_size_bytes(flow.undurable_bytes as usize);
            }
            if bytes > SMALL_BYTES_MAX {
                return false;
            }
        }
        // A group that has to wait for room would keep that one from being answered.
        bytes > 0 && self.ring.borrow().fits(group_size_bytes(bytes) as u64)
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
        self.committer().check()?;
        self.committer().marks.borrow_mut().push_back(Mark { header, answer });
        self.start_committer();
        receiver.await.unwrap_or(Err(StorageError::Closed))
    }

    fn start_committer(self: &Rc<Self>) {
        let committer = self.committer();
        committer.news.tell();
        if !committer.running.replace(true) {
            let store = self.clone();
            glommio::spawn_local(async move { store.commit_all().await }).detach();
        }
    }

    async fn commit_all(self: Rc<Self>) {
        // glommio polls a new task at once: without this turn the first append of many would go alone.
        yield_now().await;
        let committer = self.committer();
        let mut flights = Flights::default();
        loop {
            if let Some((group, written)) = flights.next(|| committer.may_follow(), &committer.news).await {
                self.landed(group, written);
                continue;
            }
            let overlaps = !flights.is_empty();
            match self.next_group() {
                Some(group) => flights.add(self.depart(group, overlaps)),
                None if overlaps => {}
                None => break,
            }
        }
        committer.running.set(false);
    }

    /// What is to be committed; `None` if nothing is that is not in flight.
    fn next_group(&self) -> Option<Group> {
        let limits = self.limits().journal;
        let committer = self.committer();
        let marks: Vec<Mark> = {
            let mut waiting = committer.marks.borrow_mut();
            let count = waiting.len().min(MARKS_MAX);
            waiting.drain(..count).collect()
        };
        let mut group = Group::of_marks(marks);
        let mut busy = vec![];
        let failed = committer.check().is_err();
        while group.entries_bytes < limits.group_bytes_max {
            let Some(log) = committer.queue.borrow_mut().pop_front() else { break };
            match log.offer(&limits) {
                Offer::Entry(pending) if !failed => group.add(pending),
                Offer::Bypass => log.kick(),
                // After a failure every log is poisoned; one that is not was opened since.
                Offer::Entry(_) => self.poison_late(&log),
                Offer::Busy => busy.push(log),
                Offer::Nothing => {}
            }
        }
        let mut queue = committer.queue.borrow_mut();
        busy.into_iter().rev().for_each(|log| queue.push_front(log));
        (!group.is_empty()).then_some(group)
    }

    /// Begins the write of a group. `overlaps`: the one before is in flight.
    fn depart(self: &Rc<Self>, group: Group, overlaps: bool) -> Flight {
        self.committer().departing.set(true);
        let store = self.clone();
        let entries_bytes = group.entries_bytes;
        let write = async move {
            let written = store.write_group(&group, overlaps).await;
            (group, written)
        };
        Flight::new(entries_bytes, Box::pin(write))
    }

    async fn write_group(self: &Rc<Self>, group: &Group, overlaps: bool) -> Result<(), StorageError> {
        let committer = self.committer();
        let prepared = self.prepare(group, overlaps).await;
        committer.departing.set(false);
        let (file, buffer, position) = prepared?;
        let began = Instant::now();
        let written = file.write_at(buffer, position).await;
        written.map_err(StorageError::io("writing", committer.files.directory()))?;
        committer.counts.writes.record(began.elapsed());
        Ok(())
    }

    /// Finds a place for the group, and puts it into the buffer that is written there.
    async fn prepare(
        self: &Rc<Self>,
        group: &Group,
        overlaps: bool,
    ) -> Result<(Rc<File>, WriteBuffer, u64), StorageError> {
        let committer = self.committer();
        committer.check()?;
        let size = group.size_bytes();
        let slot = self.slot(size as u64).await?;
        let file = committer.files.file(slot.file).ok_or(StorageError::Closed)?;
        let buffer = self.disk().write_buffer(size, IoClass::Journal).await;
        let mut buffer = buffer.map_err(StorageError::io("writing", committer.files.directory()))?;
        let id = committer.files.group_id(slot.sequence, committer.previous_crc.get(), overlaps);
        committer.previous_crc.set(group.fill(buffer.as_mut_slice(), id));
        Ok((file, buffer, slot.position))
    }

    /// A group's write ended, and all before it are answered.
    fn landed(&self, group: Group, written: Result<(), StorageError>) {
        group.land();
        self.committer().landed_bytes.set(group.entries_bytes);
        // What follows a group that was lost is lost too.
        match written.and_then(|()| self.committer().check()) {
            Ok(()) => {
                self.committer().count(&group);
                self.note_committed();
                group.answer();
            }
            Err(error) => self.give_up_journal(group, &error),
        }
    }

    /// A place for a group of `bytes`, once there is one. An error if checkpoints fail, but for a full disk: that may
    /// have room again, so it is waited for.
    async fn slot(self: &Rc<Self>, bytes: u64) -> Result<Slot, StorageError> {
        let committer = self.committer();
        let (mut slot, wants_checkpoint) = {
            let mut ring = committer.ring.borrow_mut();
            self.disk().hasten_checkpoint(ring.hastens_checkpoint());
            (ring.place(bytes), ring.wants_checkpoint())
        };
        if slot.is_none() || wants_checkpoint {
            self.grow_soon();
        }
        if slot.is_some() && wants_checkpoint {
            self.checkpoint_soon();
        }
        let mut failures = 0;
        let waits = &committer.counts.room_waits;
        waits.set(waits.get() + u64::from(slot.is_none()));
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
        let told = || format!("the journal of this shard failed: {error}").into();
        let reason = self.committer().failed.borrow_mut().get_or_insert_with(told).clone();
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
        if let Err(error) = self.committer().check() {
            log.poison(&error);
        }
    }
}
