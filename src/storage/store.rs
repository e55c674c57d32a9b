//! What the logs of one shard share: its disk and journal, and the bounds on cached batches, bytes that are not durable, open
//! files and indexes.
//!
//! Key invariant: nothing here grows with the number of logs or segments. Open files and loaded indexes give way by age;
//! writers are closed when others need their place and opened again at the next flush.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use futures_channel::oneshot;

use super::batch_cache::BatchCache;
use super::checkpoint::Checkpoints;
use super::commit::Committer;
use super::error::StorageError;
use super::index::SparseIndex;
use super::journal::{JournalIdentity, LogRecord, Recovered, Ring, RingFiles};
use super::log::Log;
use super::read_ahead::ReadAhead;
use super::recent::{Recent, SegmentKey};
use super::sidecar::{self, SegmentSummary};
use crate::io::{Access, Disk, File};
use crate::metrics::Histogram;

/// Indexes of closed segments that are in memory.
const INDEXES_MAX: usize = 64;

/// With room for fewer first files than this the first one is small.
const SCARCE_FILES: u64 = 8;
const SCARCE_FILE_BYTES: u64 = 1 << 20;
/// A group's entries take at most this part of the smallest file, so that every group finds a place.
const GROUPS_PER_FILE_MIN: usize = 4;
/// Bytes of the indexes that are in memory, beyond one.
const INDEX_BYTES_MAX: u64 = 32 << 20;

/// Busy writers that are passed over in the search for idle ones to close.
const BUSY_WRITERS_MAX: usize = 8;

/// Bounds of a shard's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalLimits {
    /// The first file, made before the shard serves.
    pub first_file_bytes: u64,
    /// All files. A replay reads them all, at about 1.2 GB/s.
    pub bytes_max: u64,
    /// Entries of one group, but for its last.
    pub group_bytes_max: usize,
    /// A log with this much that is not durable has it written to its segment instead (docs/decisions/0007).
    pub bypass_bytes: u64,
    /// But not if the segment lacks more than this that is durable, in the journal: it would be written first
    /// (docs/decisions/0014).
    pub behind_bytes_max: u64,
    /// Bytes written past the journal after which a checkpoint is taken, so that a start has little to read.
    pub bypassed_bytes_max: u64,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            first_file_bytes: 16 << 20,
            bytes_max: 256 << 20,
            group_bytes_max: 2 << 20,
            bypass_bytes: 128 << 10,
            behind_bytes_max: 1 << 20,
            bypassed_bytes_max: 256 << 20,
        }
    }
}

/// Bounds of a shard's storage.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Memory for cached batches.
    pub cache_bytes_max: u64,
    /// Appended bytes that are not durable yet; see [`Store::room`].
    pub undurable_bytes_max: u64,
    /// Files open for reading, and as many again for writing.
    pub open_files_max: usize,
    pub journal: JournalLimits,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            cache_bytes_max: 256 << 20,
            undurable_bytes_max: 64 << 20,
            open_files_max: 256,
            journal: JournalLimits::default(),
        }
    }
}

/// Counters of a shard's storage since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCounts {
    /// Durable writes of the journal.
    pub groups: u64,
    /// Their bytes, padding included.
    pub group_bytes: u64,
    /// Durable writes that went straight to a segment.
    pub bypasses: u64,
    pub bypassed_bytes: u64,
    pub checkpoints: u64,
    /// Groups for which the journal had no room at first.
    pub room_waits: u64,
}

/// What a shard's journal begins with.
#[derive(Clone)]
pub struct JournalStart {
    pub shard: u16,
    /// A random number.
    pub journal: u64,
    /// What earlier starts left.
    pub recovered: Arc<Recovered>,
}

/// The shared part of one shard's logs.
pub struct Store {
    disk: Rc<Disk>,
    cache: Rc<BatchCache>,
    limits: StoreLimits,
    open: OpenFiles,
    read_ahead: ReadAhead,
    committer: Committer,
    checkpoints: Checkpoints,
    recovered: RefCell<Arc<Recovered>>,
    undurable_bytes: Cell<u64>,
    waiting_for_room: RefCell<Vec<oneshot::Sender<()>>>,
    logs: RefCell<BTreeMap<u64, Listed>>,
    last_log: Cell<u64>,
}

/// A log as checkpoints know it.
enum Listed {
    Open(Weak<Log>),
    /// It changes no more, and its owner may have let it go: every manifest has to list it all the same.
    Closed(LogRecord),
}

/// Files and indexes that give way to others.
struct OpenFiles {
    readers: RefCell<Recent<File>>,
    indexes: RefCell<Recent<SparseIndex>>,
    /// Logs with an open writer, the one opened longest ago first.
    writers: RefCell<VecDeque<Weak<Log>>>,
    /// How often an index on disk changed or went.
    index_changes: Cell<u64>,
}

impl Store {
    /// A store on `disk`, with a journal of its own. What earlier starts left is replayed as each log opens.
    pub async fn open(
        disk: Rc<Disk>,
        limits: StoreLimits,
        start: JournalStart,
    ) -> Result<Rc<Self>, StorageError> {
        let JournalStart { shard, journal, recovered } = start;
        let identity = JournalIdentity { journal, incarnation: recovered.incarnation(), shard };
        let failed = || StorageError::io("making the journal in", disk.directory());
        let files = RingFiles::create(disk.clone(), identity).await.map_err(failed())?;
        let mut limits = limits;
        if disk.free_bytes() < SCARCE_FILES * limits.journal.first_file_bytes {
            // Space must be left to free some: what DeleteRecords and retention do goes through the journal too.
            limits.journal.first_file_bytes = limits.journal.first_file_bytes.min(SCARCE_FILE_BYTES);
        }
        let first_file_bytes = limits.journal.first_file_bytes;
        limits.journal.group_bytes_max =
            limits.journal.group_bytes_max.min(first_file_bytes as usize / GROUPS_PER_FILE_MIN);
        files.add(first_file_bytes).await.map_err(failed())?;
        // That much less is free than was known.
        disk.look_at_free_space();
        let mut ring = Ring::default();
        ring.add_file(first_file_bytes);
        Ok(Rc::new(Self {
            disk,
            cache: BatchCache::new(limits.cache_bytes_max),
            limits,
            open: OpenFiles {
                readers: RefCell::new(Recent::new(limits.open_files_max)),
                indexes: RefCell::new(Recent::new(INDEXES_MAX)),
                writers: RefCell::default(),
                index_changes: Cell::new(0),
            },
            read_ahead: ReadAhead::new(),
            committer: Committer::new(files, ring),
            checkpoints: Checkpoints::default(),
            recovered: RefCell::new(recovered),
            undurable_bytes: Cell::new(0),
            waiting_for_room: RefCell::default(),
            logs: RefCell::default(),
            last_log: Cell::new(0),
        }))
    }

    /// The bounds.
    pub fn limits(&self) -> &StoreLimits {
        &self.limits
    }

    pub(super) fn committer(&self) -> &Committer {
        &self.committer
    }

    pub(super) fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// What earlier starts left.
    pub(super) fn recovered(&self) -> Arc<Recovered> {
        self.recovered.borrow().clone()
    }

    /// Gives back the memory of what earlier starts left. Every log of this shard is open, or has failed to.
    pub fn forget_recovered(&self) {
        let incarnation = self.recovered.borrow().incarnation();
        self.recovered.replace(Arc::new(Recovered::none_at(incarnation)));
    }

    /// What became durable and how.
    pub fn counts(&self) -> StoreCounts {
        let (groups, group_bytes) = self.committer.counts();
        let (bypasses, bypassed_bytes) = self.checkpoints.bypassed();
        StoreCounts {
            groups,
            group_bytes,
            bypasses,
            bypassed_bytes,
            checkpoints: self.checkpoints.completed(),
            room_waits: self.committer.room_waits(),
        }
    }

    /// How long each durable write of the journal took, from its submission until the shard heard of its end.
    pub fn journal_writes(&self) -> &Histogram {
        self.committer.writes()
    }

    /// All logs that are open, the one opened first first.
    pub(super) fn logs(&self) -> Vec<Rc<Log>> {
        let logs = self.logs.borrow();
        let open = logs.values().filter_map(|listed| match listed {
            Listed::Open(log) => log.upgrade(),
            Listed::Closed(_) => None,
        });
        open.collect()
    }

    /// The records of the logs that were closed. An error if one is gone without having been: only the journal may have what
    /// it acknowledged.
    pub(super) fn closed_records(&self) -> Result<Vec<LogRecord>, StorageError> {
        let logs = self.logs.borrow();
        let mut records = vec![];
        for listed in logs.values() {
            match listed {
                Listed::Closed(record) => records.push(record.clone()),
                Listed::Open(log) if log.strong_count() == 0 => {
                    return Err(StorageError::Poisoned("it was let go before it was closed".into()));
                }
                Listed::Open(_) => {}
            }
        }
        Ok(records)
    }

    /// Keeps the record of a log that was closed; false if its files lack something.
    pub(super) fn note_closed(&self, log: &Log) -> bool {
        let Some(record) = log.record_at_rest() else { return false };
        self.logs.borrow_mut().insert(log.number, Listed::Closed(record));
        true
    }

    /// Takes note that a log was closed with its end in the journal only.
    pub(super) fn leave_to_journal(&self, log: &Log) {
        self.checkpoints.left_to_journal.set(self.checkpoints.left_to_journal.get() + 1);
        self.logs.borrow_mut().remove(&log.number);
    }

    /// From now on logs close without being written to their segments: a stop must end, and the journal has it all.
    pub fn hurry(&self) {
        self.checkpoints.hurried.set(true);
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.checkpoints.hurried.get()
    }

    /// Takes in a log that was opened.
    pub(super) fn register(&self, log: &Rc<Log>) {
        self.logs.borrow_mut().insert(log.number, Listed::Open(Rc::downgrade(log)));
    }

    /// Forgets a log that is on its way out.
    pub(super) fn unregister(&self, number: u64) {
        self.logs.borrow_mut().remove(&number);
    }

    /// The disk.
    pub fn disk(&self) -> &Rc<Disk> {
        &self.disk
    }

    /// The batch cache.
    pub fn cache(&self) -> &Rc<BatchCache> {
        &self.cache
    }

    pub(super) fn read_ahead(&self) -> &ReadAhead {
        &self.read_ahead
    }

    /// Appended bytes of all logs that are not durable yet.
    pub fn undurable_bytes(&self) -> u64 {
        self.undurable_bytes.get()
    }

    /// Waits until fewer bytes than the bound are not durable. Whoever appends without waiting for durability (`acks=0`)
    /// waits here first, or memory would grow as fast as clients send.
    pub async fn room(&self) {
        while self.undurable_bytes.get() >= self.limits.undurable_bytes_max {
            let (sender, receiver) = oneshot::channel();
            self.waiting_for_room.borrow_mut().push(sender);
            if receiver.await.is_err() {
                return;
            }
        }
    }

    /// Takes `bytes` from the free space, until they are written; false, and nothing is taken, if that is scarce.
    pub(super) fn admit_bytes(&self, bytes: u64) -> bool {
        self.disk.admit_bytes(bytes)
    }

    /// `bytes` were appended.
    pub(super) fn add_undurable(&self, bytes: u64) {
        self.undurable_bytes.set(self.undurable_bytes.get() + bytes);
        self.disk.promise(bytes);
    }

    /// `bytes` are durable, or given up.
    pub(super) fn remove_undurable(&self, bytes: u64) {
        debug_assert!(bytes <= self.undurable_bytes.get(), "only what was added is removed");
        self.undurable_bytes.set(self.undurable_bytes.get().saturating_sub(bytes));
        if self.undurable_bytes.get() < self.limits.undurable_bytes_max {
            for waiting in self.waiting_for_room.borrow_mut().drain(..) {
                // Who no longer waits needs no room.
                let _ = waiting.send(());
            }
        }
    }

    /// `bytes` that were replayed are only in memory and in an old journal.
    pub(super) fn add_unwritten(&self, bytes: u64) {
        self.disk.promise(bytes);
    }

    /// `bytes` are in their segments' files, or given up.
    pub(super) fn remove_unwritten(&self, bytes: u64) {
        self.disk.fulfil(bytes);
    }

    /// A number that no other log of this store has had.
    pub(super) fn next_log_number(&self) -> u64 {
        self.last_log.set(self.last_log.get() + 1);
        self.last_log.get()
    }

    /// The file, open for reading. The caller holds off whoever would rename or remove it.
    pub(super) async fn reader(&self, key: SegmentKey, path: &Path) -> Result<Rc<File>, StorageError> {
        if let Some(file) = self.open.readers.borrow_mut().get(key) {
            return Ok(file);
        }
        let file =
            self.disk.open_file(path, Access::Read).await.map_err(StorageError::io("opening", path))?;
        let gives_way = self.open.readers.borrow_mut().put(key, file.clone());
        gives_way.into_iter().for_each(close_later);
        Ok(file)
    }

    /// The index of a closed segment from its sidecar. Without a usable one a walk begins at the segment's start: slow,
    /// never wrong.
    pub(super) async fn index(&self, key: SegmentKey, path: &Path) -> Result<Rc<SparseIndex>, StorageError> {
        if let Some(index) = self.open.indexes.borrow_mut().get(key) {
            return Ok(index);
        }
        let changes = self.open.index_changes.get();
        let file = self
            .disk
            .read_small(path, sidecar::SIDECAR_BYTES_MAX)
            .await
            .map_err(StorageError::io("reading", path))?;
        let index = file.and_then(|file| SegmentSummary::decode(&file)).map(|summary| summary.index);
        let index = Rc::new(index.unwrap_or_default());
        // One that changed while it was read serves this reader, who began before, and nobody else.
        if self.open.index_changes.get() == changes {
            let mut indexes = self.open.indexes.borrow_mut();
            indexes.put(key, index.clone());
            indexes.shrink(INDEX_BYTES_MAX, |index| index.size_bytes());
        }
        Ok(index)
    }

    /// Notes that a log opened a writer; another idle one may have to close.
    pub(super) fn writer_opened(&self, log: &Rc<Log>) {
        let log = Rc::downgrade(log);
        let mut writers = self.open.writers.borrow_mut();
        // A log that rolls its segments is still one.
        writers.retain(|other| !other.ptr_eq(&log));
        writers.push_back(log);
        drop(writers);
        self.close_idle_writers();
    }

    /// Closes the oldest idle writers beyond the bound. Those that write right now stay; the next call looks again.
    pub(super) fn close_idle_writers(&self) {
        let mut writers = self.open.writers.borrow_mut();
        let mut busy = 0;
        while writers.len() > self.limits.open_files_max && busy < BUSY_WRITERS_MAX {
            let Some(oldest) = writers.pop_front() else { return };
            let Some(log) = oldest.upgrade() else { continue };
            match log.give_up_writer() {
                Ok(file) => file.into_iter().for_each(close_later),
                Err(_busy) => {
                    busy += 1;
                    writers.push_back(oldest);
                }
            }
        }
    }

    /// Forgets what is kept of a segment, since it is about to change or go.
    pub(super) fn forget(&self, key: SegmentKey) {
        self.open.readers.borrow_mut().take(|kept| kept == key).into_iter().for_each(close_later);
        self.forget_index(key);
    }

    /// Forgets a segment's index, since the one on disk has changed.
    pub(super) fn forget_index(&self, key: SegmentKey) {
        self.open.index_changes.set(self.open.index_changes.get() + 1);
        self.open.indexes.borrow_mut().take(|kept| kept == key);
    }

    /// Forgets what is kept of one log's files.
    pub(super) fn forget_files(&self, number: u64) {
        self.open.readers.borrow_mut().take(|kept| kept.0 == number).into_iter().for_each(close_later);
        self.open.indexes.borrow_mut().take(|kept| kept.0 == number);
        self.read_ahead.forget_log(number);
    }
}

/// Closes a file once its last user is done, away from the caller.
fn close_later(file: Rc<File>) {
    glommio::spawn_local(async move {
        if let Err(error) = file.close().await {
            tracing::debug!(%error, "closing a segment file");
        }
    })
    .detach();
}
