//! What the logs of one shard share: its disk, and the bounds on cached batches, unflushed bytes, open files and indexes.
//!
//! Key invariant: nothing here grows with the number of logs or segments. Open files and loaded indexes give way by age;
//! writers are closed when others need their place and opened again at the next flush.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::{Rc, Weak};

use futures_channel::oneshot;

use super::batch_cache::BatchCache;
use super::error::StorageError;
use super::index::SparseIndex;
use super::log::Log;
use super::read_ahead::ReadAhead;
use super::recent::{Recent, SegmentKey};
use super::sidecar::{self, SegmentSummary};
use crate::io::{Access, Disk, File};

/// Indexes of closed segments that are in memory.
const INDEXES_MAX: usize = 64;

/// Busy writers that are passed over in the search for idle ones to close.
const BUSY_WRITERS_MAX: usize = 8;

/// Bounds of a shard's storage.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Memory for cached batches.
    pub cache_bytes_max: u64,
    /// Appended bytes that are not durable yet; see [`Store::room`].
    pub dirty_bytes_max: u64,
    /// Files open for reading, and as many again for writing.
    pub open_files_max: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { cache_bytes_max: 256 << 20, dirty_bytes_max: 64 << 20, open_files_max: 256 }
    }
}

/// The shared part of one shard's logs.
pub struct Store {
    disk: Rc<Disk>,
    cache: Rc<BatchCache>,
    limits: StoreLimits,
    files: RefCell<Recent<File>>,
    indexes: RefCell<Recent<SparseIndex>>,
    read_ahead: ReadAhead,
    /// Logs with an open writer, the one opened longest ago first.
    writers: RefCell<VecDeque<Weak<Log>>>,
    dirty_bytes: Cell<u64>,
    waiting_for_room: RefCell<Vec<oneshot::Sender<()>>>,
    logs: Cell<u64>,
}

impl Store {
    /// A store on `disk`.
    pub fn new(disk: Rc<Disk>, limits: StoreLimits) -> Rc<Self> {
        Rc::new(Self {
            disk,
            cache: BatchCache::new(limits.cache_bytes_max),
            limits,
            files: RefCell::new(Recent::new(limits.open_files_max)),
            indexes: RefCell::new(Recent::new(INDEXES_MAX)),
            read_ahead: ReadAhead::new(),
            writers: RefCell::default(),
            dirty_bytes: Cell::new(0),
            waiting_for_room: RefCell::default(),
            logs: Cell::new(0),
        })
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
    pub fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes.get()
    }

    /// Waits until fewer bytes than the bound are unflushed. Whoever appends without waiting for durability (`acks=0`)
    /// waits here first, or memory would grow as fast as clients send.
    pub async fn room(&self) {
        while self.dirty_bytes.get() >= self.limits.dirty_bytes_max {
            let (sender, receiver) = oneshot::channel();
            self.waiting_for_room.borrow_mut().push(sender);
            if receiver.await.is_err() {
                return;
            }
        }
    }

    pub(super) fn add_dirty(&self, bytes: u64) {
        self.dirty_bytes.set(self.dirty_bytes.get() + bytes);
    }

    pub(super) fn remove_dirty(&self, bytes: u64) {
        debug_assert!(bytes <= self.dirty_bytes.get(), "only what was added is removed");
        self.dirty_bytes.set(self.dirty_bytes.get().saturating_sub(bytes));
        if self.dirty_bytes.get() < self.limits.dirty_bytes_max {
            for waiting in self.waiting_for_room.borrow_mut().drain(..) {
                // Who no longer waits needs no room.
                let _ = waiting.send(());
            }
        }
    }

    /// A number that no other log of this store has had.
    pub(super) fn next_log_number(&self) -> u64 {
        self.logs.set(self.logs.get() + 1);
        self.logs.get()
    }

    /// The file, open for reading. The caller holds off whoever would rename or remove it.
    pub(super) async fn reader(&self, key: SegmentKey, path: &Path) -> Result<Rc<File>, StorageError> {
        if let Some(file) = self.files.borrow_mut().get(key) {
            return Ok(file);
        }
        let file =
            self.disk.open_file(path, Access::Read).await.map_err(StorageError::io("opening", path))?;
        let gives_way = self.files.borrow_mut().put(key, file.clone());
        gives_way.into_iter().for_each(close_later);
        Ok(file)
    }

    /// The index of a closed segment from its sidecar. Without a usable one a walk begins at the segment's start: slow,
    /// never wrong.
    pub(super) async fn index(&self, key: SegmentKey, path: &Path) -> Result<Rc<SparseIndex>, StorageError> {
        if let Some(index) = self.indexes.borrow_mut().get(key) {
            return Ok(index);
        }
        let file = self
            .disk
            .read_small(path, sidecar::SIDECAR_BYTES_MAX)
            .await
            .map_err(StorageError::io("reading", path))?;
        let index = file.and_then(|file| SegmentSummary::decode(&file)).map(|summary| summary.index);
        let index = Rc::new(index.unwrap_or_default());
        self.indexes.borrow_mut().put(key, index.clone());
        Ok(index)
    }

    /// Notes that a log opened a writer; another idle one may have to close.
    pub(super) fn writer_opened(&self, log: &Rc<Log>) {
        let log = Rc::downgrade(log);
        let mut writers = self.writers.borrow_mut();
        // A log that rolls its segments is still one.
        writers.retain(|other| !other.ptr_eq(&log));
        writers.push_back(log);
        drop(writers);
        self.close_idle_writers();
    }

    /// Closes the oldest idle writers beyond the bound. Those that write right now stay; the next call looks again.
    pub(super) fn close_idle_writers(&self) {
        let mut writers = self.writers.borrow_mut();
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
        self.files.borrow_mut().take(|kept| kept == key).into_iter().for_each(close_later);
        self.indexes.borrow_mut().take(|kept| kept == key);
    }

    /// Forgets what is kept of one log.
    pub(super) fn forget_log(&self, number: u64) {
        self.files.borrow_mut().take(|kept| kept.0 == number).into_iter().for_each(close_later);
        self.indexes.borrow_mut().take(|kept| kept.0 == number);
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
