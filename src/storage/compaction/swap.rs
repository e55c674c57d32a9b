//! Puts a rewritten segment in the place of those it stands for.
//!
//! ```text
//! <base>.log.cleaned              being written: recovery deletes it
//! <base>.<next>.cindex.swap       its sidecar, before the next step; alone it means nothing
//! <base>.<next>.log.swap          whole: it replaces every segment whose base lies in base..next; recovery goes on with that
//! <base>.log                      in place
//! ```
//!
//! Key invariant: the rename to `.log.swap` is durable before the first old file goes, and names what it replaces; the rename
//! to `.log` is durable after the last. So at any moment a start finds all the old segments or the new one. Readers either
//! hold an old file and its positions, or learn that both count no more ([`super::CompactionState`]).

use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::TaskQueueHandle;

use super::super::error::StorageError;
use super::super::log::{Log, State};
use super::super::place::{self, INDEX_SUFFIX, LOG_SUFFIX, PRODUCERS_SUFFIX};
use super::super::remove::remove_later;
use super::super::segment::{Segment, Stage};
use super::super::sidecar::SegmentSummary;
use super::plan::Candidate;
use crate::io::{Disk, FileFacts};
use crate::model::Offset;

/// A segment that is being written.
pub(super) const CLEANED_SUFFIX: &str = ".log.cleaned";
/// A segment that replaces others.
const LOG_SWAP_SUFFIX: &str = ".log.swap";
/// Its sidecar.
const INDEX_SWAP_SUFFIX: &str = ".cindex.swap";

/// A rewritten segment, all of it durable, and what it stands for.
pub(super) struct Replacement {
    pub segment: Segment,
    /// Oldest first, without a gap.
    pub replaced: Vec<Candidate>,
    /// The log's generation when the first of them was read.
    pub generation: u64,
}

impl Log {
    /// Puts a segment in place. False, and its file is gone, if the log is no longer what it was made of.
    ///
    /// Goes on to its end once it has begun, also if nobody waits for it any more.
    pub(super) async fn swap_in(self: &Rc<Self>, replacement: Replacement) -> Result<bool, StorageError> {
        let log = self.clone();
        // Not in compaction's queue: readers of this log wait for the end.
        let queue = TaskQueueHandle::default();
        let swap = glommio::spawn_local_into(async move { log.swap_alone(replacement).await }, queue);
        swap.expect("an executor has its first queue").detach().await.unwrap_or(Err(StorageError::Closed))
    }

    async fn swap_alone(self: Rc<Self>, replacement: Replacement) -> Result<bool, StorageError> {
        let _alone = self.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        self.state.borrow().phase.check()?;
        if !self.are_in_place(&replacement.replaced, replacement.generation) {
            self.discard_cleaned(replacement.segment.base).await;
            return Ok(false);
        }
        let Replacement { segment, replaced, .. } = replacement;
        let range = (segment.base, segment.next_offset);
        let sidecar = range_file(&self.directory, range, INDEX_SWAP_SUFFIX);
        let disk = self.store.disk();
        let content = SegmentSummary::of(&segment).encode();
        disk.replace_file(&sidecar, content).await.map_err(StorageError::io("writing", &sidecar))?;
        let bases: Vec<Offset> = replaced.iter().map(|candidate| candidate.base).collect();
        match self.replace(segment, &bases).await {
            Ok(deleted) => {
                remove_later(disk, deleted, self.settings.get().delete_delay());
                Ok(true)
            }
            Err(error) => {
                // The next start completes the swap, or finds that it never began. Until then nobody knows.
                self.poison(&error);
                Err(error)
            }
        }
    }

    /// Whether these segments are there as they were, at the generation when they were looked at.
    pub(super) fn are_in_place(&self, segments: &[Candidate], generation: u64) -> bool {
        let state = self.state.borrow();
        let Some(first) = segments.first() else { return false };
        let from = state.segments.partition_point(|segment| segment.base < first.base);
        let same = |(now, then): (&Segment, &Candidate)| {
            (now.base, now.next_offset, now.size) == (then.base, then.next_offset, then.size)
                && state.is_settled(now)
        };
        self.compaction.generation() == generation
            && state.segments.len() >= from + segments.len()
            && state.segments.range(from..).zip(segments).all(same)
    }

    /// Removes what a round wrote that came to nothing. A failure is left to the next start.
    pub(super) async fn discard_cleaned(&self, base: Offset) {
        let path = place::file_of(&self.directory, base, CLEANED_SUFFIX);
        if let Err(error) = self.store.disk().remove_file(&path).await {
            tracing::debug!(path = %path.display(), %error, "a rewritten segment stays until the next start");
        }
    }

    /// Replaces segments in memory and on disk; returns the files that are to go.
    async fn replace(&self, segment: Segment, bases: &[Offset]) -> Result<Vec<PathBuf>, StorageError> {
        let range = (segment.base, segment.next_offset);
        // Nobody opens a file or reads a sidecar until all names are right.
        let _names = self.names.write().await.map_err(|_| StorageError::Closed)?;
        let disk = self.store.disk();
        let cleaned = place::file_of(&self.directory, range.0, CLEANED_SUFFIX);
        let swap = range_file(&self.directory, range, LOG_SWAP_SUFFIX);
        disk.rename(&cleaned, &swap).await.map_err(StorageError::io("renaming", &cleaned))?;
        self.compaction.next_generation();
        self.state.borrow_mut().replace_segments(segment, bases);
        for base in bases {
            self.store.forget((self.number, *base));
        }
        self.store.read_ahead().forget_log(self.number);
        let mut deleted = Vec::with_capacity(bases.len());
        for base in bases {
            if *base != range.0 {
                remove_companions(disk, &self.directory, *base).await?;
            }
            let path = place::file_of(&self.directory, *base, LOG_SUFFIX);
            let target = place::deleted_file(&path);
            disk.rename(&path, &target).await.map_err(StorageError::io("renaming", &path))?;
            deleted.push(target);
        }
        put_in_place(disk, &self.directory, range).await?;
        Ok(deleted)
    }
}

impl State {
    /// Puts `segment` where those of `bases` are. What the cache holds of them goes too: it still has what was removed.
    fn replace_segments(&mut self, mut segment: Segment, bases: &[Offset]) {
        segment.stage = Stage::Finished;
        segment.index = None;
        let from = self.segments.partition_point(|other| other.base < segment.base);
        self.segments.drain(from..from + bases.len());
        self.segments.insert(from, segment);
        self.chunks.retain(|chunk| !bases.contains(&chunk.segment));
        self.check_invariants();
    }
}

/// Ends the swaps that were under way when the broker stopped, and deletes what was only being written. Returns what the
/// directory holds then.
pub(in crate::storage) async fn complete_swaps(
    disk: &Rc<Disk>,
    directory: &Path,
    entries: Vec<FileFacts>,
) -> Result<Vec<FileFacts>, StorageError> {
    let ranges: Vec<(Offset, Offset)> =
        entries.iter().filter_map(|facts| range_of(&facts.name, LOG_SWAP_SUFFIX)).collect();
    let mut changed = false;
    for range in &ranges {
        // The first segment's files are replaced by name.
        let of_segment = |facts: &&FileFacts| {
            let suffixes = [LOG_SUFFIX, INDEX_SUFFIX, PRODUCERS_SUFFIX];
            let mut bases = suffixes.iter().filter_map(|suffix| place::offset_of(&facts.name, suffix));
            bases.any(|base| base > range.0 && base < range.1)
        };
        for facts in entries.iter().filter(of_segment) {
            remove(disk, &directory.join(&facts.name)).await?;
        }
        put_in_place(disk, directory, *range).await?;
        changed = true;
    }
    for facts in &entries {
        let lonely = range_of(&facts.name, INDEX_SWAP_SUFFIX).is_some_and(|range| !ranges.contains(&range));
        if lonely || facts.name.ends_with(CLEANED_SUFFIX) {
            remove(disk, &directory.join(&facts.name)).await?;
            changed = true;
        }
    }
    if !changed {
        return Ok(entries);
    }
    let listed = disk.list(directory).await.map_err(StorageError::io("listing", directory))?;
    Ok(listed.unwrap_or_default())
}

/// Gives the new segment its name, after its sidecar.
async fn put_in_place(
    disk: &Rc<Disk>,
    directory: &Path,
    range: (Offset, Offset),
) -> Result<(), StorageError> {
    for (from, to) in [(INDEX_SWAP_SUFFIX, INDEX_SUFFIX), (LOG_SWAP_SUFFIX, LOG_SUFFIX)] {
        let path = range_file(directory, range, from);
        match disk.rename(&path, &place::file_of(directory, range.0, to)).await {
            Ok(()) => {}
            // An earlier start had put the sidecar in place.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && from == INDEX_SWAP_SUFFIX => {}
            Err(error) => return Err(StorageError::io("renaming", &path)(error)),
        }
    }
    Ok(())
}

/// Removes what lies beside a segment whose offsets belong to another one now. The producers' state at its start is not
/// needed: a later one is there.
async fn remove_companions(disk: &Rc<Disk>, directory: &Path, base: Offset) -> Result<(), StorageError> {
    for suffix in [INDEX_SUFFIX, PRODUCERS_SUFFIX] {
        remove(disk, &place::file_of(directory, base, suffix)).await?;
    }
    Ok(())
}

async fn remove(disk: &Rc<Disk>, path: &Path) -> Result<(), StorageError> {
    disk.remove_file(path).await.map_err(StorageError::io("removing", path))
}

/// `directory/<20-digit base>.<20-digit next><suffix>`.
fn range_file(directory: &Path, (base, next): (Offset, Offset), suffix: &str) -> PathBuf {
    place::file_of(directory, base, &format!(".{:020}{suffix}", next.0))
}

/// The offsets in a name of that form.
fn range_of(name: &str, suffix: &str) -> Option<(Offset, Offset)> {
    let (base, next) = name.strip_suffix(suffix)?.split_once('.')?;
    let (base, next) = (place::offset_of(base, "")?, place::offset_of(next, "")?);
    (base < next).then_some((base, next))
}
