//! Opening a log: from what any crash may have left to a state that can be served.
//!
//! Three sources are merged: the shard's manifest (what the segments held at the last checkpoint, and the producers there), the
//! segments beyond it, and the journal's entries beyond them. What was read from the journal is in memory and in the journal until
//! the next checkpoint writes it.
//!
//! Key invariant: nothing that was durable is cut. Only what follows the last valid batch of the last segment is cut off,
//! durably, before anything is written there. A gap or damage before it is an error of this log alone, and nothing is deleted. What is
//! read is bounded by the distance to the last checkpoint, not by the size of the log.

mod findings;
mod past;
mod replay;
mod segments;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

use bytes::Bytes;
use glommio::sync::{RwLock, Semaphore};

use super::compaction::CompactionState;
use super::epochs::EpochCache;
use super::error::StorageError;
use super::log::{Bounds, Flow, Log, LogObserver, LogSettings, OnDisk, Phase, State, Waiting};
use super::place::{LogPlace, METADATA_FILE};
use super::segment::Segment;
use super::spares::Spares;
use super::store::Store;
use crate::model::Offset;
use crate::record::BatchHeader;
use past::Past;

/// What the partition rebuilds its producer state from, oldest first.
#[derive(Clone, Debug)]
pub enum Replay {
    /// The state at some offset, as the observer once encoded it. Comes first, at most once.
    Snapshot(Bytes),
    /// A batch after that.
    Batch(BatchHeader),
}

/// One log on its way up.
struct Recovery<'a> {
    store: &'a Rc<Store>,
    directory: PathBuf,
    settings: LogSettings,
    epochs: EpochCache,
    epochs_stale: bool,
    /// Batches below this are in the snapshot already.
    replay_from: Offset,
    /// The last segment's file is longer than its batches.
    torn: bool,
    replay: &'a mut dyn FnMut(Replay),
}

impl Log {
    /// Opens the log of a partition, whatever state it was left in; a directory that is not there is an empty log, unless the
    /// journal knows more.
    ///
    /// `replay` gets the newest producer snapshot, then the header of every batch after it. Damage before the last
    /// segment's end is [`StorageError::Corrupt`]; a directory of an earlier topic of the same name is set aside.
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
            replay_from: Offset::ZERO,
            torn: false,
            replay,
        };
        let past = Past::of(store.recovered().replay_of(place.in_journal()))?;
        let state = recovery.run(&place, &past).await?;
        state.check_invariants();
        let log = Rc::new(Self {
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
        });
        store.register(&log);
        if past.cut.is_some() {
            // Until a manifest covers the cut the next start would repeat it, and take what was appended meanwhile. The
            // observer does not know its producers yet.
            log.state.borrow_mut().end_unsettled = true;
            if let Err(error) = store.checkpoint().await {
                store.unregister(log.number);
                return Err(error);
            }
            log.producers_rebuilt();
        }
        Ok(log)
    }
}

impl Recovery<'_> {
    async fn run(&mut self, place: &LogPlace, past: &Past) -> Result<State, StorageError> {
        let findings = self.find(place, past).await?;
        let segments = match &past.written {
            Some(written) => self.segments_since(&findings, written, past).await?,
            None => self.all_segments(&findings, past).await?,
        };
        let end = segments.last().map_or(Offset::ZERO, |segment| segment.next_offset);
        if let Some(cut) = past.cut.filter(|cut| end < *cut && past.log_start < *cut) {
            return Err(self.gap(end, cut));
        }
        if findings.as_ref().is_some_and(|findings| !findings.named) {
            // It was being made when the broker stopped, or someone took the file away.
            let metadata = self.directory.join(METADATA_FILE);
            let failed = StorageError::io("writing", &metadata);
            self.store.disk().replace_file(&metadata, place.metadata().into_bytes()).await.map_err(failed)?;
        }
        let on_disk = OnDisk {
            directory: findings.is_some(),
            epochs_stale: self.epochs_stale,
            reserved: self.torn,
            torn: self.torn,
        };
        let mut state = self.state(segments, on_disk);
        state.manifest_base = past.written.as_ref().map_or(Offset::ZERO, |written| written.base);
        self.replay_journal(&mut state, past).await?;
        self.begin_at(&mut state, past.log_start).await?;
        let end = state.bounds.end;
        if state.epochs.truncate_end(end.plus(1)) {
            state.on_disk.epochs_stale = true;
        }
        self.store.add_unwritten(state.unwritten_bytes());
        Ok(state)
    }

    /// The state of a log whose files hold `segments`, before the journal's share.
    fn state(&mut self, segments: Vec<Segment>, on_disk: OnDisk) -> State {
        let segments: VecDeque<Segment> =
            if segments.is_empty() { [Segment::new(Offset::ZERO)].into() } else { segments.into() };
        let (first, active) = (&segments[0], &segments[segments.len() - 1]);
        let end = active.next_offset;
        State {
            bounds: Bounds {
                start: first.base,
                start_asked: first.base,
                end,
                durable_end: end,
                written_end: end,
            },
            flow: Flow::at_rest(active),
            segments,
            chunks: VecDeque::new(),
            epochs: std::mem::take(&mut self.epochs),
            writer: None,
            waiting: Waiting::default(),
            phase: Phase::Open,
            on_disk,
            end_unsettled: false,
            manifest_base: Offset::ZERO,
            spares: Spares::default(),
        }
    }

    fn gap(&self, end: Offset, next: Offset) -> StorageError {
        let reason = format!("the log's files end at offset {end}, but the journal goes on at {next}");
        StorageError::corrupt(&self.directory, 0, reason)
    }
}
