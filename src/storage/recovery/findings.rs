//! What a partition's directory holds.
//!
//! Key invariant: only names that this broker makes are read; what was half done when it stopped is put in order here, before
//! anything is read: leftovers go, the directory of an earlier topic is set aside, deleted segments stay deleted.

use std::path::Path;

use bytes::Bytes;

use super::Recovery;
use super::past::Past;
use crate::io::{FileFacts, Inspected};
use crate::model::{Offset, TimestampMs};
use crate::storage::compaction;
use crate::storage::epochs::EpochCache;
use crate::storage::error::StorageError;
use crate::storage::place::{
    self, DELETED_SUFFIX, EPOCHS_FILE, INDEX_SUFFIX, LOG_SUFFIX, LogPlace, METADATA_FILE, PRODUCERS_SUFFIX,
    TEMPORARY_SUFFIX,
};
use crate::storage::sidecar;

/// What is read of every directory, in this order.
const SMALL_FILES: [&str; 2] = [METADATA_FILE, EPOCHS_FILE];

/// A segment's file as the directory lists it.
pub(super) struct Found {
    pub base: Offset,
    pub size: u64,
    pub modified: TimestampMs,
    /// An index is there too.
    pub indexed: bool,
}

/// Everything found in a directory.
pub(super) struct Findings {
    /// Oldest first.
    pub segments: Vec<Found>,
    /// Offsets of producer snapshots that tell more than the manifest, newest first.
    pub snapshots: Vec<Offset>,
    /// The newest of them that is usable.
    pub snapshot: Option<(Offset, Bytes)>,
    /// The directory names its topic.
    pub named: bool,
    leftovers: Vec<String>,
}

impl Findings {
    fn of(listing: &[FileFacts], named: bool) -> Self {
        let mut findings =
            Self { segments: vec![], snapshots: vec![], snapshot: None, named, leftovers: vec![] };
        let mut indexes = vec![];
        for facts in listing.iter().filter(|facts| !facts.is_directory) {
            if let Some(base) = place::offset_of(&facts.name, LOG_SUFFIX) {
                let (size, modified) = (facts.size_bytes, facts.modified);
                findings.segments.push(Found { base, size, modified, indexed: false });
            } else if let Some(offset) = place::offset_of(&facts.name, PRODUCERS_SUFFIX) {
                findings.snapshots.push(offset);
            } else if let Some(base) = place::offset_of(&facts.name, INDEX_SUFFIX) {
                indexes.push(base);
            } else if facts.name.ends_with(DELETED_SUFFIX) || facts.name.ends_with(TEMPORARY_SUFFIX) {
                findings.leftovers.push(facts.name.clone());
            }
        }
        findings.segments.sort_by_key(|found| found.base);
        findings.snapshots.sort_by_key(|offset| std::cmp::Reverse(*offset));
        for found in &mut findings.segments {
            found.indexed = indexes.contains(&found.base);
        }
        findings
    }

    /// Takes out the segments that lie wholly below the log start: their deletion was under way. Whether they are
    /// whole does not matter any more. One whose producers no snapshot at or below the log start knows is still needed: one
    /// above it may go with a cut.
    fn take_below(&mut self, log_start: Offset) -> Vec<Offset> {
        let covered = self.snapshots.iter().find(|offset| **offset <= log_start).copied();
        let gone = |pair: &&[Found]| covered.is_some_and(|covered| pair[1].base <= covered);
        let below = self.segments.windows(2).take_while(gone).count();
        self.segments.drain(..below).map(|found| found.base).collect()
    }

    /// Takes out the segments that begin at or above a cut, the newest first: a crash in between leaves no gap.
    fn take_from(&mut self, cut: Offset) -> Vec<Offset> {
        let kept = self.segments.partition_point(|found| found.base < cut);
        self.segments.drain(kept..).rev().map(|found| found.base).collect()
    }
}

impl Recovery<'_> {
    /// What is there; `None` if no directory is.
    pub(super) async fn find(
        &mut self,
        place: &LogPlace,
        past: &Past,
    ) -> Result<Option<Findings>, StorageError> {
        let disk = self.store.disk();
        let failed = StorageError::io("listing", &self.directory);
        let inspected = disk.inspect(&self.directory, &SMALL_FILES, sidecar::SIDECAR_BYTES_MAX).await;
        let Some(Inspected { entries, contents }) = inspected.map_err(failed)? else { return Ok(None) };
        let entries = compaction::complete_swaps(disk, &self.directory, entries).await?;
        let mut contents = contents.into_iter();
        let mut content = || contents.next().flatten();
        let metadata = content();
        if let Some(other) = self.other_topic(place, metadata.as_deref())? {
            self.set_aside(place, &other).await?;
            return Ok(None);
        }
        self.load_epochs(content());
        let mut findings = Findings::of(&entries, metadata.is_some());
        for name in &findings.leftovers {
            let path = self.directory.join(name);
            if name.ends_with(DELETED_SUFFIX) {
                // It may be large, and nobody asks for it any more.
                disk.discard(&path);
                continue;
            }
            disk.remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
        }
        if let Some(cut) = past.cut {
            // A cut below the log start left nothing, also no producers.
            let kept = if cut < past.log_start { Offset::NONE } else { cut };
            // The snapshot at exactly the cut stays.
            self.remove_files(findings.take_from(kept), &[LOG_SUFFIX, INDEX_SUFFIX]).await?;
            self.remove_snapshots_above(&mut findings, kept).await?;
        }
        self.remove_segments(findings.take_below(past.log_start)).await?;
        let known_at = past.written.as_ref().map_or(Offset::NONE, |written| written.next_offset);
        findings.snapshots.retain(|offset| *offset > known_at);
        findings.snapshot = self.newest_snapshot(&findings).await?;
        Ok(Some(findings))
    }

    /// Removes, durably, what belongs to these segments.
    pub(super) async fn remove_segments(&self, bases: Vec<Offset>) -> Result<(), StorageError> {
        self.remove_files(bases, &[LOG_SUFFIX, INDEX_SUFFIX, PRODUCERS_SUFFIX]).await
    }

    async fn remove_files(&self, bases: Vec<Offset>, suffixes: &[&str]) -> Result<(), StorageError> {
        if bases.is_empty() {
            return Ok(());
        }
        for base in bases {
            for suffix in suffixes {
                let path = place::file_of(&self.directory, base, suffix);
                let failed = StorageError::io("removing", &path);
                self.store.disk().remove_file(&path).await.map_err(failed)?;
            }
        }
        let failed = StorageError::io("syncing", &self.directory);
        self.store.disk().sync_directory(&self.directory).await.map_err(failed)
    }

    async fn remove_snapshots_above(&self, findings: &mut Findings, cut: Offset) -> Result<(), StorageError> {
        let above: Vec<Offset> = findings.snapshots.extract_if(.., |offset| *offset > cut).collect();
        for offset in above {
            let path = place::file_of(&self.directory, offset, PRODUCERS_SUFFIX);
            let failed = StorageError::io("removing", &path);
            self.store.disk().remove_file(&path).await.map_err(failed)?;
        }
        Ok(())
    }

    /// The topic id that `partition.metadata` names, if it is not this topic's.
    fn other_topic(&self, place: &LogPlace, metadata: Option<&[u8]>) -> Result<Option<String>, StorageError> {
        let Some(content) = metadata else { return Ok(None) };
        let content = String::from_utf8_lossy(content);
        let Some(found) = place::topic_id_of(&content) else {
            let path = self.directory.join(METADATA_FILE);
            return Err(StorageError::corrupt(&path, 0, "not a partition.metadata of version 0"));
        };
        Ok((found != place.topic_id.to_string()).then(|| found.to_owned()))
    }

    /// Puts the directory of an earlier topic of this name on its way out. Its deletion was durable in the metadata
    /// before this topic was created, but the broker stopped before it had renamed the directory.
    async fn set_aside(&self, place: &LogPlace, other: &str) -> Result<(), StorageError> {
        let disk = self.store.disk();
        let target = place.deleted_directory(disk.directory(), uuid::Uuid::new_v4().as_u128());
        tracing::warn!(
            directory = %self.directory.display(), target = %target.display(),
            "the directory belongs to a deleted topic of id {other}; it is set aside and removed at the next start"
        );
        disk.rename(&self.directory, &target).await.map_err(StorageError::io("renaming", &self.directory))
    }

    pub(super) async fn read(&self, path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.disk().read_small(path, bytes_max).await.map_err(StorageError::io("reading", path))
    }

    fn load_epochs(&mut self, content: Option<Vec<u8>>) {
        let Some(content) = content else { return };
        match std::str::from_utf8(&content).ok().and_then(EpochCache::decode) {
            Some(epochs) => self.epochs = epochs,
            None => {
                let path = self.directory.join(EPOCHS_FILE);
                tracing::warn!(path = %path.display(), "the leader epoch checkpoint is damaged; it is rebuilt");
                self.epochs_stale = true;
            }
        }
    }
}
