//! When the files of earlier starts may go: once every shard has put what they hold into segments and a manifest of its own.
//!
//! Key invariant: an old file goes only when all partitions that it names are in newer manifests or were deleted. One that is
//! offline keeps them all: the next start looks at them again.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::StorageError;
use super::journal::{JOURNAL_DIRECTORY, Recovered};
use super::place::TEMPORARY_SUFFIX;
use super::store::Store;

/// What the shards of this start have taken over. Shared by all of them, used once by each.
#[derive(Debug)]
pub struct Takeover {
    shards_left: AtomicUsize,
    offline: AtomicUsize,
    /// In the order in which they are to be deleted.
    files: Vec<String>,
    /// This start.
    incarnation: u64,
}

impl Takeover {
    /// Of `recovered`, by `shards` shards.
    pub fn new(recovered: &Recovered, shards: u16) -> Self {
        let files = recovered.old_files().to_vec();
        Self {
            shards_left: AtomicUsize::new(usize::from(shards)),
            offline: AtomicUsize::new(0),
            files,
            incarnation: recovered.incarnation(),
        }
    }

    /// A shard has opened every partition that it owns, but for `offline` ones: its part of what was replayed is written and
    /// a manifest says so. The last shard deletes the old files.
    pub async fn complete(&self, store: &Rc<Store>, offline: usize) -> Result<(), StorageError> {
        let taken = store.checkpoint().await;
        // A shard that could not write it needs the old files at the next start.
        let missing = offline + usize::from(taken.is_err());
        let offline = self.offline.fetch_add(missing, Ordering::AcqRel) + missing;
        let is_last = self.shards_left.fetch_sub(1, Ordering::AcqRel) == 1;
        store.forget_recovered();
        if is_last && !self.files.is_empty() {
            if offline == 0 {
                self.remove_files(store).await?;
            } else {
                tracing::warn!(
                    offline,
                    files = self.files.join(" "),
                    "journal files of earlier starts are kept, since partitions that may need them are offline"
                );
            }
        }
        taken
    }

    async fn remove_files(&self, store: &Rc<Store>) -> Result<(), StorageError> {
        let disk = store.disk();
        let directory = disk.directory().join(JOURNAL_DIRECTORY);
        // Nothing else would ever look at what was being replaced when an earlier start ended.
        let entries = disk.list(&directory).await.map_err(StorageError::io("listing", &directory))?;
        let entries = entries.unwrap_or_default();
        let unfinished = entries.iter().map(|entry| &entry.name).filter(|name| {
            name.ends_with(TEMPORARY_SUFFIX) && !name.starts_with(&format!("{:016x}", self.incarnation))
        });
        for name in self.files.iter().chain(unfinished) {
            let path = directory.join(name);
            disk.remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
        }
        disk.sync_directory(&directory).await.map_err(StorageError::io("syncing", &directory))
    }
}
