//! What the logs of one shard share: its disk, the bound on cached batches, the bound on open files.
//!
//! Key invariant: open files beyond writers' own are bounded; the one used longest ago is closed first.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use super::batch_cache::BatchCache;
use super::error::StorageError;
use crate::io::{Access, Disk, File};
use crate::model::Offset;

/// Bounds of a shard's storage.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Memory for cached batches.
    pub cache_bytes_max: u64,
    /// Files open for reading.
    pub open_files_max: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { cache_bytes_max: 256 << 20, open_files_max: 256 }
    }
}

/// Names a segment's file among all logs of the shard.
pub(super) type FileKey = (u64, Offset);

struct OpenFile {
    key: FileKey,
    file: Rc<File>,
    used: u64,
}

/// The shared part of one shard's logs.
pub struct Store {
    disk: Rc<Disk>,
    cache: Rc<BatchCache>,
    limits: StoreLimits,
    files: RefCell<Vec<OpenFile>>,
    ticks: Cell<u64>,
    logs: Cell<u64>,
}

impl Store {
    /// A store on `disk`.
    pub fn new(disk: Rc<Disk>, limits: StoreLimits) -> Rc<Self> {
        Rc::new(Self {
            disk,
            cache: BatchCache::new(limits.cache_bytes_max),
            limits,
            files: RefCell::default(),
            ticks: Cell::new(0),
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

    /// A number that no other log of this store has had.
    pub(super) fn next_log_number(&self) -> u64 {
        self.logs.set(self.logs.get() + 1);
        self.logs.get()
    }

    fn tick(&self) -> u64 {
        self.ticks.set(self.ticks.get() + 1);
        self.ticks.get()
    }

    /// The file, open for reading. The caller holds off whoever would rename or remove it.
    pub(super) async fn reader(&self, key: FileKey, path: &Path) -> Result<Rc<File>, StorageError> {
        let used = self.tick();
        if let Some(open) = self.files.borrow_mut().iter_mut().find(|open| open.key == key) {
            open.used = used;
            return Ok(open.file.clone());
        }
        let file =
            self.disk.open_file(path, Access::Read).await.map_err(StorageError::io("opening", path))?;
        let evicted = {
            let mut files = self.files.borrow_mut();
            files.push(OpenFile { key, file: file.clone(), used });
            let oldest = files.iter().enumerate().min_by_key(|(_, open)| open.used).map(|(at, _)| at);
            oldest.filter(|_| files.len() > self.limits.open_files_max.max(1)).map(|at| files.swap_remove(at))
        };
        if let Some(evicted) = evicted {
            close_later(evicted.file);
        }
        Ok(file)
    }

    /// Forgets an open file, since it is about to change or go.
    pub(super) fn forget(&self, key: FileKey) {
        let mut files = self.files.borrow_mut();
        if let Some(at) = files.iter().position(|open| open.key == key) {
            close_later(files.swap_remove(at).file);
        }
    }

    /// Forgets all files of one log.
    pub(super) fn forget_log(&self, number: u64) {
        let mut files = self.files.borrow_mut();
        while let Some(at) = files.iter().position(|open| open.key.0 == number) {
            close_later(files.swap_remove(at).file);
        }
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
