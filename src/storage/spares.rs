//! Files of deleted segments that a busy log writes its next segments to.
//!
//! A durable write to space that is only reserved has the file system note that the space has content now, and that takes several
//! times as long as the data takes the device. Space that was written before needs no such note (docs/decisions/0015).
//!
//! Key invariant: every batch in a spare lies below the log start, so below the base of any segment that takes its file:
//! recovery wants offsets that follow each other and never counts one of them. A file becomes a spare only when nobody has it
//! open, here or in another process. Until it is taken it keeps its name of a deleted one, which the next start removes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use super::log::Log;
use crate::io::Disk;

/// Spares of one log.
const SPARES_MAX: usize = 4;
/// Ticks of maintenance, which are seconds, that a spare waits for a segment; and as many after which a log that began none is
/// not busy enough to have one.
const TICKS_MAX: u32 = 60;

/// A log's spares.
pub(super) struct Spares {
    files: VecDeque<Spare>,
    /// Since the last file of a segment was begun.
    ticks: u32,
}

struct Spare {
    path: PathBuf,
    ticks: u32,
}

impl Default for Spares {
    fn default() -> Self {
        Self { files: VecDeque::new(), ticks: TICKS_MAX }
    }
}

impl Spares {
    /// Another tick; returns what nobody came for.
    fn age(&mut self, is_ample: bool) -> Vec<PathBuf> {
        self.ticks = self.ticks.saturating_add(1);
        let mut gone = Vec::new();
        for spare in &mut self.files {
            spare.ticks += 1;
        }
        while self.files.front().is_some_and(|oldest| !is_ample || oldest.ticks > TICKS_MAX) {
            gone.extend(self.files.pop_front().map(|spare| spare.path));
        }
        gone
    }

    fn take_all(&mut self) -> Vec<PathBuf> {
        self.files.drain(..).map(|spare| spare.path).collect()
    }
}

impl Log {
    /// Removes files of deleted segments after `file.delete.delay.ms`, or keeps them as spares. All their batches lie below the
    /// log start.
    pub(super) fn discard_later(self: &Rc<Self>, files: Vec<PathBuf>) {
        if files.is_empty() {
            return;
        }
        let delay = self.settings.get().delete_delay();
        let (log, disk) = (Rc::downgrade(self), self.store.disk().clone());
        glommio::spawn_local(async move {
            disk.sleep(delay).await;
            for path in files {
                if !keep(&log, &disk, &path).await {
                    disk.discard(&path);
                }
            }
        })
        .detach();
    }

    /// Gives the file of a spare, if there is one, the name of a segment that has no bytes in a file yet. Its name is not durable.
    pub(super) async fn take_spare(&self, segment: &Path) {
        let spare = {
            let spares = &mut self.state.borrow_mut().spares;
            spares.ticks = 0;
            spares.files.pop_front()
        };
        let Some(spare) = spare else { return };
        if let Err(error) = self.store.disk().rename(&spare.path, segment).await {
            // The segment gets a file of its own, and the next start removes this one.
            tracing::warn!(path = %spare.path.display(), %error, "cannot use the file of a deleted segment");
        }
    }

    /// To be called every second: spares that nobody needs go, and all of them when space is not ample.
    pub fn age_spares(&self) {
        let is_ample = self.store.disk().is_ample();
        let gone = self.state.borrow_mut().spares.age(is_ample);
        gone.iter().for_each(|path| self.store.disk().discard(path));
    }

    /// Removes all spares.
    pub(super) fn discard_spares(&self) {
        let gone = self.state.borrow_mut().spares.take_all();
        gone.iter().for_each(|path| self.store.disk().discard(path));
    }

    fn wants_spare(&self) -> bool {
        let state = self.state.borrow();
        let spares = &state.spares;
        state.phase.check().is_ok()
            && spares.ticks < TICKS_MAX
            && spares.files.len() < SPARES_MAX
            && self.store.disk().is_ample()
    }
}

/// Makes a deleted file a spare of its log; false if the log wants none, or if someone has the file open.
async fn keep(log: &Weak<Log>, disk: &Rc<Disk>, path: &Path) -> bool {
    let Some(log) = log.upgrade().filter(|log| log.wants_spare()) else { return false };
    // What cannot be told counts as open.
    if !disk.is_unshared(path).await.unwrap_or(false) || !log.wants_spare() {
        return false;
    }
    log.state.borrow_mut().spares.files.push_back(Spare { path: path.to_path_buf(), ticks: 0 });
    true
}
