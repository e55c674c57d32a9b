//! Opening a log: from what any crash may have left to a state that can be served.
//!
//! Key invariant: nothing that was durable is cut. Only the last segment may end in bytes that are no batch; they are cut
//! off, durably, before the log is served. A gap or damage before it is an error of this log alone, and nothing is deleted.
//! After a clean close nothing is scanned; otherwise only what follows the newest producer snapshot.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use glommio::sync::{RwLock, Semaphore};

use super::compaction::{self, CompactionState};
use super::epochs::EpochCache;
use super::error::StorageError;
use super::log::{Bounds, Log, LogObserver, LogSettings, OnDisk, Phase, State};
use super::place::{
    self, CLEAN_CLOSE_FILE, DELETED_SUFFIX, EPOCHS_FILE, INDEX_SUFFIX, LOG_START_FILE, LOG_SUFFIX, LogPlace,
    METADATA_FILE, PRODUCERS_SUFFIX, TEMPORARY_SUFFIX,
};
use super::scan::{Continuity, End, Frontier, Scan};
use super::segment::{Segment, Stage};
use super::sidecar::{self, SegmentSummary};
use super::store::Store;
use crate::io::{Access, FileFacts, Inspected};
use crate::model::{Offset, TimestampMs};
use crate::record::BatchHeader;

/// What the partition rebuilds its producer state from, oldest first.
#[derive(Clone, Debug)]
pub enum Replay {
    /// The state at some offset, as the observer once encoded it. Comes first, at most once.
    Snapshot(Bytes),
    /// A batch after that.
    Batch(BatchHeader),
}

/// What is read of every directory, in this order.
const SMALL_FILES: [&str; 4] = [METADATA_FILE, LOG_START_FILE, EPOCHS_FILE, CLEAN_CLOSE_FILE];

/// A segment's file as the directory lists it.
struct Found {
    base: Offset,
    size: u64,
    modified: TimestampMs,
}

/// Everything found in a directory.
struct Findings {
    segments: Vec<Found>,
    /// Offsets of producer snapshots, newest first.
    snapshots: Vec<Offset>,
    /// The content of the mark of a clean close.
    clean_mark: Option<Vec<u8>>,
    leftovers: Vec<String>,
}

impl Findings {
    fn of(listing: &[FileFacts], clean_mark: Option<Vec<u8>>) -> Self {
        let mut findings =
            Self { segments: Vec::new(), snapshots: Vec::new(), clean_mark, leftovers: Vec::new() };
        for facts in listing.iter().filter(|facts| !facts.is_directory) {
            if let Some(base) = place::offset_of(&facts.name, LOG_SUFFIX) {
                let (size, modified) = (facts.size_bytes, facts.modified);
                findings.segments.push(Found { base, size, modified });
            } else if let Some(offset) = place::offset_of(&facts.name, PRODUCERS_SUFFIX) {
                findings.snapshots.push(offset);
            } else if facts.name.ends_with(DELETED_SUFFIX) || facts.name.ends_with(TEMPORARY_SUFFIX) {
                findings.leftovers.push(facts.name.clone());
            }
        }
        findings.segments.sort_by_key(|found| found.base);
        findings.snapshots.sort_by_key(|offset| std::cmp::Reverse(*offset));
        findings
    }
}

impl Findings {
    /// Takes out the segments that lie wholly below the log start: their deletion was under way. Whether they are
    /// whole does not matter any more. One whose producers no later snapshot knows is still needed.
    fn take_below(&mut self, log_start: Offset, snapshot_at: Offset) -> Vec<Offset> {
        let gone = |pair: &&[Found]| pair[1].base <= log_start.min(snapshot_at);
        let below = self.segments.windows(2).take_while(gone).count();
        self.segments.drain(..below).map(|found| found.base).collect()
    }
}

/// One log on its way up.
struct Recovery<'a> {
    store: &'a Rc<Store>,
    directory: PathBuf,
    settings: LogSettings,
    epochs: EpochCache,
    epochs_stale: bool,
    snapshot_at: Offset,
    /// Batches below this are in the snapshot already.
    replay_from: Offset,
    replay: &'a mut dyn FnMut(Replay),
}

impl Log {
    /// Opens the log of a partition, whatever state it was left in; a directory that is not there is an empty log.
    ///
    /// `replay` gets the newest producer snapshot, then the header of every batch after it. Damage before the last
    /// segment is [`StorageError::Corrupt`]; a directory of an earlier topic of the same name is set aside.
    pub async fn open(
        store: &Rc<Store>,
        place: LogPlace,
        settings: LogSettings,
        observer: Rc<dyn LogObserver>,
        replay: &mut dyn FnMut(Replay),
    ) -> Result<Rc<Self>, StorageError> {
        let directory = place.directory(store.disk().directory());
        let mut recovery = Recovery {
            store,
            directory: directory.clone(),
            settings,
            epochs: EpochCache::default(),
            epochs_stale: false,
            snapshot_at: Offset::NONE,
            replay_from: Offset::ZERO,
            replay,
        };
        let state = recovery.run(&place).await?;
        state.check_invariants();
        Ok(Rc::new(Self {
            store: store.clone(),
            place,
            directory,
            number: store.next_log_number(),
            settings: Cell::new(settings),
            observer,
            state: RefCell::new(state),
            compaction: CompactionState::default(),
            last_cold_end: Cell::new(Offset::NONE),
            names: RwLock::new(()),
            saving: Semaphore::new(1),
            maintenance: Semaphore::new(1),
        }))
    }
}

impl Recovery<'_> {
    async fn run(&mut self, place: &LogPlace) -> Result<State, StorageError> {
        let disk = self.store.disk();
        let failed = StorageError::io("listing", &self.directory);
        let inspected = disk.inspect(&self.directory, &SMALL_FILES, sidecar::SIDECAR_BYTES_MAX).await;
        let Some(Inspected { entries, contents }) = inspected.map_err(failed)? else {
            return Ok(self.state(vec![Segment::new(Offset::ZERO)], Offset::ZERO, OnDisk::default()));
        };
        let entries = compaction::complete_swaps(disk, &self.directory, entries).await?;
        let mut contents = contents.into_iter();
        let mut content = || contents.next().flatten();
        let metadata = content();
        if let Some(other) = self.other_topic(place, metadata.as_deref())? {
            self.set_aside(place, &other).await?;
            return Ok(self.state(vec![Segment::new(Offset::ZERO)], Offset::ZERO, OnDisk::default()));
        }
        let named = metadata.is_some();
        let log_start = self.log_start(content())?;
        self.load_epochs(content());
        let mut findings = Findings::of(&entries, content());
        for name in &findings.leftovers {
            let path = self.directory.join(name);
            disk.remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
        }
        let newest = self.newest_snapshot(&findings).await?;
        self.snapshot_at = newest.as_ref().map_or(Offset::NONE, |(offset, _)| *offset);
        self.remove_segments(findings.take_below(log_start, self.snapshot_at)).await?;
        let mut segments = self.segments(&findings, newest, log_start).await?;
        let first = segments.first().map_or(Offset::ZERO, |segment| segment.base);
        let end = segments.last().map_or(Offset::ZERO, |segment| segment.next_offset);
        if end < log_start {
            // All that is left was deleted: the log was being cut within the batch that holds its start.
            let bases = segments.iter().rev().map(|segment| segment.base);
            self.remove_segments(bases.collect()).await?;
            segments = vec![Segment::new(log_start)];
        }
        let end = end.max(log_start);
        if self.epochs.truncate_end(end.plus(1)) {
            self.epochs_stale = true;
        }
        let on_disk = OnDisk {
            directory: named,
            clean_mark: findings.clean_mark.is_some(),
            epochs_stale: self.epochs_stale,
            reserved: false,
        };
        Ok(self.state(segments, log_start.max(first), on_disk))
    }

    fn state(&mut self, segments: Vec<Segment>, start: Offset, on_disk: OnDisk) -> State {
        let end = segments.last().map_or(Offset::ZERO, |segment| segment.next_offset);
        State {
            segments: segments.into(),
            chunks: VecDeque::new(),
            epochs: std::mem::take(&mut self.epochs),
            bounds: Bounds { start, end, durable_end: end },
            writer: None,
            waiters: VecDeque::new(),
            idle: Vec::new(),
            snapshot_at: self.snapshot_at,
            phase: Phase::Open,
            flushing: false,
            finishing: 0,
            on_disk,
        }
    }

    async fn remove_segments(&self, bases: Vec<Offset>) -> Result<(), StorageError> {
        if bases.is_empty() {
            return Ok(());
        }
        for base in bases {
            for suffix in [LOG_SUFFIX, INDEX_SUFFIX, PRODUCERS_SUFFIX] {
                let path = place::file_of(&self.directory, base, suffix);
                let failed = StorageError::io("removing", &path);
                self.store.disk().remove_file(&path).await.map_err(failed)?;
            }
        }
        let failed = StorageError::io("syncing", &self.directory);
        self.store.disk().sync_directory(&self.directory).await.map_err(failed)
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

    async fn read(&self, path: &std::path::Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.disk().read_small(path, bytes_max).await.map_err(StorageError::io("reading", path))
    }

    fn log_start(&self, content: Option<Vec<u8>>) -> Result<Offset, StorageError> {
        let Some(content) = content else { return Ok(Offset::ZERO) };
        let path = self.directory.join(LOG_START_FILE);
        sidecar::decode_log_start(&content)
            .ok_or_else(|| StorageError::corrupt(&path, 0, "not a log start checkpoint"))
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

    /// All segments, the active one last.
    async fn segments(
        &mut self,
        findings: &Findings,
        newest: Option<(Offset, Bytes)>,
        log_start: Offset,
    ) -> Result<Vec<Segment>, StorageError> {
        if let Some(active) = self.cleanly_closed(findings) {
            let closed: Vec<&Found> =
                findings.segments.iter().filter(|found| found.base < active.base).collect();
            let mut segments = Vec::with_capacity(closed.len() + 1);
            self.replay_from = active.next_offset;
            for (at, found) in closed.iter().enumerate() {
                let next = closed.get(at + 1).map_or(active.base, |next| next.base);
                segments.push(self.closed(found, next).await?);
            }
            segments.push(active);
            return Ok(segments);
        }
        match newest {
            Some((offset, snapshot)) => {
                (self.replay)(Replay::Snapshot(snapshot));
                self.replay_from = offset;
            }
            None => self.replay_from = findings.segments.first().map_or(Offset::ZERO, |first| first.base),
        }
        let Some((last, closed)) = findings.segments.split_last() else {
            return Ok(vec![Segment::new(log_start)]);
        };
        let mut segments = Vec::with_capacity(closed.len() + 2);
        for (at, found) in closed.iter().enumerate() {
            segments.push(self.closed(found, findings.segments[at + 1].base).await?);
        }
        let last = self.last(last).await?;
        let next = matches!(last.stage, Stage::Finished).then(|| Segment::new(last.next_offset));
        segments.push(last);
        segments.extend(next);
        Ok(segments)
    }

    /// The active segment as a clean close left it; its producer snapshot is replayed.
    fn cleanly_closed(&mut self, findings: &Findings) -> Option<Segment> {
        let (active, snapshot) = sidecar::decode_clean_mark(findings.clean_mark.as_ref()?)?;
        let matches = match findings.segments.last() {
            Some(last) if last.base == active.base => last.size == active.size,
            Some(last) => last.base < active.base && active.size == 0,
            None => active.size == 0,
        };
        if !matches {
            return None;
        }
        (self.replay)(Replay::Snapshot(snapshot));
        Some(active.into_segment(Stage::Active))
    }

    /// The newest usable producer snapshot and its offset.
    async fn newest_snapshot(&self, findings: &Findings) -> Result<Option<(Offset, Bytes)>, StorageError> {
        for offset in &findings.snapshots {
            let path = place::file_of(&self.directory, *offset, PRODUCERS_SUFFIX);
            let Some(file) = self.read(&path, sidecar::SIDECAR_BYTES_MAX).await? else { continue };
            // A snapshot is written only after everything below its offset is durable.
            if let Some(body) = sidecar::open(sidecar::PRODUCERS, &file) {
                return Ok(Some((*offset, Bytes::copy_from_slice(body))));
            }
        }
        Ok(None)
    }

    /// A segment that is not the last: it must end where the next begins.
    async fn closed(&mut self, found: &Found, next: Offset) -> Result<Segment, StorageError> {
        if next <= self.replay_from
            && let Some(summary) = self.summary(found).await?
            && summary.next_offset == next
        {
            let mut segment = summary.into_segment(Stage::Finished);
            segment.index = None;
            return Ok(segment);
        }
        let path = place::file_of(&self.directory, found.base, LOG_SUFFIX);
        let (mut segment, end) = self.scan(found).await?;
        if self.continuity() == Continuity::Ascending && end == End::File && segment.next_offset < next {
            // Compaction took the last batches.
            segment.next_offset = next;
        }
        if segment.next_offset != next {
            let reason = match end {
                End::File => format!("it ends at offset {}, the next begins at {next}", segment.next_offset),
                End::Invalid(reason) => reason,
            };
            return Err(StorageError::corrupt(&path, segment.size, reason));
        }
        self.cut(&segment, found, &end).await?;
        let sidecar = place::file_of(&self.directory, found.base, INDEX_SUFFIX);
        let content = SegmentSummary::of(&segment).encode();
        let failed = StorageError::io("writing", &sidecar);
        self.store.disk().replace_file(&sidecar, content).await.map_err(failed)?;
        Ok(Segment { stage: Stage::Finished, index: None, ..segment })
    }

    /// The last segment: finished if its sidecar says so, else scanned and cut at its last valid batch.
    async fn last(&mut self, found: &Found) -> Result<Segment, StorageError> {
        if let Some(summary) = self.summary(found).await?
            && summary.next_offset <= self.replay_from
        {
            let mut segment = summary.into_segment(Stage::Finished);
            segment.index = None;
            return Ok(segment);
        }
        let (segment, end) = self.scan(found).await?;
        self.cut(&segment, found, &end).await?;
        let sidecar = place::file_of(&self.directory, found.base, INDEX_SUFFIX);
        // It may grow again: what described it as finished goes first.
        self.store.disk().remove_file(&sidecar).await.map_err(StorageError::io("removing", &sidecar))?;
        let failed = StorageError::io("syncing", &self.directory);
        self.store.disk().sync_directory(&self.directory).await.map_err(failed)?;
        Ok(segment)
    }

    /// The sidecar's summary, if it describes the file as it is.
    async fn summary(&self, found: &Found) -> Result<Option<SegmentSummary>, StorageError> {
        let path = place::file_of(&self.directory, found.base, INDEX_SUFFIX);
        let file = self.read(&path, sidecar::SUMMARY_READ_BYTES).await?;
        let summary = file.and_then(|file| SegmentSummary::decode_summary(&file));
        Ok(summary.filter(|summary| summary.base == found.base && summary.size == found.size))
    }

    /// Reads a segment from its start and replays what the snapshot lacks.
    async fn scan(&mut self, found: &Found) -> Result<(Segment, End), StorageError> {
        let path = place::file_of(&self.directory, found.base, LOG_SUFFIX);
        let disk = self.store.disk();
        let file = disk.open_file(&path, Access::Read).await.map_err(StorageError::io("opening", &path))?;
        let mut segment = Segment::new(found.base);
        let mut frontier = Frontier::start(found.base);
        let interval = self.settings.index_interval_bytes;
        let mut scan = Scan::new(file.clone(), &path, found.size).with(self.continuity());
        let end = scan
            .run(&mut frontier, |header, _| {
                // When the broker saw it is not stored; it was not after the file's last change.
                let seen = header.max_timestamp.min(found.modified);
                segment.note(header, header.base_offset, seen, interval);
                if self.epochs.start(header.leader_epoch, header.base_offset) {
                    self.epochs_stale = true;
                }
                if header.base_offset >= self.replay_from {
                    (self.replay)(Replay::Batch(*header));
                }
            })
            .await?;
        if let End::Invalid(reason) = &end {
            let lost = scan.nonzero_bytes_from(frontier.position).await?;
            if lost > 0 {
                tracing::warn!(
                    path = %path.display(), position = frontier.position, bytes = lost, %reason,
                    "cutting a torn tail off the log"
                );
            }
        }
        drop(scan);
        file.close().await.map_err(StorageError::io("closing", &path))?;
        segment.durable = segment.size;
        Ok((segment, end))
    }

    /// Without its sidecar nothing tells whether a segment was compacted, except that its topic is.
    fn continuity(&self) -> Continuity {
        if self.settings.compaction.compact { Continuity::Ascending } else { Continuity::Strict }
    }

    /// Cuts what follows a segment's last batch, durably.
    async fn cut(&self, segment: &Segment, found: &Found, end: &End) -> Result<(), StorageError> {
        if *end == End::File {
            return Ok(());
        }
        let path = place::file_of(&self.directory, found.base, LOG_SUFFIX);
        let failed = || StorageError::io("truncating", &path);
        let disk = self.store.disk();
        let file = disk.open_file(&path, Access::Durable).await.map_err(failed())?;
        file.truncate(segment.size).await.map_err(failed())?;
        file.close().await.map_err(failed())
    }
}
