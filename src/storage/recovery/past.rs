//! What manifest and journal say of one log.
//!
//! Key invariant: a cut that was begun is repeated: what lay above it when it was journaled was written to the segments before,
//! and a log that was cut takes no append before a manifest covers the cut. So of the entries only those after the last cut
//! count, and of the cuts only the last.

use crate::model::Offset;
use crate::storage::error::StorageError;
use crate::storage::journal::{EntryKind, PartitionReplay, ReplayEntry, Written};

pub(super) struct Past {
    /// The newest segment at the last checkpoint, unless it was cut since.
    pub written: Option<Written>,
    /// Nothing below is served.
    pub log_start: Offset,
    /// The log was cut here, or was about to be.
    pub cut: Option<Offset>,
    /// What was appended since, in order; some of it may be in the segments.
    pub appends: Vec<ReplayEntry>,
}

impl Past {
    pub(super) fn of(replay: PartitionReplay) -> Result<Self, StorageError> {
        let PartitionReplay { record, entries, suspect } = replay;
        if let Some(reason) = suspect {
            return Err(StorageError::Suspect(reason));
        }
        let mut past = Self {
            log_start: record.as_ref().map_or(Offset::ZERO, |record| record.log_start),
            written: record.and_then(|record| record.written),
            cut: None,
            appends: vec![],
        };
        for entry in entries {
            match entry.kind {
                EntryKind::Append => past.appends.push(entry),
                EntryKind::LogStart => past.log_start = past.log_start.max(entry.offset),
                EntryKind::Truncate => {
                    past.appends.clear();
                    past.cut = Some(entry.offset);
                }
                // Batches carry their epochs; one without a batch begins anew with the next leader.
                EntryKind::EpochStart => {}
            }
        }
        let cut = past.cut.unwrap_or(Offset(i64::MAX));
        // A cut below the log start left nothing.
        past.written = past.written.filter(|written| written.next_offset <= cut && past.log_start <= cut);
        Ok(past)
    }
}
