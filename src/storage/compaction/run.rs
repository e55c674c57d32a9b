//! A round of compaction: learn the newest offset of each key in the dirty part, then rewrite everything below.
//!
//! Key invariant: groups are rewritten oldest first and each is complete in itself, so a round that ends early has removed
//! nothing that anyone could miss; the mark of what is compacted moves only after the last. The log is not held: it is
//! appended to, read, and cut by retention meanwhile, and a group that is gone or changed by then is left alone.

use std::rc::Rc;

use bytes::Bytes;

use super::super::error::StorageError;
use super::super::log::Log;
use super::super::segment::Times;
use super::filter::{self, Knowledge, Verdict};
use super::offset_map::{OffsetMap, SLOT_BYTES};
use super::output::Output;
use super::plan::{self, Candidate, Dirtiness};
use super::source::{Pace, Source};
use super::swap::Replacement;
use super::transactions::{Outcomes, Traversed};
use super::{CompactionReport, CompactionRound};
use crate::model::{Offset, TimestampMs};
use crate::record::{BatchHeader, each_keyed};

/// A round under way.
struct Run {
    log: Rc<Log>,
    pace: Pace,
    /// The log's, as far as this round knows why it changed.
    generation: u64,
    report: CompactionReport,
}

/// How far filling the map came.
enum Filled {
    /// To the limit, or as far as the keys fit.
    Done,
    /// To a transaction whose outcome must be known first.
    Transactions,
}

/// How a group ended.
enum Rewritten {
    /// It is in place, or nothing in it had to change.
    Done,
    /// The log changed beneath it.
    Superseded,
}

impl Log {
    /// Compacts what is dirty, as far as the memory for keys reaches; the next round goes on from there.
    ///
    /// Damage is `Corrupt`, too little space `DiskFull`; the log serves on as it was, except after a failure while files
    /// were being exchanged, which poisons it until the next start.
    pub async fn compact(self: &Rc<Self>, round: CompactionRound) -> Result<CompactionReport, StorageError> {
        let pace = Pace(round.limits.bytes_per_second);
        let generation = self.compaction.generation();
        let mut run = Run { log: self.clone(), pace, generation, report: CompactionReport::default() };
        let first = self.candidates().first().map(|first| first.base);
        match run.learn(round).await {
            Ok(Some(knowledge)) => run.rewrite(&knowledge).await?,
            Ok(None) => run.report.complete = true,
            // Retention took what was being read.
            Err(_) if self.candidates().first().map(|first| first.base) != first => {}
            Err(error) => return Err(error),
        }
        Ok(run.report)
    }
}

impl Run {
    /// Reads the dirty part; `None` if there is nothing to do.
    async fn learn(&mut self, round: CompactionRound) -> Result<Option<Knowledge>, StorageError> {
        let log = self.log.clone();
        let mut dirt = log.dirtiness(round.now, round.stable_end).await?;
        if dirt.dirty_bytes == 0 {
            return Ok(None);
        }
        let new_map = |dirt: &Dirtiness| {
            let percent = u64::from(round.limits.map_load_percent.clamp(1, 100));
            // There are no more keys than offsets.
            let keys = dirt.limit.since(dirt.first_dirty) as u64;
            let enough = (keys.saturating_mul(100) / percent + 2).saturating_mul(SLOT_BYTES);
            let bytes = enough.min(round.limits.map_bytes_max);
            OffsetMap::new(bytes, round.limits.map_load_percent, dirt.first_dirty)
        };
        let mut map = new_map(&dirt);
        let mut outcomes = Outcomes::default();
        if let Filled::Transactions = self.fill(&mut map, &dirt, None).await? {
            outcomes = self.survey(&dirt).await?;
            if let Some(undecided) = outcomes.first_undecided().filter(|first| *first < dirt.limit) {
                dirt = log.dirtiness(round.now, round.stable_end.min(undecided)).await?;
                if dirt.dirty_bytes == 0 {
                    return Ok(None);
                }
            }
            map = new_map(&dirt);
            self.fill(&mut map, &dirt, Some(&outcomes)).await?;
        }
        self.report.map_used_percent = map.used_percent();
        Ok(Some(Knowledge {
            map,
            outcomes,
            producers: round.producers,
            limit: dirt.limit,
            now: round.now,
            delete_retention_ms: log.settings().compaction.delete_retention_ms,
        }))
    }

    /// Puts the keys of the dirty part into the map.
    async fn fill(
        &mut self,
        map: &mut OffsetMap,
        dirt: &Dirtiness,
        outcomes: Option<&Outcomes>,
    ) -> Result<Filled, StorageError> {
        let dirty =
            |segment: &Candidate| segment.next_offset > dirt.first_dirty && segment.next_offset <= dirt.limit;
        let segments: Vec<Candidate> = self.log.candidates().into_iter().filter(dirty).collect();
        for segment in segments {
            let from = dirt.first_dirty.max(segment.base);
            let mut source = Source::new(self.log.clone(), self.log.locate(from).await?, self.pace);
            while let Some((header, batch)) = source.next().await? {
                if header.next_offset() <= dirt.first_dirty {
                    continue;
                }
                if header.is_transactional() && !header.is_control() && outcomes.is_none() {
                    return Ok(Filled::Transactions);
                }
                let aborted = outcomes.is_some_and(|outcomes| outcomes.is_aborted(&header));
                if !header.is_control() && !aborted && !put_batch(map, &header, &batch, dirt.first_dirty)? {
                    self.report.read_bytes += source.read_bytes();
                    return Ok(Filled::Done);
                }
                map.reached(header.next_offset());
                glommio::yield_if_needed().await;
            }
            self.report.read_bytes += source.read_bytes();
            map.reached(segment.next_offset);
        }
        Ok(Filled::Done)
    }

    /// Finds out how the transactions of the dirty part ended, reading as far beyond it as their markers are.
    async fn survey(&mut self, dirt: &Dirtiness) -> Result<Outcomes, StorageError> {
        let mut outcomes = Outcomes::default();
        let after = |segment: &Candidate| segment.next_offset > dirt.first_dirty;
        let segments: Vec<Candidate> = self.log.candidates().into_iter().filter(after).collect();
        'segments: for segment in segments.iter().filter(|segment| segment.size > 0) {
            // Of an active segment nothing may be on the device yet.
            let Some(place) = self.log.place_at(segment.base, 0) else { continue };
            let mut source = Source::new(self.log.clone(), place, self.pace);
            while let Some((header, batch)) = source.next().await? {
                if header.base_offset >= dirt.limit && !outcomes.undecided_below(dirt.limit) {
                    self.report.read_bytes += source.read_bytes();
                    break 'segments;
                }
                outcomes.read(&batch, &header)?;
                glommio::yield_if_needed().await;
            }
            self.report.read_bytes += source.read_bytes();
        }
        Ok(outcomes)
    }

    /// Rewrites all that begins below the map's end, and moves the mark.
    async fn rewrite(&mut self, knowledge: &Knowledge) -> Result<(), StorageError> {
        let end = knowledge.map.end();
        let below = |segment: &Candidate| segment.base < end && segment.next_offset <= knowledge.limit;
        let segments: Vec<Candidate> = self.log.candidates().into_iter().take_while(below).collect();
        let mut traversed = Traversed::default();
        for group in plan::groups(&segments, self.log.settings().segment_bytes) {
            let group = &segments[group];
            let result = self.rewrite_group(group, knowledge, &mut traversed).await;
            if result.is_err() {
                self.log.discard_cleaned(group[0].base).await;
            }
            match result {
                Ok(Rewritten::Done) => {}
                Ok(Rewritten::Superseded) => return Ok(()),
                // A file that is gone is no failure if its segment is gone too.
                Err(error) if self.log.are_in_place(group, self.generation) => return Err(error),
                Err(_) => return self.log.state.borrow().phase.check(),
            }
        }
        let _alone = self.log.maintenance.acquire_permit(1).await.map_err(|_| StorageError::Closed)?;
        self.log.state.borrow().phase.check()?;
        // Whoever cut the log meanwhile took the mark away, and it stays away.
        if self.log.compaction.generation() == self.generation {
            self.log.save_cleaned_to(end).await?;
            self.report.complete = true;
        }
        Ok(())
    }

    async fn rewrite_group(
        &mut self,
        group: &[Candidate],
        knowledge: &Knowledge,
        traversed: &mut Traversed,
    ) -> Result<Rewritten, StorageError> {
        let compact = self.log.settings().compaction.compact;
        if !compact || !self.log.are_in_place(group, self.generation) {
            return Ok(Rewritten::Superseded);
        }
        if group.len() == 1 && self.stays_as_it_is(group[0].base, knowledge, traversed).await? {
            return Ok(Rewritten::Done);
        }
        let (base, next) = (group[0].base, group[group.len() - 1].next_offset);
        let bytes: u64 = group.iter().map(|segment| segment.size).sum();
        let times = self.times(base, next);
        let mut output = Output::create(&self.log, base, bytes, self.pace).await?;
        let removed_records = match self.write_group(group, knowledge, traversed, &mut output).await {
            Ok(removed_records) => removed_records,
            Err(error) => {
                output.give_up().await;
                return Err(error);
            }
        };
        let segment = output.finish(next, times).await?;
        let written_bytes = segment.size;
        let replacement = Replacement { segment, replaced: group.to_vec(), generation: self.generation };
        if !self.log.swap_in(replacement).await? {
            return Ok(Rewritten::Superseded);
        }
        self.generation += 1;
        self.report.written_bytes += written_bytes;
        self.report.removed_records += removed_records;
        self.report.replaced_segments += group.len() as u64;
        self.report.new_segments += 1;
        Ok(Rewritten::Done)
    }

    /// Writes what stays of a group; returns how many records do not.
    async fn write_group(
        &mut self,
        group: &[Candidate],
        knowledge: &Knowledge,
        traversed: &mut Traversed,
        output: &mut Output,
    ) -> Result<u64, StorageError> {
        let mut last: Option<(BatchHeader, Bytes)> = None;
        let mut removed_records = 0;
        for segment in group.iter().filter(|segment| segment.size > 0) {
            let mut source = self.source(segment.base)?;
            while let Some((header, batch)) = source.next().await? {
                match knowledge.verdict(&batch, &header, traversed)? {
                    Verdict::Same => output.push(&header, &batch).await?,
                    Verdict::Rewritten { batch, removed } => {
                        removed_records += u64::from(removed);
                        output.push(&BatchHeader::parse_whole(&batch)?, &batch).await?;
                    }
                    Verdict::Gone { removed } => removed_records += u64::from(removed),
                }
                last = Some((header, batch));
                glommio::yield_if_needed().await;
            }
            self.report.read_bytes += source.read_bytes();
        }
        // A segment without a batch would never grow old.
        if let Some((header, batch)) = last.filter(|_| output.size() == 0) {
            let empty = match filter::emptied(&batch, &header)? {
                Verdict::Rewritten { batch, .. } => batch,
                _ => batch,
            };
            output.push(&BatchHeader::parse_whole(&empty)?, &empty).await?;
        }
        Ok(removed_records)
    }

    /// Whether nothing in a segment changes; then nothing needs to be written, and `traversed` has seen it.
    async fn stays_as_it_is(
        &mut self,
        base: Offset,
        knowledge: &Knowledge,
        traversed: &mut Traversed,
    ) -> Result<bool, StorageError> {
        let mut seen = traversed.clone();
        let mut source = self.source(base)?;
        let mut same = true;
        while let Some((header, batch)) = source.next().await? {
            let verdict = knowledge.verdict(&batch, &header, &mut seen)?;
            same = verdict == Verdict::Same || self.is_only_batch(base, &header, &verdict);
            if !same {
                break;
            }
            glommio::yield_if_needed().await;
        }
        self.report.read_bytes += source.read_bytes();
        if same {
            *traversed = seen;
        }
        Ok(same)
    }

    /// Whether this is the one empty batch that a segment is left with, which would be written again.
    fn is_only_batch(&self, base: Offset, header: &BatchHeader, verdict: &Verdict) -> bool {
        let alone =
            self.log.place_at(base, 0).is_some_and(|place| place.size == u64::from(header.size_bytes));
        alone && header.record_count == 0 && matches!(verdict, Verdict::Gone { .. })
    }

    fn source(&self, base: Offset) -> Result<Source, StorageError> {
        // Retention took it, or a truncation: whoever asked looks whether the group is still there.
        let place = self.log.place_at(base, 0).ok_or(StorageError::OutOfRange {
            offset: base,
            start: self.log.log_start_offset(),
            end: self.log.log_end_offset(),
        })?;
        Ok(Source::new(self.log.clone(), place, self.pace))
    }

    /// When the broker saw the segments from `base` to `next`.
    fn times(&self, base: Offset, next: Offset) -> Times {
        let state = self.log.state.borrow();
        let within =
            || state.segments.iter().filter(|segment| segment.base >= base && segment.next_offset <= next);
        let first = within().map(|segment| segment.times.first_append).find(|at| at.0 >= 0);
        let last = within().map(|segment| segment.times.last_append).max();
        Times {
            first_append: first.unwrap_or(TimestampMs::NONE),
            last_append: last.unwrap_or(TimestampMs::NONE),
            ..Times::none()
        }
    }
}

/// Puts the keys of a batch's records from `first_dirty` on into the map; false if they do not all fit.
fn put_batch(
    map: &mut OffsetMap,
    header: &BatchHeader,
    batch: &Bytes,
    first_dirty: Offset,
) -> Result<bool, StorageError> {
    let mut full_at = None;
    each_keyed(batch, header, |record| {
        let fits = match record.key {
            Some(key) if record.offset >= first_dirty => map.put(key, record.offset),
            _ => true,
        };
        if !fits {
            full_at = Some(record.offset);
        }
        fits
    })?;
    if let Some(offset) = full_at {
        map.reached(offset);
    }
    Ok(full_at.is_none())
}
