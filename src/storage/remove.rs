//! Removing a whole log, and what an earlier removal left behind.
//!
//! Key invariant: a directory on its way out has a name that no partition can have, from one atomic rename on, so a topic
//! created anew under the same name never meets it.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::error::StorageError;
use super::log::{Log, Phase};
use super::place::{self, LogPlace};
use super::store::Store;
use crate::io::Disk;

impl Log {
    /// Ends the log for good: nothing more is appended or answered, its directory is renamed now and removed after
    /// `file.delete.delay.ms`.
    pub async fn remove(self: &Rc<Self>) -> Result<(), StorageError> {
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        let waiters = {
            let mut state = self.state.borrow_mut();
            if state.phase.check_writing().is_ok() {
                self.store.remove_undurable(state.flow.undurable_bytes);
                self.store.remove_unwritten(state.unwritten_bytes());
            }
            state.phase = Phase::Removed;
            let mut waiters: Vec<_> = state.waiting.durable.drain(..).collect();
            waiters.append(&mut state.waiting.written);
            waiters
        };
        for waiter in waiters {
            // Who no longer waits needs no answer.
            let _ = waiter.answer.send(Err(StorageError::Closed));
        }
        self.wait_idle().await;
        let disk = self.store.disk();
        let deleted = aside(&self.place, disk);
        {
            let _names = self.names.write().await.map_err(|_| StorageError::Closed)?;
            let writer = self.state.borrow_mut().writer.take();
            if let Some(writer) = writer {
                let failed = StorageError::io("closing", &self.directory);
                writer.file.close().await.map_err(failed)?;
            }
            self.store.unregister(self.number);
            self.store.forget_files(self.number);
            self.state.borrow_mut().chunks.clear();
            if !rename(disk, &self.directory, &deleted).await? {
                return Ok(());
            }
        }
        remove_later(disk, vec![deleted], self.settings.get().delete_delay());
        Ok(())
    }
}

/// Puts the directory of a partition that could not be opened out of the way: its topic was deleted. Nobody else uses it.
pub async fn remove_unopened(store: &Store, place: &LogPlace, delay: Duration) -> Result<(), StorageError> {
    let disk = store.disk();
    let deleted = aside(place, disk);
    if rename(disk, &place.directory(disk.directory()), &deleted).await? {
        remove_later(disk, vec![deleted], delay);
    }
    Ok(())
}

fn aside(place: &LogPlace, disk: &Disk) -> PathBuf {
    place.deleted_directory(disk.directory(), uuid::Uuid::new_v4().as_u128())
}

/// False if there is none: of a partition or an active segment that never had a record.
pub(super) async fn rename(disk: &Disk, from: &Path, to: &Path) -> Result<bool, StorageError> {
    match disk.rename(from, to).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("renaming", from)(error)),
    }
}

/// Removes what has a name of something deleted after `delay`.
pub(super) fn remove_later(disk: &Rc<Disk>, deleted: Vec<PathBuf>, delay: Duration) {
    if deleted.is_empty() {
        return;
    }
    let disk = disk.clone();
    glommio::spawn_local(async move {
        disk.sleep(delay).await;
        deleted.iter().for_each(|path| disk.discard(path));
    })
    .detach();
}

/// Has the directories removed that were on their way out when the broker stopped. One shard calls it, once, at start.
/// Returns how many there were.
pub async fn remove_leftovers(disk: &Rc<Disk>) -> Result<usize, StorageError> {
    let failed = || StorageError::io("listing", disk.directory());
    let entries = disk.list(disk.directory()).await.map_err(failed())?.unwrap_or_default();
    let left = entries.iter().filter(|entry| entry.is_directory && place::is_deleted_directory(&entry.name));
    Ok(left.inspect(|entry| disk.discard(&disk.directory().join(&entry.name))).count())
}
