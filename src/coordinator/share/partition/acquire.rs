//! Acquiring: records that were read from the log are locked for a member.
//!
//! Key invariants: only records that are available, or beyond the end offset, are acquired. New records are acquired by whole
//! batches of the log, so that a client gets no batch twice without need; records delivered often before go out in ever smaller
//! parts, at last alone, so that one that nobody can digest does not take its neighbours along.

use super::{Lock, SharePartition, ShareRules, Span, State};
use crate::coordinator::MemberId;
use crate::coordinator::share::DeliveryState;
use crate::model::{Offset, TimestampMs};

/// Deliveries from which on records go out in smaller parts: half of those allowed, at least this.
const THROTTLED_DELIVERIES_MIN: i16 = 2;

/// What was read.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// Where the read began.
    pub from: Offset,
    /// First and last offset of the batches read, in order.
    pub batches: &'a [(Offset, Offset)],
}

/// How much a member wants.
#[derive(Clone, Copy, Debug)]
pub struct AcquireLimits {
    /// No more records than this, rounded up to whole batches of the log unless `exact`.
    pub records_max: u32,
    /// New records are acquired in parts of about this many.
    pub part_records: u32,
    /// `record_limit` of KIP-1206.
    pub exact: bool,
}

/// Records that are the member's now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    pub first: Offset,
    /// Inclusive.
    pub last: Offset,
    /// How often they have been delivered, this time included.
    pub deliveries: i16,
}

impl Acquired {
    /// How many records these are.
    pub fn records(&self) -> i64 {
        self.last.since(self.first) + 1
    }
}

/// An acquisition under way.
struct Acquiring<'a> {
    lock: Lock,
    rules: &'a ShareRules,
    limits: AcquireLimits,
    batches: &'a [(Offset, Offset)],
    acquired: Vec<Acquired>,
    records: i64,
    /// What was acquired must go out without anything more.
    full: bool,
}

impl Acquiring<'_> {
    fn room(&self) -> i64 {
        if self.full { 0 } else { i64::from(self.limits.records_max) - self.records }
    }

    fn note(&mut self, first: Offset, last: Offset, deliveries: i16) {
        let acquired = Acquired { first, last, deliveries };
        self.records += acquired.records();
        self.acquired.push(acquired);
    }

    /// The last of at most `records` records from `first` on; the batch of the log that it lies in comes whole.
    fn last_of(&self, first: Offset, records: i64) -> Offset {
        let last = first.plus(records - 1);
        if self.limits.exact {
            return last;
        }
        let containing = self.batches.iter().find(|(base, end)| *base <= last && last <= *end);
        containing.map_or(last, |(_, end)| *end)
    }
}

impl SharePartition {
    /// Locks for `member` what is free of the records that were read.
    pub fn acquire(
        &mut self,
        now: TimestampMs,
        member: &MemberId,
        fetched: &Fetched<'_>,
        limits: AcquireLimits,
        rules: &ShareRules,
    ) -> Vec<Acquired> {
        let (Some((base, _)), Some((_, last))) = (fetched.batches.first(), fetched.batches.last()) else {
            return vec![];
        };
        if *last < self.start || limits.records_max == 0 {
            return vec![];
        }
        let until = TimestampMs(now.get().saturating_add(i64::from(rules.lock_ms)));
        let mut acquiring = Acquiring {
            lock: Lock { member: member.clone(), until },
            rules,
            limits,
            batches: fetched.batches,
            acquired: vec![],
            records: 0,
            full: false,
        };
        self.archive_missing(fetched.from, *base);
        self.acquire_again(&mut acquiring, (*base).max(self.start), *last);
        self.acquire_new(&mut acquiring, *last);
        if !acquiring.acquired.is_empty() {
            self.deadline = Some(self.deadline.map_or(until, |at| at.min(until)));
        }
        self.check_invariants();
        acquiring.acquired
    }

    /// Available records that the log no longer has: compaction took them.
    fn archive_missing(&mut self, from: Offset, base: Offset) {
        let Some((_, last)) = self.spans.bounds() else { return };
        if from < base {
            let missing = Offset(base.get() - 1).min(last);
            self.spans.update(from.max(self.start), missing, |span| {
                if span.state == State::Available {
                    span.state = State::Archived;
                }
            });
            self.advance_start();
        }
    }

    /// Acquires records that were delivered before.
    fn acquire_again(&mut self, acquiring: &mut Acquiring<'_>, first: Offset, last: Offset) {
        let mut parts = vec![];
        for (at, span) in self.spans.within(first, last) {
            if acquiring.room() <= 0 {
                break;
            }
            if span.state != State::Available {
                continue;
            }
            let at = at.max(first);
            let whole = span.last.min(last);
            let until = match throttled_records(span, acquiring.rules) {
                Some(_) if acquiring.records > 0 => {
                    acquiring.full = true;
                    break;
                }
                Some(records) => {
                    acquiring.full = true;
                    at.plus(records.min(i64::from(acquiring.limits.records_max)) - 1)
                }
                None => acquiring.last_of(at, acquiring.room()),
            };
            let until = until.min(whole);
            acquiring.note(at, until, span.deliveries.saturating_add(1));
            parts.push((at, until));
            if acquiring.full {
                break;
            }
        }
        for (at, until) in parts {
            self.spans.update(at, until, |span| {
                span.state = State::Acquired(acquiring.lock.clone());
                span.deliveries = span.deliveries.saturating_add(1);
            });
        }
    }

    /// Acquires records beyond the end.
    fn acquire_new(&mut self, acquiring: &mut Acquiring<'_>, last: Offset) {
        let free = i64::from(acquiring.rules.locks_max) - self.in_flight();
        let room = acquiring.room().min(free);
        let end = self.end();
        let Some((base, _)) = acquiring.batches.iter().find(|(_, last)| *last >= end) else { return };
        if room <= 0 || last < end {
            return;
        }
        if self.spans.len() == 0 {
            self.start = end.max(*base);
            self.available_from = self.start;
        } else {
            // Offsets that the log does not have, so nobody ever acknowledges them.
            self.push_hole(*base, DeliveryState::Archived);
        }
        let first = self.end();
        let until = acquiring.last_of(first, room).min(last);
        for (at, until) in parts(acquiring, first, until) {
            let state = State::Acquired(acquiring.lock.clone());
            self.spans.push(at, Span { last: until, batch: (at, until), deliveries: 1, state });
            acquiring.note(at, until, 1);
        }
    }
}

/// Cuts new records into parts where batches of the log begin.
fn parts(acquiring: &Acquiring<'_>, first: Offset, last: Offset) -> Vec<(Offset, Offset)> {
    let mut parts = vec![];
    let mut at = first;
    if !acquiring.limits.exact {
        for (base, _) in acquiring.batches.iter().filter(|(base, _)| *base <= last) {
            if base.since(at) >= i64::from(acquiring.limits.part_records.max(1)) {
                parts.push((at, Offset(base.get() - 1)));
                at = *base;
            }
        }
    }
    parts.push((at, last));
    parts
}

/// How many records of a span go out together, if it was delivered so often that it must be divided: from half of the allowed
/// deliveries on half of the batch, then a quarter, and for the last time each alone.
fn throttled_records(span: &Span, rules: &ShareRules) -> Option<i64> {
    let from = (rules.deliveries_max / 2 + rules.deliveries_max % 2).max(THROTTLED_DELIVERIES_MIN);
    if span.deliveries < from {
        return None;
    }
    if rules.deliveries_max > 2 && span.deliveries >= rules.deliveries_max - 1 {
        return Some(1);
    }
    let halvings = u32::from((span.deliveries - from + 1).unsigned_abs()).min(62);
    Some((span.batch_records() >> halvings).max(1))
}
