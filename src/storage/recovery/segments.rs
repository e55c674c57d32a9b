//! The segments of a log, as their files have them after a crash.
//!
//! Key invariant: what a manifest calls written is taken as it is, if the file is as long; everything beyond is read and checked
//! batch by batch. A segment that is not the last must end where the next begins; only the last may end in bytes that are
//! no batch.

use bytes::Bytes;

use super::findings::{Findings, Found};
use super::past::Past;
use super::{Recovery, Replay};
use crate::io::Access;
use crate::model::{LeaderEpoch, Offset};
use crate::storage::epochs::EpochCache;
use crate::storage::error::StorageError;
use crate::storage::index::{ENTRY_BYTES, SparseIndex};
use crate::storage::journal::Written;
use crate::storage::place::{self, INDEX_SUFFIX, LOG_SUFFIX, PRODUCERS_SUFFIX};
use crate::storage::scan::{Continuity, End, Frontier, Scan};
use crate::storage::segment::{Segment, Stage, Times};
use crate::storage::sidecar::{self, SegmentSummary};

/// How far behind a log's end lost bytes are looked for; only the log line depends on it.
const LOST_BYTES_MAX: u64 = 1 << 20;

/// Where the reading of a segment begins.
struct Start {
    segment: Segment,
    frontier: Frontier,
}

impl Start {
    fn at_base(base: Offset) -> Self {
        Self { segment: Segment::new(base), frontier: Frontier::start(base) }
    }
}

impl Recovery<'_> {
    /// All segments of a log that no manifest tells of: from the newest producer snapshot on they are read.
    pub(super) async fn all_segments(
        &mut self,
        findings: &Option<Findings>,
        past: &Past,
    ) -> Result<Vec<Segment>, StorageError> {
        let Some(findings) = findings else { return Ok(vec![]) };
        match &findings.snapshot {
            Some((offset, snapshot)) => {
                (self.replay)(Replay::Snapshot(snapshot.clone()));
                self.replay_from = *offset;
            }
            None => self.replay_from = findings.segments.first().map_or(Offset::ZERO, |first| first.base),
        }
        let Some((last, closed)) = findings.segments.split_last() else { return Ok(vec![]) };
        let mut segments = Vec::with_capacity(closed.len() + 2);
        for (at, found) in closed.iter().enumerate() {
            segments
                .push(self.closed(found, Start::at_base(found.base), findings.segments[at + 1].base).await?);
        }
        let last = self.last(last, past).await?;
        let next = last.is_finished().then(|| Segment::new(last.next_offset));
        segments.push(last);
        segments.extend(next);
        Ok(segments)
    }

    /// The segments of a log that a manifest tells of: only what follows is read.
    pub(super) async fn segments_since(
        &mut self,
        findings: &Option<Findings>,
        written: &Written,
        past: &Past,
    ) -> Result<Vec<Segment>, StorageError> {
        let found = findings.as_ref().map_or(&[][..], |findings| &findings.segments);
        // One in a file is newer than the manifest; what lies before it may be deleted.
        let newer = findings.as_ref().and_then(|findings| findings.snapshot.clone());
        let (offset, producers) = newer.unwrap_or_else(|| (written.next_offset, written.producers.clone()));
        (self.replay)(Replay::Snapshot(producers));
        self.replay_from = offset;
        let epochs = epochs_of(written);
        self.epochs_stale |= epochs != std::mem::replace(&mut self.epochs, epochs.clone());
        let known = found.iter().position(|found| found.base == written.base);
        let at_hand = known.is_some_and(|at| found[at].size >= written.size_bytes);
        let deleted = known.is_none() && past.log_start >= written.next_offset;
        if !at_hand && !deleted && written.size_bytes > 0 {
            return Err(self.too_short(known.map_or(0, |at| found[at].size), written));
        }
        if let Some(first) =
            found.first().filter(|first| first.base > past.log_start && first.base <= written.base)
        {
            return Err(self.missing(past.log_start, first.base));
        }
        let before = found.partition_point(|found| found.base < written.base);
        let mut segments = Vec::with_capacity(found.len() + 1);
        for (at, one) in found[..before].iter().enumerate() {
            let next = found.get(at + 1).map_or(written.base, |next| next.base.min(written.base));
            segments.push(self.closed(one, Start::at_base(one.base), next).await?);
        }
        let since = &found[before..];
        let mut end = if deleted { None } else { Some(written.base) };
        for (at, one) in since.iter().enumerate() {
            if let Some(end) = end.filter(|end| *end != one.base && past.log_start < one.base) {
                return Err(self.missing(end, one.base));
            }
            let start = if one.base == written.base {
                resumed(written, self.settings.index_interval_bytes)
            } else {
                Start::at_base(one.base)
            };
            let segment = match since.get(at + 1) {
                Some(next) => self.closed(one, start, next.base).await?,
                None => self.active(one, start, past).await?,
            };
            end = Some(segment.next_offset);
            segments.push(segment);
        }
        if since.is_empty() && !deleted {
            // Nothing was ever written to it.
            segments.push(resumed(written, self.settings.index_interval_bytes).segment);
        }
        let finished = segments.last().filter(|last| last.is_finished()).map(|last| last.next_offset);
        segments.extend(finished.map(Segment::new));
        Ok(segments)
    }

    /// The newest usable producer snapshot and its offset.
    pub(super) async fn newest_snapshot(
        &self,
        findings: &Findings,
    ) -> Result<Option<(Offset, Bytes)>, StorageError> {
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
    async fn closed(&mut self, found: &Found, start: Start, next: Offset) -> Result<Segment, StorageError> {
        if next <= self.replay_from
            && let Some(summary) = self.summary(found).await?
            && summary.next_offset == next
            && summary.size == found.size
        {
            let mut segment = summary.into_segment(Stage::Finished);
            segment.index = None;
            return Ok(segment);
        }
        let path = place::file_of(&self.directory, found.base, LOG_SUFFIX);
        let begins_at = start.frontier.position;
        let (mut segment, end) = self.scan(found, start, Offset(i64::MAX)).await?;
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
        self.save_index(&segment, begins_at).await?;
        Ok(Segment { stage: Stage::Finished, index: None, ..segment })
    }

    /// The last segment: finished if its sidecar says so, else read and cut at its last valid batch, or where the log was cut.
    async fn last(&mut self, found: &Found, past: &Past) -> Result<Segment, StorageError> {
        if past.cut.is_none()
            && let Some(summary) = self.summary(found).await?
            && summary.next_offset <= self.replay_from
            && summary.size == found.size
        {
            let mut segment = summary.into_segment(Stage::Finished);
            segment.index = None;
            return Ok(segment);
        }
        let until = past.cut.unwrap_or(Offset(i64::MAX));
        let (segment, end) = self.scan(found, Start::at_base(found.base), until).await?;
        if past.cut.is_some() {
            self.cut(&segment, found, &end).await?;
        } else {
            self.torn = end != End::File;
        }
        // It may grow again: what described it as finished goes first.
        self.remove_index(found).await?;
        Ok(segment)
    }

    /// The active segment from where a manifest left it, up to where the log was cut.
    async fn active(&mut self, found: &Found, start: Start, past: &Past) -> Result<Segment, StorageError> {
        if found.size == start.segment.size {
            return Ok(start.segment);
        }
        let until = past.cut.unwrap_or(Offset(i64::MAX));
        let (segment, end) = self.scan(found, start, until).await?;
        if past.cut.is_some() {
            self.cut(&segment, found, &end).await?;
        } else {
            self.torn = end != End::File;
        }
        if let Some(summary) = self.summary(found).await?
            && summary.size > segment.size
        {
            self.remove_index(found).await?;
        }
        Ok(segment)
    }

    async fn remove_index(&self, found: &Found) -> Result<(), StorageError> {
        if !found.indexed {
            return Ok(());
        }
        let path = place::file_of(&self.directory, found.base, INDEX_SUFFIX);
        self.store.disk().remove_file(&path).await.map_err(StorageError::io("removing", &path))?;
        let failed = StorageError::io("syncing", &self.directory);
        self.store.disk().sync_directory(&self.directory).await.map_err(failed)
    }

    /// Writes the index of a segment whose bytes from `begins_at` on were read.
    async fn save_index(&self, segment: &Segment, begins_at: u64) -> Result<(), StorageError> {
        let path = place::file_of(&self.directory, segment.base, INDEX_SUFFIX);
        let mut summary = SegmentSummary::of(segment);
        if begins_at > 0 {
            let stored = self.read(&path, sidecar::SIDECAR_BYTES_MAX).await?;
            let stored = stored.and_then(|file| SegmentSummary::decode(&file)).map(|stored| stored.index);
            let mut whole = stored.unwrap_or_else(SparseIndex::default).below(segment.size);
            whole.extend(&summary.index);
            summary.index = whole;
        }
        let failed = StorageError::io("writing", &path);
        self.store.disk().replace_file(&path, summary.encode()).await.map_err(failed)
    }

    /// The sidecar's summary.
    async fn summary(&self, found: &Found) -> Result<Option<SegmentSummary>, StorageError> {
        if !found.indexed {
            return Ok(None);
        }
        let path = place::file_of(&self.directory, found.base, INDEX_SUFFIX);
        let file = self.read(&path, sidecar::SUMMARY_READ_BYTES).await?;
        let summary = file.and_then(|file| SegmentSummary::decode_summary(&file));
        Ok(summary.filter(|summary| summary.base == found.base))
    }

    /// Reads a segment from `start`, up to the batch that holds `until`, and replays what the snapshot lacks.
    async fn scan(
        &mut self,
        found: &Found,
        start: Start,
        until: Offset,
    ) -> Result<(Segment, End), StorageError> {
        let path = place::file_of(&self.directory, found.base, LOG_SUFFIX);
        let disk = self.store.disk();
        let file = disk.open_file(&path, Access::Read).await.map_err(StorageError::io("opening", &path))?;
        let Start { mut segment, mut frontier } = start;
        let interval = self.settings.index_interval_bytes;
        let mut scan = Scan::new(file.clone(), &path, found.size).with(self.continuity());
        let end = scan
            .run(&mut frontier, until, |header, _| {
                // When the broker saw it is not stored; it was not after the file's last change. Records without
                // timestamps are taken to be as old as that, as in Kafka, or retention would take them at once.
                let stated = header.max_timestamp;
                let seen = if stated.0 >= 0 { stated.min(found.modified) } else { found.modified };
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
            let lost = scan.nonzero_bytes_from(frontier.position, LOST_BYTES_MAX).await?;
            if lost > 0 {
                tracing::warn!(
                    path = %path.display(), position = frontier.position, bytes = lost, %reason,
                    "what follows the last batch is cut off: torn by the crash, or of a deleted segment whose file this was"
                );
            }
        }
        drop(scan);
        file.close().await.map_err(StorageError::io("closing", &path))?;
        segment.written = segment.size;
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

    fn too_short(&self, size: u64, written: &Written) -> StorageError {
        let path = place::file_of(&self.directory, written.base, LOG_SUFFIX);
        let reason = format!("it held {} bytes at the last checkpoint", written.size_bytes);
        StorageError::corrupt(&path, size, reason)
    }

    fn missing(&self, end: Offset, next: Offset) -> StorageError {
        let path = place::file_of(&self.directory, end, LOG_SUFFIX);
        StorageError::corrupt(&path, 0, format!("the segment is missing; the next begins at {next}"))
    }
}

fn epochs_of(written: &Written) -> EpochCache {
    let mut epochs = EpochCache::default();
    for (epoch, start) in &written.epochs {
        epochs.start(*epoch, *start);
    }
    epochs
}

/// The segment as a manifest has it.
fn resumed(written: &Written, interval_bytes: u32) -> Start {
    let epochs = epochs_of(written);
    let epoch = epochs.epoch_at(written.next_offset.plus(-1)).unwrap_or(LeaderEpoch(i32::MIN));
    let times = Times {
        largest: written.largest_timestamp,
        largest_at: written.largest_at,
        first_batch: written.first_batch,
        first_append: written.first_append,
        last_append: written.last_append,
    };
    let segment = Segment {
        base: written.base,
        next_offset: written.next_offset,
        size: written.size_bytes,
        written: written.size_bytes,
        times,
        stage: Stage::Active,
        index: Some(SparseIndex::default()),
        index_bytes: written.size_bytes / u64::from(interval_bytes.max(1)) * ENTRY_BYTES,
    };
    let frontier = Frontier { position: written.size_bytes, next_offset: written.next_offset, epoch };
    Start { segment, frontier }
}
