//! Records next to each other that are in the same state.
//!
//! Key invariant: spans lie end to end, without gap or overlap, from the first to the last record in flight; two neighbours
//! differ. So the memory of a share partition follows the number of differences, not of records.

use std::collections::BTreeMap;

use super::ChangeId;
use crate::coordinator::MemberId;
use crate::coordinator::share::DeliveryState;
use crate::model::{Offset, TimestampMs};

/// Who has a record, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    pub member: MemberId,
    pub until: TimestampMs,
}

/// What is with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Available,
    Acquired(Lock),
    /// Acknowledged by its member; it holds when it is written. If it cannot be written, the record is the member's again.
    Settling {
        lock: Lock,
        to: DeliveryState,
        change: ChangeId,
    },
    Acknowledged,
    Archived,
}

impl State {
    /// Whether the record is never delivered again.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Acknowledged | Self::Archived)
    }

    /// The same, if all that is being written gets written.
    pub fn will_be_terminal(&self) -> bool {
        self.is_terminal() || matches!(self, Self::Settling { to, .. } if to.is_terminal())
    }
}

impl From<DeliveryState> for State {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Available => Self::Available,
            DeliveryState::Acknowledged => Self::Acknowledged,
            DeliveryState::Archived => Self::Archived,
        }
    }
}

/// Records in the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Inclusive.
    pub last: Offset,
    /// First and last record of those that were first acquired together; spans of different ones stay apart.
    pub batch: (Offset, Offset),
    pub deliveries: i16,
    pub state: State,
}

impl Span {
    fn equals(&self, other: &Self) -> bool {
        self.batch == other.batch && self.deliveries == other.deliveries && self.state == other.state
    }

    /// How many records its batch had.
    pub fn batch_records(&self) -> i64 {
        self.batch.1.since(self.batch.0).saturating_add(1)
    }
}

/// The records in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    by_first: BTreeMap<Offset, Span>,
}

impl Spans {
    /// The first and the last record, if there is one.
    pub fn bounds(&self) -> Option<(Offset, Offset)> {
        let (first, _) = self.by_first.first_key_value()?;
        let (_, span) = self.by_first.last_key_value()?;
        Some((*first, span.last))
    }

    /// All of them, by offset.
    pub fn iter(&self) -> impl Iterator<Item = (Offset, &Span)> {
        self.by_first.iter().map(|(first, span)| (*first, span))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_first.len()
    }

    /// Those that have a record from `first` to `last`, whole.
    pub fn within(&self, first: Offset, last: Offset) -> impl Iterator<Item = (Offset, &Span)> {
        let from = self.by_first.range(..=first).next_back().map_or(first, |(from, _)| *from);
        let range = if from <= last { Some(self.by_first.range(from..=last)) } else { None };
        range.into_iter().flatten().filter(move |(_, span)| span.last >= first).map(|(at, span)| (*at, span))
    }

    /// Adds records after the last one, or the first ones.
    pub fn push(&mut self, first: Offset, span: Span) {
        debug_assert!(first <= span.last);
        debug_assert!(self.bounds().is_none_or(|(_, last)| last.plus(1) == first));
        let last = span.last;
        self.by_first.insert(first, span);
        self.join(first, last);
    }

    /// Changes the records from `first` to `last`, cutting spans where need be.
    pub fn update(&mut self, first: Offset, last: Offset, mut change: impl FnMut(&mut Span)) {
        if first > last {
            return;
        }
        self.cut(first);
        if last.get() < i64::MAX {
            self.cut(last.plus(1));
        }
        for (_, span) in self.by_first.range_mut(first..=last) {
            change(span);
        }
        self.join(first, last);
    }

    /// Changes spans as a whole, wherever they are.
    pub fn update_all(&mut self, mut change: impl FnMut(Offset, &mut Span)) {
        for (first, span) in &mut self.by_first {
            change(*first, span);
        }
        if let Some((first, last)) = self.bounds() {
            self.join(first, last);
        }
    }

    /// Forgets the records before `offset`.
    pub fn drop_below(&mut self, offset: Offset) {
        self.cut(offset);
        self.by_first = self.by_first.split_off(&offset);
    }

    /// Forgets the terminal records at the front; returns the last one of them.
    pub fn drop_terminal_front(&mut self) -> Option<Offset> {
        let mut dropped = None;
        while let Some(front) = self.by_first.first_entry() {
            if !front.get().state.is_terminal() {
                break;
            }
            dropped = Some(front.remove().last);
        }
        dropped
    }

    /// Makes `offset` the first of a span, if one has it inside.
    fn cut(&mut self, offset: Offset) {
        let Some((_, span)) = self.by_first.range_mut(..offset).next_back() else { return };
        if span.last < offset {
            return;
        }
        let after = span.clone();
        span.last = Offset(offset.get() - 1);
        self.by_first.insert(offset, after);
    }

    /// Makes neighbours that are equal one, from the one before `first` to the one after `last`.
    fn join(&mut self, first: Offset, last: Offset) {
        let from = self.by_first.range(..first).next_back().map_or(first, |(from, _)| *from);
        let to = last.plus(1);
        let near: Vec<Offset> = self.by_first.range(from..=to).map(|(at, _)| *at).collect();
        let mut kept = near.first().copied();
        for at in near.into_iter().skip(1) {
            let (Some(before), Some(span)) = (kept, self.by_first.get(&at)) else { break };
            let last = span.last;
            match self.by_first.get(&before).is_some_and(|before| before.equals(span)) {
                true => {
                    self.by_first.remove(&at);
                    if let Some(before) = self.by_first.get_mut(&before) {
                        before.last = last;
                    }
                }
                false => kept = Some(at),
            }
        }
    }

    /// Panics where the spans contradict themselves.
    pub fn check_invariants(&self) {
        let mut before: Option<&Span> = None;
        for (first, span) in &self.by_first {
            assert!(*first <= span.last, "a span has at least one record");
            if let Some(before) = before {
                assert!(before.last.plus(1) == *first, "spans lie end to end");
                assert!(!before.equals(span), "neighbours differ");
            }
            before = Some(span);
        }
    }
}
