//! A share partition: the records of one partition that one share group has in flight (KIP-932).
//!
//! Key invariants: records before the start offset are done with; those after the end offset were never acquired; each one
//! between has one state, and is with one member at most. An acknowledgement holds once it is written; until then the record
//! is with nobody else. Reading the log, and carrying writes to the share coordinator, is left to the runtime: it takes one
//! [`Write`] at a time, so writes of a partition never overtake each other.

mod acknowledge;
mod acquire;
mod spans;
mod write;

use crate::coordinator::share::{DeliveryState, StateBatch};
use crate::coordinator::{GroupError, MemberId};
use crate::model::{Offset, TimestampMs};
use spans::{Lock, Span, Spans, State};

pub use acknowledge::{AckBatch, AckType};
pub use acquire::{AcquireLimits, Acquired, Fetched};
pub use write::{ChangeId, Write};

/// What the settings say, with every event: they may change.
#[derive(Clone, Copy, Debug)]
pub struct ShareRules {
    /// `share.record.lock.duration.ms` of the group, or `group.share.record.lock.duration.ms`.
    pub lock_ms: i32,
    /// `group.share.delivery.count.limit`: a record delivered that often is archived instead of being available again.
    pub deliveries_max: i16,
    /// `group.share.partition.max.record.locks`: records between start and end offset; one batch more may come.
    pub locks_max: u32,
}

/// The state of a share partition as the share coordinator has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub state_epoch: i32,
    /// [`Offset::NONE`] of a partition that has none yet.
    pub start: Offset,
    pub batches: Vec<StateBatch>,
}

/// The records in flight of one group on one partition.
#[derive(Debug)]
pub struct SharePartition {
    state_epoch: i32,
    leader_epoch: i32,
    /// The first record that is not done with (SPSO).
    start: Offset,
    spans: Spans,
    /// No record before this one is available.
    available_from: Offset,
    /// No lock ends before this.
    deadline: Option<TimestampMs>,
    writes: write::Writes,
}

impl SharePartition {
    /// Takes over what the share coordinator has. `start` is where a group without state begins.
    pub fn load(read: &Read, start: Offset, leader_epoch: i32) -> Self {
        let is_new = read.start < Offset::ZERO;
        let start = if is_new { start } else { read.start };
        let mut partition = Self {
            state_epoch: read.state_epoch,
            leader_epoch,
            start,
            spans: Spans::default(),
            available_from: start,
            deadline: None,
            writes: write::Writes::default(),
        };
        for batch in crate::coordinator::share::batch::overlay(&[], &read.batches, start) {
            partition.push_hole(batch.first, DeliveryState::Available);
            let span = Span {
                last: batch.last,
                batch: (batch.first, batch.last),
                deliveries: batch.deliveries,
                state: batch.state.into(),
            };
            partition.spans.push(batch.first, span);
        }
        if is_new {
            partition.writes.save_start();
        }
        partition.advance_start();
        partition.check_invariants();
        partition
    }

    /// The first record that is not done with (SPSO).
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The offset after the last record that was acquired (SPEO plus one).
    pub fn end(&self) -> Offset {
        self.spans.bounds().map_or(self.start, |(_, last)| last.plus(1))
    }

    /// Which initialization of the state this goes on from.
    pub fn state_epoch(&self) -> i32 {
        self.state_epoch
    }

    /// The epoch of the leader that this was loaded for.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// How many records lie between the start offset and the last one acquired.
    pub fn in_flight(&self) -> i64 {
        self.end().since(self.start)
    }

    /// Where the next read of the log begins: the first record that is available.
    pub fn next_fetch(&mut self) -> Offset {
        let end = self.end();
        let mut spans = self.spans.within(self.available_from, end);
        let found = spans.find(|(_, span)| span.state == State::Available).map(|(first, _)| first);
        self.available_from = found.unwrap_or(end).max(self.start);
        self.available_from
    }

    /// Whether a read now could acquire anything.
    pub fn can_acquire(&mut self, rules: &ShareRules) -> bool {
        self.next_fetch() < self.end() || self.in_flight() < i64::from(rules.locks_max)
    }

    /// When [`Self::on_time`] is to be called at the latest.
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.deadline
    }

    /// Takes back the records whose locks have ended; tells whether there were any.
    pub fn on_time(&mut self, now: TimestampMs, rules: &ShareRules) -> bool {
        if self.deadline.is_none_or(|at| at > now) {
            return false;
        }
        self.take_back(rules, |lock| lock.until <= now)
    }

    /// Takes back all records of a member that has closed its session or is gone; tells whether there were any.
    pub fn release(&mut self, member: &MemberId, rules: &ShareRules) -> bool {
        self.take_back(rules, |lock| lock.member == *member)
    }

    /// Forgets what lies before the log's start.
    pub fn on_log_start(&mut self, log_start: Offset) {
        if log_start <= self.start {
            return;
        }
        self.spans.drop_below(log_start);
        self.start = log_start;
        self.available_from = self.available_from.max(log_start);
        self.advance_start();
        self.check_invariants();
    }

    fn take_back(&mut self, rules: &ShareRules, ended: impl Fn(&Lock) -> bool) -> bool {
        let mut taken = vec![];
        self.spans.update_all(|first, span| {
            let State::Acquired(lock) = &span.state else { return };
            if !ended(lock) {
                return;
            }
            let state = after_release(span.deliveries, rules);
            taken.push(StateBatch { first, last: span.last, state, deliveries: span.deliveries });
            span.state = state.into();
        });
        self.set_deadline();
        for batch in &taken {
            if batch.state == DeliveryState::Available {
                self.available_from = self.available_from.min(batch.first);
            }
        }
        self.advance_start();
        let any = !taken.is_empty();
        self.writes.add(taken);
        self.check_invariants();
        any
    }

    /// Moves the start over the records that are done with.
    fn advance_start(&mut self) {
        if let Some(last) = self.spans.drop_terminal_front() {
            self.start = last.plus(1);
            self.available_from = self.available_from.max(self.start);
        }
    }

    /// Fills what lies between the last record in flight and `until`; records that were never delivered.
    fn push_hole(&mut self, until: Offset, state: DeliveryState) {
        let first = self.end();
        if first < until {
            let last = Offset(until.get() - 1);
            let span = Span { last, batch: (first, last), deliveries: 0, state: state.into() };
            self.spans.push(first, span);
        }
    }

    fn set_deadline(&mut self) {
        let until = |span: &Span| match &span.state {
            State::Acquired(lock) => Some(lock.until),
            _ => None,
        };
        self.deadline = self.spans.iter().filter_map(|(_, span)| until(span)).min();
    }

    /// Panics where the state contradicts itself; run after every event in debug builds.
    pub fn check_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        self.spans.check_invariants();
        if let Some((first, _)) = self.spans.bounds() {
            assert_eq!(first, self.start, "the first record in flight is the start");
        }
        assert!(self.available_from >= self.start && self.available_from <= self.end());
        for (index, (first, span)) in self.spans.iter().enumerate() {
            assert!(index > 0 || !span.state.is_terminal(), "the start has passed what is done with");
            match &span.state {
                State::Available => assert!(first >= self.available_from, "reads begin at what is available"),
                State::Acquired(lock) => assert!(self.deadline.is_some_and(|at| at <= lock.until)),
                State::Settling { change, .. } => assert!(self.writes.knows(*change)),
                State::Acknowledged | State::Archived => {}
            }
        }
    }
}

/// What becomes of a record that its member did not deal with.
fn after_release(deliveries: i16, rules: &ShareRules) -> DeliveryState {
    if deliveries >= rules.deliveries_max { DeliveryState::Archived } else { DeliveryState::Available }
}

/// Refusals of acknowledgements, worded as Kafka's.
fn not_acquired() -> GroupError {
    let text = "The record state is invalid. The acknowledgement of delivery could not be completed.";
    GroupError::InvalidRecordState(text.to_owned())
}

#[cfg(test)]
mod tests;
