//! What of a log is clean, what is dirty, and what a round of compaction rewrites together.
//!
//! ```text
//! log start          first dirty                    limit             end
//!     | clean: one record per key | dirty: to be compacted | too young, undecided or active |
//! ```
//!
//! Key invariant: nothing at or above the limit is rewritten: the active segment, records younger than
//! `min.compaction.lag.ms`, transactions that are not decided, and segments whose producers no later snapshot knows. A
//! group of segments fits into one, by size and by relative offsets. As Kafka's LogCleanerManager decides it, except that
//! the limit lies between segments.

use std::ops::Range;

use crate::model::{Offset, TimestampMs};

/// One in these is a whole.
pub(super) const PARTS: u64 = 1_000_000;

/// The settings of a topic that compaction acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionSettings {
    /// Whether `cleanup.policy` has `compact`.
    pub compact: bool,
    /// `delete.retention.ms`: how long tombstones and markers of vanished transactions stay after a round found them.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`
    pub lag_min_ms: i64,
    /// `max.compaction.lag.ms`
    pub lag_max_ms: i64,
    /// `min.cleanable.dirty.ratio` in parts per million.
    pub dirty_ratio_min_ppm: u32,
}

impl Default for CompactionSettings {
    /// Kafka's defaults, without compaction.
    fn default() -> Self {
        Self {
            compact: false,
            delete_retention_ms: 24 * 3_600_000,
            lag_min_ms: 0,
            lag_max_ms: i64::MAX,
            dirty_ratio_min_ppm: 500_000,
        }
    }
}

/// A segment as a plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub base: Offset,
    pub next_offset: Offset,
    pub size: u64,
    pub largest_timestamp: i64,
    pub first_append: TimestampMs,
    /// Its file changes no more, and a later producer snapshot is there.
    pub settled: bool,
}

/// What bounds a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub log_start: Offset,
    /// What lies below was compacted before.
    pub cleaned_to: Offset,
    /// What lies below is decided and may be seen by everyone.
    pub stable_end: Offset,
    pub now: TimestampMs,
}

/// How dirty a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirtiness {
    /// Where compaction begins to look for newer records.
    pub first_dirty: Offset,
    /// Where it ends; no lower than `first_dirty`.
    pub limit: Offset,
    pub clean_bytes: u64,
    /// Bytes that can be compacted now and were not yet.
    pub dirty_bytes: u64,
    /// Something is older than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl Dirtiness {
    /// Dirty bytes of all that can be compacted, in parts per million.
    pub fn ratio_ppm(&self) -> u32 {
        let total = u128::from(self.clean_bytes) + u128::from(self.dirty_bytes);
        (u128::from(self.dirty_bytes) * u128::from(PARTS)).checked_div(total).unwrap_or(0) as u32
    }

    /// Whether these settings want a round now.
    pub fn is_due(&self, settings: &CompactionSettings) -> bool {
        let dirty = self.overdue || self.ratio_ppm() > settings.dirty_ratio_min_ppm;
        settings.compact && self.dirty_bytes > 0 && dirty
    }
}

/// Looks at the segments of a log, oldest first.
pub(super) fn dirtiness(segments: &[Candidate], bounds: &Bounds, settings: &CompactionSettings) -> Dirtiness {
    let end = segments.last().map_or(bounds.log_start, |last| last.next_offset);
    // A mark beyond the log's end was made in another life of it.
    let cleaned_to = if bounds.cleaned_to > end { Offset::ZERO } else { bounds.cleaned_to };
    let first_dirty = cleaned_to.max(bounds.log_start);
    let young = |segment: &Candidate| {
        settings.lag_min_ms > 0
            && segment.next_offset > first_dirty
            && segment.largest_timestamp > bounds.now.0.saturating_sub(settings.lag_min_ms)
    };
    let fits =
        |segment: &&Candidate| segment.settled && segment.next_offset <= bounds.stable_end && !young(segment);
    let within: Vec<&Candidate> = segments.iter().take_while(fits).collect();
    let limit = within.last().map_or(first_dirty, |last| last.next_offset).max(first_dirty);
    let (clean, dirty): (Vec<&Candidate>, Vec<&Candidate>) =
        within.into_iter().partition(|segment| segment.next_offset <= first_dirty);
    let bytes = |segments: &[&Candidate]| segments.iter().map(|segment| segment.size).sum();
    let begun = dirty.iter().map(|segment| segment.first_append.0).filter(|begun| *begun > 0).min();
    let overdue = begun.is_some_and(|begun| begun < bounds.now.0.saturating_sub(settings.lag_max_ms));
    Dirtiness { first_dirty, limit, clean_bytes: bytes(&clean), dirty_bytes: bytes(&dirty), overdue }
}

/// Which of `segments` become one, so that segments do not shrink for ever: neighbours that fit into `segment_bytes`
/// together and whose offsets fit the index.
pub(super) fn groups(segments: &[Candidate], segment_bytes: u32) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (at, segment) in segments.iter().enumerate() {
        let joins = groups.last().is_some_and(|group| {
            let span = segment.next_offset.since(segments[group.start].base);
            bytes + segment.size <= u64::from(segment_bytes) && span <= i64::from(i32::MAX)
        });
        match groups.last_mut() {
            Some(group) if joins => {
                group.end = at + 1;
                bytes += segment.size;
            }
            _ => {
                groups.push(at..at + 1);
                bytes = segment.size;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(base: i64, next: i64, size: u64) -> Candidate {
        Candidate {
            base: Offset(base),
            next_offset: Offset(next),
            size,
            largest_timestamp: next,
            first_append: TimestampMs(base.max(1)),
            settled: true,
        }
    }

    /// Three segments of 100 offsets and bytes, then the active one.
    fn log() -> Vec<Candidate> {
        let active = Candidate { settled: false, ..segment(300, 350, 50) };
        vec![segment(0, 100, 100), segment(100, 200, 100), segment(200, 300, 100), active]
    }

    fn bounds(cleaned_to: i64) -> Bounds {
        Bounds {
            log_start: Offset(0),
            cleaned_to: Offset(cleaned_to),
            stable_end: Offset(350),
            now: TimestampMs(1_000),
        }
    }

    fn settings() -> CompactionSettings {
        CompactionSettings { compact: true, ..CompactionSettings::default() }
    }

    fn facts(dirtiness: Dirtiness) -> (i64, i64, u64, u64) {
        let Dirtiness { first_dirty, limit, clean_bytes, dirty_bytes, .. } = dirtiness;
        (first_dirty.0, limit.0, clean_bytes, dirty_bytes)
    }

    #[test]
    fn all_below_the_active_segment_is_dirty_at_first() {
        let found = dirtiness(&log(), &bounds(-1), &settings());
        assert_eq!(facts(found), (0, 300, 0, 300));
        assert_eq!((found.ratio_ppm(), found.is_due(&settings())), (1_000_000, true));
        assert!(!found.is_due(&CompactionSettings { compact: false, ..settings() }));
        assert_eq!(facts(dirtiness(&[], &bounds(-1), &settings())), (0, 0, 0, 0));
    }

    #[test]
    fn the_ratio_is_by_bytes_and_must_be_passed() {
        let found = dirtiness(&log(), &bounds(200), &settings());
        assert_eq!(facts(found), (200, 300, 200, 100));
        assert_eq!((found.ratio_ppm(), found.is_due(&settings())), (333_333, false));
        let lower = |dirty_ratio_min_ppm| CompactionSettings { dirty_ratio_min_ppm, ..settings() };
        assert!(found.is_due(&lower(333_332)));
        assert!(!found.is_due(&lower(333_333)));
        let all_clean = dirtiness(&log(), &bounds(300), &settings());
        assert_eq!((facts(all_clean), all_clean.is_due(&lower(0))), ((300, 300, 300, 0), false));
        assert_eq!(
            facts(dirtiness(&log(), &bounds(150), &settings())),
            (150, 300, 100, 200),
            "half a segment"
        );
    }

    #[test]
    fn a_mark_outside_the_log_counts_for_nothing() {
        let start = Bounds { log_start: Offset(120), ..bounds(50) };
        assert_eq!(facts(dirtiness(&log(), &start, &settings())), (120, 300, 100, 200));
        assert_eq!(facts(dirtiness(&log(), &bounds(351), &settings())), (0, 300, 0, 300));
    }

    #[test]
    fn nothing_undecided_young_or_unsettled_is_touched() {
        let undecided = Bounds { stable_end: Offset(299), ..bounds(0) };
        assert_eq!(facts(dirtiness(&log(), &undecided, &settings())), (0, 200, 0, 200));
        let young = CompactionSettings { lag_min_ms: 800, ..settings() };
        assert_eq!(facts(dirtiness(&log(), &bounds(0), &young)), (0, 200, 0, 200), "300 is after 1000 - 800");
        let all_young = CompactionSettings { lag_min_ms: i64::MAX, ..settings() };
        assert_eq!(facts(dirtiness(&log(), &bounds(0), &all_young)), (0, 0, 0, 0));
        assert_eq!(facts(dirtiness(&log(), &bounds(100), &all_young)), (100, 100, 100, 0), "clean is clean");
        let mut unsettled = log();
        unsettled[1].settled = false;
        assert_eq!(facts(dirtiness(&unsettled, &bounds(0), &settings())), (0, 100, 0, 100));
        assert_eq!(facts(dirtiness(&unsettled, &bounds(200), &settings())), (200, 200, 100, 0));
    }

    #[test]
    fn what_is_too_old_is_due_whatever_the_ratio() {
        let lag =
            |lag_max_ms| CompactionSettings { lag_max_ms, dirty_ratio_min_ppm: 1_000_000, ..settings() };
        let due = |lag_max_ms| dirtiness(&log(), &bounds(200), &lag(lag_max_ms)).is_due(&lag(lag_max_ms));
        assert!(due(799), "the segment began at 200, it is 1000 now");
        assert!(!due(800) && !due(i64::MAX));
    }

    #[test]
    fn groups_fit_into_a_segment() {
        let sizes = |sizes: &[u64]| -> Vec<Candidate> {
            let at = |n: usize| n as i64 * 10;
            sizes.iter().enumerate().map(|(n, size)| segment(at(n), at(n + 1), *size)).collect()
        };
        assert!(groups(&[], 100).is_empty());
        assert_eq!(groups(&sizes(&[40, 60, 1, 99, 1]), 100), [0..2, 2..4, 4..5]);
        assert_eq!(groups(&sizes(&[500, 0, 10]), 100), [0..1, 1..3], "a large one stays alone");
        let far =
            [segment(0, 10, 1), segment(10, i64::from(i32::MAX), 1), segment(1 << 31, (1 << 31) + 5, 1)];
        assert_eq!(groups(&far, 100), [0..2, 2..3]);
    }
}
